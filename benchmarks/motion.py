"""How well the stated confidence of a motion sorts right from wrong, on real and rendered pairs.

    python benchmarks/motion.py --pairs RedKitchen=DIR --pairs HoloLens=DIR --worlds 80

Asks a model (nano) about the pairs of `vlm3 eval rgbd-pairs` and of held-out worlds. A motion is
right when its rotation and its direction, signed, are both less than 15 degrees off. AUROC is the
chance that a right motion has a higher confidence than a wrong one.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vlm3 import Predictor, load
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.items import Item
from vlm3.eval.readers import Wanted, read_items
from vlm3.geometry.pose import direction_error_deg, rotation_error_deg, ypr_deg_from_rotation
from vlm3.infer.answers import CONE_WIDENING, P10_TO_P90
from vlm3.tasks import metrics
from vlm3.tasks.answers import PoseAnswer

RIGHT_DEG = 15.0
PAIRS = 40


def ask(predictor: Predictor, items: Iterable[Item]) -> list[tuple[PoseAnswer, Any]]:
    """Every pose that was read and checked, with the true cam1_from_cam2."""
    found = []
    for item in items:
        (query,) = [query for query in item.queries if query.task == "pose"] or [None]
        if query is None:
            continue
        answer = predictor.pose(*(opened() for opened in item.pictures), check=True)
        found.append((answer, np.array(query.truth["cam1_from_cam2"])))
        if len(found) == PAIRS:
            break
    return found


# Definitions that were compared; the first is the product's.
DEFINITIONS: dict[str, Callable[[PoseAnswer], float]] = {
    "confidence": lambda answer: answer.check.confidence,
    "matches that agree": lambda answer: answer.check.agree,
    "asked back": lambda answer: (
        -max(answer.check.back_rotation_deg, answer.check.back_direction_deg)
    ),
    "digits": lambda answer: -_digits_deg(answer),
}


def _digits_deg(answer: PoseAnswer) -> float:
    """The larger of the rotation's and the direction's spread."""
    spread = answer.spread["rotation"]
    turn = float(np.linalg.norm((spread.p90 - spread.p10) / P10_TO_P90))
    return max(turn, answer.direction_cone_deg / CONE_WIDENING)


def auroc(score: Any, right: Any) -> float:
    """The chance that a right one scores higher than a wrong one; ties count half."""
    good, bad = score[right], score[~right]
    if not len(good) or not len(bad):
        return float("nan")
    difference = good[:, None] - bad[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def tell(name: str, found: list[tuple[PoseAnswer, Any]]) -> dict[str, Any]:
    """Errors, AUROC of each definition, and how often intervals hold the truth."""
    read = [(a, t) for a, t in found if a.check and a.check.back_direction_deg is not None]
    turn = np.array([rotation_error_deg(a.cam1_from_cam2[:3, :3], t[:3, :3]) for a, t in read])
    way, way_free = (
        np.array([direction_error_deg(a.direction, t[:3, 3], sign_free=free) for a, t in read])
        for free in (False, True)
    )
    right = np.maximum(turn, way) < RIGHT_DEG
    errors = [*np.maximum(turn, way_free), *[metrics.POSE_FAILURE_DEG] * (len(found) - len(read))]
    inside = [
        [
            _within(a, "rotation", ypr_deg_from_rotation(t[:3, :3])),
            _within(a, "distance", np.linalg.norm(t[:3, 3])),
            float(direction_error_deg(a.direction, t[:3, 3], sign_free=False))
            <= a.direction_cone_deg,
        ]
        for a, t in read
    ]
    row: dict[str, Any] = {
        "set": name,
        "pairs": len(found),
        "checked": len(read),
        "right": int(right.sum()),
        "auc30": 100 * metrics.pose_auc(errors),
        "median_rotation_deg": float(np.median(turn)),
        "median_direction_deg": float(np.median(way)),
        "inside_angles_length_cone": np.mean(inside, axis=0).round(3).tolist(),
    }
    for title, score in DEFINITIONS.items():
        row[title] = auroc(np.array([score(a) for a, _ in read]), right)
    verdicts = np.array([a.check.verdict for a, _ in read])
    row["right_by_verdict"] = {
        str(word): f"{int(right[verdicts == word].sum())} of {int((verdicts == word).sum())}"
        for word in np.unique(verdicts)
    }
    return row


def _within(answer: PoseAnswer, part: str, truth: Any) -> float:
    spread = answer.spread[part]
    return float(((spread.p10 <= truth) & (truth <= spread.p90)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--pairs", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument(
        "--worlds", type=int, default=0, help="held-out worlds; every second a pair"
    )
    given = parser.parse_args()
    predictor = load(given.model)
    wanted = []
    for name, _, folder in (text.partition("=") for text in given.pairs):
        benchmark = get_benchmark("rgbd-pairs")
        wanted.append((name, Wanted(benchmark, Path(folder), PAIRS, benchmark.seed)))
    if given.worlds:
        wanted.append(("held-out worlds", Wanted(get_benchmark("worlds"), None, given.worlds, 0)))
    for name, one in wanted:
        print(json.dumps(tell(name, ask(predictor, read_items(one)))), flush=True)


if __name__ == "__main__":
    main()
