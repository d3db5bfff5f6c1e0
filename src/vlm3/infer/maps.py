"""Maps and clouds: numbers on a grid of one picture, or from one picture to another.

Every number of a map is an answer, except where a map says otherwise: what was filled in from its
neighbours is marked. Knows no file format and no model.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import points_from_distance, z_from_distance
from vlm3.infer.engines.base import UInt8
from vlm3.tasks.answers import Readout
from vlm3.tasks.base import Bools, Floats

Texts = NDArray[np.object_]

# Colours that differ by this many of 255 count half as much.
_SAME_COLOR = 20.0
_BAND_ROWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class PointCloud:
    """Points in the camera's frame: X right, Y down, Z forward.

    Attributes:
        points_m: (n, 3) metres.
        rgb: (n, 3) their colours.
        asked: (n,) False where the distance was filled in from its neighbours.
        readout: which number of the model's answers the distances are.
    """

    points_m: Floats
    rgb: UInt8
    asked: Bools
    readout: Readout


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthMap:
    """Distances on a grid of one picture.

    Attributes:
        xy_px: (rows, columns, 2) centres of the cells, in the view's own picture.
        distance_m: (rows, columns) metres from the camera; NaN where unparsed.
        p10_m: a tenth of the model's probability lies nearer; NaN without probabilities.
        p90_m: a tenth lies farther.
        asked: (rows, columns) False where a number was filled in from its neighbours.
        image: (H, W, 3) the picture.
        camera: its camera.
        protocol: the wording of its prompts.
        readout: which number of its answers this is.
        prompt: (rows, columns) str, the questions; empty where there was none.
        raw_text: (rows, columns) str, what the model wrote; empty where there was no question.
    """

    xy_px: Floats
    distance_m: Floats
    p10_m: Floats
    p90_m: Floats
    asked: Bools
    image: UInt8
    camera: Camera
    protocol: str
    readout: Readout
    prompt: Texts
    raw_text: Texts

    @property
    def depth_z_m(self) -> Floats:
        """(rows, columns) metres along the optical axis."""
        return z_from_distance(self.distance_m, self.camera.unproject(self.xy_px))

    @property
    def rgb(self) -> UInt8:
        """(rows, columns, 3) the picture's colour at each centre."""
        return _colors_at(self.image, self.xy_px)

    def cloud(self) -> PointCloud:
        """The points of all cells with a distance."""
        known = np.isfinite(self.distance_m)
        points = points_from_distance(self.xy_px[known], self.distance_m[known], self.camera)
        return PointCloud(
            points_m=points, rgb=self.rgb[known], asked=self.asked[known], readout=self.readout
        )

    def upsampled(self, columns: int, rows: int) -> "DepthMap":
        """A finer grid, filled in along the picture's edges; nothing in it counts as an answer.

        Each new cell is a mean of the four old ones around it, where those of its own colour count
        most: a distance does not leak over an edge that can be seen.
        """
        xy_px = grid_px(self.camera, columns, rows)
        silent = no_texts(rows, columns)
        distance_m, p10_m, p90_m = self._filled_in(xy_px)
        return replace(
            self,
            xy_px=xy_px,
            asked=np.zeros((rows, columns), bool),
            prompt=silent,
            raw_text=silent,
            distance_m=distance_m,
            p10_m=p10_m,
            p90_m=p90_m,
        )

    def full_size(self) -> "FullDepth":
        """A distance for every pixel of the picture, filled in as `upsampled` does."""
        width, height = self.camera.width_px, self.camera.height_px
        distance_m = np.empty((height, width), np.float32)
        depth_z_m = np.empty((height, width), np.float32)
        x = np.arange(width) + 0.5
        # In bands, so that a photograph of many megapixels needs little memory.
        for top in range(0, height, _BAND_ROWS):
            y = np.arange(top, min(top + _BAND_ROWS, height)) + 0.5
            xy_px = np.stack(np.meshgrid(x, y), axis=-1)
            band = slice(top, top + len(y))
            filled = self._filled_in(xy_px)[0]
            distance_m[band] = filled
            depth_z_m[band] = z_from_distance(filled, self.camera.unproject(xy_px))
        rows, columns = self.distance_m.shape
        return FullDepth(
            distance_m=distance_m,
            depth_z_m=depth_z_m,
            camera=self.camera,
            grid=(columns, rows),
            asked=int(self.asked.sum()),
            protocol=self.protocol,
            readout=self.readout,
        )

    def _filled_in(self, xy_px: Floats) -> Floats:
        """Distance, p10 and p90 (3, rows, columns) at pixels (rows, columns, 2)."""
        height, width = self.distance_m.shape
        size = (self.camera.width_px, self.camera.height_px)
        at = np.clip(xy_px / size * (width, height) - 0.5, 0, (width - 1, height - 1))
        low = np.minimum(at.astype(int), (max(width - 2, 0), max(height - 2, 0)))
        part = at - low
        target = _colors_at(self.image, xy_px).astype(float)
        source = self.rgb.astype(float)
        total = np.zeros(xy_px.shape[:2])
        sums = np.zeros((3, *xy_px.shape[:2]))
        for dy in (0, 1):
            for dx in (0, 1):
                x = np.minimum(low[..., 0] + dx, width - 1)
                y = np.minimum(low[..., 1] + dy, height - 1)
                near = np.abs(1 - dx - part[..., 0]) * np.abs(1 - dy - part[..., 1])
                color = np.linalg.norm(source[y, x] - target, axis=-1) / _SAME_COLOR
                weight = (near + 1e-3) / (1 + color**2)
                weight = np.where(np.isfinite(self.distance_m[y, x]), weight, 0)
                total += weight
                for value, out in zip((self.distance_m, self.p10_m, self.p90_m), sums, strict=True):
                    out += weight * np.nan_to_num(value[y, x])
        if not np.isfinite(self.p10_m).any():
            sums[1:] = np.nan
        with np.errstate(invalid="ignore"):
            filled: Floats = sums / total
        return filled


