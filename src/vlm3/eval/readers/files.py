"""What readers share beside `vlm3.datasets.files`: pictures that are opened when needed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.view import View


def opener(
    path: Path,
    camera: Camera | None,
    calibrate: Callable[[NDArray[np.uint8]], Camera] | None = None,
) -> Callable[[], View]:
    """Opens a picture with its camera when called; without one see `View.open`.

    Benchmarks count pixels as the file stores them, whatever EXIF says about showing it.
    """
    return lambda: View.open(path, camera=camera, calibrate=calibrate, as_stored=True)
