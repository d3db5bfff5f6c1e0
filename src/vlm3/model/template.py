"""Chat templates: located where transformers looks for them, and run with a limit.

A template is a program that comes with a checkpoint. transformers runs it in a sandbox, where it
can reach nothing but may run for ever or fill the memory; here it may do neither. Knows no weights.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from vlm3.errors import CheckpointError
from vlm3.model.side_files import kind_of, read_object, read_text

_TEMPLATE_BYTES = 1 << 20
_MOST_LINES = 50_000
_MOST_CHARACTERS = 1 << 22
# What jinja2 calls the code that it makes of a template without a file.
_CODE_NAME = "<template>"


def find_template(folder: Path) -> str | None:
    """The chat template of a folder, as transformers' processor chooses; None: there is none.

    `processor_config.json`, the older `chat_template.json`, `chat_template.jinja` with
    `additional_chat_templates/*.jinja`, `tokenizer_config.json`: the first that has one. Of several
    the one named default.

    Raises:
        CheckpointError: a file is damaged, there are several and none is the default, or the
            template is one that `check_template` refuses.
    """
    for name in ("processor_config.json", "chat_template.json"):
        found = _from_json(folder / name, needed=name == "chat_template.json")
        if found is not None:
            return found
    named: dict[str, Path] = {}
    single = folder / "chat_template.jinja"
    if single.is_file():
        named["default"] = single
    for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        named.setdefault(path.stem, path)
    if named:
        path = _default(named, folder)
        return check_template(read_text(path, limit_bytes=_TEMPLATE_BYTES), path)
    return _from_json(folder / "tokenizer_config.json", needed=False)


def _from_json(path: Path, *, needed: bool) -> str | None:
    if not path.is_file():
        return None
    config = read_object(path)
    found = config.get("chat_template")
    if found is None:
        if needed:
            raise CheckpointError(f"{path} has no chat_template: copy the file again")
        return None
    if isinstance(found, list):  # The form in which tokenizers keep several.
        try:
            found = {entry["name"]: entry["template"] for entry in found}
        except (TypeError, KeyError) as error:
            raise CheckpointError(
                f"{path}: each entry of chat_template needs a name and a template"
            ) from error
    if isinstance(found, dict):
        found = _default(found, path)
    if not isinstance(found, str):
        raise CheckpointError(f"{path}: chat_template is {kind_of(found)}; a text is allowed")
    return check_template(found, path)


def _default(named: Mapping[str, Any], where: Path) -> Any:
    if "default" in named:
        return named["default"]
    if len(named) == 1:
        return next(iter(named.values()))
    names = ", ".join(sorted(map(str, named)))[:200]
    raise CheckpointError(
        f"{where} has several chat templates ({names}) and none is named default: keep one, as "
        "chat_template.jinja"
    )


def check_template(template: str, where: Path) -> str:
    """The template, if it can be compiled and holds nothing that could fill the memory at once.

    Raises:
        CheckpointError: too long, wrong syntax, multiplication, or a number of five digits.
    """
    import jinja2
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if len(template) > _TEMPLATE_BYTES:
        raise CheckpointError(f"{where}: a chat template of {len(template):,} characters")
    environment = ImmutableSandboxedEnvironment(extensions=[loopcontrols])
    # The tags with which transformers marks what the model wrote; no syntax of jinja2's own.
    plain = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
    try:
        tree = environment.parse(plain)
    except (jinja2.TemplateError, RecursionError) as error:
        line = f" in line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise CheckpointError(
            f"{where}: the chat template has wrong syntax{line} ({str(error)[:120]})"
        ) from error
    # A text times a number, or a width, makes gigabytes in one operation, which no limit on lines
    # can stop. No chat template needs them.
    if next(tree.find_all((jinja2.nodes.Mul, jinja2.nodes.Pow)), None) or re.search(
        r"\d{5}", " ".join(str(node.value) for node in tree.find_all(jinja2.nodes.Const))
    ):
        raise CheckpointError(
            f"{where}: the chat template multiplies, or holds a number of five digits; vlm3 runs "
            "none that could fill the memory"
        )
    return template


def render(tokenizer: Any, messages: Sequence[Mapping[str, Any]], where: Path) -> str:
    """The text of a conversation up to where the model is to answer.

    Raises:
        CheckpointError: there is no template, or it fails or does not come to an end.
    """
    try:
        with _limited():
            return str(
                tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=True
                )
            )
    except Exception as error:
        # A template can raise whatever Python raises: each means that it does not fit.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(f"the chat template of {where} fails ({reason})") from error


class _TooMuchError(Exception):
    """A template that ran too long or wrote too much."""


@contextmanager
def _limited() -> Iterator[None]:
    """Stops the code of templates after so many lines, or once it holds too long a text."""
    from jinja2.utils import Namespace

    lines = written = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines, written
        lines += 1
        if event == "return" and isinstance(argument, str):  # What it yields it writes.
            written += len(argument)
        if lines > _MOST_LINES:
            raise _TooMuchError(f"it did not come to an end within {_MOST_LINES:,} lines")
        held = list(frame.f_locals.values())
        for value in frame.f_locals.values():
            if isinstance(value, Namespace):
                held += getattr(value, "_Namespace__attrs").values()  # noqa: B009 (mangled here)
        longest = max((len(v) for v in held if isinstance(v, (str, list))), default=0)
        if max(longest, written) > _MOST_CHARACTERS:
            raise _TooMuchError(f"it made a text of more than {_MOST_CHARACTERS:,} characters")
        return count

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return count(frame, event, argument) if frame.f_code.co_filename == _CODE_NAME else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)
