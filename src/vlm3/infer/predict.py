"""Ask a model about pictures in pixels, get geometry back: the calls most users make.

A picture is resized as the protocol says, the question written, the engine asked, the text parsed,
and the result brought back to the pixels of the picture as it was given. What a text does not say
becomes NaN or None beside `parsed = False`, never a number. Knows no model and no file format.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.depth import z_from_distance
from vlm3.geometry.pose import RelativePose
from vlm3.infer.dense import DepthMap, MatchMap, PointCloud, depth_map, match_map
from vlm3.infer.engine import Engine, RecordingEngine, Reply
from vlm3.infer.forms import answer_form
from vlm3.infer.grammar import Grammar
from vlm3.infer.inputs import number_rows, points_in
from vlm3.infer.readout import read_numbers
from vlm3.tasks import correspondence, depth, objects, pose
from vlm3.tasks.base import (
    DepthAnswer,
    Floats,
    MatchAnswer,
    ObjectAnswer,
    ParseFailure,
    PoseAnswer,
    Spread,
    Task,
)
from vlm3.tasks.protocol import PROTOCOLS, Protocol, get_protocol, protocol_for_checkpoint
from vlm3.tasks.reading import answer_part
from vlm3.view import View

MAX_TOKENS = 16_384
"""Most tokens a picture may take when the checkpoint names no limit: Qwen3-VL's own."""

# Long enough for what the protocol's answers look like; release-corr may think first (its demo
# allows 2048). A text that needs more is not an answer of that protocol.
_MAX_NEW_TOKENS = {"joint": 32, "release-depth": 256, "release-corr": 2048}
_MAX_NEW_TOKENS_OTHERS = 128


Progress = Callable[[int], None]
Readout = Literal["digits", "mean", "median"]
"""Which number an answer gives: the one written, or one from the probabilities of its digits."""


class TokenBudgetWarning(UserWarning):
    """A picture was made smaller than its protocol asks, to stay within the token budget."""


class ProtocolWarning(UserWarning):
    """Nothing says how a checkpoint was trained to be asked; the paper's wording is used."""


