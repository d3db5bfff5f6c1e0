"""Pictures developed by kernels are those of NumPy, to one grey level."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("warp")

import warp as wp

from vlm3.worlds.developing import exposed
from vlm3.worlds.looks import Look, draw_look
from vlm3.worlds.looks import exposed as exposed_by_numpy

HEIGHT, WIDTH = 36, 48


def radiance(rng: np.random.Generator, count: int) -> np.ndarray:
    """Light of six decades, some of it below zero, one picture without any."""
    light = np.exp(rng.normal(-1, 1.5, (count, HEIGHT, WIDTH, 3))).astype(np.float32)
    light *= np.exp(rng.normal(0, 0.3, (count, 1, 1, 3)))
    light[rng.random(light.shape) < 0.01] *= -1
    light[-1] = 0
    return light.astype(np.float32)


def drawn(seed: int, count: int, *, plain: bool) -> list[Look]:
    return [
        draw_look(np.random.default_rng((seed, k)), HEIGHT, WIDTH, plain=plain)
        for k in range(count)
    ]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_kernels_and_numpy_make_one_picture(seed: int, plain: bool) -> None:
    looks = drawn(seed, 5, plain=plain)
    looks[1], looks[2] = replace(looks[1], grey=True), replace(looks[2], vignette=0.2)
    light = radiance(np.random.default_rng(seed), 5)
    made = exposed(wp.array(light, dtype=wp.vec3, device="cpu"), looks)
    wanted = np.stack([exposed_by_numpy(*one) for one in zip(light, looks, strict=True)])
    off = np.abs(made.astype(int) - wanted)
    assert off.max() <= 1 and (off > 0).mean() < 0.002
    assert np.ptp(made[0]) > 100


def test_together_as_alone_and_by_one_launch_each(launches: Counter[str]) -> None:
    looks = drawn(3, 4, plain=False)
    light = radiance(np.random.default_rng(3), 4)
    alone = [
        exposed(wp.array(light[k : k + 1], dtype=wp.vec3, device="cpu"), looks[k : k + 1])[0]
        for k in range(4)
    ]
    launches.clear()
    together = exposed(wp.array(light, dtype=wp.vec3, device="cpu"), looks)
    assert launches == {"measure": 1, "measure_bulk": 1, "expose": 1}
    np.testing.assert_array_equal(together, np.stack(alone))
