"""Every value and string of the released samples and of the paper's section 3.2."""

import numpy as np
import pytest

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.tasks import correspondence, depth, object_reading, object_writing, pose, pose_reading
from vlm3.tasks.protocol import PROTOCOLS, get_protocol, protocol_for_checkpoint
from vlm3.tasks.truth import YesNo

PAPER, JOINT = get_protocol("paper"), get_protocol("joint")
R_DEPTH, R_OBJECT = get_protocol("release-depth"), get_protocol("release-object")
R_CORR, R_POSE = get_protocol("release-corr"), get_protocol("release-pose")

# Sample of VLM3-pose: a ScanNet++ v2 pair.
PAIR = RelativePose.from_ypr_direction(
    (89.60077227075526, 2.598684372865458, 6.072327841623985),
    (-0.69, 0.02, 0.72),
    1.9806591332884265,
)
# Sample of VLM3-object, in the original picture: the whole pixels that give both the resized boxes
# and the prompt's. 432 / 768 is 562.5 thousandths, written 562: halves go to even.
BOXES = np.array([[0, 30, 668, 767], [6, 292, 233, 432]])
RESIZED = [[0, 33, 740, 850], [7, 324, 258, 479]]


@pytest.mark.parametrize(
    ("xy_px", "written"),
    [
        ((10, 488), (16, 1061)),
        ((191, 119), (314, 259)),
        ((710, 320), (1169, 696)),
        ((223, 406), (367, 883)),
        ((1182, 773), (1946, 1680)),
        ((481, 513), (792, 1115)),
        ((0, 410), (0, 891)),
    ],
)
def test_release_depth_question(xy_px: tuple[int, int], written: tuple[int, int]) -> None:
    assert depth.ask(R_DEPTH, xy_px, width_px=1215, height_px=920) == (
        f"Given this image, how far is the point at coordinates ({written[0]}, {written[1]}) from "
        "the camera? The coordinates are in normalised [0, 2000] format relative to image width "
        "and height. Output the thinking process in <think> </think> and final answer (the meter "
        "number only, without the unit) in <answer> </answer> tags."
    )


def test_release_depth_answer() -> None:
    text = (
        "<think> The point is around 2.75 meters away from the camera. </think>\n\n"
        "<answer> 2.75 </answer>"
    )
    assert depth.answer(R_DEPTH, 2.7461) == text
    assert depth.parse(R_DEPTH, text) == 2.75


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("<answer> 4 </answer>", 4),
        ("<answer>4</answer>", 4),
        ("<answer>\n4.50\n</answer>", 4.5),
        ("<answer> +4 </answer>", 4),
        ("<answer> 1.2e1 </answer>", 12),
        ("<answer> .5 </answer>", 0.5),
        ("<think> It is 9 meters. </think> <answer> 3.2 </answer>", 3.2),
        ("<think> <answer> 9 </answer> </think> <answer> 3.2 </answer>", 3.2),
        ("<think> no end <answer> 3.2 </answer>", 3.2),
        ("opened in the prompt </think> <answer> 3.2 </answer>", 3.2),
        ("<ANSWER> 3.2 </ANSWER>", 3.2),
    ],
)
def test_release_depth_reads(text: str, metres: float) -> None:
    assert depth.parse(R_DEPTH, text) == metres


def test_release_corr() -> None:
    question = (
        "Given these two images, what pixel in the second image corresponds to pixel (440, 60) in "
        "the first image? Report the answer as (x, y)."
    )
    # Their pixels are whole numbers at pixel centres, in the picture as given: 600x400.
    size = {"width_px": 600, "height_px": 400}
    query, match = np.array([264, 24]) + 0.5, np.array([202.858, 20.815]) + 0.5
    assert correspondence.ask(R_CORR, query, **size) == question
    assert correspondence.ask(R_CORR, query, **size, template=1) == (
        question + ' Please think step by step and follow the format: "<think> [think process] '
        '</think>\n\n[answer]".'
    )
    assert correspondence.answer(R_CORR, match, **size) == "(338, 52)"
    # The release divides y by the rounded height of what is shown, 683: 0.03 of a unit from ours.
    text = "<think> (1, 2) </think>\n\n(338.096, 52.013)"
    read = correspondence.parse(R_CORR, text, **size)
    np.testing.assert_allclose(read, match, atol=0.015)


@pytest.mark.parametrize("name", ["release-corr", "release-corr-direct"])
def test_every_pixel_of_the_released_pairs_keeps_its_name(name: str) -> None:
    """On the grid of the released queries, every eighth pixel: written and read as the release."""
    protocol, size = get_protocol(name), {"width_px": 600, "height_px": 400}
    for x, y in [(0, 0), (8, 392), (264, 24), (592, 0), (592, 392)]:
        centre = np.array([x, y]) + 0.5
        released = f"({round(1000 * x / 600)}, {round(1000 * y / 400)})"
        assert f"pixel {released} in" in correspondence.ask(protocol, centre, **size)
        exact = f"({1000 * x / 600}, {1000 * y / 400})"
        np.testing.assert_allclose(correspondence.parse(protocol, exact, **size), centre)
    assert correspondence.answer(protocol, (0, 0), **size) == "(0, 0)"
    assert correspondence.parse(protocol, "(1000, 1000)", **size).tolist() == [600, 400]  # type: ignore[union-attr]


