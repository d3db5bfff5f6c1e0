"""Validation of nano: gaps, and held-out pairs answered greedily, as `vlm3` answers.

A gap is what the truth in its place gains: the loss with answers shuffled among a picture's
questions (as good as shuffled coordinates), or on grey pictures, minus the loss as it is. No gap:
the model ignores where the text points, or the picture.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vlm3.geometry.pose import direction_error_deg, rotation_error_deg, rotation_from_ypr_deg
from vlm3.nano.batches import Batch, BatchMaker
from vlm3.nano.forward import Forward
from vlm3.nano.losses import answer_losses
from vlm3.nano.recipe import ViewSize
from vlm3.nano.store import Store, views
from vlm3.tasks import correspondence, depth, pose_reading
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.metrics import delta
from vlm3.tasks.object_judge import judge
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.pose import POSE
from vlm3.tasks.protocol import get_protocol
from vlm3.train.packing import IGNORE

Tensor = torch.Tensor
_QUESTIONS = 24
_SIZE_PX = {"width_px": 560, "height_px": 420}
"""Errors of matches are counted in a picture of this size, as `vlm3 eval` does."""
_LARGEST_DEG = 30
_MOST_OBJECT_ROWS = 64


@torch.no_grad()
def gaps(forward: Forward, maker: BatchMaker, *, worlds: bool) -> dict[str, float]:
    """Losses and gaps of colours in mosaics; with `worlds` also of distances and matches."""
    batches = [maker.make("mosaic color", 32, 16)]
    if worlds:
        batches += [maker.make("view", 48, _QUESTIONS), maker.make("pair", 32, 16)]
    out: dict[str, float] = {}
    for batch in batches:
        asked = batch.questions[0]
        one = replace(
            batch,
            questions=(asked,),
            layout=replace(batch.layout, groups=batch.layout.groups[:1]),
        )
        seen = forward.see(one.images)
        plain = float(answer_losses(forward, one, seen)[asked.kind])
        wrong = replace(one, questions=(asked.shuffled(),))
        shuffled = float(answer_losses(forward, wrong, seen)[asked.kind])
        grey = forward.see(torch.full_like(one.images, 127.5))
        blank = float(answer_losses(forward, one, grey)[asked.kind])
        name = asked.kind
        out |= {name: plain, f"{name} gap": shuffled - plain, f"{name} grey": blank - plain}
    return out


@torch.no_grad()
def answered(forward: Forward, batch: Batch) -> list[Tensor]:
    """Ids of each group, (B, n, L + 1), with the model's own answers in place of the true ones."""
    seen = forward.see(batch.images)
    written = [questions.ids.clone() for questions in batch.questions]
    starts = [(q.labels != IGNORE).float().argmax(-1) for q in batch.questions]
    longest = max(int((q.labels != IGNORE).sum(-1).max()) for q in batch.questions)
    for ids, start in zip(written, starts, strict=True):
        place = torch.arange(ids.shape[-1], device=ids.device)
        ids[place > start[..., None]] = 0
    for step in range(longest):
        hidden = forward.read(batch.layout, seen, [ids[..., :-1] for ids in written])
        for ids, start, one in zip(written, starts, hidden, strict=True):
            at = (start + step).clamp(max=one.shape[2] - 1)[..., None]
            here = one.gather(2, at[..., None].expand(-1, -1, 1, one.shape[3])).squeeze(2)
            ids.scatter_(2, at + 1, forward.logits(here).argmax(-1)[..., None])
    return written


class _Answer(NamedTuple):
    """A question of one row of a batch, the model's answer and the true one."""

    row: int
    question: str
    given: str
    true: str


