"""Matches and camera motions of many pairs of pictures into one folder, and a table of them."""

import csv
import io
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
import numpy as np

from vlm3 import disk, strict_json
from vlm3.cli.batch import PREVIEWS, Done, fill_folder, output_folder
from vlm3.cli.contact_sheet import pair_preview, save_preview
from vlm3.cli.pair_list import SEQUENTIAL, PicturePair, find_pairs
from vlm3.cli.picture_sources import Opener
from vlm3.cli.pipeline import lenses
from vlm3.errors import InputError

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor
    from vlm3.tasks.answers import PoseAnswer, Readout
    from vlm3.tasks.base import TaskName
    from vlm3.view import View

_DOTS = (12, 9)
"""At most so many columns and rows of matches in a preview."""


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """What both recipes of pairs hold; see `workers.Recipe` and `batch.FolderRecipe`.

    Attributes:
        folder: where.
        lens: of every picture, as `View.open` takes it; without any, what EXIF says.
        calibrator: of pictures without a lens.
        readout: as in `Predictor`.
        int8: whether the model computes in whole numbers.
    """

    folder: Path
    lens: Mapping[str, Any]
    calibrator: str | None
    readout: "Readout | None"
    int8: bool
    of = "pairs"

    def common(self) -> dict[str, Any]:
        """Everything beside pictures and model that changes a result."""
        return {name: value for name, value in vars(self).items() if name != "folder"}

    def _told(
        self, pair: PicturePair, views: "Sequence[View]", predictor: "Predictor", began: float
    ) -> dict[str, Any]:
        return {
            "source": pair.origins,
            "preview": f"{PREVIEWS}/{pair.name}.jpg",
            "model": predictor.engine.name,
            "protocol": predictor.protocol.name,
            "fx_px": [view.camera.fx_px for view in views],
            "intrinsics": [view.intrinsics for view in views],
            "seconds": round(time.perf_counter() - began, 3),
        }


@dataclass(frozen=True, kw_only=True)
class Motions(_Pairs):
    """The camera's motion from the first to the second picture, with its check."""

    kind = "motions"
    task: ClassVar["TaskName"] = "pose"

    def opener(self) -> Opener:
        """Opens both pictures."""
        return Opener(self.lens, self.calibrator, None)

    def make(
        self, predictor: "Predictor", job: PicturePair, opened: "Sequence[View]"
    ) -> dict[str, Any]:
        """Puts the question and returns the answer, which stands in the manifest itself."""
        from vlm3.cli.printing import records

        began = time.perf_counter()
        answer = predictor.pose(opened[0], opened[1], readout=self.readout, check=True)
        (record,) = records(answer, predictor, opened)
        told = self._told(job, opened, predictor, began)
        motion = f"{_turn(answer)}; {_way(answer)}"
        sure = "" if answer.check is None else f"; confidence {answer.check.confidence:.2f}"
        words = job.name, motion.replace(" degrees", "°") + sure
        shown = pair_preview(opened[0].image, opened[1].image, None, words)
        save_preview(shown, self.folder / told["preview"])
        return {
            "files": [],
            "readout": answer.readout,
            "motion": motion,
            "verdict": answer.check and answer.check.verdict,
            "answer": record | {"images": job.origins},
            **told,
        }