@dataclass(frozen=True)
class Predictor:
    """Answers about views, from one engine asked under one protocol.

    All pixels, in and out, are those of the views as given, whatever size the model reads.

    Attributes:
        engine: what answers.
        protocol: how it is asked.
        multiple_px: picture sides must be multiples of this: patch side times merge.
        max_tokens: most tokens one picture may take; a bigger one is made smaller, with a warning.
        naive: what `engine="naive"` asks instead, one question a time: the oracle of the first.

    Every method raises InputError when the protocol does not have its task, and warns with
    `TokenBudgetWarning` where a picture had to be made smaller. Where a method takes them:
    `engine="naive"` asks the slow engine; `readout` chooses between the number written and the
    mean or median of what might have been written; `grammar=True` lets the model write only
    answers of the protocol's form, which can all be read; published results are without it. Both
    need an engine that gives probabilities, as local models do.
    """

    engine: Engine
    protocol: Protocol
    multiple_px: int
    max_tokens: int | None = MAX_TOKENS
    naive: Engine | None = None

    def depth(
        self,
        view: View,
        xy_px: ArrayLike,
        *,
        engine: Literal["naive"] | None = None,
        readout: Readout = "digits",
        grammar: bool = False,
        progress: Progress | None = None,
    ) -> DepthAnswer:
        """How far the points at some pixels are from the camera.

        Args:
            view: the picture.
            xy_px: (n, 2) or (2,) pixels of it.
            engine: see the class.
            readout: see the class.
            grammar: see the class.
            progress: told, now and then, how many more questions are answered.

        Returns:
            Distances and depths along the axis, (n,), in metres; NaN where unparsed.

        Raises:
            InputError: a point that is not two numbers inside the picture.
        """
        self._require("depth", view)
        xy = points_in(view, xy_px)
        camera = view.camera
        prompts = [
            depth.ask(self.protocol, point, width_px=camera.width_px, height_px=camera.height_px)
            for point in xy
        ]
        replies = self._reply(
            [view], prompts, ["depth"] * len(prompts), engine, readout, grammar, progress
        )
        texts = [reply.text for reply in replies]
        values = [depth.parse(self.protocol, text) for text in texts]
        parsed = np.array([not isinstance(value, ParseFailure) for value in values], dtype=bool)
        distance_m = np.array(
            [np.nan if isinstance(value, ParseFailure) else value for value in values], dtype=float
        )
        spread = read_numbers(replies, 1, [partial(_same, value) for value in distance_m[:, None]])
        if spread is not None:
            spread = spread.column(0)
            distance_m = _chosen(distance_m, spread, readout)
        return DepthAnswer(
            xy_px=xy,
            distance_m=distance_m,
            depth_z_m=z_from_distance(distance_m, camera.unproject(xy)),
            parsed=parsed,
            raw_text=tuple(texts),
            prompt=tuple(prompts),
            protocol=self.protocol.name,
            intrinsics=(view.intrinsics,),
            spread=spread,
        )

    def match(
        self,
        view_a: View,
        view_b: View,
        xy_px: ArrayLike,
        *,
        engine: Literal["naive"] | None = None,
        readout: Readout = "digits",
        grammar: bool = False,
        progress: Progress | None = None,
    ) -> MatchAnswer:
        """Where points of one picture appear in another.

        Args:
            view_a: the picture with the points.
            view_b: the picture to find them in.
            xy_px: (n, 2) or (2,) pixels of `view_a`.
            engine: see the class.
            readout: see the class.
            grammar: see the class.
            progress: told, now and then, how many more questions are answered.

        Returns:
            Pixels of `view_b`, (n, 2); NaN where unparsed.

        Raises:
            InputError: a point that is not two numbers inside the first picture.
        """
        self._require("correspondence", view_a, view_b)
        xy_a = points_in(view_a, xy_px)
        a, b = view_a.camera, view_b.camera
        prompts = [
            correspondence.ask(self.protocol, point, width_px=a.width_px, height_px=a.height_px)
            for point in xy_a
        ]
        replies = self._reply(
            [view_a, view_b],
            prompts,
            ["correspondence"] * len(prompts),
            engine,
            readout,
            grammar,
            progress,
        )
        texts = [reply.text for reply in replies]
        xy_b = np.full((len(texts), 2), np.nan)
        for row, text in zip(xy_b, texts, strict=True):
            # The text holds fractions of the picture, so any size reads it: the given one here.
            found = correspondence.parse(
                self.protocol, text, width_px=b.width_px, height_px=b.height_px
            )
            if not isinstance(found, ParseFailure):
                row[:] = found
        parsed = np.isfinite(xy_b).all(axis=1)
        size = np.array([b.width_px, b.height_px]) / self.protocol.norm_size
        spread = read_numbers(
            replies,
            2,
            [partial(_same, row / size) for row in xy_b],
            bounds=(0, self.protocol.norm_size),
        )
        if spread is not None:
            spread = spread.scaled(size)
            xy_b = _chosen(xy_b, spread, readout)
        return MatchAnswer(
            xy_a_px=xy_a,
            xy_px=xy_b,
            parsed=parsed,
            raw_text=tuple(texts),
            prompt=tuple(prompts),
            protocol=self.protocol.name,
            intrinsics=(view_a.intrinsics, view_b.intrinsics),
            spread=spread,
        )

    def pose(
        self,
        view_a: View,
        view_b: View,
        *,
        engine: Literal["naive"] | None = None,
        readout: Readout = "digits",
        grammar: bool = False,
    ) -> PoseAnswer:
        """How the camera turned and moved from one picture to the other.

        Args:
            view_a: the picture whose camera is the frame.
            view_b: the other.
            engine: see the class.
            readout: see the class.
            grammar: see the class.

        Returns:
            Rotation, direction and distance of camera b in camera a's frame, each None where
            unparsed; `cam1_from_cam2` where all of them were read.
        """
        self._require("pose", view_a, view_b)
        asked = pose.components(self.protocol)
        prompt: dict[str, str] = {part: pose.ask(self.protocol, part) for part in asked}
        replies = self._reply(
            [view_a, view_b],
            list(prompt.values()),
            [f"pose.{part}" for part in asked],
            engine,
            readout,
            grammar,
        )
        texts = [reply.text for reply in replies]
        read: dict[str, float | Floats | ParseFailure] = {
            part: pose.parse(self.protocol, part, text)
            for part, text in zip(asked, texts, strict=True)
        }
        spread: dict[str, Spread] = {}
        for part, reply in zip(asked, replies, strict=True):
            read[part], seen = _pose_spread(read[part], reply, readout)
            if seen is not None:
                spread[part] = seen
        ypr_deg, direction = _vector(read["rotation"]), _vector(read["direction"])
        distance = read.get("distance")
        distance_m = distance if isinstance(distance, float) else None
        cam1_from_cam2 = None
        if ypr_deg is not None and direction is not None and distance_m is not None:
            whole = RelativePose.from_ypr_direction(ypr_deg, direction, distance_m)
            cam1_from_cam2 = whole.cam1_from_cam2
        return PoseAnswer(
            yaw_pitch_roll_deg=ypr_deg,
            direction=direction,
            distance_m=distance_m,
            cam1_from_cam2=cam1_from_cam2,
            parsed={part: not isinstance(value, ParseFailure) for part, value in read.items()},
            raw_text=dict(zip(prompt, texts, strict=True)),
            prompt=prompt,
            protocol=self.protocol.name,
            intrinsics=(view_a.intrinsics, view_b.intrinsics),
            spread=spread,
        )

    def ask(
        self,
        view: View,
        question: str,
        boxes_xyxy_px: ArrayLike = (),
        *,
        engine: Literal["naive"] | None = None,
    ) -> ObjectAnswer:
        """A question in words about regions of a picture.

        Args:
            view: the picture.
            question: with {0}, {1}, ... where a box is meant, such as "How wide is {0}?".
            boxes_xyxy_px: (n, 4) or (4,) x_min, y_min, x_max, y_max in its pixels.
            engine: see the class.

        Returns:
            The text, and the length, clock hour, yes or no, or region in it if there is one.

        Raises:
            InputError: an empty question, a box that is inverted or outside, or boxes and
                placeholders that do not pair.
        """
        self._require("objects", view)
        if not question.strip():
            raise InputError('the question is empty; ask such as "How wide is {0}?"')
        boxes = number_rows("boxes_xyxy_px", boxes_xyxy_px, 4)
        size = {"width_px": view.camera.width_px, "height_px": view.camera.height_px}
        prompt = objects.ask(self.protocol, question, boxes, **size)
        (reply,) = self._reply([view], [prompt], [], engine, "digits", False)
        raw_text = reply.text
        spoken = answer_part(raw_text)
        value = objects.parse(
            prompt,
            raw_text,
            len(boxes),
            boxes_norm=objects.written_boxes(self.protocol, boxes, **size) if len(boxes) else None,
        )
        said = objects.ObjectValue() if isinstance(value, ParseFailure) else value
        return ObjectAnswer(
            text="" if isinstance(spoken, ParseFailure) else spoken,
            value_m=said.value_m,
            clock_hour=said.clock_hour,
            yes=said.yes,
            region=said.region,
            parsed=not isinstance(value, ParseFailure),
            raw_text=raw_text,
            prompt=prompt,
            boxes_xyxy_px=boxes,
            protocol=self.protocol.name,
            intrinsics=(view.intrinsics,),
        )

    def depth_map(
        self,
        view: View,
        *,
        grid: tuple[int, int] = (64, 48),
        readout: Readout | None = None,
        grammar: bool = False,
        refine: bool = False,
        progress: Progress | None = None,
    ) -> DepthMap:
        """How far everything is: one question a cell of a grid.

        Args:
            view: the picture.
            grid: columns and rows.
            readout: see the class; the median where there are probabilities, which also has the
                values between the printed ones.
            grammar: see the class.
            refine: ask every second cell, and the others only where those around them disagree;
                what is filled in is marked in `DepthMap.asked`.
            progress: told, now and then, how many more questions are answered.

        Raises:
            InputError: a grid with no cells or more than the picture has pixels.
        """
        return depth_map(
            self,
            view,
            grid,
            readout=readout or self._dense_readout,
            grammar=grammar,
            refine=refine,
            progress=progress,
        )

    def point_cloud(
        self,
        view: View,
        *,
        grid: tuple[int, int] = (64, 48),
        readout: Readout | None = None,
        grammar: bool = False,
        refine: bool = False,
        progress: Progress | None = None,
    ) -> PointCloud:
        """The points of a depth map, coloured, in the camera's frame; arguments as there."""
        return self.depth_map(
            view, grid=grid, readout=readout, grammar=grammar, refine=refine, progress=progress
        ).cloud()

    def match_map(
        self,
        view_a: View,
        view_b: View,
        *,
        grid: tuple[int, int] = (64, 48),
        readout: Readout | None = None,
        grammar: bool = False,
        progress: Progress | None = None,
    ) -> MatchMap:
        """Where everything in one picture appears in another: one question a cell of `view_a`.

        Arguments as in `depth_map`.
        """
        return match_map(
            self,
            view_a,
            view_b,
            grid,
            readout=readout or self._dense_readout,
            grammar=grammar,
            progress=progress,
        )

    @property
    def _dense_readout(self) -> Readout:
        return "median" if isinstance(self.engine, RecordingEngine) else "digits"

    def _require(self, task: Task, *views: View) -> None:
        if task not in self.protocol.tasks:
            able = [p.name for p in PROTOCOLS.values() if task in p.tasks]
            raise InputError(
                f"protocol {self.protocol.name!r} cannot be asked for {task}, only for "
                f"{', '.join(sorted(self.protocol.tasks))}; {task} needs {' or '.join(able)}, "
                "and a model trained with it"
            )
        for view in views:
            if not isinstance(view, View):
                raise InputError(
                    f"a view was expected, a {type(view).__name__} came: open it with View.open"
                )

    def _reply(
        self,
        views: Sequence[View],
        prompts: Sequence[str],
        components: Sequence[str],
        engine: Literal["naive"] | None,
        readout: Readout,
        grammar: bool,
        progress: Progress | None = None,
    ) -> list[Reply]:
        asked = self._engine(engine)
        probable = isinstance(asked, RecordingEngine)
        if not probable and (grammar or readout != "digits"):
            wanted = "grammar=True" if grammar else f"readout={readout!r}"
            raise InputError(
                f"{wanted} needs the probabilities of a local model, and the engine {asked.name!r} "
                "gives texts only; leave it out"
            )
        if readout not in ("digits", "mean", "median"):
            raise InputError(f"readout is {readout!r}; give digits, mean or median")
        if not prompts:
            return []
        images = []
        for view in views:
            plan = self.protocol.plan(
                view.camera, multiple_px=self.multiple_px, max_tokens=self.max_tokens
            )
            if plan.note is not None:
                name = f"{view.path}: " if view.path else ""
                # Points at who called depth, match, pose or ask.
                warnings.warn(f"{name}{plan.note}", TokenBudgetWarning, stacklevel=3)
            images.append(view.resized(plan).image)
        limit = _MAX_NEW_TOKENS.get(self.protocol.name, _MAX_NEW_TOKENS_OTHERS)
        with asked.open(images) as scene:
            if not isinstance(asked, RecordingEngine):
                texts = asked.ask(scene, prompts, max_new_tokens=limit)
                if progress is not None:
                    progress(len(texts))
                return [Reply(text) for text in texts]
            forms: dict[Grammar | None, list[int]] = {}
            for place, _ in enumerate(prompts):
                form = answer_form(self.protocol, components[place]) if grammar else None
                forms.setdefault(form, []).append(place)
            replies: dict[int, Reply] = {}
            for form, places in forms.items():
                said = asked.reply(
                    scene,
                    [prompts[place] for place in places],
                    max_new_tokens=limit,
                    grammar=form,
                    progress=progress,
                )
                replies.update(zip(places, said, strict=True))
            return [replies[place] for place in range(len(prompts))]

    def _engine(self, which: Literal["naive"] | None) -> Engine:
        if which is None:
            return self.engine
        if which != "naive" or self.naive is None:
            raise InputError(
                f"no engine {which!r} here; a predictor of a local model has engine='naive', "
                "any other only its own: leave engine out"
            )
        return self.naive


