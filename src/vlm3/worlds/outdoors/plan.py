"""A street's measures, and a plan of what has been put where along it. The road runs along +y."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from vlm3.worlds.pieces.piece import Makers, Piece, Rng
from vlm3.worlds.pieces.street import STREET_PIECES
from vlm3.worlds.plan import WorldPlan

Style = Literal["urban", "suburb", "country"]
_STYLES: tuple[Style, ...] = ("urban", "suburb", "country")


@dataclass(frozen=True)
class Profile:
    """The cross-section of a street, the same on both sides, and its length; metres.

    Attributes:
        lane_m, lanes: width of a lane, how many go each way.
        park_m: width of the parked cars' strip, 0 for none.
        walk_m: width of a pavement, 0 for none.
        setback_m: from the pavement to the houses.
        start_m, end_m: y between which things stand.
    """

    style: Style
    lane_m: float
    lanes: int
    park_m: float
    walk_m: float
    setback_m: float
    start_m: float
    end_m: float

    @property
    def half_m(self) -> float:
        """Half the width of the road between its kerbs."""
        return self.lane_m * self.lanes + self.park_m


def choose_profile(rng: Rng) -> Profile:
    """A street in a town, a suburb or the country."""
    style = _STYLES[int(rng.choice(3, p=[0.5, 0.35, 0.15]))]
    lane = float(rng.uniform(2.9, 3.6))
    lanes = int(rng.choice([1, 2])) if style != "suburb" else 1
    parking = {"urban": 0.75, "suburb": 0.5, "country": 0.0}[style]
    park = float(rng.uniform(2.0, 2.3)) if rng.random() < parking else 0.0
    walk = {
        "urban": float(rng.uniform(1.8, 4.5)),
        "suburb": float(rng.uniform(1.2, 2.2)),
        "country": 0.0,
    }[style]
    setback = {
        "urban": float(rng.choice([0.0, 0.0, 2.5])),
        "suburb": float(rng.uniform(3, 8)),
        "country": 14.0,
    }[style]
    return Profile(style, lane, lanes, park, walk, setback, -45.0, float(rng.uniform(80, 140)))


@dataclass(kw_only=True)
class StreetPlan(WorldPlan):
    """What has been put where along a street."""

    makers: ClassVar[Makers] = STREET_PIECES
    pack_share: ClassVar[float] = 0.4

    profile: Profile
    taken: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius

    def put(
        self, piece: Piece, at: tuple[float, float, float], yaw: float, radius_m: float
    ) -> None:
        """Draw a piece, unless something stands within both radii."""
        x, y, _ = at
        if any((x - a) ** 2 + (y - b) ** 2 < (radius_m + r) ** 2 for a, b, r in self.taken):
            return
        self.taken.append((x, y, radius_m))
        self.add_piece(piece, at, yaw)
