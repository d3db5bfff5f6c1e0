"""What a room and a street have in common while they are filled: models to choose, things put up.

Knows no floor and no road.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from vlm3.worlds.materials import MaterialTable
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pack import Pack
from vlm3.worlds.pieces.piece import Makers, Palette, Piece, Rng, numbered_model
from vlm3.worlds.scene import SceneObject

MODELS = {"train": (0, 400), "heldout": (10_000, 10_060)}
"""Split -> the numbers of the built-in models that its worlds own."""


@dataclass(kw_only=True)
class WorldPlan:
    """A world in the making; its kind says which models are built in and how often a pack's come.

    Every choice is drawn from `rng`, so the order of calls is part of what a seed means.
    """

    makers: ClassVar[Makers]
    pack_share: ClassVar[float]

    rng: Rng
    table: MaterialTable
    palette: Palette
    split: str
    pack: Pack | None
    builder: MeshBuilder = field(default_factory=MeshBuilder)
    objects: list[SceneObject] = field(default_factory=list)

    def model(self, category: str) -> Piece:
        """A model of this split, from the pack where it has one, or built in."""
        if self.pack and self.rng.random() < self.pack_share:
            piece = self.pack.choose(category, self.split, self.rng)
            if piece:
                return piece
        return numbered_model(self.makers, category, int(self.rng.integers(*MODELS[self.split])))

    def one_of(self, categories: list[str], shares: list[float] | None = None) -> Piece:
        """A model of one of the categories; one that is listed twice comes twice as often."""
        return self.model(str(self.rng.choice(categories, p=shares)))

    def start_object(self, at: tuple[float, float, float], yaw: float) -> int:
        """Sets the builder's frame for a new object; returns its id."""
        instance = len(self.objects) + 1
        self.builder.place(at, yaw, instance)
        return instance

    def add_piece(self, piece: Piece, at: tuple[float, float, float], yaw: float) -> None:
        """Draws a piece and notes its object."""
        instance = self.start_object(at, yaw)
        piece.draw(self.builder, self.palette)
        self.builder.place()
        w, d, h = piece.size_wdh_m
        center, name = (at[0], at[1], at[2] + h / 2), piece.name or piece.category
        self.objects.append(SceneObject(instance, piece.category, name, (w, d, h), center, yaw))
