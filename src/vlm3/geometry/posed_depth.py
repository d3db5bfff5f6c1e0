"""Depth of one picture on a grid of its own, and where its camera stood: what views compare."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class PosedDepth:
    """Depth along the axis in the cells of a grid.

    Attributes:
        camera: of the grid: a pixel is a cell.
        depth_z: (h, w); NaN where unknown.
        world_from_cam: (4, 4).
    """

    camera: Camera
    depth_z: NDArray[np.floating]
    world_from_cam: NDArray[np.float64]

    @property
    def known(self) -> float:
        """The share of cells with depth."""
        return float(np.isfinite(self.depth_z).mean())
