import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlm3 import Camera, View
from vlm3.assets import Example
from vlm3.errors import InputError, MissingDependencyError
from vlm3.tasks.answers import DepthAnswer, MatchAnswer, ObjectAnswer, PoseAnswer
from vlm3.viz.evidence import object_evidence
from vlm3.viz.figures import (
    ObjectItem,
    depth_figure,
    match_figure,
    object_figure,
    pose_figure,
    save_figure,
)

# matplotlib says so when a font lacks a character: nothing that a model writes may cause that.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def items(example: Example, object_answers: list[ObjectAnswer]) -> list[ObjectItem]:
    return [
        ObjectItem(question.question, answer, object_evidence(answer, "it"))
        for question, answer in zip(example.questions, object_answers, strict=True)
    ]


@pytest.fixture
def drawn(
    example: Example,
    depth_answer: DepthAnswer,
    match_answer: MatchAnswer,
    pose_answer: PoseAnswer,
    items: list[ObjectItem],
) -> dict[str, Callable[[], Any]]:
    first, second = example.views
    truth_m, truth_px = example.points_distance_m, example.matches_xy_2_px
    return {
        "depth": lambda: depth_figure(
            first, depth_answer, truth_distance_m=truth_m, labels=example.point_labels
        ),
        "depth without truth": lambda: depth_figure(first, depth_answer),
        "match": lambda: match_figure(first, second, match_answer, truth_xy_px=truth_px),
        "match without truth": lambda: match_figure(first, second, match_answer),
        "pose": lambda: pose_figure(example.views, pose_answer, truth=example.pose),
        "pose without truth": lambda: pose_figure(example.views, pose_answer),
        "objects": lambda: object_figure(first, items, source="a model"),
    }


FIGURES = ["depth", "match", "pose", "objects"]


@pytest.mark.parametrize(
    "name", [*FIGURES, "depth without truth", "match without truth", "pose without truth"]
)
def test_png_has_the_figure_s_size_and_shows_something(
    name: str, drawn: dict[str, Callable[[], Any]], tmp_path: Path
) -> None:
    figure = drawn[name]()
    path = save_figure(figure, tmp_path / "figure.png")
    with Image.open(path) as picture:
        assert np.allclose(picture.size, figure.get_size_inches() * 160, atol=1)
        assert 1000 < picture.width < 2000
        assert 600 < picture.height < 1300
        assert np.asarray(picture.convert("L")).std() > 20
    assert 50_000 < path.stat().st_size < 2_000_000


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".PNG"])
def test_the_suffix_chooses_the_format(
    suffix: str, drawn: dict[str, Callable[[], Any]], tmp_path: Path
) -> None:
    path = save_figure(drawn["pose"](), tmp_path / f"figure{suffix}")
    head = path.read_bytes()[:200]
    assert {".svg": b"<svg", ".pdf": b"%PDF", ".PNG": b"\x89PNG"}[suffix] in head + b"<svg"


def test_svg_is_the_same_when_drawn_again(
    drawn: dict[str, Callable[[], Any]], tmp_path: Path
) -> None:
    first = save_figure(drawn["depth"](), tmp_path / "a.svg").read_bytes()
    assert first == save_figure(drawn["depth"](), tmp_path / "b.svg").read_bytes()


FIGURE_WORDS = {
    "depth": (
        "3.86 m",
        "true 3.51",
        "10 of 12 within a factor 1.25",
        "1 of 12 answers could not be parsed",
        "sofa, backrest",
    ),
    "pose": ("−10.0°", "−12.6°", "0.50 m", "0.44 m", "camera 2, predicted"),
    "objects": (
        "How wide is A?",
        "Which is nearer to the camera, B or A?",
        "region 1 (A)",
        "not parsed",
    ),
}


