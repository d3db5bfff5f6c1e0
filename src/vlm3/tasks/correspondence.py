"""Pixel correspondence (paper, section 3.2): where a pixel of one picture lies in another.

The paper's example:

    Given these two images, what pixel in the second image corresponds to pixel (440, 60) in the
    first image? Report the answer as (x2, y2).

    The corresponding pixel is (338, 52).
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pixels import px_from_norm
from vlm3.tasks import metrics
from vlm3.tasks.base import QA, Floats, ParseFailure
from vlm3.tasks.free_text.framing import framed
from vlm3.tasks.free_text.tuples import read_tuple
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import answer_part, refuses
from vlm3.tasks.sample import Rng, Sample
from vlm3.tasks.scoring import Floor, Measure, MeasureMaker, Rows, numbers
from vlm3.tasks.task import Cameras, Json, Task, Words, floats, one_text, size_of
from vlm3.tasks.writing import written_xy


def template_count(protocol: Protocol) -> int:
    """How many wordings of the question the protocol has: five for `paper`."""
    return sum(name.startswith("correspondence.ask") for name in protocol.templates)


def ask(
    protocol: Protocol, xy_px: ArrayLike, *, width_px: int, height_px: int, template: int = 0
) -> str:
    """The question about one pixel (2,) of the first picture.

    Args:
        protocol: whose words to use.
        xy_px: (2,) in the first picture.
        width_px: width of the first picture.
        height_px: its height.
        template: which wording, below `template_count`. For `release-corr` 1 asks for thinking.

    Raises:
        InputError: the pixel lies outside, no such wording, or the protocol has no correspondence.
    """
    name = "correspondence.ask" if template == 0 else f"correspondence.ask.{template}"
    if template and name not in protocol.templates:
        raise InputError(
            f"protocol {protocol.name!r} has no wording {template} for correspondence; "
            f"it has {template_count(protocol)}, counted from 0"
        )
    text = protocol.template(name)
    x, y = written_xy(protocol, xy_px, width_px=width_px, height_px=height_px)
    return text.format(x=x, y=y)


def answer(protocol: Protocol, xy_px: ArrayLike, *, width_px: int, height_px: int) -> str:
    """The answer that a model is trained to give: one pixel (2,) of the second picture.

    Raises:
        InputError: the pixel lies outside, or the protocol has no correspondence.
    """
    text = protocol.template("correspondence.answer")
    x, y = written_xy(protocol, xy_px, width_px=width_px, height_px=height_px)
    return text.format(x=x, y=y)


def parse(
    protocol: Protocol, text: str, *, width_px: int, height_px: int, question: str | None = None
) -> Floats | ParseFailure:
    """The pixel (2,) of the second picture; a failure where none stands.

    Args:
        protocol: whose form of the answer is read; without one (`paper`), what a person would read.
        text: what the model wrote.
        width_px: width of the second picture.
        height_px: its height.
        question: as the model read it. An answer may repeat the pixel that stands in it before it
            gives its own.
    """
    xy_norm = parse_norm(protocol, text, question=question)
    if isinstance(xy_norm, ParseFailure):
        return xy_norm
    return px_from_text(protocol, xy_norm, width_px=width_px, height_px=height_px)


def parse_norm(
    protocol: Protocol, text: str, *, question: str | None = None
) -> Floats | ParseFailure:
    """The answer's numbers (2,) as they are written, 0 to `norm_size`; see `parse`."""
    queried = _asked(question)
    form = protocol.patterns.get("correspondence")
    xy = _read(text, queried) if form is None else _read_form(form, text, queried)
    if isinstance(xy, ParseFailure):
        return xy
    xy_norm = np.array(xy)
    if not ((xy_norm >= 0) & (xy_norm <= protocol.norm_size)).all():
        return ParseFailure(text, f"outside the picture: the range is 0 to {protocol.norm_size}")
    return xy_norm


def px_from_text(
    protocol: Protocol, xy_norm: ArrayLike, *, width_px: int, height_px: int
) -> Floats:
    """The pixels (..., 2) of a picture that written numbers (..., 2) name."""
    xy_px = px_from_norm(xy_norm, width_px, height_px, size=protocol.norm_size)
    return np.minimum(xy_px + (0.5 - protocol.centre_px), (width_px, height_px))


_Pair = tuple[float, ...]
_ASKED = re.compile(r"\(([0-9]{1,5}), ?([0-9]{1,5})\)")


def _asked(question: str | None) -> _Pair | None:
    found = _ASKED.search(question) if question else None
    return (float(found[1]), float(found[2])) if found else None


def _read(text: str, queried: _Pair | None) -> _Pair | ParseFailure:
    frame = framed(text)
    if isinstance(frame, ParseFailure):
        return frame
    xy = read_tuple(frame.answer, 2, asked=queried)
    return ParseFailure(text, xy) if isinstance(xy, str) else xy


def _read_form(form: re.Pattern[str], text: str, queried: _Pair | None) -> _Pair | ParseFailure:
    """The first pair in the expected form, but for the question's own where another follows."""
    part = answer_part(text)
    if isinstance(part, ParseFailure):
        return part
    found = [(float(m["x"]), float(m["y"])) for m in form.finditer(part)]
    if not found:
        return ParseFailure(text, "no pixel in the expected form")
    if refuses(part):
        return ParseFailure(text, "says that it has no answer")
    return next((xy for xy in found if xy != queried), found[0])