def test_release_corr_takes_the_first_pair() -> None:
    read = correspondence.parse(
        R_CORR, "It is (10, 20), not (30, 40).", width_px=1000, height_px=1000
    )
    assert read.tolist() == [10.5, 20.5]


def test_release_object() -> None:
    size = {"width_px": 1024, "height_px": 768}
    np.testing.assert_array_equal(np.rint(BOXES * np.tile([1134 / 1024, 851 / 768], 2)), RESIZED)
    question = object_writing.ask(
        R_OBJECT, "Can you confirm if {0} is smaller than {1}?", BOXES, **size
    )
    assert question == (
        "Can you confirm if bounding box region (0, 39, 652, 999) is smaller than bounding box "
        "region (6, 380, 228, 562)?"
    )
    text = object_writing.answer_text(
        R_OBJECT, "Incorrect, {0} is not smaller in size than {1}.", BOXES, **size
    )
    assert text == (
        "Incorrect, bounding box region (0, 39, 652, 999) is not smaller in size than bounding "
        "box region (6, 380, 228, 562)."
    )
    assert object_reading.parse(question, text, 2) == YesNo(False)


RELEASED_POSE = {
    "rotation_angle": (
        "Given these two images captured from different viewpoints, what is the relative rotation "
        "angle (in degrees) between the two camera poses?",
        "Rotation angle: 89.7 degrees",
    ),
    "rotation": (
        "Treating the first image as the reference viewpoint, describe the camera's reorientation "
        "needed to reach the second image's viewpoint as yaw, pitch and roll about the first "
        "camera's local axes, applied intrinsically in the order yaw -> pitch -> roll.  "
        "Conventions: yaw is rotation about the vertical (down) axis, positive = turn right; pitch "
        "is about the lateral (right) axis after yaw, positive = look up; roll is about the "
        "optical (forward) axis after yaw and pitch, positive = bank to the right (image content "
        "rotates clockwise from the operator's POV).",
        "Yaw=+89.6°, Pitch=+2.6°, Roll=+6.1°",
    ),
    "direction": (
        "Where did the camera move, expressed in the first camera's local frame (X right, Y down, "
        "Z forward)?  Give a qualitative direction and the precise unit direction vector "
        "(x, y, z).",
        "The camera moves left, forward, unit vector (-0.69, +0.02, +0.72).",
    ),
    "distance": (
        "Estimate the magnitude of the camera translation between the two viewpoints.",
        "Translation distance: 1.98 meters",
    ),
}
PAPER_POSE = {
    "rotation": (
        RELEASED_POSE["rotation"][0].replace("  ", " "),
        "Yaw=+89.6, Pitch=+2.6, Roll=+6.1.",
    ),
    "direction": (
        "Using the first camera as the reference frame, describe the displacement of the camera "
        "between the two views. Use the first camera's local axes (X = right, Y = down, "
        "Z = forward) and give a qualitative direction together with the precise unit direction "
        "vector (x, y, z).",
        "The camera moves left, forward, unit vector (-0.69, +0.02, +0.72).",
    ),
    "distance": (RELEASED_POSE["distance"][0], "Translation distance: 1.98 meters."),
}
JOINT_POSE = {
    "rotation": (
        "Rotation from camera 1 to camera 2, yaw pitch roll in degrees:",
        "+089.6 +002.6 +006.1",
    ),
    "direction": (
        "Direction from camera 1 to camera 2, x right y down z forward:",
        "-0.69 +0.02 +0.72",
    ),
    "distance": ("Distance in meters from camera 1 to camera 2:", "01.98"),
}
READ_POSE = {
    "rotation_angle": 89.7,
    "rotation": (89.6, 2.6, 6.1),
    "direction": np.array((-0.69, 0.02, 0.72)) / np.linalg.norm((-0.69, 0.02, 0.72)),
    "distance": 1.98,
}


@pytest.mark.parametrize(
    ("protocol", "strings"), [(R_POSE, RELEASED_POSE), (PAPER, PAPER_POSE), (JOINT, JOINT_POSE)]
)
def test_pose_questions_and_answers(protocol: object, strings: dict[str, tuple[str, str]]) -> None:
    assert pose.components(protocol) == tuple(strings)
    for component, (question, answer) in strings.items():
        assert pose.ask(protocol, component) == question
        assert pose.answer(protocol, component, PAIR) == answer
        read = pose_reading.parse(protocol, component, answer)
        np.testing.assert_allclose(read, READ_POSE[component])


def test_pose_facts() -> None:
    assert PAIR.angle_deg == pytest.approx(89.6547345694857, abs=1e-6)
    assert pose.direction_words((-0.69, 0.02, 0.72)) == "left, forward"
    assert pose.components(PAPER, metric=False) == ("rotation", "direction")


