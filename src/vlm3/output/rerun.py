"""Results as a recording for the rerun viewer (.rrd): cameras, pictures, depth, points.

Needs the extra `rerun`. Axes are the first camera's, x right, y down, z forward, as rerun's RDF.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlm3 import disk
from vlm3.errors import MissingDependencyError
from vlm3.tasks.base import Floats
from vlm3.view import View
from vlm3.viz.viewer import ShownMap


def require_rerun() -> Any:
    """The module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise MissingDependencyError(
            ".rrd needs rerun, which is not installed: pip install 'vlm3[rerun]'"
        ) from error
    return rerun


def write_map(shown: ShownMap, path: Path) -> Path:
    """One picture with its points."""
    return write_maps([shown], path)


def write_maps(maps: Sequence[ShownMap], path: Path) -> Path:
    """Several pictures in one world, each with its points."""
    rerun = require_rerun()
    stream = _stream(rerun)
    for k, shown in enumerate(maps):
        _log_camera(rerun, stream, f"world/camera_{k + 1}", shown.view, shown.world_from_cam)
        known = np.isfinite(shown.distance_m)
        stream.log(
            f"world/points_{k + 1}",
            rerun.Points3D(shown.points_m[known], colors=shown.rgb[known]),
            static=True,
        )
    return _save(stream, path)


def write_cameras(views: Sequence[View], world_from_cams: Sequence[Floats], path: Path) -> Path:
    """Pictures at their cameras."""
    rerun = require_rerun()
    stream = _stream(rerun)
    for k, (view, pose) in enumerate(zip(views, world_from_cams, strict=True)):
        _log_camera(rerun, stream, f"world/camera_{k + 1}", view, pose)
    return _save(stream, path)


def _stream(rerun: Any) -> Any:
    stream = rerun.RecordingStream("vlm3", send_properties=False)
    stream.log("world", rerun.ViewCoordinates.RDF, static=True)
    return stream


def _log_camera(rerun: Any, stream: Any, name: str, view: View, pose: Floats) -> None:
    camera = view.camera
    stream.log(name, rerun.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]), static=True)
    stream.log(
        name,
        rerun.Pinhole(
            image_from_camera=camera.K,
            width=camera.width_px,
            height=camera.height_px,
            camera_xyz=rerun.ViewCoordinates.RDF,
        ),
        static=True,
    )
    stream.log(f"{name}/picture", rerun.Image(view.image).compress(jpeg_quality=90), static=True)


def _save(stream: Any, path: Path) -> Path:
    # Its own writer waits for ever on a disk that is full.
    data = stream.memory_recording().drain_as_bytes()
    return disk.write(path, data)
