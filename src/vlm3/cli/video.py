"""Frames of a video, by their times. OpenCV is imported when the first one is opened."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from vlm3.errors import InputError, MissingDependencyError


@lru_cache(1)
def video_at(path: Path) -> "Video":
    """The video that is being read; frames of another one close it."""
    return Video(path)


class Video:
    """A video, read forwards; a request for an earlier frame opens it again.

    Args:
        path: of the file.

    Attributes:
        seconds: how long it is.

    Raises:
        InputError: it cannot be read as a video.
        MissingDependencyError: OpenCV is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import cv2
        except ImportError as error:
            raise MissingDependencyError(
                f"{path} is a video, and frames are read with OpenCV: pip install 'vlm3[video]'"
            ) from error
        # What OpenCV's reader finds wrong stands in the error; it is not to print its own lines.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        self.path = path
        self._cv2 = cv2
        self._open()
        self._fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        frames = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if not (self._capture.isOpened() and self._fps > 0 and frames > 0):
            raise InputError(
                f"{str(path)!r} cannot be read as a video; give its frames as pictures"
            )
        self.seconds = frames / self._fps

    def _open(self) -> None:
        self._capture = self._cv2.VideoCapture(str(self.path))
        self._next = 0

    def frame(self, at_s: float) -> Any:
        """(height, width, 3) uint8 RGB of the frame shown at a time.

        Raises:
            InputError: the video is damaged there.
        """
        wanted = int(at_s * self._fps + 0.5)
        if wanted < self._next:
            self._open()
        while self._next <= wanted:
            if not self._capture.grab():
                raise InputError(f"{self.path} has no readable frame at {at_s:g} s")
            self._next += 1
        good, image = self._capture.retrieve()
        if not good:
            raise InputError(f"{self.path} has no readable frame at {at_s:g} s")
        return image[..., ::-1].copy()
