"""The questions of a map: which cells of a grid have one, and what is filled in between them.

Knows no file format and no model.
"""

from typing import TYPE_CHECKING

import numpy as np

from vlm3.infer.generation import Progress
from vlm3.infer.maps import DepthMap, MatchMap, grid_px, no_texts
from vlm3.tasks.answers import Readout
from vlm3.tasks.base import Bools, Floats
from vlm3.view import View

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor

# Neighbours that differ by less than this part are the same surface.
_SAME_SURFACE = 0.08


def depth_map(
    predictor: "Predictor",
    view: View,
    grid: tuple[int, int],
    *,
    readout: Readout | None,
    grammar: bool,
    refine: bool,
    progress: Progress | None,
) -> DepthMap:
    """Asks for a distance in every cell; with `refine` only where cells around it disagree."""
    columns, rows = grid
    xy_px = grid_px(view.camera, columns, rows)
    values = np.full((3, rows, columns), np.nan)
    asked = np.zeros((rows, columns), bool)
    prompt, raw_text = no_texts(rows, columns), no_texts(rows, columns)
    readouts: list[Readout] = []

    def ask(cells: Bools) -> None:
        answer = predictor.depth(
            view, xy_px[cells], readout=readout, grammar=grammar, progress=progress
        )
        values[0][cells] = answer.distance_m
        readouts.append(answer.readout)
        if answer.spread is not None:
            values[1][cells], values[2][cells] = answer.spread.p10, answer.spread.p90
        asked[cells] = True
        prompt[cells], raw_text[cells] = answer.prompt, answer.raw_text

    if refine and columns > 2 and rows > 2:
        coarse = np.zeros((rows, columns), bool)
        coarse[::2, ::2] = True
        # The last row and column bound what lies before them.
        coarse[-1, ::2] = coarse[::2, -1] = coarse[-1, -1] = True
        ask(coarse)
        filled, agree = _between(values, coarse)
        ask(~coarse & ~agree)
        values[:, ~asked] = filled[:, ~asked]
    else:
        ask(np.ones((rows, columns), bool))
    return DepthMap(
        xy_px=xy_px,
        distance_m=values[0],
        p10_m=values[1],
        p90_m=values[2],
        asked=asked,
        image=view.image,
        camera=view.camera,
        protocol=predictor.protocol.name,
        readout=readouts[0],
        prompt=prompt,
        raw_text=raw_text,
    )


def _between(values: Floats, coarse: Bools) -> tuple[Floats, Bools]:
    """Means of the coarse cells around each cell, and whether those are one surface."""
    rows, columns = coarse.shape
    known_rows = np.flatnonzero(coarse[:, 0])
    known_columns = np.flatnonzero(coarse[0])
    above = known_rows[np.searchsorted(known_rows, np.arange(rows), side="right") - 1]
    below = known_rows[np.searchsorted(known_rows, np.arange(rows))]
    left = known_columns[np.searchsorted(known_columns, np.arange(columns), side="right") - 1]
    right = known_columns[np.searchsorted(known_columns, np.arange(columns))]
    corners = np.stack(
        [
            values[:, row[:, None], column[None]]
            for row in (above, below)
            for column in (left, right)
        ]
    )
    distance = corners[:, 0]
    known = np.isfinite(distance).all(axis=0)
    with np.errstate(invalid="ignore"):
        agree = known & (distance.max(axis=0) <= (1 + _SAME_SURFACE) * distance.min(axis=0))
    return corners.mean(axis=0), agree


def match_map(
    predictor: "Predictor",
    view_a: View,
    view_b: View,
    grid: tuple[int, int],
    *,
    readout: Readout | None,
    grammar: bool,
    progress: Progress | None,
) -> MatchMap:
    """Asks for the match of every cell's centre."""
    xy_a_px = grid_px(view_a.camera, *grid)
    answer = predictor.match(
        view_a,
        view_b,
        xy_a_px.reshape(-1, 2),
        readout=readout,
        grammar=grammar,
        progress=progress,
    )
    nothing = np.full_like(answer.xy_px, np.nan)
    low, high = (
        (nothing, nothing) if answer.spread is None else (answer.spread.p10, answer.spread.p90)
    )
    return MatchMap(
        xy_a_px=xy_a_px,
        xy_px=answer.xy_px.reshape(xy_a_px.shape),
        p10_px=low.reshape(xy_a_px.shape),
        p90_px=high.reshape(xy_a_px.shape),
        image_a=view_a.image,
        image_b=view_b.image,
        protocol=answer.protocol,
        readout=answer.readout,
    )
