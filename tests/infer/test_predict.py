"""Laws of the predictor: what an oracle knows comes back, within what its text can hold.

The oracles here read the prompt with their own expressions and know the world by its own formulas,
so that a slip in the resize, the pixels or the camera cannot cancel itself.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose, rotation_error_deg
from vlm3.infer.engines.base import Scene, UInt8
from vlm3.infer.engines.fakes import ConstantEngine, OracleEngine
from vlm3.infer.generation import TokenBudgetWarning
from vlm3.infer.predictor import Predictor
from vlm3.infer.resolve_protocol import ProtocolWarning, resolve_protocol, wording_digest
from vlm3.tasks import depth, object_writing, pose
from vlm3.tasks.answers import ObjectAnswer
from vlm3.tasks.protocol import PROTOCOLS, get_protocol
from vlm3.view import View

DEPTH = ["paper", "release-depth", "joint"]
CORRESPONDENCE = ["paper", "release-corr", "joint"]
POSE = ["paper", "release-pose", "joint"]
OBJECTS = ["paper", "release-object", "joint"]

cameras = st.builds(
    lambda width, height, f, squeeze, cx, cy: Camera(
        f * width, f * width * squeeze, cx * width, cy * height, width, height
    ),
    st.integers(32, 300),
    st.integers(32, 300),
    st.floats(0.4, 3),
    st.floats(0.8, 1.25),
    st.floats(0.3, 0.7),
    st.floats(0.3, 0.7),
)
fractions = st.lists(
    st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)), min_size=1, max_size=5
)


class Watching(OracleEngine):
    """An oracle that keeps the sizes of the pictures it was shown."""

    def open(self, images: Sequence[UInt8]) -> Scene:
        self.shapes = [image.shape for image in images]
        return super().open(images)


def view_of(camera: Camera) -> View:
    return View(np.full((camera.height_px, camera.width_px, 3), 127, np.uint8), camera)


def predictor(engine: OracleEngine, protocol: str) -> Predictor:
    """At a tenth of the focal length, for speed: no law depends on it."""
    chosen = get_protocol(protocol)
    prep = replace(chosen.prep, target_px=chosen.prep.target_px / 10)
    return Predictor(engine, replace(chosen, prep=prep), multiple_px=16)


def two_numbers(prompt: str) -> tuple[float, float]:
    """The last "x, y" or "x y" pair of whole numbers that stand together."""
    pairs = re.findall(r"\((\d+), (\d+)\)", prompt) or re.findall(r": (\d{4}) (\d{4})$", prompt)
    x, y = pairs[0]
    return float(x), float(y)


@pytest.mark.parametrize("name", DEPTH)
@settings(max_examples=25, deadline=None)
@given(camera=cameras, at=fractions, wall_m=st.floats(1, 40))
def test_depth_of_a_wall_comes_back(
    name: str, camera: Camera, at: list[tuple[float, float]], wall_m: float
) -> None:
    """A wall z = wall_m: the oracle tells straight distances, the answer must find z again."""
    protocol = get_protocol(name)

    def distance_m(x_px: float, y_px: float) -> float:
        slope_x = (x_px - camera.cx_px) / camera.fx_px
        slope_y = (y_px - camera.cy_px) / camera.fy_px
        return wall_m * float(np.sqrt(1 + slope_x**2 + slope_y**2))

    def oracle(prompt: str) -> str:
        x, y = two_numbers(prompt)
        x_px, y_px = x / 2000 * camera.width_px, y / 2000 * camera.height_px
        return depth.answer(protocol, distance_m(x_px, y_px))

    xy = np.array(at) * [camera.width_px, camera.height_px]
    answer = predictor(OracleEngine(oracle), name).depth(view_of(camera), xy)
    assert answer.parsed.all()
    truth = np.array([distance_m(x, y) for x, y in xy])
    # Half a centimetre of text, and half a step in 2000 of the picture on the slope of the wall.
    steps = np.array([camera.width_px / camera.fx_px, camera.height_px / camera.fy_px]) / 2000
    if protocol.whole_px:
        # And a pixel of the given and one of the resized picture, here at a tenth of its size.
        steps += 1 / camera.fx_px + 1 / camera.fy_px + 2 * 10 / protocol.prep.target_px
    allowed = 0.0051 + 1.1 * wall_m * steps.sum()
    assert np.abs(answer.distance_m - truth).max() <= allowed
    assert np.abs(answer.depth_z_m - wall_m).max() <= allowed
    assert answer.xy_px == pytest.approx(xy)
    assert answer.protocol == name
    assert answer.intrinsics == ("given",)
    assert len(answer.prompt) == len(answer.raw_text) == len(at)


@pytest.mark.parametrize("name", CORRESPONDENCE)
@settings(max_examples=25, deadline=None)
@given(camera_a=cameras, camera_b=cameras, at=fractions)
def test_match_of_a_turned_picture_comes_back(
    name: str, camera_a: Camera, camera_b: Camera, at: list[tuple[float, float]]
) -> None:
    """Picture b shows picture a upside down: the match of a fraction f is 1 - f."""
    protocol = get_protocol(name)
    size = protocol.norm_size
    size_a, size_b = (np.array([c.width_px, c.height_px]) for c in (camera_a, camera_b))
    # Of the released pairs, whose pixels are whole numbers at pixel centres.
    half_px = 0.5 if name == "release-corr" else 0.0

    def oracle(prompt: str) -> str:
        share = np.array(two_numbers(prompt)) / size + half_px / size_a
        x, y = np.clip(((1 - share) - half_px / size_b) * size, 0, size)
        return f"{round(x):04d} {round(y):04d}" if name == "joint" else f"({x:.0f}, {y:.0f})"

    # There the first half pixel of a picture has the name of its end.
    xy = np.clip(np.array(at) * size_a, half_px, size_a * (1 - half_px / size_b))
    engine = Watching(oracle)
    answer = predictor(engine, name).match(view_of(camera_a), view_of(camera_b), xy)
    assert answer.parsed.all()
    error = np.abs(answer.xy_px - (1 - xy / size_a) * size_b)
    assert (error <= 1.01 * size_b / size).all(), "half a step for the query, half for the answer"
    assert answer.xy_a_px == pytest.approx(xy)
    assert answer.intrinsics == ("given", "given")
    assert len(engine.shapes) == 2


@pytest.mark.parametrize("name", POSE)
@settings(max_examples=40, deadline=None)
@given(
    ypr=st.tuples(st.floats(-179, 179), st.floats(-89, 89), st.floats(-179, 179)),
    direction=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda u: np.linalg.norm(u) > 0.1),
    distance_m=st.floats(0.05, 30),
)
def test_pose_comes_back(
    name: str, ypr: tuple[float, ...], direction: tuple[float, ...], distance_m: float
) -> None:
    protocol = get_protocol(name)
    truth = RelativePose.from_ypr_direction(ypr, direction, distance_m)
    labels = {
        pose.ask(protocol, part): pose.answer(protocol, part, truth)
        for part in pose.components(protocol)
    }
    view = view_of(Camera(50, 50, 32, 32, 64, 64))
    answer = predictor(OracleEngine(labels), name).pose(view, view)
    assert all(answer.parsed.values())
    assert set(answer.parsed) == set(answer.prompt) == set(answer.raw_text)
    assert answer.cam1_from_cam2 is not None
    assert answer.direction is not None
    assert rotation_error_deg(answer.cam1_from_cam2[:3, :3], truth.rotation) < 0.16
    assert answer.direction == pytest.approx(truth.direction, abs=0.012)
    assert answer.distance_m == pytest.approx(truth.distance_m, abs=0.0051)
    move_m = answer.cam1_from_cam2[:3, 3]
    assert move_m == pytest.approx(answer.direction * answer.distance_m)


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("width_m", [0.03, 1.0, 12.34])
def test_object_length_comes_back(name: str, width_m: float) -> None:
    protocol = get_protocol(name)
    engine = OracleEngine(lambda prompt: object_writing.answer_length(protocol, width_m))
    view = view_of(Camera(50, 50, 32, 32, 64, 64))
    answer = predictor(engine, name).ask(view, "How wide is {0}?", [1, 2, 30, 40])
    assert answer.parsed
    assert answer.value_m == pytest.approx(width_m, abs=0.0051)
    assert (answer.clock_hour, answer.yes, answer.region) == (None, None, None)
    assert answer.boxes_xyxy_px.shape == (1, 4)


BOXES = [[1, 2, 30, 40], [20, 10, 60, 50], [5, 5, 15, 60]]


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("region", [0, 1, 2])
@pytest.mark.parametrize(
    "question", ["Which is taller, {0}, {1} or {2}?", "Which of {2}, {0}, {1}?"]
)
def test_the_chosen_box_comes_back(name: str, region: int, question: str) -> None:
    """Whatever the order in which the question names the boxes."""
    protocol = get_protocol(name)
    said = object_writing.answer_region(protocol, region, BOXES, width_px=64, height_px=64)
    view = view_of(Camera(50, 50, 32, 32, 64, 64))
    answer = predictor(ConstantEngine(said), name).ask(view, question, BOXES)
    assert (answer.region, answer.value_m, answer.yes, answer.clock_hour) == (region, *[None] * 3)


@pytest.mark.parametrize("name", OBJECTS)
def test_agreement_and_clock_come_back(name: str) -> None:
    protocol = get_protocol(name)
    view = view_of(Camera(50, 50, 32, 32, 64, 64))

    def ask(question: str, said: str) -> ObjectAnswer:
        return predictor(ConstantEngine(said), name).ask(view, question, BOXES[:2])

    for yes in (True, False):
        question = "Is {0} smaller than {1}?"
        assert ask(question, object_writing.answer_yes_no(protocol, yes)).yes is yes
    for hour in (1, 12):
        question = "If you are at {0}, in which clock direction is {1}?"
        assert ask(question, object_writing.answer_clock(protocol, hour)).clock_hour == hour


def test_a_length_is_no_answer_to_a_question_that_wants_none() -> None:
    """Models of protocol joint know four kinds of question, and write a length to any other."""
    view = view_of(Camera(50, 50, 32, 32, 64, 64))
    engine = ConstantEngine("00.94 m")
    with pytest.raises(InputError, match="of no kind"):
        predictor(engine, "joint").ask(view, "What colour is {0}?", BOXES[0])
    other = predictor(engine, "paper").ask(view, "What colour is {0}?", BOXES[0])
    assert other.raw_text == "00.94 m"


@pytest.mark.parametrize("name", list(PROTOCOLS))
@settings(max_examples=20, deadline=None)
@given(camera=cameras)
def test_the_model_sees_the_planned_size_and_whole_patches(name: str, camera: Camera) -> None:
    engine = Watching(lambda prompt: "none")
    p = predictor(engine, name)
    view = view_of(camera)
    task = sorted(p.protocol.tasks)[0]
    if task == "objects":
        p.ask(view, "Is it big?")
    elif task == "depth":
        p.depth(view, [1, 1])
    elif task == "correspondence":
        p.match(view, view, [1, 1])
    elif task == "fov":
        p.fov(view)
    else:
        p.pose(view, view)
    planned = p.protocol.plan(camera, multiple_px=16).camera
    assert engine.shapes[0] == (planned.height_px, planned.width_px, 3)
    assert planned.height_px % 16 == planned.width_px % 16 == 0


VIEW = view_of(Camera(50, 50, 32, 24, 64, 48))


@pytest.mark.parametrize("text", ["", "no idea", "<think> 2.75", "NaN", "-2.5", "1,234"])
def test_what_cannot_be_read_is_no_number(text: str) -> None:
    p = predictor(ConstantEngine(text), "joint")
    far = p.depth(VIEW, [[1, 1], [2, 2]])
    assert np.isnan(far.distance_m).all()
    assert np.isnan(far.depth_z_m).all()
    assert not far.parsed.any()
    assert far.raw_text == (text, text)
    match = p.match(VIEW, VIEW, [1, 1])
    assert np.isnan(match.xy_px).all()
    assert not match.parsed.any()
    moved = p.pose(VIEW, VIEW)
    assert not any(moved.parsed.values())
    assert (moved.distance_m, moved.direction, moved.cam1_from_cam2) == (None, None, None)


def test_a_pose_with_one_unread_part_keeps_the_others() -> None:
    engine = OracleEngine(lambda prompt: "01.98" if prompt.startswith("Distance") else "?")
    answer = predictor(engine, "joint").pose(VIEW, VIEW)
    assert answer.distance_m == 1.98
    assert answer.parsed == {"rotation": False, "direction": False, "distance": True}
    assert answer.cam1_from_cam2 is None


def test_one_point_or_none_is_fine() -> None:
    p = predictor(ConstantEngine("02.75"), "joint")
    assert p.depth(VIEW, (3, 4)).xy_px.shape == (1, 2)
    assert p.depth(VIEW, []).distance_m.shape == (0,)
    assert p.match(VIEW, VIEW, []).xy_px.shape == (0, 2)


@pytest.mark.parametrize(
    "xy",
    [
        (64, 10),
        (10, 48),
        (-0.1, 10),
        (10, -1e-9),
        (float("nan"), 1),
        (1, float("inf")),
        (1, 2, 3),
        [[[1, 2]]],
        "ab",
        [["a", "b"]],
        [[1, 2], [3]],
        None,
    ],
)
def test_bad_points_are_refused_in_one_line(xy: object) -> None:
    p = predictor(ConstantEngine("1"), "joint")
    for call in (lambda: p.depth(VIEW, xy), lambda: p.match(VIEW, VIEW, xy)):  # type: ignore[arg-type]
        with pytest.raises(InputError) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("question", "boxes"),
    [
        ("How wide is {0}?", []),
        ("How wide is {0}?", [[1, 1, 5, 5], [2, 2, 6, 6]]),
        ("How wide is {1}?", [[1, 1, 5, 5]]),
        ("How wide is it?", [[1, 1, 5, 5]]),
        ("How wide is {0}?", [[5, 1, 1, 5]]),
        ("How wide is {0}?", [[1, 5, 5, 1]]),
        ("How wide is {0}?", [[1, 1, 65, 5]]),
        ("How wide is {0}?", [[-1, 1, 5, 5]]),
        ("How wide is {0}?", [[1, 1, 5, float("nan")]]),
        ("How wide is {0}?", [[1, 1, 5]]),
        ("How wide is {0}?", ["a"]),
        (" ", []),
    ],
)
@pytest.mark.parametrize("name", OBJECTS)
def test_bad_boxes_are_refused_in_one_line(name: str, question: str, boxes: object) -> None:
    with pytest.raises(InputError) as caught:
        predictor(ConstantEngine("1"), name).ask(VIEW, question, boxes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_a_task_the_protocol_lacks_is_refused_with_the_ones_that_have_it(name: str) -> None:
    p = predictor(ConstantEngine("1"), name)
    calls = {
        "depth": lambda: p.depth(VIEW, [1, 1]),
        "correspondence": lambda: p.match(VIEW, VIEW, [1, 1]),
        "pose": lambda: p.pose(VIEW, VIEW),
        "objects": lambda: p.ask(VIEW, "Is it big?"),
    }
    for task, call in calls.items():
        if task in p.protocol.tasks:
            call()
        else:
            with pytest.raises(InputError, match=f"{task} needs protocol .*joint"):
                call()


def test_a_path_is_not_a_view() -> None:
    with pytest.raises(InputError, match=r"View\.open"):
        predictor(ConstantEngine("1"), "joint").depth("photo.jpg", [1, 1])  # type: ignore[arg-type]


def test_a_capped_picture_is_told_at_the_callers_line() -> None:
    engine = Watching(lambda prompt: "02.75")
    p = Predictor(engine, get_protocol("joint"), multiple_px=16, max_tokens=50)
    with pytest.warns(TokenBudgetWarning, match="budget is 50") as caught:
        p.depth(VIEW, [1, 1])
    assert caught[0].filename == __file__
    height, width, _ = engine.shapes[0]
    assert height * width // 256 <= 50
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Predictor(engine, get_protocol("joint"), multiple_px=16).depth(VIEW, [1, 1])


class TestResolve:
    """Which protocol a checkpoint is asked with."""

    def test_the_caller_comes_first_and_gets_the_published_focal_length(self) -> None:
        found = resolve_protocol("paper", name="VLM3-depth", trained="joint", f_px=125)
        assert found is get_protocol("paper")

    def test_the_settings_come_second_with_their_focal_length(self) -> None:
        for asked in (None, "joint"):
            found = resolve_protocol(asked, name="VLM3-depth", trained="joint", f_px=125)
            assert (found.name, found.prep.target_px) == ("joint", 125)

    def test_the_name_comes_third(self) -> None:
        assert resolve_protocol(None, name="facebook/VLM3-corr").name == "release-corr"

    def test_else_the_paper_with_a_warning(self) -> None:
        with pytest.warns(ProtocolWarning, match="some/model"):
            assert resolve_protocol(None, name="some/model").name == "paper"

    def test_unknown_names_list_the_known(self) -> None:
        with pytest.raises(InputError, match="release-pose"):
            resolve_protocol("papr", name="nano")


def test_another_name_for_pixels_is_another_wording() -> None:
    """Or answers of before and after would be taken for one model's."""
    joint = get_protocol("joint")
    assert wording_digest(replace(joint, centre_px=0.0)) != wording_digest(joint)