def _same(expected: Floats, written: Floats) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(written, expected, strict=True))


def _same_direction(expected: Floats, written: Floats) -> bool:
    return _same(expected * np.linalg.norm(written), written) and bool(written.any())


def _chosen(written: Floats, spread: Spread, readout: Readout) -> Floats:
    """The numbers asked for; where nothing was read stays NaN."""
    if readout == "digits":
        return written
    value = spread.mean if readout == "mean" else spread.p50
    return np.where(np.isfinite(written) & np.isfinite(value), value, written)


def _pose_spread(
    value: float | Floats | ParseFailure, reply: Reply, readout: Readout
) -> tuple[float | Floats | ParseFailure, Spread | None]:
    """One component as asked for, and the spread of its numbers."""
    if isinstance(value, ParseFailure):
        return value, None
    numbers = np.atleast_1d(np.asarray(value, dtype=float))
    direction = len(numbers) == 3 and abs(float(np.linalg.norm(numbers)) - 1) < 1e-9
    same = _same_direction if direction else _same
    bounds = (-1.005, 1.005) if direction else (-360.0, 360.0) if len(numbers) == 3 else (0, np.inf)
    spread = read_numbers([reply], len(numbers), [partial(same, numbers)], bounds=bounds)
    if spread is None:
        return value, None
    spread = spread.row(0)
    chosen = _chosen(numbers, spread, readout)
    if isinstance(value, float):
        return float(chosen[0]), spread
    if direction and readout != "digits":
        length = float(np.linalg.norm(chosen))
        # Where the parts cancel there is no direction to speak of: what was written stands.
        chosen = chosen / length if length > 1e-3 else numbers
    return chosen, spread


