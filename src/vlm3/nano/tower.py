"""The vision tower's own labels: what lies at each cell, and which cell of the other view shows it.

The paper starts from a tower that has seen billions of pictures; nano has none. So from each of the
tower's outputs linear heads read distance, the way the surface faces and colour at every fourth
pixel, and find matches. The heads are thrown away; all that the model says is text.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vlm3.nano.layers import layer_norm, linear
from vlm3.nano.pairs import CELL_PX

Tensor = torch.Tensor
_CHANNELS = 7
_CODE = 48
_CODES = 2
"""Codes a side of a token, by which matches are made."""
_MOST_MATCHES = 96
_WEIGHTS = {"distance": 1.0, "normal": 0.3, "color": 0.3, "match": 0.15}
_DEEP = 0.3
"""Weight of the labels read from the deepstack's outputs beside the last layer's."""
_LOG_QUARTER = 0.2231


@dataclass(frozen=True)
class DenseLabels:
    """Labels of (n) pictures; of pairs, pictures 0 and 1, 2 and 3, ... belong together.

    Attributes:
        values: (n, tokens, cells of a token, 7) log distance, normal, colour; NaN in the sky.
        xy1_px: (pairs, m, 2) matches; None without pairs.
        xy2_px: (pairs, m, 2).
        matched: (pairs, m) which of them hold.
    """

    values: Tensor
    xy1_px: Tensor | None = None
    xy2_px: Tensor | None = None
    matched: Tensor | None = None


def dense_values(log_distance: Tensor, normal: Tensor, image: Tensor, token_px: int) -> Tensor:
    """The values of `DenseLabels`.

    Args:
        log_distance: (n, H, W).
        normal: (n, H / 4, W / 4, 3).
        image: (n, H, W, 3) of 0 to 255.
        token_px: side of a token.
    """
    cells = (slice(None), slice(CELL_PX // 2, None, CELL_PX), slice(CELL_PX // 2, None, CELL_PX))
    log = log_distance[cells].float()[..., None]
    values = torch.cat([log, normal, image[cells] / 127.5 - 1], -1)
    n, rows, columns, channels = values.shape
    side = token_px // CELL_PX
    values = values.view(n, rows // side, side, columns // side, side, channels)
    return values.transpose(2, 3).reshape(n, -1, side**2, channels)


class DenseHeads(nn.Module):
    """Linear heads on the tower's outputs.

    Args:
        width: of the outputs.
        outputs: how many: the last layer's and the deepstack's.
        token_px: side of a token.
    """

    def __init__(self, width: int, outputs: int, token_px: int) -> None:
        super().__init__()
        self.token_px, self.cells = token_px, (token_px // CELL_PX) ** 2
        self.dense = nn.ModuleList(
            self._head(width, _CHANNELS * self.cells) for _ in range(outputs)
        )
        self.code = self._head(width, _CODE * _CODES**2)
        self.sharpness = nn.Parameter(torch.tensor(2.3))

    @staticmethod
    def _head(width: int, out: int) -> nn.ModuleDict:
        return nn.ModuleDict({"norm": nn.LayerNorm(width), "linear": nn.Linear(width, out)})

    def losses(
        self, seen: list[Tensor], labels: DenseLabels, columns: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One number to go down, and what it is made of.

        Args:
            seen: the tower's outputs, each (n, tokens, width).
            labels: of the pictures.
            columns: tokens in a row of a picture.

        Returns:
            The loss; mean errors by name, the share of distances within a quarter (`delta1`) and of
            correct matches (`found`).
        """
        n, tokens = labels.values.shape[:2]
        solid = torch.isfinite(labels.values[..., 0])
        values = torch.nan_to_num(labels.values)
        count = solid.sum().clamp(min=1)
        total = torch.zeros((), device=values.device)
        parts: dict[str, Tensor] = {}
        for place, (head, hidden) in enumerate(zip(self.dense, seen, strict=True)):
            off = (_read(head, hidden).view(n, tokens, self.cells, _CHANNELS) - values).abs()
            errors = {
                "distance": (off[..., 0] * solid).sum() / count,
                "normal": (off[..., 1:4] * solid[..., None]).sum() / (3 * count),
                "color": off[..., 4:].mean(),
            }
            scale = _DEEP if place else 1.0
            total = total + sum(scale * _WEIGHTS[name] * error for name, error in errors.items())
            if place == 0:
                right = (off[..., 0] < _LOG_QUARTER) & solid
                parts = errors | {"delta1": right.sum() / count}
        if labels.xy1_px is not None and labels.xy2_px is not None and labels.matched is not None:
            found = self._matching(seen[0], labels.xy1_px, labels.xy2_px, labels.matched, columns)
            total = total + _WEIGHTS["match"] * found["match"]
            parts |= found
        return total, parts

    def _matching(
        self, hidden: Tensor, xy1_px: Tensor, xy2_px: Tensor, matched: Tensor, columns: int
    ) -> dict[str, Tensor]:
        """Cross entropy of the right one among all codes of picture 2."""
        n = len(hidden)
        codes = _read(self.code, hidden).view(n, -1, columns, _CODES, _CODES, _CODE)
        codes = codes.permute(0, 1, 3, 2, 4, 5).reshape(n, -1, _CODE)
        codes = nn.functional.normalize(codes, dim=-1)
        fine = columns * _CODES
        matched = matched[:, :_MOST_MATCHES]
        places = []
        for xy_px in (xy1_px, xy2_px):
            at = (xy_px[:, :_MOST_MATCHES] * _CODES / self.token_px).floor().long()
            places.append(torch.where(matched, at[..., 1] * fine + at[..., 0], 0))
        asked = torch.gather(codes[0::2], 1, places[0][..., None].expand(-1, -1, _CODE))
        scores = asked @ codes[1::2].transpose(1, 2) * self.sharpness.exp()
        each = nn.functional.cross_entropy(
            scores.flatten(0, 1), places[1].flatten(), reduction="none"
        )
        many = matched.sum().clamp(min=1)
        return {
            "match": (each * matched.flatten()).sum() / many,
            "found": ((scores.argmax(-1) == places[1]) & matched).sum() / many,
        }


def _read(head: Any, x: Tensor) -> Tensor:
    y = layer_norm(x, head["norm"].weight, head["norm"].bias)
    return linear(y, head["linear"].weight, head["linear"].bias).float()
