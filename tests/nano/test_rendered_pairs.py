"""Rendered pairs as records, in the store, and as they are shown: the truth stays true."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vlm3.geometry.pose import RelativePose
from vlm3.model import nano_tokenizer
from vlm3.nano.looks import collaged, patterned, repainted
from vlm3.nano.mosaics import color_class, moved_mosaics
from vlm3.nano.object_questions import box_sample
from vlm3.nano.pairs import (
    CELL_PX,
    F_PX,
    MATCHES,
    PairName,
    Record,
    pair_dtype,
    read_pair,
    write_pair,
)
from vlm3.nano.recipe import MINIATURE, NANO
from vlm3.nano.rendering import PairRenderer
from vlm3.nano.store import Store, views
from vlm3.tasks.object_writing import written_boxes
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.protocol import get_protocol
from vlm3.worlds.frame import Frame, motion_between
from vlm3.worlds.mirror import mirrored
from vlm3.worlds.world import World

SIZE_PX = MINIATURE.views[0].rendered_px
CUT_PX = (96, 64)
CPU = torch.device("cpu")


def first_pair() -> tuple[Frame, Frame]:
    """What `records[0]` was made from."""
    world = World(0, 1, kind="room")
    return world.pair(0, width_px=SIZE_PX[0], height_px=SIZE_PX[1], f_px=F_PX)


def test_a_file_is_the_bytes_of_a_pair(tmp_path: Path, records: list[Record]) -> None:
    name = PairName("train", 12, 1, 0)
    write_pair(tmp_path, name, records[0])
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == pair_dtype(SIZE_PX).itemsize
    assert read_pair(path, SIZE_PX).tobytes() == records[0].tobytes()
    assert PairName.parsed(path.name) == name


def test_a_pair_is_the_same_again(renderer: PairRenderer, records: list[Record]) -> None:
    again = renderer.pair(1, 0, SIZE_PX, kind="room")
    assert again is not None and again.tobytes() == records[0].tobytes()
    held = renderer.pair(1, 0, SIZE_PX, split="heldout", kind="room")
    assert held is not None and held.tobytes() != records[0].tobytes()


def test_a_full_ring_drops_the_oldest(records: list[Record]) -> None:
    store = Store(SIZE_PX, 2, CPU)
    store.add(records)
    assert store.count == 2
    kept = {store.fields["image"][k].numpy().tobytes() for k in range(2)}
    assert kept == {records[k]["image"].tobytes() for k in (1, 2)}
    assert set(store.draw(50).tolist()) == {0, 1}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("swap", [False, True])
def test_shown_pairs_are_the_mirrored_and_swapped_frames(
    records: list[Record], flip: bool, swap: bool
) -> None:
    store = Store(SIZE_PX, 1, CPU)
    store.add(records[:1])
    shown = views(
        store,
        torch.tensor([0]),
        CUT_PX,
        mirrored=torch.tensor([flip]),
        swapped=torch.tensor([swap]),
    )
    frames = [mirrored(f) if flip else f for f in first_pair()]
    frames = frames[::-1] if swap else frames
    left, top = (SIZE_PX[0] - CUT_PX[0]) // 2, (SIZE_PX[1] - CUT_PX[1]) // 2
    rows, columns = slice(top, top + CUT_PX[1]), slice(left, left + CUT_PX[0])
    for k, frame in enumerate(frames):
        assert np.array_equal(shown.image[0, k].numpy(), frame.image[rows, columns])
        true = frame.distance_m[rows, columns]
        solid = np.isfinite(true)
        found = np.exp(shown.log_distance[0, k].float().numpy())
        assert np.array_equal(np.isfinite(found), solid)
        assert found[solid] == pytest.approx(true[solid], rel=3e-3)
    motion = RelativePose.from_matrix(shown.cam1_from_cam2[0].double().numpy())
    wanted = motion_between(*frames)
    assert motion.yaw_pitch_roll_deg == pytest.approx(wanted.yaw_pitch_roll_deg, abs=1e-3)
    assert motion.translation_m == pytest.approx(wanted.translation_m, abs=1e-4)
    # A match carried by distance and motion lands where it is said to.
    good = shown.matched[0]
    assert 8 < int(good.sum()) <= MATCHES
    if not swap:
        camera = frames[0].camera.cropped(left, top, *CUT_PX)
        xy1 = shown.xy1_px[0][good].double().numpy()
        column, row = (np.clip(np.floor(xy1[:, k]).astype(int), 0, CUT_PX[k] - 1) for k in (0, 1))
        distance = frames[0].distance_m[rows, columns][row, column, None]
        points = camera.unproject(xy1) * distance
        in2 = (points - motion.translation_m) @ motion.rotation
        off = frames[1].camera.cropped(left, top, *CUT_PX).project(in2)
        assert np.abs(off - shown.xy2_px[0][good].numpy()).max() < 0.1


def test_normals_lie_at_every_fourth_pixel(records: list[Record]) -> None:
    frame, _ = first_pair()
    normal = frame.normal[CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX]
    assert np.abs(records[0]["normal"][0] / 127 - normal).max() < 1 / 127


def test_every_cut_fits_whole_tokens_and_cells() -> None:
    for recipe in (NANO, MINIATURE):
        token_px = recipe.size.picture_input.token_px
        for view in recipe.views:
            for cut in (*view.cuts_px, *view.wide_cuts_px):
                for side, full in zip(cut, view.rendered_px, strict=True):
                    assert side % token_px == 0 and (full - side) // 2 % CELL_PX == 0
                    assert 0 < side <= full


def test_looks_leave_shapes_and_sky(records: list[Record]) -> None:
    store = Store(SIZE_PX, 3, CPU)
    store.add(records)
    shown = views(store, torch.arange(3), SIZE_PX)
    torch.manual_seed(3)
    image = patterned(shown.image, shown.log_distance, shown.cam1_from_cam2)
    sky = ~torch.isfinite(shown.log_distance)
    assert sky.any() and torch.equal(image[sky], shown.image[sky].float())
    assert not torch.equal(image, shown.image.float())
    painted = repainted(image.flatten(0, 1))
    assert painted.shape == (6, SIZE_PX[1], SIZE_PX[0], 3)
    assert painted.min() >= 0 and painted.max() <= 255 and torch.isfinite(painted).all()


def test_patterns_are_alike_in_both_views(records: list[Record]) -> None:
    """At matches the change of brightness is that of one point in space."""
    store = Store(SIZE_PX, 1, CPU)
    store.add(records[:1])
    flat = views(store, torch.zeros(1, dtype=torch.long), SIZE_PX)
    # One brightness everywhere: the band of brightness then picks all of it or nothing.
    grey = torch.full_like(flat.image, 128)
    for seed in range(20):
        torch.manual_seed(seed)
        change = patterned(grey, flat.log_distance, flat.cam1_from_cam2)[0, ..., 0] / 128
        if change.std() > 0.03:
            break
    good = flat.matched[0]
    values = []
    for k, xy in enumerate((flat.xy1_px, flat.xy2_px)):
        x, y = xy[0][good].floor().long().unbind(-1)
        values.append(change[k, y, x])
    correlation = torch.corrcoef(torch.stack(values))[0, 1]
    assert correlation > 0.7


def test_a_collage_shows_at_each_place_one_of_its_pictures(records: list[Record]) -> None:
    store = Store(SIZE_PX, 3, CPU)
    store.add(records)
    shown = views(store, torch.arange(3), SIZE_PX)
    image, log, normal = shown.image[:, 0].float(), shown.log_distance[:, 0], shown.normal[:, 0]
    torch.manual_seed(0)
    made, far, facing = collaged(image, log, normal, 1.0)
    far, log = (torch.nan_to_num(one.float(), nan=-9.0) for one in (far, log))
    same = [(made == image[k]).all(-1) & (far == log[k]) for k in range(3)]
    assert torch.stack(same).any(0).all()
    cells = torch.stack(same)[:, :, ::CELL_PX, ::CELL_PX]
    agree = torch.stack([(facing == normal[k]).all(-1) for k in range(3)])
    assert (agree | ~cells).all()
    untouched = collaged(image, log, normal, 0.0)
    assert torch.equal(untouched[0], image)


def test_matches_of_moved_mosaics_have_one_colour() -> None:
    torch.manual_seed(0)
    images, xy1, xy2, there = moved_mosaics(8, (96, 80), 40, CPU)
    each = torch.arange(8)[:, None].expand_as(there)[there]
    names = [
        color_class(images[each, k, *(xy[there].floor().long().clamp(min=0).flip(-1).unbind(-1))])
        for k, xy in enumerate((xy1, xy2))
    ]
    # All but those on the seam of two cells.
    assert (names[0] == names[1]).float().mean() > 0.9


def test_object_questions_name_the_objects_of_their_picture(records: list[Record]) -> None:
    """Each row decodes to a question about boxes of its own frame, and an answer that is read."""
    tokenizer, protocol = nano_tokenizer(), get_protocol("joint")
    size = {"width_px": SIZE_PX[0], "height_px": SIZE_PX[1]}
    shown = [way for frame in first_pair() for way in (frame, mirrored(frame))]
    for k, frame in enumerate(shown):
        boxes = written_boxes(protocol, [o.box_xyxy_px for o in frame.objects], **size)
        known = {" ".join(f"{side:04d}" for side in box) for box in boxes}
        rows = zip(records[0]["object_ids"][k], records[0]["object_spans"][k], strict=True)
        texts = [
            (tokenizer.decode(ids[: prompt - 1]), tokenizer.decode(ids[prompt : whole - 1]))
            for ids, (prompt, whole) in rows
            if whole
        ]
        assert texts and len(set(texts)) == len(texts)
        for question, answer in texts:
            named = question.split("[0, 2000): ")[1].split("; ")
            assert set(named) <= known
            asked = {"boxes_xyxy_px": [None] * len(named)}
            assert OBJECTS.read(protocol, asked, question, answer) is not None


def test_boxes_are_compared_by_their_numbers() -> None:
    """Samples without a picture: 21 questions of three groups, none of them about depth."""
    sample = box_sample(np.random.default_rng(0))
    drawn = sample.objects.draw(100, None)  # type: ignore[union-attr]
    assert not sample.pictures and len(drawn) == 21
    assert len({q.question for q in drawn}) <= 3
    assert "behind_front" not in {q.category for q in drawn}
