"""Tables of many pairs: one row a pair, as CSV."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm3 import disk


def match_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a match map's line in the manifest."""
    return {
        "image_a": record["source"][0],
        "image_b": record["source"][1],
        "file": record["files"][0],
        "matches": record["questions"] - record["unread"],
        "unread": record["unread"],
        **_lens_cells(record["fx_px"], record["intrinsics"]),
    }


def pose_row(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer's numbers as the cells of a table; empty where nothing was read."""
    turn = answer["yaw_pitch_roll_deg"] or [None] * 3
    way = answer["direction"] or [None] * 3
    pose = answer["cam1_from_cam2"]
    place_m = [None] * 3 if pose is None else [row[3] for row in pose[:3]]
    check = answer["check"] or {}
    distance = answer["spread"].get("distance") or {}
    return {
        "image_a": answer["images"][0],
        "image_b": answer["images"][1],
        **dict(zip(("yaw_deg", "pitch_deg", "roll_deg"), turn, strict=True)),
        **dict(zip(("direction_x", "direction_y", "direction_z"), way, strict=True)),
        "distance_m": answer["distance_m"],
        # Where camera b stands in the frame of camera a; the angles turn a's axes into b's.
        **dict(zip(("x_m", "y_m", "z_m"), place_m, strict=True)),
        "distance_p10_m": _one(distance.get("p10")),
        "distance_p90_m": _one(distance.get("p90")),
        "direction_cone_deg": answer["direction_cone_deg"],
        "confidence": check.get("confidence"),
        **_lens_cells([c["fx_px"] for c in answer["cameras"]], answer["intrinsics"]),
    }


def _lens_cells(fx_px: Sequence[float], intrinsics: Sequence[str]) -> dict[str, Any]:
    return {
        "fx_a_px": fx_px[0],
        "fx_b_px": fx_px[1],
        "lens_a": intrinsics[0],
        "lens_b": intrinsics[1],
    }


def _one(values: Any) -> Any:
    """A number that stands alone in a list."""
    return values[0] if isinstance(values, list) else values


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A CSV with a heading; numbers to six digits."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow(
            {
                k: f"{v:.6g}" if isinstance(v, float) and math.isfinite(v) else v
                for k, v in row.items()
            }
        )
    disk.write(path, text.getvalue())
