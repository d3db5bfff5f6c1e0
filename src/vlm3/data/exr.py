"""OpenEXR depth files: one channel of half or single floats."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError, MissingDependencyError


def read_exr(path: Path) -> NDArray[np.floating]:
    """The one channel of an EXR file, (height, width), in its own precision.

    Raises:
        InputError: the file cannot be read, or has several channels.
        MissingDependencyError: OpenEXR is not installed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingDependencyError("EXR files need OpenEXR: pip install 'vlm3[data]'") from error
    if not path.is_file():
        raise InputError(f"no depth file {str(path)!r}")
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            if len(channels) != 1:
                raise InputError(f"{str(path)!r} has channels {', '.join(channels)}; expected one")
            values: NDArray[np.floating] = np.array(next(iter(channels.values())).pixels)
    except (RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} is no EXR file that can be read ({error})") from error
    return values
