"""Laws of free answers: frames change nothing, two answers are none, and nothing is raised."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.tasks import correspondence, depth, object_reading, pose, pose_reading
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.object_reading import parse
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.truth import ClockHour, Length, ObjectTruth, Region, YesNo

PAPER = get_protocol("paper")
SIZE = {"width_px": 2000, "height_px": 2000}
WIDE = "How wide is region [0]?"
LEFT = "Is region [0] to the left of region [1]?"
TALLER = "Which is taller, region [0] or region [1]?"
CLOCK = "Region [1] is at which clock direction from region [0]?"

UNITS = {"m": 1.0, "meters": 1.0, "cm": 0.01, "centimetres": 0.01, "mm": 0.001, "ft": 0.3048}
UNITS |= {"feet": 0.3048, "inches": 0.0254, "yards": 0.9144}
hundredths = st.integers(10, 99_999).map(lambda n: n / 100)
units = st.sampled_from(sorted(UNITS))

# Whatever surrounds an answer: {} is the answer.
FRAMES = (
    "{}",
    "  {}\n",
    "**{}**",
    "*{}*",
    "__{}__",
    "`{}`",
    "```\n{}\n```",
    "```text\n{}\n```",
    "# {}",
    "- {}",
    "* **{}**",
    '"{}"',
    "<answer>{}</answer>",
    "<answer> {} </answer>",
    "\\boxed{{{}}}",
    "$\\boxed{{\\text{{{}}}}}$",
    "<|begin_of_box|>{}<|end_of_box|>",
    "Answer: {}",
    "**Answer:** {}",
    "Final answer: {}",
    "The answer is {}",
    "<b>{}</b>",
    '{{"answer": "{}"}}',
    '```json\n{{"answer": "{}"}}\n```',
    "Let me look at the picture.\n\nAnswer: {}",
)
_TAGS = ("think", "thinking", "thought", "reasoning", "reflection", "analysis", "musing")
THOUGHTS = (
    *(f"<{tag}>perhaps 77 m, 9 o'clock, (7, 7), region [0], no</{tag}>{{}}" for tag in _TAGS),
    "◁think▷77 m, yes, no◁/think▷{}",
    "[THINK]77 m, yes, no[/THINK]{}",
    "77 m, yes, no</think>{}",
    "77 m, yes, no</reasoning>\n{}",
    "<|channel|>analysis<|message|>77 m<|end|><|start|>assistant<|channel|>final<|message|>{}",
)
frames = st.sampled_from(FRAMES + THOUGHTS)


@given(value=hundredths, unit=units, frame=frames, depth_too=st.booleans())
def test_a_frame_changes_no_length(value: float, unit: str, frame: str, depth_too: bool) -> None:
    text = frame.format(f"{value:g} {unit}")
    expected = value * UNITS[unit]
    if not 1e-4 <= expected <= 1e6:
        return
    read = parse(WIDE, text, 2)
    assert isinstance(read, ObjectTruth), (text, read)
    assert read.value == pytest.approx(expected, rel=1e-9)
    assert depth.parse(PAPER, text) == pytest.approx(expected, rel=1e-9)
    assert pose_reading.parse(PAPER, "distance", text) == pytest.approx(expected, rel=1e-9)


@given(value=hundredths, frame=frames)
def test_a_bare_number_is_metres_of_depth_and_no_width(value: float, frame: str) -> None:
    text = frame.format(f"{value:.2f}")
    assert depth.parse(PAPER, text) == pytest.approx(value)
    assert isinstance(parse(WIDE, text, 2), ParseFailure)


@given(x=st.integers(0, 2000), y=st.integers(0, 2000), frame=frames)
def test_a_frame_changes_no_pixel(x: int, y: int, frame: str) -> None:
    for form in ("({}, {})", "[{}, {}]", "x={}, y={}"):
        read = correspondence.parse(PAPER, frame.format(form.format(x, y)), **SIZE)
        assert not isinstance(read, ParseFailure), read
        assert read.tolist() == [x, y]


@given(hour=st.integers(1, 12), yes=st.booleans(), region=st.integers(0, 1), frame=frames)
def test_a_frame_changes_no_choice(hour: int, yes: bool, region: int, frame: str) -> None:
    said = frame.format("Yes" if yes else "No")
    assert parse(LEFT, said, 2) == YesNo(yes)
    assert parse(TALLER, frame.format(f"region [{region}]"), 2) == Region(region)
    assert parse(CLOCK, frame.format(f"{hour} o'clock"), 2) == ClockHour(hour)


JOINS = (" or ", " to ", ", ", " and ", ". ", "\n", " - ", " / ", "; or maybe ", " and then ")


@given(a=hundredths, b=hundredths, unit=units, join=st.sampled_from(JOINS), frame=frames)
def test_two_lengths_are_none(a: float, b: float, unit: str, join: str, frame: str) -> None:
    if abs(a - b) <= 0.15 * max(a, b):
        return
    text = frame.format(f"{a:.2f} {unit}{join}{b:.2f} {unit}")
    assert isinstance(parse(WIDE, text, 2), ParseFailure), text
    assert isinstance(depth.parse(PAPER, text), ParseFailure), text


@given(a=hundredths, word=st.sampled_from(("less than", "at least", "over", "up to", ">", "minus")))
def test_a_bound_is_no_length(a: float, word: str) -> None:
    assert isinstance(parse(WIDE, f"It is {word} {a:.2f} m wide.", 2), ParseFailure)
    assert isinstance(depth.parse(PAPER, f"{word} {a:.2f} m"), ParseFailure)


@given(a=st.integers(0, 1999), b=st.integers(0, 1999), join=st.sampled_from((" or ", ", ", "; ")))
def test_two_pixels_are_none(a: int, b: int, join: str) -> None:
    text = f"({a}, 5){join}({b}, 5)"
    read = correspondence.parse(PAPER, text, **SIZE)
    assert isinstance(read, ParseFailure) == (a != b)


@given(
    a=hundredths,
    b=hundredths,
    join=st.sampled_from((". No, ", ". Wait, ", ", I mean ", ". Correction: ")),
)
def test_the_last_word_counts(a: float, b: float, join: str) -> None:
    read = parse(WIDE, f"{a:.2f} m{join}{b:.2f} m", 2)
    assert read == Length(pytest.approx(b))


@given(
    metres=st.integers(1, 30),
    rest=st.integers(1, 99),
    feet=st.integers(1, 30),
    inches=st.integers(0, 11),
)
def test_compound_units(metres: int, rest: int, feet: int, inches: int) -> None:
    for text in (f"{metres} m {rest} cm", f"{metres} meters and {rest} centimeters"):
        assert parse(WIDE, text, 2) == Length(pytest.approx(metres + rest / 100))
    length = feet * 0.3048 + inches * 0.0254
    for text in (f"{feet} ft {inches} in", f"{feet}'{inches}\"", f"{feet} feet, {inches} inches"):
        assert parse(WIDE, text, 2) == Length(pytest.approx(length))


@given(wide=hundredths, tall=hundredths)
def test_the_length_that_was_asked_for(wide: float, tall: float) -> None:
    for text in (
        f"It is {tall:.2f} m tall and {wide:.2f} m wide.",
        f"{wide:.2f} m wide, {tall:.2f} m tall",
        f"Height: {tall:.2f} m\nWidth: {wide:.2f} m",
        f"The width is {wide:.2f} m, the height is {tall:.2f} m.",
        f'{{"height_m": {tall:.2f}, "width_m": {wide:.2f}}}',
    ):
        assert parse(WIDE, text, 2) == Length(pytest.approx(wide)), text
        high = parse("How tall is region [0]?", text, 2)
        assert high == Length(pytest.approx(tall)), text


@given(degrees=st.tuples(*[st.integers(-90, 90)] * 3))
def test_radians_are_never_read_as_degrees(degrees: tuple[int, int, int]) -> None:
    yaw, pitch, roll = (math.radians(d) for d in degrees)
    text = f"Yaw: {yaw:.6f} rad, Pitch: {pitch:.6f} rad, Roll: {roll:.6f} rad"
    read = pose_reading.parse(PAPER, "rotation", text)
    assert not isinstance(read, ParseFailure)
    assert read == pytest.approx(degrees, abs=1e-3)
    strict = pose_reading.parse(get_protocol("release-pose"), "rotation", text)
    assert isinstance(strict, ParseFailure)


@settings(max_examples=150)
@given(text=st.text(max_size=200))
def test_any_text_gives_a_value_or_a_failure(text: str) -> None:
    for question in (WIDE, LEFT, TALLER, CLOCK, text):
        assert isinstance(object_reading.parse(question, text, 2), ObjectTruth | ParseFailure)
    depth.parse(PAPER, text)
    correspondence.parse(PAPER, text, **SIZE, question=text)
    for component in pose.components(PAPER):
        pose_reading.parse(PAPER, component, text)


PIECES = (
    *("1 m ", "no, ", "- 1 m\n", "1/2 ", "(1, 2) ", "yaw 1 ", "\\boxed{1} ", "Answer: ", "{", "½"),
    *("***", "not a ", "◁think▷", "<x>", "region [0] ", "3 o'clock ", "yes ", "$", "|", "1 m × "),
)


@pytest.mark.parametrize("piece", PIECES)
def test_long_texts_take_little_time(piece: str) -> None:
    text = (piece * (100_000 // len(piece)))[:100_000]
    for question in (WIDE, LEFT, TALLER, CLOCK):
        started = time.process_time()
        parse(question, text, 2)
        assert time.process_time() - started < 0.05