@pytest.mark.parametrize(("name", "words"), FIGURE_WORDS.items())
def test_what_a_figure_says(
    drawn: dict[str, Callable[[], Any]], tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    text = save_figure(drawn[name](), tmp_path / "a.svg").read_text()
    assert [one for one in words if one not in text] == []
    assert "<script" not in text


def test_labels_of_the_example_do_not_overlap(
    example: Example, drawn: dict[str, Callable[[], Any]]
) -> None:
    figure = drawn["depth"]()
    figure.draw_without_rendering()
    boxes = [
        text.get_bbox_patch().get_window_extent()
        for text in figure.axes[0].texts
        if text.get_bbox_patch() is not None
    ]
    assert len(boxes) == 12
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert figure.axes[0].get_window_extent().padded(1).fully_containsx(box.x0)
        assert figure.axes[0].get_window_extent().padded(1).fully_containsx(box.x1)


def test_everything_unparsed_is_drawn_too(
    example: Example,
    depth_answer: DepthAnswer,
    match_answer: MatchAnswer,
    unread_pose: PoseAnswer,
    tmp_path: Path,
) -> None:
    nothing = np.zeros(12, dtype=bool)
    depth = replace(depth_answer, distance_m=np.full(12, np.nan), parsed=nothing)
    match = replace(match_answer, xy_px=np.full((8, 2), np.nan), parsed=nothing[:8])
    view = example.views[0]
    for figure in (
        depth_figure(view, depth),
        depth_figure(view, depth, truth_distance_m=example.points_distance_m),
        match_figure(*example.views, match, truth_xy_px=example.matches_xy_2_px),
        pose_figure(example.views, unread_pose),
        pose_figure(example.views, unread_pose, truth=example.pose),
    ):
        assert save_figure(figure, tmp_path / "figure.png").stat().st_size > 10_000


def test_a_pose_without_its_distance_is_drawn(
    example: Example, pose_answer: PoseAnswer, tmp_path: Path
) -> None:
    answer = replace(
        pose_answer,
        distance_m=None,
        cam1_from_cam2=None,
        parsed={**pose_answer.parsed, "distance": False},
    )
    text = save_figure(pose_figure(example.views, answer), tmp_path / "a.svg").read_text()
    assert "camera 2, predicted" in text
    assert "not parsed: distance" in text


def test_many_points_get_dots_and_no_labels(example: Example, depth_answer: DepthAnswer) -> None:
    rng = np.random.default_rng(0)
    distance_m = rng.uniform(1, 5, 300)
    many = replace(
        depth_answer,
        xy_px=rng.uniform(0, 1, (300, 2)) * (540, 360),
        distance_m=distance_m,
        depth_z_m=distance_m,
        parsed=np.ones(300, dtype=bool),
    )
    for truth in (None, distance_m):
        assert not depth_figure(example.views[0], many, truth_distance_m=truth).axes[0].texts


@pytest.mark.parametrize(("width_px", "height_px"), [(90, 400), (900, 100)])
def test_odd_shapes_keep_their_shape(
    width_px: int, height_px: int, depth_answer: DepthAnswer
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (height_px, width_px, 3), dtype=np.uint8)
    view = View.open(image, camera=Camera.from_fov(60, width_px=width_px, height_px=height_px))
    answer = replace(depth_answer, xy_px=rng.uniform(0, 90, (12, 2)))
    box = depth_figure(view, answer).axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(width_px / height_px, rel=1e-6)


def test_another_suffix_or_a_file_for_a_folder_is_one_line(
    drawn: dict[str, Callable[[], Any]], tmp_path: Path
) -> None:
    figure = drawn["pose"]()
    with pytest.raises(InputError, match=re.escape(".png, .svg, .pdf, not 'a.gif'")):
        save_figure(figure, tmp_path / "a.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        save_figure(figure, tmp_path / "file" / "a.png")


def test_without_matplotlib_it_says_what_to_install(
    drawn: dict[str, Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install 'vlm3[viz]'")):
        drawn["pose"]()


def test_drawing_leaves_matplotlib_s_settings_alone(drawn: dict[str, Callable[[], Any]]) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    for name in FIGURES:
        drawn[name]()
    assert dict(mpl.rcParams) == before
