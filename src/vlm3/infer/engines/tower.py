"""What a model's vision tower makes of pictures, each kept for the next prompt that shows it.

Two pictures in the other order, or one of them beside a third, are other prompts; but what the
tower makes of a picture does not depend on what stands beside it. Knows no text.
"""

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from vlm3.infer.engines.base import UInt8


def picture_digest(image: UInt8) -> bytes:
    """16 bytes that stand for a picture's pixels and size."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.digest()


@dataclass(frozen=True)
class _Features:
    """Of one picture.

    Attributes:
        tokens: (tokens, width) what goes into the text model in their place.
        layers: the same of deeper layers, which only some models add; may be empty.
    """

    tokens: torch.Tensor
    layers: tuple[torch.Tensor, ...]

    @property
    def bytes(self) -> int:
        """Memory they take."""
        return sum(part.nbytes for part in (self.tokens, *self.layers))


class VisionTower:
    """The tower of a stock model; the pictures seen last cost nothing when they come again.

    Args:
        model: with `get_image_features`, whose `forward` takes `mm_encoder_outputs`; one that does
            not is given the pixels each time.
        most_bytes: that features may take between calls; those of the last call stay in any case.
    """

    def __init__(self, model: Any, most_bytes: int) -> None:
        self._model = model
        self._most_bytes = most_bytes
        self._held: OrderedDict[bytes, _Features] = OrderedDict()
        self._takes_features = "mm_encoder_outputs" in inspect.signature(model.forward).parameters

    def inputs(
        self, keys: Sequence[bytes], pixels: torch.Tensor, grids: torch.Tensor
    ) -> dict[str, Any]:
        """What the model's `forward` takes for the pictures.

        Args:
            keys: digest of each picture.
            pixels: (patches, numbers) of all of them, in order.
            grids: (pictures, 3) patches in time, height and width of each.
        """
        if not self._takes_features:
            return {"pixel_values": pixels, "image_grid_thw": grids}
        # By key, so that a picture shown twice is seen once.
        absent = {key: place for place, key in enumerate(keys) if key not in self._held}
        if absent:
            rows = torch.split(pixels, grids.prod(-1).tolist())
            places = list(absent.values())
            made = self._model.get_image_features(
                torch.cat([rows[place] for place in places]), grids[places], return_dict=True
            )
            layers = getattr(made, "deepstack_features", None) or ()
            for k, key in enumerate(absent):
                # Copies: a part of what pictures came to together keeps all of it in memory.
                self._held[key] = _Features(
                    made.pooler_output[k].clone(), tuple(layer[k].clone() for layer in layers)
                )
        found = [self._held[key] for key in keys]
        self._forget(keys)
        features = SimpleNamespace(
            pooler_output=tuple(one.tokens for one in found),
            deepstack_features=list(zip(*(one.layers for one in found), strict=True)),
        )
        return {"mm_encoder_outputs": {"image": features}}

    @property
    def held_bytes(self) -> int:
        """Memory that features take now."""
        return sum(one.bytes for one in self._held.values())

    def _forget(self, used: Sequence[bytes]) -> None:
        """Drops what was used longest ago, as far as the limit wants it."""
        for key in used:
            self._held.move_to_end(key)
        while len(self._held) > len(set(used)) and self.held_bytes > self._most_bytes:
            self._held.popitem(last=False)