def load(
    model: str | os.PathLike[str] = "nano",
    *,
    protocol: str | None = None,
    device: str | None = None,
    engine: Literal["fast", "naive"] = "fast",
    base_url: str | None = None,
) -> Predictor:
    """A predictor that runs a checkpoint in this process, or asks a server.

    Args:
        model: "nano" (in the package), a local folder, or a hub id such as "facebook/VLM3-depth";
            "openai:NAME" for a model behind an OpenAI-compatible server; "vllm:" before a folder or
            a hub id to run it in vLLM.
        protocol: how to ask it, a name from `vlm3.tasks.protocol.PROTOCOLS`. Without one: what the
            checkpoint's `vlm3.json` says, else what its name says, else `paper`, with a warning.
        device: such as "cpu" or "cuda"; the GPU if there is one.
        engine: "fast" encodes pictures once and asks in batches; "naive" reads them again for every
            question, gives the same texts, and is there to compare with.
        base_url: of the server's API, such as "http://localhost:8000/v1"; OpenAI's own when None.
            Its answers are kept on disk (VLM3_CACHE, ~/.cache/vlm3) and not asked for again.

    Raises:
        InputError: an unknown protocol, device or engine.
        CheckpointError: the model cannot be found or loaded.
        MissingDependencyError: a CUDA torchvision beside a CPU torch, which breaks every model.

    Warns:
        ProtocolWarning: nothing says how the checkpoint was trained to be asked.
    """
    # A wrong name should not take the seconds that importing torch takes.
    if protocol is not None:
        get_protocol(protocol)
    if engine not in ("fast", "naive"):
        raise InputError(f"no engine {engine!r}: give fast or naive")
    kind, _, name = str(model).partition(":")
    if kind in ("openai", "vllm") and name:
        return _served(kind, name, protocol, base_url)
    if base_url is not None:
        raise InputError(
            f"base_url goes with a model behind a server: give openai:{model} instead of {model}"
        )
    from vlm3.infer.local import NaiveEngine, check_torchvision

    check_torchvision()
    from vlm3.infer.fast import LocalEngine
    from vlm3.model import load_checkpoint

    checkpoint = load_checkpoint(os.fspath(model), device=device)
    settings = checkpoint.settings
    naive = NaiveEngine(checkpoint)
    return Predictor(
        engine=naive if engine == "naive" else LocalEngine(checkpoint),
        protocol=resolve_protocol(
            protocol, name=checkpoint.name, trained=settings.protocol, f_px=settings.f_px
        ),
        multiple_px=checkpoint.token_px,
        max_tokens=settings.max_tokens or MAX_TOKENS,
        naive=naive,
    )