class HeldOut:
    """Asks about held-out pairs.

    Args:
        maker: of batches, for its writer.
        stores: of held-out pairs, one a view size.
        view_sizes: of the recipe.
        tokenizer: to read answers.
    """

    def __init__(
        self,
        maker: BatchMaker,
        stores: Sequence[Store],
        view_sizes: Sequence[ViewSize],
        tokenizer: Any,
    ) -> None:
        self.maker, self.stores, self.view_sizes = maker, stores, view_sizes
        self.tokenizer, self.protocol = tokenizer, get_protocol("joint")

    def __call__(self, forward: Forward) -> dict[str, float]:
        """Measures of all four tasks by name; those without a question are left out."""
        with _seeded(forward.device):
            return self._measured(forward)

    def _measured(self, forward: Forward) -> dict[str, float]:
        given: list[float | ParseFailure] = []
        true: list[float] = []
        errors_px: list[float] = []
        errors_deg: list[float] = []
        right: list[bool] = []
        for store, size in zip(self.stores, self.view_sizes, strict=True):
            cuts = size.cuts_px[:3]
            for k, cut in enumerate(cuts[: store.count]):
                places = torch.arange(k, store.count, len(cuts), device=store.device)
                shown = views(store, places, cut)
                image, log = shown.image[:, 0].float(), shown.log_distance[:, 0]
                batch = self.maker.distances(image, log, _QUESTIONS)
                for text in self._texts(forward, batch)[0]:
                    given.append(depth.parse(self.protocol, text.given))
                    true.append(float(depth.parse(self.protocol, text.true)))  # type: ignore[arg-type]
                batch = self.maker.pairs(shown, _QUESTIONS, painted=False)
                matches, motions = self._texts(forward, batch)
                errors_px += [self._match_error(text) for text in matches]
                errors_deg += self._motion_errors(motions)
            if store.count:
                first = torch.arange(min(store.count, _MOST_OBJECT_ROWS), device=store.device)
                shown = views(store, first, store.rendered_px)
                batch = self.maker.objects(
                    shown.image[:, 0].float(), shown.object_ids, shown.object_spans
                )
                (texts,) = self._texts(forward, batch)
                right += [_agrees(text) for text in texts]
        out: dict[str, float] = {}
        if true:
            out |= _delta1(given, np.array(true))
        if errors_px:
            out |= {"EPE": float(np.mean(errors_px))}
        if errors_deg:
            out |= {"AUC30": _auc(np.array(errors_deg))}
        if right:
            out |= {"objects": float(np.mean(right))}
        return out

    def _texts(self, forward: Forward, batch: Batch) -> list[list[_Answer]]:
        """Of each group the questions that have a label."""
        out = []
        for asked, own in zip(batch.questions, answered(forward, batch), strict=True):
            count = asked.ids.shape[1]
            rows = zip(
                asked.ids.flatten(0, 1).tolist(),
                asked.labels.flatten(0, 1).tolist(),
                own.flatten(0, 1).tolist(),
                strict=True,
            )
            texts = []
            for place, (ids, labels, given) in enumerate(rows):
                start = next((k for k, label in enumerate(labels) if label != IGNORE), None)
                if start is not None:
                    answers = [self._turn(one[start + 1 :]) for one in (given, ids)]
                    decoded = [self.tokenizer.decode(one) for one in (ids[:start], *answers)]
                    texts.append(_Answer(place // count, *decoded))
            out.append(texts)
        return out

    def _turn(self, ids: list[int]) -> list[int]:
        """Ids up to the end of the turn."""
        end = self.maker.writer.end
        return ids[: ids.index(end)] if end in ids else ids

    def _match_error(self, text: _Answer) -> float:
        """Pixels; one that was not read lies in the middle."""
        middle = np.array([_SIZE_PX["width_px"], _SIZE_PX["height_px"]]) / 2
        width_px, height_px = _SIZE_PX["width_px"], _SIZE_PX["height_px"]
        given, true = (
            correspondence.parse(self.protocol, one, width_px=width_px, height_px=height_px)
            for one in (text.given, text.true)
        )
        found = middle if isinstance(given, ParseFailure) else given
        return float(np.linalg.norm(found - true))  # type: ignore[operator]

    def _motion_errors(self, texts: list[_Answer]) -> list[float]:
        """The larger error, in degrees, of each pair that moved; 180 where one was not read."""
        questions = POSE.questions(self.protocol)
        by_question = {text: component for component, text in questions.items()}
        errors: dict[str, dict[int, float]] = {"rotation": {}, "direction": {}}
        for text in texts:
            component = by_question[text.question]
            if component not in errors:
                continue
            given, true = (
                pose_reading.parse(self.protocol, component, one) for one in (text.given, text.true)
            )
            if isinstance(given, ParseFailure):
                error = 180.0
            elif component == "direction":
                error = float(direction_error_deg(given, true, sign_free=True))  # type: ignore[arg-type]
            else:
                turns = (rotation_from_ypr_deg(one) for one in (given, true))  # type: ignore[arg-type]
                error = float(rotation_error_deg(*turns))
            errors[component][text.row] = error
        return [
            max(error, errors["rotation"][row])
            for row, error in errors["direction"].items()
            if row in errors["rotation"]
        ]


def _delta1(given: Sequence[float | ParseFailure], true: NDArray[np.float64]) -> dict[str, float]:
    """Distances within a factor 1.25: the model's, and the best constant's."""
    own = np.array([np.nan if isinstance(one, ParseFailure) else one for one in given])

    constants = np.exp(np.linspace(-1, 4, 200))
    best = max(delta(np.full_like(true, constant), true) for constant in constants)
    return {"delta1": delta(own, true), "constant delta1": best}


def _auc(errors_deg: NDArray[np.float64]) -> float:
    """Area under the recall curve up to 30 degrees, in percent."""
    return 100 * float(np.clip(1 - np.floor(errors_deg) / _LARGEST_DEG, 0, None).mean())


def _agrees(text: _Answer) -> bool:
    """Whether an answer about objects is right: lengths within a quarter, hours within one."""
    protocol = get_protocol("joint")
    asked = {"boxes_xyxy_px": [None] * (2 if "region 1" in text.question else 1)}
    given, true = (
        OBJECTS.numbers(OBJECTS.read(protocol, asked, text.question, one) or {})
        for one in (text.given, text.true)
    )
    return bool(judge(np.array([given]), np.array([true])).right[0])


@contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """The same random draws each time, and none of the training's own."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(1)
        yield
