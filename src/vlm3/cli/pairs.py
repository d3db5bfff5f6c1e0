"""Matches and camera motions of many pairs of pictures into one folder, and a table of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import click
import numpy as np

from vlm3 import disk, strict_json
from vlm3.cli.batch import PREVIEWS, fill_folder
from vlm3.cli.contact_sheet import pair_preview, save_preview
from vlm3.cli.pair_list import SEQUENTIAL, PicturePair, find_pairs
from vlm3.cli.pair_tables import match_row, pose_row, write_table
from vlm3.cli.recipe import GridRecipe, PictureRecipe, recipe_fields
from vlm3.errors import InputError

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor
    from vlm3.tasks.answers import PoseAnswer
    from vlm3.tasks.base import TaskName
    from vlm3.view import View

_DOTS = (12, 9)
"""At most so many columns and rows of matches in a preview."""


def _record(
    pair: PicturePair, views: "Sequence[View]", predictor: "Predictor", began: float
) -> dict[str, Any]:
    """What the manifest says of every pair."""
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
class Motions(PictureRecipe):
    """The camera's motion from the first to the second picture, with its check."""

    kind = "motions"
    of = "pairs"
    task: ClassVar["TaskName"] = "pose"

    def common(self) -> dict[str, Any]:
        """As every recipe's, and how wide cones are: those of one table are alike."""
        from vlm3.infer import answers

        return super().common() | {"cone_widening": answers.CONE_WIDENING}

    def make(
        self, predictor: "Predictor", job: PicturePair, opened: "Sequence[View]"
    ) -> dict[str, Any]:
        """Puts the question and returns the answer, which stands in the manifest itself."""
        from vlm3.cli.printing import records

        began = time.perf_counter()
        answer = predictor.pose(opened[0], opened[1], readout=self.readout, check=True)
        (record,) = records(answer, predictor, opened)
        entry = _record(job, opened, predictor, began)
        motion = _motion_words(answer)
        sure = "" if answer.check is None else f"; confidence {answer.check.confidence:.2f}"
        words = job.name, motion.replace(" degrees", "°") + sure
        shown = pair_preview(opened[0].image, opened[1].image, None, words)
        save_preview(shown, self.folder / entry["preview"])
        return {
            "files": [],
            "readout": answer.readout,
            "motion": motion,
            "verdict": answer.check and answer.check.verdict,
            "answer": record | {"images": job.origins},
            **entry,
        }


@dataclass(frozen=True, kw_only=True)
class MatchMaps(GridRecipe):
    """Where a grid of the first picture is seen in the second."""

    kind = "match maps"
    of = "pairs"
    task: ClassVar["TaskName"] = "correspondence"

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
        entry = _record(job, opened, predictor, began)
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
        save_preview(shown, self.folder / entry["preview"])
        return {
            "files": [f"{job.name}.npz"],
            "readout": found.readout,
            "lenses": [lens_record(view) for view in opened],
            "questions": count,
            "unread": unread,
            **entry,
        }


def one_pair(
    images: Sequence[str], pairs: str | None, overlap: int | None, every_s: float | None
) -> tuple[str, str] | None:
    """Picture A and picture B, where a command line names these and nothing more; else None.

    Raises:
        InputError: one picture alone, or --every without a video.
    """
    from vlm3.cli.picture_sources import are_many, no_video

    if pairs is not None or overlap is not None or len(images) > 2:
        return None
    if len(images) == 1 and not are_many(images):
        raise InputError(f"only {images[0]!r} was given; give A and B, or a folder or video")
    if any(are_many([image]) for image in images):
        return None
    if every_s is not None:
        raise no_video()
    first, second = images
    return first, second


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
    recipe = Motions(**recipe_fields(settings))
    done = fill_folder(recipe, _chosen(images, every_s, pairs, overlap), settings)
    answers = [record["answer"] for record in done.records]
    lines = "".join(strict_json.dumps(answer) + "\n" for answer in answers)
    disk.write(recipe.folder / "poses.jsonl", lines)
    write_table(recipe.folder / "poses.csv", [pose_row(answer) for answer in answers])
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
    recipe = MatchMaps(**recipe_fields(settings), grid=grid)
    done = fill_folder(recipe, _chosen(images, every_s, pairs, overlap), settings)
    write_table(recipe.folder / "pairs.csv", [match_row(record) for record in done.records])
    click.echo(f"{recipe.folder}/pairs.csv: which file is of which pair", err=True)
    return done.exit_code


def _chosen(
    images: Sequence[str], every_s: float | None, pairs: str | None, overlap: int | None
) -> list[PicturePair]:
    how = pairs or SEQUENTIAL
    if overlap is not None and how != SEQUENTIAL:
        raise InputError(f"--overlap goes with --pairs {SEQUENTIAL}; leave one of them out")
    return find_pairs(images, every_s, how, overlap or 1)


def _motion_words(answer: "PoseAnswer") -> str:
    """Rotation, distance and direction in a line."""
    from vlm3.cli.printing import rotation_words
    from vlm3.tasks.pose import direction_words

    turn, length, way = "rotation not read", "", "(direction not read)"
    if answer.yaw_pitch_roll_deg is not None:
        turn = rotation_words(answer.yaw_pitch_roll_deg)
    if answer.distance_m is not None:
        length = f"{answer.distance_m:.2f} m "
    if answer.direction is not None:
        way = direction_words(answer.direction)
    return f"{turn}; {length}{way}"