@dataclass(frozen=True, kw_only=True)
class MatchMaps(_Pairs):
    """Where a grid of the first picture is seen in the second.

    Attributes:
        grid: columns and rows.
    """

    grid: tuple[int, int]
    kind = "match maps"
    task: ClassVar["TaskName"] = "correspondence"

    def opener(self) -> Opener:
        """Opens both pictures; InputError also where the first is too small for the grid."""
        return Opener(self.lens, self.calibrator, self.grid)

    def make(
        self, predictor: "Predictor", job: PicturePair, opened: "Sequence[View]"
    ) -> dict[str, Any]:
        """Answers one input, writes each file whole or not at all; the manifest's entry."""
        from vlm3.output.lens import lens_record
        from vlm3.output.maps import save

        began = time.perf_counter()
        found = predictor.match_map(opened[0], opened[1], grid=self.grid, readout=self.readout)
        save(found, self.folder / f"{job.name}.npz")
        unread = int(np.isnan(found.xy_px[..., 0]).sum())
        told = self._told(job, opened, predictor, began)
        step = [-(-have // most) for have, most in zip(self.grid, _DOTS, strict=True)]
        some = np.s_[step[1] // 2 :: step[1], step[0] // 2 :: step[0]]
        dots = [
            (xy_px[some] / (view.camera.width_px, view.camera.height_px)).reshape(-1, 2)
            for xy_px, view in zip((found.xy_a_px, found.xy_px), opened, strict=True)
        ]
        count = found.xy_px[..., 0].size
        shown = pair_preview(
            opened[0].image,
            opened[1].image,
            (dots[0], dots[1]),
            (job.name, f"{count - unread} of {count} read"),
        )
        save_preview(shown, self.folder / told["preview"])
        return {
            "files": [f"{job.name}.npz"],
            "readout": found.readout,
            "lenses": [lens_record(view) for view in opened],
            "questions": count,
            "unread": unread,
            **told,
        }


def is_one_pair(images: Sequence[str], pairs: str | None, overlap: int | None) -> bool:
    """Whether a command line names picture A and picture B, and nothing more."""
    from vlm3.cli.picture_sources import are_many

    if pairs is not None or overlap is not None or len(images) > 2:
        return False
    if len(images) == 1 and not are_many(images):
        raise InputError(f"only {images[0]!r} was given; give A and B, or a folder or video")
    return not any(are_many([image]) for image in images)


def motions_of_many(
    images: Sequence[str],
    every_s: float | None,
    pairs: str | None,
    overlap: int | None,
    settings: Mapping[str, Any],
) -> int:
    """Asks for the motion of every pair; writes poses.csv and poses.jsonl, and prints a table.

    Returns:
        The exit code: 0, or `batch.SKIPPED`.
    """
    recipe = Motions(**_common(settings))
    done = fill_folder(recipe, _found(images, every_s, pairs, overlap), settings)
    answers = [record["answer"] for record in done.records]
    lines = "".join(strict_json.dumps(answer) + "\n" for answer in answers)
    disk.write(recipe.folder / "poses.jsonl", lines)
    _write_table(recipe.folder / "poses.csv", [_pose_row(answer) for answer in answers])
    if not settings["as_json"]:
        width = max(len(record["name"]) for record in done.records)
        for record in done.records:
            doubt = record["verdict"] or "not checked"
            click.echo(f"{record['name']:<{width}}  {record['motion']}: {doubt}")
    click.echo(f"{recipe.folder}/poses.csv and poses.jsonl: all motions", err=True)
    return done.exit_code


def matches_of_many(
    images: Sequence[str],
    every_s: float | None,
    pairs: str | None,
    overlap: int | None,
    grid: tuple[int, int],
    settings: Mapping[str, Any],
) -> int:
    """Asks for the match map of every pair; writes pairs.csv.

    Returns:
        The exit code: 0, or `batch.SKIPPED`.
    """
    recipe = MatchMaps(**_common(settings), grid=grid)
    done = fill_folder(recipe, _found(images, every_s, pairs, overlap), settings)
    _write_table(recipe.folder / "pairs.csv", _match_rows(done))
    click.echo(f"{recipe.folder}/pairs.csv: which file is of which pair", err=True)
    return done.exit_code


def _common(settings: Mapping[str, Any]) -> dict[str, Any]:
    lens = lenses(settings, 1)[0]
    return {
        "folder": output_folder(settings),
        "lens": {name: value for name, value in lens.items() if name != "calibrate"},
        **{name: settings[name] for name in ("calibrator", "readout", "int8")},
    }


def _found(
    images: Sequence[str], every_s: float | None, pairs: str | None, overlap: int | None
) -> list[PicturePair]:
    how = pairs or SEQUENTIAL
    if overlap is not None and how != SEQUENTIAL:
        raise InputError(f"--overlap goes with --pairs {SEQUENTIAL}; leave one of them out")
    return find_pairs(images, every_s, how, overlap or 1)


def _match_rows(done: Done) -> list[dict[str, Any]]:
    return [
        {
            "image_a": record["source"][0],
            "image_b": record["source"][1],
            "file": record["files"][0],
            "matches": record["questions"] - record["unread"],
            "unread": record["unread"],
            **_lens_cells(record["fx_px"], record["intrinsics"]),
        }
        for record in done.records
    ]


def _pose_row(answer: Mapping[str, Any]) -> dict[str, Any]:
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


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
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


def _turn(answer: "PoseAnswer") -> str:
    if answer.yaw_pitch_roll_deg is None:
        return "rotation not read"
    yaw, pitch, roll = answer.yaw_pitch_roll_deg
    return f"yaw {yaw:+z.1f}, pitch {pitch:+z.1f}, roll {roll:+z.1f} degrees"


def _way(answer: "PoseAnswer") -> str:
    from vlm3.tasks.pose import direction_words

    length = "" if answer.distance_m is None else f"{answer.distance_m:.2f} m "
    if answer.direction is None:
        return f"{length}(direction not read)"
    return f"{length}{direction_words(answer.direction)}"
