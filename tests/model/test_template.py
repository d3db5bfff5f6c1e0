"""Chat templates: found where transformers finds them; no template runs for ever."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlm3.errors import CheckpointError
from vlm3.model import CHAT_TEMPLATE, load_checkpoint
from vlm3.model.template import check_template, find_template, render

ASKED = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "0880"}]}]


@pytest.fixture
def bare(tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder without a chat template."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / "chat_template.jinja").unlink()
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("chat_template", None)
    path.write_text(json.dumps(config))
    return folder


def _in_json(name: str, template: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(content | {"chat_template": template}))

    return apply


def _in_file(name: str, template: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(template)

    return apply


SEVERAL = [{"name": "tool", "template": "no"}, {"name": "default", "template": CHAT_TEMPLATE}]


@pytest.mark.parametrize(
    "place",
    [
        _in_file("chat_template.jinja", CHAT_TEMPLATE),
        _in_json("chat_template.json", CHAT_TEMPLATE),
        _in_json("tokenizer_config.json", CHAT_TEMPLATE),
        _in_json("tokenizer_config.json", SEVERAL),
        _in_json("processor_config.json", CHAT_TEMPLATE),
        _in_file("additional_chat_templates/default.jinja", CHAT_TEMPLATE),
        _in_file("additional_chat_templates/plain.jinja", CHAT_TEMPLATE),
    ],
)
def test_every_place_is_read(bare: Path, place: Callable[[Path], None]) -> None:
    assert find_template(bare) is None
    place(bare)
    assert find_template(bare) == CHAT_TEMPLATE
    text = load_checkpoint(bare, device="cpu").prompt_text(ASKED)
    assert text == "<|vision_start|><|image_pad|><|vision_end|>0880<|im_end|>"


def test_the_first_place_counts_as_for_the_stock_processor(bare: Path) -> None:
    from transformers.processing_utils import ProcessorMixin

    _in_json("tokenizer_config.json", "four")(bare)
    assert find_template(bare) == "four"  # The processor leaves this place to the tokenizer.
    for name, place in (
        ("three", _in_file("chat_template.jinja", "three")),
        ("two", _in_json("chat_template.json", "two")),
        ("one", _in_json("processor_config.json", "one")),
    ):
        place(bare)
        stock, _ = ProcessorMixin.get_processor_dict(bare, local_files_only=True)
        assert find_template(bare) == stock["chat_template"] == name


LOOPS = {
    "{% for i in range(999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}": "not come to an",
    "{% for i in range(99999) %}{% endfor %}": "five digits",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "recursion",
    "{% set s = 'ab' %}" + "{% set s = s ~ s %}" * 60 + "{{ s | length }}": "a text of more than",
    "{% set n = namespace(s='a') %}{% for i in range(80) %}{% set n.s = n.s ~ n.s %}{% endfor %}": (
        "a text of more than"
    ),
    "{% for i in range(9000) %}{{ 'x'.ljust(9999) }}{% endfor %}": "a text of more than",
    "{{ 'x' * 9999 * 9999 * 9999 }}": "multiplies",
    "{{ 9 ** 9 ** 9 }}": "multiplies",
    "{% if %}": "wrong syntax in line 1",
    "{{ a.b.c }}": "'a' is undefined",
    "{{ raise_exception('no pictures') }}": "no pictures",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}": "fails",
    "only text": "does not write a picture",
    "{% include 'x' %}": "fails",
}


@pytest.mark.parametrize("template", LOOPS)
def test_every_template_ends_in_one_line(bare: Path, template: str) -> None:
    _in_file("chat_template.jinja", template)(bare)
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=LOOPS[template]) as caught:
        load_checkpoint(bare, device="cpu")
    assert "\n" not in str(caught.value) and time.monotonic() - began < 30


@pytest.mark.parametrize(
    "place",
    [
        _in_json("chat_template.json", 5),
        _in_json("tokenizer_config.json", [1]),
        _in_json("tokenizer_config.json", {"a": "x", "b": "y"}),
        _in_file("chat_template.jinja", "x" * (2 << 20)),
    ],
)
def test_wrong_kinds_are_one_line(bare: Path, place: Callable[[Path], None]) -> None:
    place(bare)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(bare, device="cpu")
    assert "\n" not in str(caught.value)


def test_what_is_rendered_is_what_the_library_renders(tiny_folder: Path) -> None:
    """Qwen's own kind of template: namespaces, loops with tests, macros, transformers' tags."""
    template = (
        "{% set ns = namespace(count=0) %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
        "{% if p.type == 'image' %}{% set ns.count = ns.count + 1 %}<|image_pad|>"
        "{% else %}{{ p.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}{% generation %}<|im_start|>assistant\n{% endgeneration %}"
        "{% endif %}"
    )
    tokenizer = load_checkpoint(tiny_folder, device="cpu").tokenizer
    tokenizer.chat_template = check_template(template, tiny_folder)
    ours = render(tokenizer, ASKED, tiny_folder)
    assert ours == tokenizer.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True)
    assert ours.startswith("<|im_start|>user\n<|image_pad|>0880<|im_end|>")
