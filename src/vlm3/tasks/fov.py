"""Field of view: how wide the lens of a picture is, read from the picture alone.

Ours, not the paper's: the first step to photographs without a known lens. The picture is brought to
a fixed longer side, whatever its focal length, so that its size shows nothing. Example under `fov`:

    Horizontal field of view of the camera in degrees:

    065.3
"""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.metrics import read as were_read
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import in_form
from vlm3.tasks.sample import Rng, Sample
from vlm3.tasks.scoring import Floor, Measure, MeasureMaker, Rows, number
from vlm3.tasks.task import Cameras, Json, Task, Words, one_text

_NEAR_DEG = (5, 10)
_FAILURE_DEG = 180.0


def ask(protocol: Protocol) -> str:
    """The question about a picture.

    Raises:
        InputError: the protocol has no field of view.
    """
    return protocol.template("fov.ask")


def answer(protocol: Protocol, fov_deg: float) -> str:
    """The answer that a model is trained to give, in degrees across the picture.

    Raises:
        InputError: no angle between 0 and 180 degrees, or the protocol has no field of view.
    """
    if not 0 < fov_deg < 180:
        raise InputError(f"{fov_deg:g} degrees is no field of view; give one between 0 and 180")
    return protocol.template("fov.answer").format(degrees=fov_deg)


def parse(protocol: Protocol, text: str) -> float | ParseFailure:
    """The degrees that a model wrote; a failure where none stand."""
    found = in_form(protocol.patterns["fov"], text, "angle")
    if isinstance(found, ParseFailure):
        return found
    degrees = float(found["degrees"])
    if not 0 < degrees < 180:
        return ParseFailure(text, f"{degrees:g} degrees is no field of view")
    return degrees


class FieldOfView(Task):
    """The horizontal field of view of a picture.

    A query asks {}; its truth is {"fov_deg": ...}, as that of a camera without distortion.
    """

    name = mark = "fov"
    pictures = 1
    once = True
    columns = 1
    asked_columns = 0
    fields = ("fov_deg",)
    failure = "An answer that could not be read counts as an error of 180 degrees."
    headline = "FoV error"
    answer_bounds = MappingProxyType({"degrees": (0.1, 179.9)})
    higher_is_better = False

    def query(self, camera: Camera) -> tuple[Json, Json]:
        """A picture's camera."""
        return {}, {"fov_deg": camera.fov_deg[0]}

    def queries(self, sample: Sample, most: int, rng: Rng = None) -> list[tuple[Json, Json]]:
        """The lens of the first picture, where it was measured and not guessed."""
        return [self.query(sample.cameras[0])] if sample.calibrated else []

    def prompts(self, protocol: Protocol, cameras: Cameras, asked: Json) -> dict[str, str]:
        """See `Task`."""
        return {self.name: ask(protocol)}

    def answers(
        self, protocol: Protocol, cameras: Cameras, asked: Json, truth: Json
    ) -> dict[str, str]:
        """See `Task`."""
        return {self.name: answer(protocol, truth["fov_deg"])}

    def read(self, protocol: Protocol, asked: Json, prompt: Words, text: Words) -> Json | None:
        """See `Task`."""
        value = parse(protocol, one_text(text))
        return None if isinstance(value, ParseFailure) else {"fov_deg": value}

    def numbers(self, values: Json) -> list[float]:
        """Degrees."""
        return [number(values.get("fov_deg"))]

    def values(self, numbers: Sequence[float]) -> Json:
        """See `Task`."""
        return {"fov_deg": numbers[0] if np.isfinite(numbers[0]) else None}

    def measures(self, rows: Rows, *, label: str = "distance") -> list[Measure]:
        """The mean error first, then the shares within 5 and 10 degrees."""
        off = np.abs(rows.predicted[:, 0] - rows.truth[:, 0])
        errors = np.where(np.isfinite(off), off, _FAILURE_DEG)
        make = MeasureMaker(rows, were_read(rows.predicted))
        return [
            make("FoV error", errors, unit="degrees", better="lower"),
            *(
                make(f"within {near} deg", (errors <= near).astype(float), unit="percent")
                for near in _NEAR_DEG
            ),
        ]

    def floors(self, rows: Rows) -> list[Floor]:
        """The constant with the least mean error: the median of the truths."""
        middle = float(np.median(rows.truth[:, 0]))
        constant = np.full_like(rows.truth, middle)
        name = f"constant, the best: {middle:.1f} degrees"
        return [Floor(name, replace(rows, predicted=constant))]


FOV = FieldOfView()
