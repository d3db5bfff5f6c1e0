"""What a person would read out of an answer about objects, and what not: by hand."""

import pytest

from vlm3.tasks.base import ParseFailure
from vlm3.tasks.object_reading import parse
from vlm3.tasks.truth import ClockHour, Length, ObjectTruth, Region, YesNo

A, B = "bounding box region (0, 39, 652, 999)", "bounding box region (6, 380, 228, 562)"
WIDE = "How wide is region 0?"
FAR = "What is the vertical distance between region 0 and region 1?"
CLOCK = "If you are at region 0, where will you find region 1?"
SMALLER = "Is region 0 smaller than region 1?"
LEFT = f"Can you confirm if {A} is positioned to the left of {B}?"
BEHIND = "Is region 0 positioned behind region 1?"
TALLER = "Which of these two, region 0 or region 1, stands taller?"
HIGHER = f"Between {A} and {B}, which one is positioned higher?"
OPEN = "Tell me about region 0 and region 1."

LENGTHS = [
    (WIDE, "01.25 m", 1.25),
    (WIDE, "1.25 meters", 1.25),
    (WIDE, "1.25 metres.", 1.25),
    (WIDE, "1.25m", 1.25),
    (WIDE, "The width of region 0 is 45.5 centimeters.", 0.455),
    (WIDE, "About 45cm", 0.45),
    (WIDE, "12 inches", 0.3048),
    (WIDE, "It is 12 in wide.", 0.3048),
    (WIDE, "12 in", 0.3048),
    (WIDE, "2 feet", 0.6096),
    (WIDE, "2.5 ft.", 0.762),
    (WIDE, "1 foot", 0.3048),
    (WIDE, "5 feet 3 inches", 5 * 0.3048 + 3 * 0.0254),
    (WIDE, "a 3-foot wide table", 0.9144),
    (WIDE, ".5 m", 0.5),
    (WIDE, "2 mm", 0.002),
    (WIDE, "<think> 3 m? no. </think> 2 m", 2.0),
    (WIDE, f"{A} is 2.10 meters wide.", 2.1),
    (WIDE, "Region [0] is 1.5 METERS wide", 1.5),
    (FAR, "Vertically, region 0 and region 1 are 3.25 feet apart.", 3.25 * 0.3048),
    (FAR, "The distance between region 0 and region 1 is 1.2 meters.", 1.2),
    (FAR, "region 1 is 1.2 m away from region 0, which is 3 m away from the camera.", 1.2),
    ("Tell me the distance from region 0 to region 1.", "1.98 meters", 1.98),
    ("Can you give me an estimation of the gap between region 0 and region 1?", "2 m", 2.0),
]
HOURS = [
    (CLOCK, "03 o'clock", 3),
    (CLOCK, "region 1 is roughly at 11 o'clock from region 0.", 11),
    (CLOCK, "region 0 will find region 1 around the 12 o'clock direction.", 12),
    (CLOCK, "At 3 o’clock.", 3),
    (CLOCK, "at 3 oclock, yes, 3 o'clock", 3),
    (CLOCK, "Three o'clock", 3),
    ("In which direction is region 1 from region 0?", "7 O'Clock", 7),
]
AGREEMENTS = [
    (SMALLER, "yes", True),
    (SMALLER, "no", False),
    (SMALLER, "Yes.", True),
    (SMALLER, "No, it is not.", False),
    (SMALLER, "Indeed, region 0 has a smaller size compared to region 1.", True),
    (SMALLER, "Correct, region 0 occupies less space than region 1.", True),
    (SMALLER, "Incorrect, region 0 is not smaller than region 1.", False),
    (SMALLER, "Actually, region 0 might be larger than region 1.", False),
    (SMALLER, "In fact, it is about the same.", False),
    (SMALLER, "Actually, yes, it is.", True),
    (SMALLER, "That is True.", True),
    (SMALLER, "That is False.", False),
    (SMALLER, "Yes, correct.", True),
    (SMALLER, "Region 0 is smaller than region 1.", True),
    (SMALLER, "Region 1 is smaller than region 0.", False),
    (SMALLER, "Region 1 is larger than region 0.", True),
    (SMALLER, "Region 0 is larger than region 1.", False),
    (SMALLER, "Region 0 isn't smaller than region 1.", False),
    (SMALLER, "It is smaller.", True),
    (LEFT, f"Yes, {A} is to the left of {B}.", True),
    (LEFT, f"Yes {A} is to the left of {B}.", True),
    (LEFT, f"In fact, {A} is to the right of {B}.", False),
    (LEFT, f"Correct, you'll find {A} to the left of {B}.", True),
    (LEFT, f"Incorrect, {A} does not appear on the left side of {B}.", False),
    (LEFT, f"{A} is to the right of {B}.", False),
    (BEHIND, "No, region 0 is closer to the viewer.", False),
    (BEHIND, "Yes, region 0 is further from the viewer.", True),
    (BEHIND, "No, region 1 is in front of region 0.", False),
]
REGIONS = [
    (TALLER, "region 1", 1),
    (TALLER, "Region [0] is taller.", 0),
    (TALLER, "Standing taller between the two is region 1.", 1),
    (TALLER, "region 1. Yes, region 1.", 1),
    (TALLER, "Region 0 is taller than region 1.", 0),
    # Numbered in the question.
    (TALLER, "1", 1),
    (HIGHER, f"{B} is higher up.", 1),
    (HIGHER, "Positioned higher is bounding box region (7, 381, 230, 560).", 1),
    (HIGHER, "(0, 39, 652, 999)", 0),
    ("Who is shorter, region 0 or region 1?", "With less height is region 0.", 0),
]

