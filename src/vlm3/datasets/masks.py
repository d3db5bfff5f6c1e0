"""Boxes of masks in COCO's run-length encoding, without the mask.

Runs go down the columns, off and on in turn. Compressed, a run is its difference to the one before
the last, in groups of five bits as printable characters (cocodataset/cocoapi, maskApi).
"""

from collections.abc import Sequence

from vlm3.errors import InputError
from vlm3.files.reading import short

Box = tuple[float, float, float, float]


def box_of_mask(size: Sequence[int], counts: str | Sequence[int]) -> Box | None:
    """x1, y1, x2, y2 around what is on, at pixel edges; None for an empty mask.

    Args:
        size: height and width.
        counts: runs, compressed or not.

    Raises:
        InputError: the runs are not those of such a picture.
    """
    height, width = size
    runs = _runs(counts) if isinstance(counts, str) else list(counts)
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise InputError(f"a mask's runs cover {short(sum(runs))} of {height * width} pixels")
    left, top, right, bottom = width, height, -1, -1
    start = 0
    for k, run in enumerate(runs):
        if k % 2 and run:
            last = start + run - 1
            left, right = min(left, start // height), max(right, last // height)
            if start // height == last // height:
                top, bottom = min(top, start % height), max(bottom, last % height)
            else:
                top, bottom = 0, height - 1
        start += run
    return None if right < 0 else (float(left), float(top), float(right + 1), float(bottom + 1))


def _runs(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise InputError(f"{character!r} is no part of a compressed mask")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            # No picture has runs of so many pixels.
            if shift > 60:
                raise InputError("a compressed mask has a run that does not end")
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
