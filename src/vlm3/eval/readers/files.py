"""What readers share beside `vlm3.data.files`: pictures that are opened when they are asked for."""

from collections.abc import Callable
from pathlib import Path

from vlm3.geometry.camera import Camera
from vlm3.view import View


def opener(path: Path, camera: Camera | None) -> Callable[[], View]:
    """Opens a picture with its camera when called; without one, what EXIF says, or 60 degrees.

    Benchmarks count pixels as the file stores them, whatever EXIF says about showing it.
    """
    return lambda: View.open(path, camera=camera, as_stored=True)