# Asked this, a person would read nothing of the kind in question.
NOTHING = [
    *((q, "") for q in (WIDE, CLOCK, SMALLER, TALLER, OPEN)),
    *((q, "I cannot tell, image 2 is dark") for q in (WIDE, CLOCK, SMALLER, TALLER, OPEN)),
    *((q, "<think> yes, 2 m, region 1, 3 o'clock") for q in (WIDE, CLOCK, SMALLER, TALLER, OPEN)),
    (WIDE, "yes"),
    (WIDE, "1.25"),
    (WIDE, "region 1"),
    (WIDE, "3 o'clock"),
    (WIDE, "0 m"),
    (WIDE, "-2 m"),
    (WIDE, "\u22122 m"),
    (WIDE, "1,234 m"),
    (WIDE, "1e3 m"),
    (WIDE, "9999999999 m"),
    (WIDE, "2-3 m"),
    (WIDE, "2 - 3 m"),
    (WIDE, "2 to 3 meters"),
    (WIDE, "between 2 and 3 meters"),
    (WIDE, "between 2 m and 3 m"),
    (WIDE, "2 m or 3 m"),
    (WIDE, "2 m²"),
    (WIDE, "2 m/s"),
    (WIDE, "2 men"),
    (WIDE, "There are 2 in the picture."),
    (WIDE, "٢ m"),
    (WIDE, "It is hard to tell, maybe 2 m."),
    (WIDE, "nan m"),
    (FAR, "Region 0 and region 1 overlap, so it's hard to tell how far apart they are."),
    (CLOCK, "2 meters"),
    (CLOCK, "13 o'clock"),
    (CLOCK, "0 o'clock"),
    (CLOCK, "3"),
    (CLOCK, "between 2 and 3 o'clock"),
    (CLOCK, "3 o'clock or 4 o'clock"),
    (CLOCK, "2:30 o'clock"),
    (CLOCK, "behind it"),
    (SMALLER, "No idea."),
    (SMALLER, "No way to tell."),
    (SMALLER, "Correct answers need a scale."),
    (SMALLER, "True size is unknown."),
    (SMALLER, "No region can be seen."),
    (SMALLER, "No bounding box is in the picture."),
    (SMALLER, "Yes and no."),
    (SMALLER, "Yes, no."),
    (SMALLER, "yesterday"),
    (SMALLER, "nothing"),
    (SMALLER, "right"),
    (SMALLER, "2 m"),
    (SMALLER, "Region 0 is not larger than region 1."),
    (SMALLER, "Region 0 is larger or smaller than region 1."),
    (SMALLER, "They are equal."),
    (SMALLER, "Region 2 is smaller than region 1."),
    (TALLER, "region 2"),
    (TALLER, "region 0 or region 1"),
    (TALLER, "Region 0 is shorter."),
    (TALLER, "Region 0 is not taller."),
    (TALLER, "yes"),
    (TALLER, "regions"),
    (TALLER, "region 1.5"),
    (TALLER, "region 99999"),
    (HIGHER, "(300, 200, 400, 700)"),
    (HIGHER, "(6, 380, 228)"),
    (OPEN, "A lamp and a television."),
]


@pytest.mark.parametrize(("question", "text", "value_m"), LENGTHS)
def test_lengths(question: str, text: str, value_m: float) -> None:
    read = parse(question, text, 2)
    assert isinstance(read, ObjectTruth), read
    assert read == Length(read.value)
    assert read.value == pytest.approx(value_m, rel=1e-12)


@pytest.mark.parametrize(("question", "text", "hour"), HOURS)
def test_hours(question: str, text: str, hour: int) -> None:
    assert parse(question, text, 2) == ClockHour(hour)


@pytest.mark.parametrize(("question", "text", "yes"), AGREEMENTS)
def test_agreement(question: str, text: str, yes: bool) -> None:
    assert parse(question, text, 2) == YesNo(yes)


@pytest.mark.parametrize(("question", "text", "region"), REGIONS)
def test_regions(question: str, text: str, region: int) -> None:
    assert parse(question, text, 2) == Region(region)


@pytest.mark.parametrize(("question", "text"), NOTHING)
def test_nothing(question: str, text: str) -> None:
    read = parse(question, text, 2)
    assert isinstance(read, ParseFailure), read
    assert read.text == text
    assert read.reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 m", Length(2.0)),
        ("Yes.", YesNo(True)),
        ("5 o'clock", ClockHour(5)),
        ("region 1", Region(1)),
    ],
)
def test_a_question_of_no_known_kind_takes_any_answer(text: str, value: ObjectTruth) -> None:
    assert parse(OPEN, text, 2) == value


def test_the_list_of_boxes_is_not_taken_for_words() -> None:
    question = "How wide is region 0? Regions x1 y1 x2 y2, each in [0, 2000): 0010 0039 0652 0999"
    assert parse(question, "01.25 m", 1) == Length(1.25)


def test_boxes_named_out_of_order() -> None:
    question = f"Which is taller, {B} or {A}?"
    boxes = [[0, 39, 652, 999], [6, 380, 228, 562]]
    assert parse(question, B, 2, boxes_norm=boxes) == Region(1)
    assert parse(question, B, 2) == Region(0), "order of appearance, when not told"


def test_equal_boxes() -> None:
    assert parse(f"Which is taller, {A} or {A}?", A, 2) == Region(0)
