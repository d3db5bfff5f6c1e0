"""Rendered pairs in device memory: a ring of each size, from which batches are cut."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vlm3.nano.pairs import CELL_PX, MATCH_UNIT, MATCHES, Record, pair_dtype

Tensor = torch.Tensor
_NEWER = 0.7
"""Power of a uniform draw: newer pairs come more often, or those of the first minute would."""


class Store:
    """Pairs of one size; the oldest go when it is full.

    Args:
        rendered_px: (width, height) of the pictures.
        capacity: pairs.
        device: where they are kept.

    Attributes:
        count: pairs that are there.
        fields: of `pair_dtype`, each (capacity, ...).
    """

    def __init__(self, rendered_px: tuple[int, int], capacity: int, device: torch.device) -> None:
        self.rendered_px, self.capacity, self.device = rendered_px, capacity, device
        self.count, self._next = 0, 0
        self.fields: dict[str, Tensor] = {}
        layout = pair_dtype(rendered_px)
        for name in layout.names or ():
            empty = torch.from_numpy(np.zeros((), layout)[name])
            self.fields[name] = torch.zeros(
                (capacity, *empty.shape), dtype=empty.dtype, device=device
            )

    def add(self, records: Sequence[Record]) -> None:
        """Puts pairs in, the oldest out."""
        if not records:
            return
        stacked = np.stack(records)
        places = (torch.arange(len(records)) + self._next) % self.capacity
        places = places.to(self.device)
        for name, field in self.fields.items():
            values = torch.from_numpy(stacked[name].copy())
            field[places] = values.to(self.device, non_blocking=True)
        self._next = (self._next + len(records)) % self.capacity
        self.count = min(self.capacity, self.count + len(records))

    def draw(self, n: int) -> Tensor:
        """Places (n,) of random pairs."""
        uniform = torch.rand(n, device=self.device)
        place = (self.count * uniform**_NEWER).long().clamp(max=self.count - 1)
        # Once the ring has gone round, the newest do not stand last.
        return (place + self._next) % self.capacity if self.count == self.capacity else place


@dataclass
class Views:
    """Pairs as they are shown this time: all cut to one shape, each mirrored or swapped or not.

    Attributes:
        image: (n, 2, H, W, 3) uint8.
        log_distance: (n, 2, H, W) of metres, NaN in the sky.
        normal: (n, 2, H / 4, W / 4, 3).
        xy1_px: (n, m, 2) matches.
        xy2_px: (n, m, 2).
        matched: (n, m) whether a match is there and in both pictures.
        cam1_from_cam2: (n, 4, 4).
        object_ids: (n, questions, tokens) about the objects of the whole picture 1.
        object_spans: (n, questions, 2).
    """

    image: Tensor
    log_distance: Tensor
    normal: Tensor
    xy1_px: Tensor
    xy2_px: Tensor
    matched: Tensor
    cam1_from_cam2: Tensor
    object_ids: Tensor
    object_spans: Tensor


def views(
    store: Store,
    places: Tensor,
    shape_px: tuple[int, int],
    *,
    mirrored: Tensor | None = None,
    swapped: Tensor | None = None,
) -> Views:
    """Pairs of a store with their middle cut out.

    Args:
        store: where they are.
        places: (n,) which.
        shape_px: (width, height) to cut; multiples of `CELL_PX` apart from the rendered size.
        mirrored: (n,) bool, which are shown in a mirror; None for none.
        swapped: (n,) bool, which are shown the other way round; None for none.
    """
    none = torch.zeros(len(places), dtype=torch.bool, device=store.device)
    flip = none if mirrored is None else mirrored
    swap = none if swapped is None else swapped
    way = 2 * swap.long() + flip.long()
    return Views(
        *_pictures(store, places, shape_px, flip, swap),
        *_matches(store, places, shape_px, flip, swap),
        _motion(store, places, flip, swap),
        store.fields["object_ids"][places, way].long(),
        store.fields["object_spans"][places, way].long(),
    )


def _margins(store: Store, shape_px: tuple[int, int]) -> tuple[int, int]:
    """What is cut off at the left and at the top, in pixels."""
    (full_width, full_height), (width, height) = store.rendered_px, shape_px
    return (full_width - width) // 2, (full_height - height) // 2


def _pictures(
    store: Store, places: Tensor, shape_px: tuple[int, int], flip: Tensor, swap: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, logarithms of distances, and normals; see `Views`."""
    fields, (width, height), (left, top) = store.fields, shape_px, _margins(store, shape_px)
    at = places[:, None], torch.stack([swap.long(), 1 - swap.long()], 1)
    pixels = (slice(None), slice(None), slice(top, top + height), slice(left, left + width))
    cells = (
        *pixels[:2],
        *(slice(s.start // CELL_PX, s.stop // CELL_PX) for s in pixels[2:]),
    )
    turned = flip[:, None, None, None]
    image = fields["image"][at][pixels]
    image = torch.where(turned[..., None], image.flip(3), image)
    log = fields["log_distance"][at][pixels]
    log = torch.where(turned, log.flip(3), log)
    normal = fields["normal"][at][cells].float() / 127
    reflected = normal.flip(3) * normal.new_tensor([-1.0, 1.0, 1.0])
    return image, log, torch.where(turned[..., None], reflected, normal)


def _matches(
    store: Store, places: Tensor, shape_px: tuple[int, int], flip: Tensor, swap: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Places in both pictures, and which of them are there and in both; see `Views`."""
    fields, (width, height), (left, top) = store.fields, shape_px, _margins(store, shape_px)
    xy = fields["matches"][places].float().view(len(places), -1, 2, 2) / MATCH_UNIT
    xy = torch.where(swap[:, None, None, None], xy.flip(2), xy) - xy.new_tensor([left, top])
    x = torch.where(flip[:, None, None], width - xy[..., 0], xy[..., 0])
    xy = torch.stack([x, xy[..., 1]], -1)
    there = torch.arange(MATCHES, device=store.device) < fields["match_count"][places][:, None]
    inside = ((xy > 0) & (xy < xy.new_tensor([width, height]))).flatten(2).all(-1)
    return xy[:, :, 0], xy[:, :, 1], there & inside


def _motion(store: Store, places: Tensor, flip: Tensor, swap: Tensor) -> Tensor:
    """(n, 4, 4) cam1_from_cam2 of what is shown."""
    motion = store.fields["cam1_from_cam2"][places]
    motion = torch.where(swap[:, None, None], inverse(motion), motion)
    mirror = torch.diag(motion.new_tensor([-1.0, 1.0, 1.0, 1.0]))
    return torch.where(flip[:, None, None], mirror @ motion @ mirror, motion)


def inverse(motion: Tensor) -> Tensor:
    """Rigid transforms (n, 4, 4) the other way."""
    rotation = motion[:, :3, :3].transpose(1, 2)
    out = motion.clone()
    out[:, :3, :3] = rotation
    out[:, :3, 3:] = -(rotation @ motion[:, :3, 3:])
    return out