def test_paper_wording() -> None:
    size = {"width_px": 1000, "height_px": 500}
    assert depth.ask(PAPER, (250, 250), **size) == (
        "How far is the pixel at (500, 1000) from the camera? "
        "Both x and y are normalized to between [0, 2000]."
    )
    assert correspondence.ask(PAPER, (250, 250), **size) == (
        "Given these two images, what pixel in the second image corresponds to pixel (500, 1000) "
        "in the first image? Report the answer as (x2, y2)."
    )
    assert correspondence.answer(PAPER, (250, 250), **size) == (
        "The corresponding pixel is (500, 1000)."
    )
    wordings = {correspondence.ask(PAPER, (250, 250), **size, template=k) for k in range(5)}
    assert len(wordings) == correspondence.template_count(PAPER) == 5
    assert all("(500, 1000)" in w and "(x2, y2)" in w for w in wordings)
    with pytest.raises(InputError, match="it has 5"):
        correspondence.ask(PAPER, (250, 250), **size, template=5)


def test_joint_wording() -> None:
    size = {"width_px": 1000, "height_px": 1000}
    xy_px = (440, 256)
    assert depth.ask(JOINT, xy_px, **size) == (
        "Distance in meters from the camera to the point (x, y), each in [0, 2000): 0880 0512"
    )
    assert depth.answer(JOINT, 2.75) == "02.75"
    assert depth.answer(JOINT, 123.456) == "123.46"
    assert correspondence.ask(JOINT, xy_px, **size) == (
        "The point (x, y) of picture 1, each in [0, 2000), seen in picture 2: 0880 0512"
    )
    assert correspondence.answer(JOINT, (505, 249), **size) == "1010 0498"
    boxes = np.array([[10, 39, 652, 999], [6, 380, 228, 562]]) / 2
    assert object_writing.ask(JOINT, "How far is {0} from {1}?", boxes, **size) == (
        "How far is region 0 from region 1? Regions x1 y1 x2 y2, each in [0, 2000): "
        "0010 0039 0652 0999; 0006 0380 0228 0562"
    )
    assert object_writing.answer_length(JOINT, 1.25) == "01.25 m"
    assert object_writing.answer_yes_no(JOINT, True) == "yes"
    assert object_writing.answer_yes_no(JOINT, False) == "no"
    assert object_writing.answer_region(JOINT, 1, boxes, **size) == "region 1"
    assert object_writing.answer_clock(JOINT, 3) == "03 o'clock"


def test_far_edge_stays_below_a_half_open_range() -> None:
    size = {"width_px": 640, "height_px": 480}
    assert correspondence.answer(JOINT, (640, 480), **size) == "1999 1999"
    # Of 640 pixel columns by whole numbers, the far edge is 639.5.
    assert correspondence.answer(R_CORR, (640, 480), **size) == "(999, 999)"


def test_pictures_are_resized_as_the_released_samples_were() -> None:
    size = {"multiple_px": 1}
    indoor = Camera(902.4662475585938, 901.3929443359375, 511.4, 383.7, 1024, 768)
    after = R_OBJECT.plan(indoor, **size).camera
    assert (after.width_px, after.height_px) == (1134, 851)
    dslr = Camera(464.32, 464.89, 876, 584, 1752, 1168)
    after = R_POSE.plan(dslr, **size).camera
    assert (after.width_px, after.height_px) == (2830, 1884)
    courtyard = Camera.from_fov(60, width_px=600, height_px=400)
    after = R_CORR.plan(courtyard, **size).camera
    assert (after.width_px, after.height_px) == (1024, 683)
    after = JOINT.with_focal(125).plan(indoor, **size).camera
    assert (after.width_px, after.height_px) == (142, 107)


def test_checkpoint_names() -> None:
    for name, protocol in {
        "facebook/VLM3-depth": R_DEPTH,
        "VLM3-object": R_OBJECT,
        "some/folder/vlm3-corr/": R_CORR,
        "hub/models--facebook--VLM3-pose/snapshots/0123abcd": R_POSE,
        "VLM3-depth-notes/other": None,
        "Qwen/Qwen3-VL-4B-Instruct": None,
        "": None,
    }.items():
        assert protocol_for_checkpoint(name) is protocol


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(InputError, match="choose one of paper, release-depth, release-object"):
        get_protocol("depthlm")
    with pytest.raises(InputError, match="choose one that has: paper, release-depth, joint"):
        depth.ask(R_CORR, (1, 1), width_px=10, height_px=10)
    with pytest.raises(InputError, match="longer side"):
        R_CORR.with_focal(500)
    with pytest.raises(InputError, match="positive"):
        JOINT.with_focal(float("nan"))


def test_protocols_ask_what_they_say_they_do() -> None:
    asks = {"depth": "depth.ask", "objects": "objects.ask", "correspondence": "correspondence.ask"}
    for protocol in PROTOCOLS.values():
        able = {task for task, name in asks.items() if name in protocol.templates}
        able |= {"pose"} if pose.components(protocol) else set()
        able |= {"fov"} if "fov.ask" in protocol.templates else set()
        assert able == protocol.tasks
