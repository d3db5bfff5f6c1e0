"""Rows of `pairs.npy`: two pictures of a folder by their places in its index, and what they share.

The motion between them, the pixels of one that the other shows too, and whether lengths are metres.
Knows neither pictures nor their records.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlm3.data.record import check_inside
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.tasks.sample import Matches
from vlm3.tasks.truth import MOST_M

Floats = NDArray[np.float64]

MATCHES = 32
PAIR_DTYPE = np.dtype(
    [
        ("first", "<i8"),
        ("second", "<i8"),
        ("metric", "?"),
        ("covisibility", "<f4"),
        ("cam1_from_cam2", "<f4", (3, 4)),
        ("matches", "<i4"),
        ("xy1_px", "<f4", (MATCHES, 2)),
        ("xy2_px", "<f4", (MATCHES, 2)),
    ]
)
"""A row of `pairs.npy`: two pictures, the motion between them, and where some pixels went."""


def pair_row(
    first: int,
    second: int,
    cam1_from_cam2: Floats,
    xy1_px: Sequence[Sequence[float]] | Floats,
    xy2_px: Sequence[Sequence[float]] | Floats,
    *,
    covisibility: float,
    metric: bool = True,
) -> NDArray[np.void]:
    """One row for `pairs.npy`; at most 32 matches are kept."""
    row = np.zeros((), PAIR_DTYPE)
    xy1, xy2 = (np.asarray(xy)[:MATCHES].reshape(-1, 2) for xy in (xy1_px, xy2_px))
    row["first"], row["second"], row["metric"] = first, second, metric
    row["covisibility"], row["matches"] = covisibility, len(xy1)
    row["cam1_from_cam2"] = np.asarray(cam1_from_cam2)[:3]
    row["xy1_px"][: len(xy1)], row["xy2_px"][: len(xy2)] = xy1, xy2
    return row


def read_row(
    row: NDArray[np.void] | np.void, camera1: Camera, camera2: Camera
) -> tuple[Matches, RelativePose]:
    """What a row of `pairs.npy` says about two pictures with these cameras.

    Raises:
        InputError: a motion that is no rigid one, or a match outside its picture.
    """
    motion = np.eye(4)
    motion[:3] = row["cam1_from_cam2"]
    # Rows are float32; a rotation that is off by more was never one.
    turn, move = motion[:3, :3], motion[:3, 3]
    # NaN and what is too large are no rotation; a mirror image is orthogonal and none either.
    if not (
        (np.abs(turn) < 2).all()
        and np.allclose(turn @ turn.T, np.eye(3), atol=1e-4)
        and np.linalg.det(turn) > 0
        and (np.abs(move) <= MOST_M).all()
    ):
        raise InputError("cam1_from_cam2 is not a rotation and a translation")
    # Back to an exact rotation: the nearest one.
    u, _, vt = np.linalg.svd(motion[:3, :3])
    motion[:3, :3] = u @ vt
    count = int(row["matches"])
    if not 0 <= count <= MATCHES:
        raise InputError(f"matches is {count}; a row holds 0 to {MATCHES}")
    xy1_px, xy2_px = (row[name][:count].astype(np.float64) for name in ("xy1_px", "xy2_px"))
    check_inside(xy1_px, camera1, "xy1_px")
    check_inside(xy2_px, camera2, "xy2_px")
    return Matches(xy1_px, xy2_px), RelativePose.from_matrix(motion)
