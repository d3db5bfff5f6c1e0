"""Pictures and prompts into an engine, replies out: sizes, limits, and what an engine can do.

Knows protocols and engines; not what the answers mean.
"""

import warnings
from collections.abc import Callable, Sequence

from vlm3.errors import InputError
from vlm3.infer.decoding.answer_forms import answer_form
from vlm3.infer.decoding.grammar import Grammar
from vlm3.infer.engines.base import Engine, RecordingEngine, Reply, UInt8
from vlm3.tasks.answers import Readout
from vlm3.tasks.base import TaskName
from vlm3.tasks.object_reading import KINDS_ASKED, has_kind
from vlm3.tasks.protocol import PROTOCOLS, Protocol
from vlm3.view import View

# As the released notebook allows them: 2048 with thinking, and 512 about objects and poses; the
# paper says nothing and gets 512 too. An answer of `joint` is shorter than 32.
_MAX_NEW_TOKENS = {
    "joint": 32,
    "fov": 32,
    "release-depth": 256,
    "release-corr": 2048,
    "release-corr-direct": 256,
}
_MAX_NEW_TOKENS_OTHERS = 512

Progress = Callable[[int], None]
READOUTS: tuple[Readout, ...] = ("digits", "mean", "median")


class TokenBudgetWarning(UserWarning):
    """A picture was made smaller than its protocol asks, to stay within the token budget."""


def max_new_tokens(protocol: Protocol) -> int:
    """The most tokens that an answer of a protocol may take."""
    return _MAX_NEW_TOKENS.get(protocol.name, _MAX_NEW_TOKENS_OTHERS)


def require(protocol: Protocol, task: TaskName, *views: View) -> None:
    """Refuses a task that the protocol does not have, and views that are none."""
    if task not in protocol.tasks:
        able = [p.name for p in PROTOCOLS.values() if task in p.tasks]
        raise InputError(
            f"protocol {protocol.name!r} has no prompt for {task}, only for "
            f"{', '.join(sorted(protocol.tasks))}; {task} needs protocol {' or '.join(able)}, "
            "and a model trained with it"
        )
    for view in views:
        if not isinstance(view, View):
            raise InputError(
                f"a view was expected, a {type(view).__name__} came: open it with View.open"
            )


def require_kind(protocol: Protocol, question: str) -> None:
    """Refuses a question of a kind that models of the protocol never learned.

    They write a length to it all the same, which would then be read as one.
    """
    if protocol.name == "joint" and not has_kind(question):
        raise InputError(
            f"{question!r} is of no kind that a model of protocol joint was taught; write such as "
            f"{KINDS_ASKED}, or choose a model of another protocol"
        )


def require_able(engine: Engine, readout: Readout, grammar: bool) -> None:
    """Refuses wishes that only an engine with probabilities can fulfil."""
    if not isinstance(engine, RecordingEngine) and (grammar or readout != "digits"):
        wanted = "grammar=True" if grammar else f"readout={readout!r}"
        raise InputError(
            f"{wanted} needs the probabilities of a local model, and the engine {engine.name!r} "
            "gives texts only; leave it out"
        )
    if readout not in READOUTS:
        raise InputError(f"readout is {readout!r}; give digits, mean or median")


def sized(
    views: Sequence[View], protocol: Protocol, *, multiple_px: int, max_tokens: int | None
) -> list[UInt8]:
    """The pictures at the size that the protocol asks for.

    Warns:
        TokenBudgetWarning: one had to be made smaller; in the name of who called the predictor.
    """
    images = []
    for view in views:
        plan = protocol.plan(view.camera, multiple_px=multiple_px, max_tokens=max_tokens)
        if plan.note is not None:
            name = f"{view.path}: " if view.path else ""
            warnings.warn(f"{name}{plan.note}", TokenBudgetWarning, stacklevel=4)
        images.append(view.resized(plan).image)
    return images


def replies(
    engine: Engine,
    protocol: Protocol,
    images: Sequence[UInt8],
    prompts: Sequence[str],
    *,
    components: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Reply]:
    """Asks every prompt about the pictures.

    Args:
        engine: what answers.
        protocol: whose answers these are: it limits their length.
        images: as `sized` gives them.
        prompts: complete questions.
        components: for each prompt whose form its answer must have, such as "pose.rotation"; None
            lets the model write anything.
        progress: called now and then with how many more answers there are.

    Returns:
        One reply a prompt, in their order; of an engine that gives texts only, texts only.
    """
    limit = max_new_tokens(protocol)
    with engine.open(images) as scene:
        if not isinstance(engine, RecordingEngine):
            texts = engine.ask(scene, prompts, max_new_tokens=limit)
            if progress is not None:
                progress(len(texts))
            return [Reply(text) for text in texts]
        forms: dict[Grammar | None, list[int]] = {}
        for place in range(len(prompts)):
            form = None if components is None else answer_form(protocol, components[place])
            forms.setdefault(form, []).append(place)
        found: dict[int, Reply] = {}
        for form, places in forms.items():
            written = engine.reply(
                scene,
                [prompts[place] for place in places],
                max_new_tokens=limit,
                grammar=form,
                progress=progress,
            )
            found.update(zip(places, written, strict=True))
        return [found[place] for place in range(len(prompts))]
