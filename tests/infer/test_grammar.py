"""Whatever a grammar lets through is read; whatever is answered rightly, it lets through."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.geometry.pose import RelativePose
from vlm3.infer.decoding.answer_forms import answer_form
from vlm3.infer.decoding.grammar import Automaton, NumberForm
from vlm3.infer.engines.local import LocalEngine
from vlm3.model import Checkpoint
from vlm3.tasks import correspondence, depth, fov, pose, pose_reading
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.protocol import PROTOCOLS

LETTERS = sorted({chr(code) for code in range(32, 127)} | {"\n", "°"})
# Single letters, some that tokenizers join, and the end.
VOCABULARY = (*LETTERS, " +", " -", "=+", "The", " point", "left", ", ", "). ", "")
END = len(VOCABULARY) - 1
FORMS = [
    (name, part)
    for name, protocol in PROTOCOLS.items()
    for part in sorted(
        key[: -len(".answer")] for key in protocol.templates if key.endswith(".answer")
    )
]
SIZE = {"width_px": 640, "height_px": 480}


def read(name: str, part: str, text: str) -> Any:
    protocol = PROTOCOLS[name]
    if part == "depth":
        return depth.parse(protocol, text)
    if part == "correspondence":
        return correspondence.parse(protocol, text, **SIZE)
    if part == "fov":
        return fov.parse(protocol, text)
    return pose_reading.parse(protocol, part.removeprefix("pose."), text)


@pytest.mark.parametrize(("name", "part"), FORMS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_every_walk_is_read(name: str, part: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    automaton = machine(name, part)
    state, text = automaton.start, ""
    for _ in range(400):
        choices = np.flatnonzero(automaton.allowed(state))
        assert len(choices), f"a dead end behind {text!r}"
        token = int(rng.choice(choices))
        if token == END:
            break
        # Extremes are where bounds break.
        if rng.random() < 0.5:
            nines = [t for t in choices if VOCABULARY[t] in "09"]
            token = int(rng.choice(nines)) if nines else token
        text += VOCABULARY[token]
        state = automaton.after(state, token)
    else:
        raise AssertionError(f"no end behind {text!r}")
    assert not isinstance(read(name, part, text), ParseFailure), text


_MACHINES: dict[tuple[str, str], Automaton] = {}


def machine(name: str, part: str) -> Automaton:
    if (name, part) not in _MACHINES:
        form = answer_form(PROTOCOLS[name], part)
        _MACHINES[name, part] = Automaton(form, VOCABULARY, [END])
    return _MACHINES[name, part]


def accepts(name: str, part: str, text: str) -> bool:
    automaton = machine(name, part)
    state = automaton.start
    for letter in text:
        token = VOCABULARY.index(letter)
        if not automaton.allowed(state)[token]:
            return False
        state = automaton.after(state, token)
    return automaton.finished(state)


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=30, deadline=None)
@given(
    metres=st.floats(0.001, 300),
    xy=st.tuples(st.floats(0, 640), st.floats(0, 480)),
    angles=st.tuples(*[st.floats(-179, 179)] * 3),
)
def test_every_true_answer_is_allowed(
    name: str, metres: float, xy: tuple[float, float], angles: tuple[float, float, float]
) -> None:
    protocol = PROTOCOLS[name]
    if "depth" in protocol.tasks:
        assert accepts(name, "depth", depth.answer(protocol, metres))
    if "correspondence" in protocol.tasks:
        assert accepts(name, "correspondence", correspondence.answer(protocol, xy, **SIZE))
    if "pose" in protocol.tasks:
        direction = np.array([*xy, metres]) - [320, 240, 50]
        direction = direction / np.linalg.norm(direction)
        motion = RelativePose.from_ypr_direction(np.array(angles), direction, metres)
        for part in pose.components(protocol):
            assert accepts(name, f"pose.{part}", pose.answer(protocol, part, motion))


def test_numbers_beyond_their_bounds_are_stopped_early() -> None:
    form = NumberForm(signed=False, digits=(4, 4), decimals=0, low=0, high=1999)
    assert form.allows("1") and form.allows("0") and form.whole("1999")
    assert not form.allows("2") and not form.allows("00000") and not form.whole("199")
    plain = NumberForm(signed=False, digits=(1, 4), decimals=0, low=0, high=2000)
    assert plain.allows("2000") and not plain.allows("2001") and not plain.allows("03")
    angle = NumberForm(signed=True, digits=(3, 3), decimals=1, low=-359.9, high=359.9)
    assert angle.allows("-3") and not angle.allows("-36") and not angle.allows("7")


@pytest.mark.parametrize("name", ["paper", "release-depth", "joint"])
def test_a_model_that_babbles_still_answers(
    qwen3: Checkpoint, qwen25: Checkpoint, pictures: list[Any], name: str
) -> None:
    """Random weights write nothing that can be read; held to the form, every answer can be."""
    protocol = PROTOCOLS[name]
    questions = [depth.ask(protocol, (x, y), **SIZE) for x in (5, 300) for y in (7, 400)]
    for checkpoint in (qwen3, qwen25):
        engine = LocalEngine(checkpoint)
        scene = engine.open(pictures[:1])
        free = engine.ask(scene, questions, max_new_tokens=8)
        held = engine.reply(
            scene, questions, max_new_tokens=200, grammar=answer_form(protocol, "depth")
        )
        assert any(isinstance(depth.parse(protocol, text), ParseFailure) for text in free)
        assert all(not isinstance(depth.parse(protocol, r.text), ParseFailure) for r in held)
