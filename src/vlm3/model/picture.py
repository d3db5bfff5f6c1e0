"""Pictures as a Qwen-VL model reads them: patches, grids and M-RoPE positions, in numpy.

Stands in for the AutoProcessor, which needs torchvision. The patches equal those of
`Qwen2VLImageProcessorPil` for pictures already at their final size; nothing here resizes, because
the size of a picture carries its focal length (paper, section 3.1). Knows no text and no torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlm3.errors import CheckpointError, InputError
from vlm3.geometry.focal import PixelLimits
from vlm3.model.side_files import read_object

UInt8 = npt.NDArray[np.uint8]
Grid = tuple[int, int, int]
"""Patches in time, rows and columns, before merging; time is 1 for a picture."""


@dataclass(frozen=True)
class PictureInput:
    """How one checkpoint wants its pictures.

    Attributes:
        patch_px: side of a patch.
        merge: patches a side that become one token.
        temporal: frames a patch holds; a picture is repeated so often.
        mean: subtracted from values in [0, 1], per channel.
        std: divides after that, per channel.
        min_pixels: pixels of the smallest picture that the checkpoint's own processor gives the
            model: smaller ones are enlarged. None: no such limit.
        max_pixels: the same of the largest.
    """

    patch_px: int
    merge: int
    temporal: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    min_pixels: int | None = None
    max_pixels: int | None = None

    @property
    def token_px(self) -> int:
        """Side in pixels of the square one token stands for; picture sides are multiples of it."""
        return self.patch_px * self.merge

    @property
    def limits(self) -> PixelLimits | None:
        """Fewest and most pixels; None where the checkpoint does not say both."""
        if self.min_pixels is None or self.max_pixels is None:
            return None
        return PixelLimits(self.min_pixels, self.max_pixels)

    @classmethod
    def read(cls, folder: Path) -> "PictureInput":
        """Reads `preprocessor_config.json`, or the picture part of `processor_config.json`.

        Raises:
            CheckpointError: neither file is there, or a key is missing or cannot be.
        """
        candidates = (folder / "preprocessor_config.json", folder / "processor_config.json")
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            raise CheckpointError(
                f"{folder} has no preprocessor_config.json or processor_config.json: "
                "copy the whole checkpoint folder, not only its weights"
            )
        config = read_object(found)
        config = config.get("image_processor", config)
        try:
            size = config.get("size") or {}
            least = config.get("min_pixels") or size.get("shortest_edge")
            most = config.get("max_pixels") or size.get("longest_edge")
            spec = cls(
                patch_px=_count(config["patch_size"], 256),
                merge=_count(config["merge_size"], 16),
                temporal=_count(config["temporal_patch_size"], 16),
                mean=_triple(config["image_mean"]),
                std=_triple(config["image_std"]),
                min_pixels=None if least is None else _count(least, 10**9),
                max_pixels=None if most is None else _count(most, 10**12),
            )
            if min(spec.std) <= 0:
                raise ValueError(f"image_std is {spec.std}")
            if spec.min_pixels and spec.max_pixels and spec.min_pixels > spec.max_pixels:
                raise ValueError(f"at least {spec.min_pixels} pixels, at most {spec.max_pixels}")
            return spec
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{found} does not describe a Qwen-VL picture input ({error!r:.200}); "
                "vlm3 reads Qwen3-VL and Qwen2.5-VL checkpoints"
            ) from error


def _count(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{value!r:.40} where a whole number from 1 to {most} is allowed")
    return value


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"{values!r:.80} where three finite numbers are allowed")
    return red, green, blue


def patchify(image: UInt8, spec: PictureInput) -> tuple[UInt8, Grid]:
    """Cuts a picture into patches in the order Qwen-VL models read them.

    The patches of one token stand together (merge x merge), tokens run row by row.

    Args:
        image: (H, W, 3), both sides multiples of `spec.token_px`.
        spec: the checkpoint's picture input.

    Returns:
        Patches (rows * columns, 3 * patch_px**2), channel first, still 8-bit; and their grid.

    Raises:
        InputError: a side that is no multiple of `spec.token_px`.
    """
    height_px, width_px, channels = image.shape
    patch, merge = spec.patch_px, spec.merge
    if height_px % spec.token_px or width_px % spec.token_px or not image.size:
        raise InputError(
            f"a picture of {width_px}x{height_px} px does not fit the model's grid: "
            f"both sides must be multiples of {spec.token_px} px; resize it with Protocol.plan"
        )
    rows, columns = height_px // patch, width_px // patch
    blocks = image.reshape(rows // merge, merge, patch, columns // merge, merge, patch, channels)
    patches = np.ascontiguousarray(blocks.transpose(0, 3, 1, 4, 6, 2, 5))
    return patches.reshape(rows * columns, channels * patch * patch), (1, rows, columns)


def mrope_positions(
    ids: npt.NDArray[np.int64], grids: Sequence[Grid], *, image_token_id: int, merge: int
) -> npt.NDArray[np.int64]:
    """Three-axis positions of a sequence with pictures, as `get_rope_index` gives them.

    Text advances all three axes by one a token. A picture's tokens share one time, and count rows
    and columns from there; after it the position goes on by the larger side of its token grid, not
    by its number of tokens (transformers, `modeling_qwen3_vl.py`; Qwen2.5-VL agrees for pictures).

    Args:
        ids: (T,) token ids; every picture's tokens are already expanded.
        grids: one a picture, in order.
        image_token_id: the id that stands for a picture token.
        merge: patches a side of one token.

    Returns:
        (3, T): time, row, column.
    """
    positions = np.empty((3, len(ids)), np.int64)
    start = cursor = 0
    for _, grid_rows, grid_columns in grids:
        rows, columns = grid_rows // merge, grid_columns // merge
        first = cursor + int(np.argmax(ids[cursor:] == image_token_id))
        last = first + rows * columns
        positions[:, cursor:first] = np.arange(start, start + first - cursor)
        start += first - cursor
        positions[0, first:last] = start
        positions[1, first:last] = start + np.repeat(np.arange(rows), columns)
        positions[2, first:last] = start + np.tile(np.arange(columns), rows)
        start += max(rows, columns)
        cursor = last
    positions[:, cursor:] = np.arange(start, start + len(ids) - cursor)
    return positions
