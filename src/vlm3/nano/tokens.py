"""Questions and answers of protocol `joint` as token ids, by integer arithmetic on the device.

Every digit is a token and every number has a fixed width, so a question is a stem that all share,
and digits. The tests hold all of it against the project's own functions and tokenizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from vlm3.geometry.camera import Camera
from vlm3.tasks.correspondence import CORRESPONDENCE
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.pose import POSE
from vlm3.tasks.protocol import get_protocol
from vlm3.train.mosaics import COLORS, QUESTION
from vlm3.train.packing import IGNORE

Tensor = torch.Tensor

# How much each token of an answer counts: what the later digits say is mostly chance.
_METRES = (1.0, 1.0, 0.05, 0.8, 0.25, 0.05)
_PIXEL = (1.0, 1.0, 0.6, 0.2, 0.05)
_ANGLE = (1.0, 0.5, 1.0, 0.7, 0.05, 0.25, 0.05)
_UNIT = (1.0, 0.5, 0.05, 1.0, 0.4, 0.05)
LONGEST_M = 99.994
"""Distances above have no question: two digits stand before the point."""
_MOVED_M = 1e-3


@dataclass(frozen=True)
class TokenizedQuestions:
    """Questions of one kind in every row of a batch, all of one length.

    Attributes:
        kind: as losses are reported.
        ids: (B, n, L + 1) after the stem: prompt and answer; the last token is only an answer.
        labels: (B, n, L) the token that follows, where it belongs to an answer; else `IGNORE`.
        weights: broadcast to the labels.
        prompt: tokens before the answer where all have as many, else 0.
    """

    kind: str
    ids: Tensor
    labels: Tensor
    weights: Tensor
    prompt: int

    @property
    def first(self) -> int:
        """Where the first label stands."""
        return max(self.prompt - 1, 0)

    def shuffled(self) -> "TokenizedQuestions":
        """The same with answers changed among each row's questions."""
        at = self.prompt
        ids = torch.cat([self.ids[..., :at], self.ids.roll(1, 1)[..., at:]], -1)
        return replace(self, ids=ids, labels=self.labels.roll(1, 1))


