"""One HTML file that shows a map: a cloud to turn, the picture, and every answer behind it.

Nothing is fetched and nothing else is needed: the page opens from disk, and its own policy forbids
the network. The script is WebGL by hand, with a flat canvas where there is none. What a model wrote
travels as JSON and is shown as text, never as markup. Knows no model and no file but its own two.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3 import disk
from vlm3.geometry.depth import points_from_distance
from vlm3.geometry.pose import transform_points
from vlm3.view import View

Array = NDArray[np.float64]

# Wider than any page shows; keeps a photograph of a phone at about half a megabyte.
_LONGEST_SIDE_PX = 1600
_JPEG_QUALITY = 88


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownMap:
    """A grid of distances with its picture, as the figure and the page show it.

    Attributes:
        view: the picture and its camera.
        xy_px: (rows, columns, 2) centres of the cells.
        distance_m: (rows, columns) NaN where unknown.
        p10_m: (rows, columns) NaN without probabilities.
        p90_m: likewise.
        asked: (rows, columns) False where filled in from neighbours.
        rgb: (rows, columns, 3) uint8.
        prompt: (rows, columns) str.
        raw_text: (rows, columns) str.
        world_from_cam: (4, 4); the camera's own frame when there is one picture.
    """

    view: View
    xy_px: Array
    distance_m: Array
    p10_m: Array
    p90_m: Array
    asked: NDArray[np.bool_]
    rgb: NDArray[np.uint8]
    prompt: NDArray[np.object_]
    raw_text: NDArray[np.object_]
    world_from_cam: Array = field(default_factory=lambda: np.eye(4))

    @property
    def points_m(self) -> Array:
        """(rows, columns, 3) in the world's frame; NaN where unknown."""
        points = points_from_distance(self.xy_px, self.distance_m, self.view.camera)
        return transform_points(self.world_from_cam, points)


def write_viewer(
    maps: Sequence[ShownMap],
    path: str | PathLike[str],
    *,
    title: str,
    facts: Mapping[str, str],
    readout: str = "digits",
    notes: Sequence[str] = (),
) -> Path:
    """Write the page.

    Args:
        maps: one a picture; several share one world.
        path: the file.
        title: the heading.
        facts: name -> value: model, protocol, camera.
        readout: which number of the answers the distances are: digits, mean or median.
        notes: sentences a reader must know first.

    Raises:
        InputError: a place that cannot be written.
    """
    page = render_viewer(maps, title=title, facts=facts, readout=readout, notes=notes)
    return disk.write(path, page)


def render_viewer(
    maps: Sequence[ShownMap],
    *,
    title: str,
    facts: Mapping[str, str],
    readout: str = "digits",
    notes: Sequence[str] = (),
) -> str:
    """The whole page as text; see `write_viewer`."""
    named = [Path(shown.view.path).name if shown.view.path else "" for shown in maps]
    names = [
        name if name and named.count(name) == 1 else f"{name or 'picture'} {k + 1}"
        for k, name in enumerate(named)
    ]
    data = {"maps": [_encoded(*pair) for pair in zip(maps, names, strict=True)]}
    style, script, body = (
        files("vlm3.viz").joinpath(f"viewer.{kind}").read_text(encoding="utf-8")
        for kind in ("css", "js", "html")
    )
    pairs = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    said = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    # A median is not what stands in the raw answer, and a reader will compare the two.
    chosen = (
        "" if readout == "digits" else f", whose digits' probabilities have the {readout} above"
    )
    fills = {
        "READOUT": escape(chosen),
        "TITLE": escape(title),
        "STYLE": style,
        "FACTS": pairs,
        "NOTES": said,
        "SCRIPT": script,
        "DATA": _inert_json(data),
    }
    # Split rather than replace, so that nothing put in is read as a place to fill again.
    parts = body.split("%%")
    return "".join(fills[part] if i % 2 else part for i, part in enumerate(parts))


def _encoded(shown: ShownMap, name: str) -> dict[str, Any]:
    camera = shown.view.camera
    rows, columns = shown.distance_m.shape
    numbers = np.concatenate(
        [
            shown.points_m.reshape(-1, 3),
            *(a.reshape(-1, 1) for a in (shown.distance_m, shown.p10_m, shown.p90_m)),
        ],
        axis=1,
    )
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (camera.width_px, camera.height_px)
    rays = shown.world_from_cam[:3, :3] @ camera.unproject_z1(corners.astype(float)).T
    return {
        "name": name,
        "width": camera.width_px,
        "height": camera.height_px,
        "picture": _picture_uri(shown.view.image),
        "columns": columns,
        "rows": rows,
        "f": camera.fx_px,
        "center": shown.world_from_cam[:3, 3].tolist(),
        "axes": shown.world_from_cam[:3, :3].T.tolist(),
        "corners": rays.T.tolist(),
        "numbers": _base64(numbers.astype("<f4")),
        "rgb": _base64(shown.rgb.reshape(-1, 3)),
        "asked": _base64(shown.asked.astype(np.uint8)),
        "prompts": _factored([str(text) for text in shown.prompt.ravel()]),
        "raw": _indexed([str(text) for text in shown.raw_text.ravel()]),
    }


def _factored(texts: list[str]) -> dict[str, Any]:
    """What all texts begin and end with, once, and what differs; empty ones stay empty."""
    said = [text for text in texts if text]
    start = _shared_start(said)
    end = _shared_start([text[len(start) :][::-1] for text in said])[::-1]
    middles = [text[len(start) : len(text) - len(end)] if text else None for text in texts]
    return {"start": start, "end": end, "middles": middles}


def _shared_start(texts: list[str]) -> str:
    # What the first and the last in order share, all between them share too.
    low, high = (min(texts), max(texts)) if texts else ("", "")
    count = next(
        (k for k, pair in enumerate(zip(low, high, strict=False)) if len(set(pair)) > 1),
        min(len(low), len(high)),
    )
    return low[:count]


def _indexed(texts: list[str]) -> dict[str, Any]:
    """Every different text once, and which one each is."""
    places = {text: k for k, text in enumerate(dict.fromkeys(texts))}
    return {"texts": list(places), "which": [places[text] for text in texts]}


def _picture_uri(image: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(image)
    picture.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _inert_json(data: Any) -> str:
    """JSON that no browser reads as markup, wherever it stands."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
