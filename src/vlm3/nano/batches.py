"""Batches made on the device from rendered pairs and mosaics: pictures of one shape, questions.

Nothing is shown twice in the same way: cut, mirrored, swapped, patterned, repainted, put together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from vlm3.nano.forward import Group, Layout
from vlm3.nano.looks import collaged, patterned, repainted
from vlm3.nano.mosaics import color_class, mosaics, moved_mosaics
from vlm3.nano.pairs import BOX_QUESTIONS, OBJECT_QUESTIONS
from vlm3.nano.recipe import Kind, NanoRecipe
from vlm3.nano.store import Store, Views, views
from vlm3.nano.tokens import TokenizedQuestions, TokenWriter
from vlm3.nano.tower import DenseLabels, dense_values
from vlm3.train.packing import IGNORE

Tensor = torch.Tensor
_BOX_PICTURE_PX = (96, 80)
_ENOUGH_MATCHES = 12
"""Two views cut until they share less say nothing of the motion between them."""
_LARGE_FROM = 64
"""Pairs of the last size that are there before it is shown."""


@dataclass(frozen=True)
class Batch:
    """One forward pass.

    Attributes:
        kind: of batch.
        images: (B * pictures of a row, H, W, 3) float, 0 to 255.
        layout: of its rows.
        questions: its groups; none where only the tower learns.
        dense: labels for the tower; None on mosaics.
    """

    kind: Kind
    images: Tensor
    layout: Layout
    questions: tuple[TokenizedQuestions, ...]
    dense: DenseLabels | None = None


class BatchMaker:
    """Makes batches.

    Args:
        recipe: for shapes and shares.
        writer: of the tokenizer.
        stores: one a view size of the recipe.

    Attributes:
        collages: share of the single views that are put together; the trainer lowers it.
    """

    def __init__(self, recipe: NanoRecipe, writer: TokenWriter, stores: Sequence[Store]) -> None:
        self.recipe, self.writer, self.stores = recipe, writer, stores
        self.device, self.token_px = writer.device, recipe.size.picture_input.token_px
        self.collages = recipe.collages[0]
        self.patterned, self.repainted = patterned, repainted

    def compile(self) -> None:
        """Fuses the looks, which are hundreds of small operations on whole pictures."""
        self.patterned = torch.compile(patterned, dynamic=True)
        self.repainted = torch.compile(repainted, dynamic=True)
        # No two sizes alike: what is alike here would have to stay alike.
        image = torch.zeros(6, 2, 48, 64, 3, dtype=torch.uint8, device=self.device)
        log = torch.zeros(image.shape[:4], dtype=torch.float16, device=self.device)
        motion = torch.eye(4, device=self.device).repeat(6, 1, 1)
        self._repainted(self.patterned(image, log, motion).flatten(0, 1))
        self.patterned(image[:, :1], log[:, :1])

    def plain(self) -> None:
        """Takes `compile` back."""
        self.patterned, self.repainted = patterned, repainted

    def make(self, kind: Kind, rows: int, questions: int) -> Batch:
        """A batch of `rows` rows with `questions` questions each."""
        if kind in ("mosaic color", "color"):
            return self._color(rows, questions, mixed=kind == "color")
        make = {
            "mosaic match": self._mosaic_match,
            "boxes": self._boxes,
            "view": self._view,
            "objects": self._objects,
            "pair": self._pair,
        }
        if kind == "dense":
            return replace(self._pair(rows, 1), kind="dense", questions=())
        return make[kind](rows, questions)

    def distances(self, image: Tensor, log_distance: Tensor, questions: int) -> Batch:
        """Distances at random pixels of pictures (n, H, W, 3)."""
        n, height, width = log_distance.shape
        x, y = self._pixels(n, questions, (width, height))
        distance_m = torch.exp(log_distance[self._rows(n), y, x].float())
        xy_px = torch.stack([x, y], -1) + 0.5
        asked = self.writer.depth(xy_px, distance_m, (width, height))
        return self._batch("view", image, 1, "depth", asked)

    def objects(self, image: Tensor, ids: Tensor, spans: Tensor) -> Batch:
        """Questions about objects as the renderers wrote them."""
        return self._batch("objects", image, 1, None, self.writer.written("objects", ids, spans))

    def pairs(self, shown: Views, questions: int, *, painted: bool = True) -> Batch:
        """Matches and motion between given views, and labels for the tower."""
        image = shown.image.flatten(0, 1).float()
        if painted:
            image = self.patterned(shown.image, shown.log_distance, shown.cam1_from_cam2)
            image = self._repainted(image.flatten(0, 1))
        height, width = image.shape[1:3]
        xy1_px, xy2_px, there = _some(shown.xy1_px, shown.xy2_px, shown.matched, questions)
        match = self.writer.match(xy1_px, xy2_px, there, (width, height))
        motion = self.writer.motion(shown.cam1_from_cam2)
        enough = shown.matched.sum(1) >= _ENOUGH_MATCHES
        labels = torch.where(enough[:, None, None], motion.labels, IGNORE)
        batch = self._batch("pair", image, 2, "match", match, replace(motion, labels=labels))
        values = dense_values(
            shown.log_distance.flatten(0, 1), shown.normal.flatten(0, 1), image, self.token_px
        )
        dense = DenseLabels(values, shown.xy1_px, shown.xy2_px, shown.matched)
        return replace(batch, dense=dense)

    def _view(self, rows: int, questions: int) -> Batch:
        shown = self._shown(rows)
        image = self._painted_first(shown)
        image, log, normal = collaged(
            image, shown.log_distance[:, 0], shown.normal[:, 0], self.collages
        )
        batch = self.distances(image, log, questions)
        return replace(batch, dense=DenseLabels(dense_values(log, normal, image, self.token_px)))

    def _objects(self, rows: int, questions: int) -> Batch:
        # Uncut: the boxes are those of whole pictures.
        shown = self._shown(rows, whole=True)
        image = self._painted_first(shown)
        # Those that are there come first, in any order.
        order = torch.rand(rows, OBJECT_QUESTIONS, device=self.device)
        order = (order + (shown.object_spans[..., 1] == 0)).argsort(1)[:, :questions]
        each = self._rows(rows)
        batch = self.objects(image, shown.object_ids[each, order], shown.object_spans[each, order])
        values = dense_values(shown.log_distance[:, 0], shown.normal[:, 0], image, self.token_px)
        return replace(batch, dense=DenseLabels(values))

    def _pair(self, rows: int, questions: int) -> Batch:
        return self.pairs(self._shown(rows), questions)

    def _color(self, rows: int, questions: int, *, mixed: bool) -> Batch:
        """The nearest of eight colours at points of mosaics, or half of them of views."""
        store, shape_px = self._shape()
        image = mosaics(rows, shape_px, self.device)
        if mixed and store.count:
            real = self._repainted(views(store, store.draw(rows), shape_px).image[:, 0])
            chosen = torch.rand(rows, 1, 1, 1, device=self.device) < 0.5
            image = torch.where(chosen, real, image)
        x, y = self._pixels(rows, questions, shape_px)
        named = color_class(image[self._rows(rows), y, x])
        asked = self.writer.color(torch.stack([x, y], -1) + 0.5, named, shape_px)
        return self._batch("color" if mixed else "mosaic color", image, 1, "color", asked)

    def _mosaic_match(self, rows: int, questions: int) -> Batch:
        _, shape_px = self._shape()
        images, xy1_px, xy2_px, there = moved_mosaics(rows, shape_px, 3 * questions, self.device)
        found = _some(xy1_px, xy2_px, there, questions)
        asked = self.writer.match(*found, shape_px)
        return self._batch("mosaic match", images.flatten(0, 1), 2, "match", asked)

    def _boxes(self, rows: int, questions: int) -> Batch:
        """How boxes compare: their numbers alone tell, the picture is a mosaic."""
        store = self.stores[0]
        order = torch.rand(rows, BOX_QUESTIONS, device=self.device).argsort(1)[:, :questions]
        each = store.draw(rows)[:, None]
        ids, spans = (store.fields[name][each, order].long() for name in ("box_ids", "box_spans"))
        image = mosaics(rows, _BOX_PICTURE_PX, self.device)
        return self._batch("boxes", image, 1, None, self.writer.written("boxes", ids, spans))

    def _shape(self) -> tuple[Store, tuple[int, int]]:
        """A store and a shape to cut from it; one choice a batch, made by the host."""
        recipe = self.recipe
        large = len(self.stores) > 1 and float(torch.rand(())) < recipe.large_share
        place = len(self.stores) - 1 if large and self.stores[-1].count > _LARGE_FROM else 0
        view = recipe.views[place]
        cuts = view.wide_cuts_px if float(torch.rand(())) < recipe.wide_share else view.cuts_px
        return self.stores[place], cuts[int(torch.randint(len(cuts), ()))]

    def _shown(self, rows: int, *, whole: bool = False) -> Views:
        store, shape_px = self._shape()
        mirrored, swapped = torch.rand(2, rows, device=self.device) < 0.5
        shape_px = store.rendered_px if whole else shape_px
        return views(store, store.draw(rows), shape_px, mirrored=mirrored, swapped=swapped)

    def _painted_first(self, shown: Views) -> Tensor:
        image = self.patterned(shown.image[:, :1], shown.log_distance[:, :1])
        return self._repainted(image[:, 0])

    def _repainted(self, image: Tensor) -> Tensor:
        # One type, and no view of another tensor: compiled once for all callers.
        return self.repainted(image.to(torch.float32, copy=True))

    def _pixels(self, n: int, questions: int, shape_px: tuple[int, int]) -> tuple[Tensor, ...]:
        return tuple(torch.randint(side, (n, questions), device=self.device) for side in shape_px)

    def _rows(self, n: int) -> Tensor:
        return torch.arange(n, device=self.device)[:, None]

    def _batch(
        self,
        kind: Kind,
        image: Tensor,
        pictures: int,
        stem: str | None,
        *groups: TokenizedQuestions,
    ) -> Batch:
        """Lays out rows: the first group reads the stem; what comes after has its own words."""
        height, width = image.shape[1:3]
        words = self.writer.stems[stem] if stem else ()
        layout = Layout(pictures, height // self.token_px, width // self.token_px, words)
        made = tuple(
            Group(one.ids.shape[1], one.ids.shape[2] - 1, layout.seen if k else layout.prefix)
            for k, one in enumerate(groups)
        )
        return Batch(kind, image, replace(layout, groups=made), groups)


def _some(
    xy1_px: Tensor, xy2_px: Tensor, there: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`count` of the matches of each row, those that are there first."""
    order = (torch.rand(there.shape, device=there.device) + (~there).float()).argsort(1)[:, :count]
    each = torch.arange(len(there), device=there.device)[:, None]
    there = there[each, order]
    # One that is not there has no label, and has to lie somewhere.
    xy1_px, xy2_px = (
        torch.where(there[..., None], xy_px[each, order], 0.0) for xy_px in (xy1_px, xy2_px)
    )
    return xy1_px, xy2_px, there