class TokenWriter:
    """Writes questions with a tokenizer's ids.

    Args:
        tokenizer: of the model.
        device: where ids are written.

    Attributes:
        stems: words before the digits, by kind of question.
        pad: id that fills rows.
        end: id that ends a turn.
    """

    def __init__(self, tokenizer: Any, device: torch.device) -> None:
        def ids(text: str) -> list[int]:
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        self.device = device
        protocol = get_protocol("joint")
        # The tasks' own words about the middle of any picture: all but the digits is the stem.
        camera = Camera.from_fov(60.0, width_px=100, height_px=100)
        asked = {
            "depth": DEPTH.question(protocol, camera, (50, 50)),
            "match": CORRESPONDENCE.question(protocol, camera, (50, 50)),
            "color": QUESTION.format(x=1000, y=1000),
        }
        digits = len(ids("1000 1000"))
        self.stems = {kind: tuple(ids(text)[:-digits]) for kind, text in asked.items()}
        self._digit = torch.tensor([ids(str(d))[0] for d in range(10)], device=device)
        self._space, self._point = ids("0 0")[1], ids("0.0")[1]
        self._plus, self._minus = ids("+0.0")[0], ids("-0.0")[0]
        (self.end,) = ids("<|im_end|>")
        self.pad = int(tokenizer.pad_token_id)
        self._motion: dict[str, list[int]] = {
            component: ids(text) for component, text in POSE.questions(protocol).items()
        }
        names = [[*ids(name), self.end] for name in COLORS]
        longest = max(map(len, names))
        filled = [name + [self.pad] * (longest - len(name)) for name in names]
        self._colors = torch.tensor(filled, device=device)
        self._color_lengths = torch.tensor([len(name) for name in names], device=device)

    def depth(
        self, xy_px: Tensor, distance_m: Tensor, shape_px: tuple[int, int]
    ) -> TokenizedQuestions:
        """Distances (B, n) at pixels (B, n, 2); what is not finite, or too long, is out."""
        there = torch.isfinite(distance_m) & (distance_m < LONGEST_M)
        metres = self._metres(torch.where(there, distance_m, torch.ones_like(distance_m)))
        return self._questions("depth", self._pixel(xy_px, shape_px), metres, there, _METRES)

    def match(
        self, xy1_px: Tensor, xy2_px: Tensor, there: Tensor, shape_px: tuple[int, int]
    ) -> TokenizedQuestions:
        """Where picture 2 shows pixels (B, n, 2) of picture 1, of those that are `there` (B, n)."""
        answer = self._pixel(xy2_px, shape_px)
        asked = self._pixel(xy1_px, shape_px)
        return self._questions("match", asked, answer, there, _PIXEL * 2)

    def color(self, xy_px: Tensor, color: Tensor, shape_px: tuple[int, int]) -> TokenizedQuestions:
        """Names (B, n), indices of `COLORS`, at pixels (B, n, 2)."""
        prompt = torch.stack([*self._pixel(xy_px, shape_px), self._fixed(color, self.end)], -1)
        answer = self._colors[color]
        length = prompt.shape[-1]
        ids = torch.cat([prompt, answer], -1)
        labels = torch.full_like(ids[..., :-1], IGNORE)
        place = torch.arange(answer.shape[-1], device=self.device)
        there = place < self._color_lengths[color][..., None]
        labels[..., length - 1 :] = torch.where(there, answer, IGNORE)
        return TokenizedQuestions("color", ids, labels, self._ones(labels), length)

    def motion(self, cam1_from_cam2: Tensor) -> TokenizedQuestions:
        """All three questions about motions (B, 4, 4); one without length has no direction."""
        rotation, shift = cam1_from_cam2[:, :3, :3], cam1_from_cam2[:, :3, 3]
        length_m = shift.norm(dim=-1)
        unit = shift / length_m[:, None].clamp(min=1e-9)
        moved = (length_m > _MOVED_M) & (length_m < LONGEST_M)
        answers = {
            "rotation": (
                self._numbers(ypr_deg(rotation), 3, 1),
                torch.ones_like(moved),
                _ANGLE * 3,
            ),
            "direction": (self._numbers(unit, 1, 2), moved, _UNIT * 3),
            "distance": (self._metres(length_m), moved, _METRES),
        }
        made = []
        for component, (answer, there, weights) in answers.items():
            prompt = [self._fixed(answer[0], token) for token in self._motion[component]]
            made.append(self._questions("motion", prompt, answer, there, weights))
        longest = max(one.labels.shape[-1] for one in made)

        def filled(values: Tensor, length: int, by: float) -> Tensor:
            return torch.nn.functional.pad(values, (0, length - values.shape[-1]), value=by)

        return TokenizedQuestions(
            "motion",
            torch.stack([filled(one.ids, longest + 1, self.pad) for one in made], 1),
            torch.stack([filled(one.labels, longest, IGNORE) for one in made], 1),
            torch.stack([filled(one.weights, longest, 0.0) for one in made]),
            0,
        )

    def written(self, kind: str, ids: Tensor, spans: Tensor) -> TokenizedQuestions:
        """Questions as renderers write them: ids (B, n, L + 1), spans (B, n, 2) of `nano.pairs`."""
        prompt, whole = spans[..., :1], spans[..., 1:]
        place = torch.arange(ids.shape[-1], device=self.device)
        answers = (place[:-1] >= prompt - 1) & (place[:-1] < whole - 1)
        labels = torch.where(answers, ids[..., 1:], IGNORE)
        return TokenizedQuestions(
            kind, torch.where(place < whole, ids, self.pad), labels, self._ones(labels), 0
        )

    def _number(self, value: Tensor, digits: int) -> list[Tensor]:
        """A whole number (...) as the ids of its digits."""
        return [self._digit[(value // 10**k) % 10] for k in reversed(range(digits))]

    def _fixed(self, like: Tensor, token: int) -> Tensor:
        return torch.full_like(like, token, dtype=torch.long)

    def _pixel(self, xy_px: Tensor, shape_px: tuple[int, int]) -> list[Tensor]:
        """Pixels (..., 2) as written: nine ids."""
        size = torch.tensor(shape_px, device=xy_px.device, dtype=torch.float64)
        norm = torch.round(xy_px.double() * 2000 / size).long().clamp(0, 1999)
        x, y = norm.unbind(-1)
        return [*self._number(x, 4), self._fixed(x, self._space), *self._number(y, 4)]

    def _metres(self, length_m: Tensor) -> list[Tensor]:
        """Lengths below 100 m: five ids."""
        cm = torch.round(length_m.double() * 100).long().clamp(1, 9999)
        point = self._fixed(cm, self._point)
        return [*self._number(cm // 100, 2), point, *self._number(cm % 100, 2)]

    def _numbers(self, values: Tensor, whole: int, decimals: int) -> list[Tensor]:
        """Three numbers (B, 3) with signs; nothing that is written as zero has a minus."""
        out: list[Tensor] = []
        for value in values.unbind(-1):
            scaled = torch.round(value.double() * 10**decimals).long()
            size = scaled.abs()
            sign = torch.where(scaled < 0, self._minus, self._plus)
            out += [self._fixed(sign, self._space)] if out else []
            out += [sign, *self._number(size // 10**decimals, whole)]
            out += [self._fixed(sign, self._point), *self._number(size % 10**decimals, decimals)]
        return out

    def _questions(
        self,
        kind: str,
        prompt: list[Tensor],
        answer: list[Tensor],
        there: Tensor,
        weights: Sequence[float],
    ) -> TokenizedQuestions:
        """Prompts and answers of fixed length, token by token, where `there`."""
        end = self._fixed(answer[0], self.end)
        ids = torch.stack([*prompt, end, *answer, end], -1)
        labels = ids[..., 1:].clone()
        labels[..., : len(prompt)] = IGNORE
        labels = torch.where(there[..., None], labels, IGNORE)
        counts = torch.zeros(labels.shape[-1], device=self.device)
        counts[len(prompt) :] = torch.tensor(weights, device=self.device)
        return TokenizedQuestions(kind, ids, labels, counts, len(prompt) + 1)

    def _ones(self, labels: Tensor) -> Tensor:
        return torch.ones(labels.shape[-1], device=self.device)


def ypr_deg(rotation: Tensor) -> Tensor:
    """Rotations (..., 3, 3) as yaw, pitch, roll in degrees, as `vlm3.geometry.pose` has them."""
    r = rotation.double()
    yaw = torch.atan2(r[..., 0, 2], r[..., 2, 2])
    pitch = torch.atan2(-r[..., 1, 2], torch.hypot(r[..., 0, 2], r[..., 2, 2]))
    roll = torch.atan2(r[..., 1, 0], r[..., 1, 1])
    return torch.rad2deg(torch.stack([yaw, pitch, roll], -1))
