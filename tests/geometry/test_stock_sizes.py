"""Law: a picture's size is that of the released pipeline, int() and then the stock processor."""

import random

import numpy as np
import pytest

from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import PixelLimits
from vlm3.tasks.protocol import get_protocol

QWEN3 = PixelLimits(65_536, 16_777_216)
QWEN25 = PixelLimits(3136, 12_845_056)
FAMILIES = {"qwen3-vl": (QWEN3, 32), "qwen2.5-vl": (QWEN25, 28)}


def shots(count: int, seed: int) -> list[Camera]:
    """Cameras from thumbnails to 24 MP, from wide angle to long lenses."""
    chance = random.Random(seed)
    out = []
    while len(out) < count:
        width, height = (round(2 ** chance.uniform(4, 12.5)) for _ in range(2))
        if max(width, height) > 20 * min(width, height):
            continue
        f_px = width * 2 ** chance.uniform(-1.5, 4)
        out.append(
            Camera(f_px, f_px * chance.uniform(0.9, 1.1), width / 2, height / 2, width, height)
        )
    return out


def released(protocol: str, camera: Camera) -> tuple[int, int]:
    """Width and height before the processor, as the released code computes them."""
    width, height = camera.width_px, camera.height_px
    if protocol == "release-corr":
        scale = 1024 / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))
    if protocol == "release-pose":
        return round(width * 750 / camera.fx_px), round(height * 750 / camera.fy_px)
    return int(width * 1000 / camera.fx_px), int(height * 1000 / camera.fx_px)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("protocol", ["release-depth", "release-corr", "release-pose"])
def test_grids_are_those_of_smart_resize(protocol: str, family: str) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    limits, token_px = FAMILIES[family]
    asked = get_protocol(protocol).within(limits)
    differ = enlarged = shrunk = compared = 0
    for camera in shots(2000, seed=len(protocol)):
        width, height = released(protocol, camera)
        if min(width, height) < 1 or max(width, height) > 200 * min(width, height):
            continue  # The stock code divides by nought, or refuses.
        if width * height > 190_000_000:
            continue  # Refused by ours before.
        wanted = smart_resize(height, width, token_px, limits.fewest_px2, limits.most_px2)
        plan = asked.plan(camera, multiple_px=token_px)
        after = plan.camera
        compared += 1
        differ += (after.height_px, after.width_px) != wanted
        enlarged += width * height < limits.fewest_px2
        if width * height > 1.1 * limits.most_px2:
            shrunk += 1
            assert plan.note is not None, "made smaller without a word"
    print(f"{protocol}, {family}: {differ} of {compared} differ; {enlarged} small, {shrunk} large")
    assert compared > 1500 and differ == 0
    assert enlarged > 20 or protocol == "release-corr"  # Its pictures are never small.


def test_grids_are_those_of_the_stock_processor() -> None:
    from transformers import Qwen2VLImageProcessorPil

    stock = Qwen2VLImageProcessorPil(
        patch_size=16,
        merge_size=2,
        size={"shortest_edge": QWEN3.fewest_px2, "longest_edge": QWEN3.most_px2},
    )
    protocol = get_protocol("release-depth").within(QWEN3)
    small = [c for c in shots(400, seed=5) if 1000 / c.fx_px * max(c.width_px, c.height_px) < 600]
    compared = 0
    for camera in small[:60]:
        width, height = released("release-depth", camera)
        if min(width, height) < 1:
            continue
        image = np.zeros((height, width, 3), np.uint8)
        _, rows, columns = stock(images=[image], return_tensors="np")["image_grid_thw"][0]
        after = protocol.plan(camera, multiple_px=32).camera
        assert (after.height_px, after.width_px) == (rows * 16, columns * 16)
        compared += 1
    assert compared > 40


def test_without_limits_nothing_is_enlarged() -> None:
    camera = Camera(1000, 1000, 32, 32, 64, 64)
    joint = get_protocol("joint")
    assert joint.plan(camera, multiple_px=32).camera.width_px == 64
    assert joint.within(QWEN3).plan(camera, multiple_px=32).camera.width_px == 256
