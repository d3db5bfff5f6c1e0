"""Speed and memory of rendering, building the scenes included."""

import resource
import statistics
import time
from dataclasses import dataclass

from vlm3.worlds.world import Kind, World


@dataclass(frozen=True)
class Measured:
    """Results of `measure`; times in milliseconds a view, medians."""

    size: str
    device: str
    views: int
    together: int
    views_per_s: float
    build_ms: float
    view_ms: float
    triangles: float
    peak_mb: float

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.size} on {self.device}: {self.views_per_s:.1f} views/s in one process "
            f"({self.together} of a world together; build {self.build_ms:.0f} ms, "
            f"view {self.view_ms:.1f} ms, {self.triangles:.0f} triangles, medians), "
            f"peak memory {self.peak_mb:.0f} MB"
        )


def measure(
    count: int,
    *,
    seed: int = 0,
    width_px: int = 320,
    height_px: int = 240,
    kind: Kind | None = None,
    device: str = "cpu",
    pack: str | None = None,
    together: int = 1,
) -> Measured:
    """Render `count` worlds one after another, after one that compiles the kernels.

    Args:
        count: of worlds.
        seed: of the worlds.
        width_px: of a view.
        height_px: of a view.
        kind: room, street or None for either.
        device: where pictures are rendered.
        pack: furniture.
        together: views of each world, by one launch.
    """
    size = {"width_px": width_px, "height_px": height_px}
    World(seed, 0, kind=kind, device=device, pack=pack).views(range(together), **size)
    build, view, triangles = [], [], []
    start = time.perf_counter()
    for index in range(1, count + 1):
        t0 = time.perf_counter()
        world = World(seed, index, kind=kind, device=device, pack=pack)
        t1 = time.perf_counter()
        world.views(range(together), **size)
        build.append(t1 - t0)
        view.append((time.perf_counter() - t1) / together)
        triangles.append(len(world.scene.mesh.faces))
    seconds = time.perf_counter() - start
    return Measured(
        size=f"{width_px}x{height_px}",
        device=device,
        views=count * together,
        together=together,
        views_per_s=count * together / seconds,
        build_ms=1e3 * statistics.median(build),
        view_ms=1e3 * statistics.median(view),
        triangles=statistics.median(triangles),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