@dataclass(frozen=True, kw_only=True, eq=False)
class FullDepth:
    """A distance for every pixel of a photograph, all filled in from a grid of answers.

    Attributes:
        distance_m: (H, W) float32 metres from the camera; NaN where no cell around was read.
        depth_z_m: (H, W) float32 metres along the optical axis.
        camera: of the picture, H x W.
        grid: columns and rows of the grid it was filled in from.
        asked: how many of its cells had a question.
        protocol: the wording of its prompts.
        readout: which number of its answers this is.
    """

    distance_m: NDArray[np.float32]
    depth_z_m: NDArray[np.float32]
    camera: Camera
    grid: tuple[int, int]
    asked: int
    protocol: str
    readout: Readout

    @property
    def origin(self) -> str:
        """Where the numbers come from, for a file's own text."""
        columns, rows = self.grid
        return (
            f"filled in along the picture's edges from a {columns}x{rows} grid with {self.asked} "
            f"answers read as {self.readout}; no pixel of it is an answer itself"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchMap:
    """Where a grid of one picture appears in another.

    Attributes:
        xy_a_px: (rows, columns, 2) centres of the cells in view a.
        xy_px: (rows, columns, 2) their matches in view b; NaN where unparsed.
        p10_px: (rows, columns, 2) a tenth of the probability lies below, for each coordinate.
        p90_px: a tenth lies above.
        image_a: (H, W, 3) the first picture.
        image_b: the second.
        protocol: the wording of its prompts.
        readout: which number of its answers the matches are.
    """

    xy_a_px: Floats
    xy_px: Floats
    p10_px: Floats
    p90_px: Floats
    image_a: UInt8
    image_b: UInt8
    protocol: str
    readout: Readout


def _colors_at(image: UInt8, xy_px: Floats) -> UInt8:
    columns, rows = np.moveaxis(xy_px.astype(int), -1, 0)
    height, width = image.shape[:2]
    colors: UInt8 = image[np.minimum(rows, height - 1), np.minimum(columns, width - 1)]
    return colors


def grid_px(camera: Camera, columns: int, rows: int) -> Floats:
    """Centres (rows, columns, 2) of equal cells that cover a picture.

    Raises:
        InputError: fewer than one, or more than one a pixel.
    """
    if not (1 <= columns <= camera.width_px and 1 <= rows <= camera.height_px):
        raise InputError(
            f"a grid of {columns}x{rows} does not fit {camera.width_px}x{camera.height_px} px; "
            "give columns and rows, at least 1 and at most one a pixel"
        )
    x = (np.arange(columns) + 0.5) * (camera.width_px / columns)
    y = (np.arange(rows) + 0.5) * (camera.height_px / rows)
    return np.stack(np.meshgrid(x, y), axis=-1)


def no_texts(rows: int, columns: int) -> Texts:
    """(rows, columns) cells without a question."""
    return np.full((rows, columns), "", dtype=object)