def _served(kind: str, name: str, protocol: str | None, base_url: str | None) -> Predictor:
    served: Engine
    if kind == "openai":
        from vlm3.infer.http import HttpEngine, default_cache

        served = HttpEngine(name, base_url=base_url, cache=default_cache())
    else:
        from vlm3.infer.vllm import VllmEngine

        served = VllmEngine(name)
    return Predictor(
        engine=served,
        protocol=resolve_protocol(protocol, name=name),
        # Qwen3-VL's; a server whose model has another grid fits the picture to it itself.
        multiple_px=32,
    )


def resolve_protocol(
    asked: str | None, *, name: str, trained: str | None = None, f_px: float | None = None
) -> Protocol:
    """How to ask a checkpoint: as the caller says, as its settings say, as its name says.

    Args:
        asked: what the caller named.
        name: the checkpoint's name or path.
        trained: the protocol in the checkpoint's settings.
        f_px: the focal length in them; it belongs to `trained`, so another protocol that the
            caller names keeps its own.

    Raises:
        InputError: an unknown protocol.

    Warns:
        ProtocolWarning: none of the three says anything.
    """
    if asked is not None and asked != trained:
        return get_protocol(asked)
    if trained is not None:
        protocol = get_protocol(trained)
        return protocol if f_px is None else protocol.with_focal(f_px)
    named = protocol_for_checkpoint(name)
    if named is None:
        warnings.warn(
            f"nothing says how {name} was trained to be asked: using the paper's wording; "
            f"name a protocol to change that ({', '.join(PROTOCOLS)})",
            ProtocolWarning,
            stacklevel=3,
        )
        named = get_protocol("paper")
    return named if f_px is None else named.with_focal(f_px)


def _vector(value: float | Floats | ParseFailure) -> Floats | None:
    return value if isinstance(value, np.ndarray) else None