class Correspondence(Task):
    """Where a pixel of the first picture lies in the second.

    A query asks {"xy_px": [x, y], "size_a_px": [w, h], "size_b_px": [w, h]}; its truth is
    {"xy_px": [x, y]} in the second picture.
    """

    name = "correspondence"
    mark = "match"
    pictures = 2
    columns = 2
    asked_columns = 6
    fields = ("xy_px",)
    headline = "EPE"
    typical_tokens = (40 * 23, 600)
    failure = (
        "An answer that could not be read counts as the centre of the picture. "
        "EPE is in pixels of a 560x420 picture."
    )
    higher_is_better = False

    def question(
        self, protocol: Protocol, camera: Camera, xy_px: ArrayLike, *, template: int | None = None
    ) -> str:
        """Where a pixel (2,) of the first picture lies in the second; see `ask`.

        Without `template` in the wording that the protocol asks, `match_wording`.

        Raises:
            InputError: the pixel lies outside, no such wording, or the protocol has no
                correspondence.
        """
        wording = protocol.match_wording if template is None else template
        return ask(protocol, xy_px, template=wording, **size_of(camera))

    def query(
        self, xy_a_px: ArrayLike, xy_b_px: ArrayLike, size_a_px: ArrayLike, size_b_px: ArrayLike
    ) -> tuple[Json, Json]:
        """A pixel (2,) of picture a and its place in picture b; sizes are width and height."""
        ask = {
            "xy_px": floats(xy_a_px),
            "size_a_px": floats(size_a_px),
            "size_b_px": floats(size_b_px),
        }
        return ask, {"xy_px": floats(xy_b_px)}

    def queries(self, sample: Sample, most: int, rng: Rng = None) -> list[tuple[Json, Json]]:
        """Matches between the pictures."""
        if sample.matches is None:
            return []
        drawn = sample.matches.draw(most, rng)
        sizes = [(camera.width_px, camera.height_px) for camera in sample.cameras]
        pairs = zip(drawn.xy1_px, drawn.xy2_px, strict=True)
        return [self.query(a, b, *sizes) for a, b in pairs]

    def examples(
        self, sample: Sample, protocol: Protocol, rng: np.random.Generator, most: int
    ) -> list[QA]:
        """Random matches, each in one of the protocol's wordings."""
        wordings, (first, *_) = template_count(protocol), sample.cameras
        made = []
        for ask, truth in self.queries(sample, most, rng):
            template = int(rng.integers(wordings))
            question = self.question(protocol, first, ask["xy_px"], template=template)
            (text,) = self.answers(protocol, sample.cameras, ask, truth).values()
            made.append(QA(self.name, question, text))
        return made

    def prompts(self, protocol: Protocol, cameras: Cameras, ask: Json) -> dict[str, str]:
        """See `Task`."""
        return {self.name: self.question(protocol, cameras[0], ask["xy_px"])}

    def answers(
        self, protocol: Protocol, cameras: Cameras, ask: Json, truth: Json
    ) -> dict[str, str]:
        """See `Task`."""
        width, height = (int(v) for v in ask["size_b_px"])
        return {self.name: answer(protocol, truth["xy_px"], width_px=width, height_px=height)}

    def read(self, protocol: Protocol, ask: Json, prompt: Words, text: Words) -> Json | None:
        """See `Task`."""
        width, height = ask["size_b_px"]
        question = prompt if isinstance(prompt, str) else None
        xy = parse(protocol, one_text(text), width_px=width, height_px=height, question=question)
        return None if isinstance(xy, ParseFailure) else {"xy_px": xy.tolist()}

    def numbers(self, values: Json) -> list[float]:
        """X and y in the second picture."""
        return numbers(values.get("xy_px"), 2)

    def values(self, numbers: Sequence[float]) -> Json:
        """See `Task`."""
        return {"xy_px": [v if np.isfinite(v) else None for v in numbers]}

    def asked(self, ask: Json) -> list[float]:
        """x, y, size of the first picture, size of the second."""
        sizes = (numbers(ask[name], 2) for name in ("size_a_px", "size_b_px"))
        return [*numbers(ask["xy_px"], 2), *(v for size in sizes for v in size)]

    def measures(self, rows: Rows, *, label: str = "distance") -> list[Measure]:
        """The end-point error first, then shares of outliers."""
        size = rows.ask[:, 4:6]
        make = MeasureMaker(rows, metrics.read(rows.predicted))
        errors = metrics.epe_values(rows.predicted, rows.truth, size)
        found = [make("EPE", errors, unit="pixels", better="lower", table="correspondence")]
        for above in (1, 2, 5):
            values = metrics.outlier_values(rows.predicted, rows.truth, size, above_px=above)
            found.append(make(f"> {above} px", values, unit="percent", better="lower"))
        return found

    def floors(self, rows: Rows) -> list[Floor]:
        """The centre of the second picture, and the same place as in the first."""
        xy, size_a, size_b = rows.ask[:, :2], rows.ask[:, 2:4], rows.ask[:, 4:6]
        return [
            Floor("constant: the centre", replace(rows, predicted=size_b / 2)),
            Floor("identity: the same place", replace(rows, predicted=xy / size_a * size_b)),
        ]


CORRESPONDENCE = Correspondence()
