"""Ask a model about pictures in pixels, get geometry back: the calls most users make.

A picture is resized as the protocol says, the question written, the engine run (`generation`),
the text parsed, and the result brought back to the pixels of the picture as it was given
(`answers`).
Knows no file format.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.infer.answers import (
    depth_answer,
    fov_answer,
    match_answer,
    object_answer,
    pose_answer,
    text_answer,
)
from vlm3.infer.engines.base import Engine, Reply
from vlm3.infer.generation import Progress, replies, require, require_able, require_kind, sized
from vlm3.infer.inputs import number_rows, points_in
from vlm3.infer.map_questions import depth_map, match_map
from vlm3.infer.maps import DepthMap, MatchMap, PointCloud
from vlm3.infer.measure import Measurement, measure
from vlm3.infer.motion import ask_landmarks, check_motion
from vlm3.tasks.answers import (
    DepthAnswer,
    FovAnswer,
    MatchAnswer,
    ObjectAnswer,
    PoseAnswer,
    Readout,
    TextAnswer,
)
from vlm3.tasks.base import TaskName
from vlm3.tasks.correspondence import CORRESPONDENCE
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.fov import FOV
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.pose import POSE
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.registry import TASKS
from vlm3.view import View

MAX_TOKENS = 16_384
"""Most tokens a picture may take when the checkpoint names no limit: Qwen3-VL's own."""


@dataclass(frozen=True)
class Predictor:
    """Answers about views, from one engine under one protocol.

    All pixels, in and out, are those of the views as given, whatever size the model reads.

    Attributes:
        engine: what answers.
        protocol: of its prompts and answers.
        multiple_px: picture sides must be multiples of this: patch side times merge.
        max_tokens: most tokens one picture may take; a bigger one is made smaller, with a warning.
        naive: what `engine="naive"` asks instead, one question a time: the oracle of the first.

    Every method raises InputError when the protocol does not have its task, and warns with
    `TokenBudgetWarning` where a picture had to be made smaller. Where a method takes them:
    `engine="naive"` asks the slow engine; `readout` chooses between the number written ("digits")
    and the "median" or "mean" of what might have been written: without it, the median where the
    engine gives probabilities, as local models do, and the digits where it does not; an answer's
    `readout` says which it was. `grammar=True` lets the model write only answers of the protocol's
    form, which can all be read. Published results are of digits, without a grammar.
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
        readout: Readout | None = None,
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
            progress: called now and then with how many more answers there are.

        Returns:
            Distances and depths along the axis, (n,), in metres; NaN where unparsed.

        Raises:
            InputError: a point that is not two numbers inside the picture.
        """
        require(self.protocol, "depth", view)
        xy = points_in(view, xy_px)
        prompts = [DEPTH.question(self.protocol, view.camera, point) for point in xy]
        said = self._reply(
            [view], prompts, ["depth"] * len(prompts), engine, readout, grammar, progress
        )
        return depth_answer(self.protocol, view, xy, prompts, said, readout)

    def match(
        self,
        view_a: View,
        view_b: View,
        xy_px: ArrayLike,
        *,
        engine: Literal["naive"] | None = None,
        readout: Readout | None = None,
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
            progress: called now and then with how many more answers there are.

        Returns:
            Pixels of `view_b`, (n, 2); NaN where unparsed.

        Raises:
            InputError: a point that is not two numbers inside the first picture.
        """
        require(self.protocol, "correspondence", view_a, view_b)
        views = (view_a, view_b)
        xy = points_in(view_a, xy_px)
        prompts = [CORRESPONDENCE.question(self.protocol, view_a.camera, point) for point in xy]
        components = ["correspondence"] * len(prompts)
        said = self._reply(views, prompts, components, engine, readout, grammar, progress)
        return match_answer(self.protocol, views, xy, prompts, said, readout)

    def pose(
        self,
        view_a: View,
        view_b: View,
        *,
        engine: Literal["naive"] | None = None,
        readout: Readout | None = None,
        grammar: bool = False,
        check: bool = False,
    ) -> PoseAnswer:
        """How the camera turned and moved from one picture to the other.

        Args:
            view_a: the picture whose camera is the frame.
            view_b: the other.
            engine: see the class.
            readout: see the class.
            grammar: see the class.
            check: also ask for the motion back, and for matches and distances of a small grid, to
                fill `PoseAnswer.check`; about a hundred more questions.

        Returns:
            Rotation, direction and distance of camera b in camera a's frame, each None where
            unparsed; `cam1_from_cam2` where all of them were read.
        """
        require(self.protocol, "pose", view_a, view_b)
        views = (view_a, view_b)
        prompts = dict[str, str](POSE.questions(self.protocol).items())
        components = [f"pose.{part}" for part in prompts]
        said = self._reply(views, list(prompts.values()), components, engine, readout, grammar)
        answer = pose_answer(self.protocol, views, prompts, said, readout)
        if not check or answer.cam1_from_cam2 is None:
            return answer
        landmarks = ask_landmarks(self, view_a, view_b)
        if landmarks is None:
            return answer
        back = self.pose(view_b, view_a, readout=readout, grammar=grammar)
        checked = check_motion(answer.cam1_from_cam2, back.cam1_from_cam2, landmarks)
        return replace(answer, check=checked)

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
            InputError: an empty question, one of a kind that models of protocol joint never
                learned, a box that is inverted or outside, or boxes and placeholders that do not
                pair.
        """
        require(self.protocol, "objects", view)
        if not question.strip():
            raise InputError('the question is empty; ask such as "How wide is {0}?"')
        boxes = number_rows("boxes_xyxy_px", boxes_xyxy_px, 4)
        prompt = OBJECTS.question(self.protocol, view.camera, question, boxes)
        require_kind(self.protocol, question)
        (said,) = self._reply([view], [prompt], [], engine)
        return object_answer(self.protocol, view, boxes, prompt, said.text)

    def ask_views(
        self,
        views: Sequence[View],
        question: str,
        *,
        engine: Literal["naive"] | None = None,
    ) -> TextAnswer:
        """A question in words about any number of pictures, such as "Which shows the window best?".

        The pictures stand before the question in the order given, without names: "the first
        picture" means `views[0]`. A model of protocol joint, such as nano, was never taught such
        questions. Several about the same pictures, which are then encoded once: `texts`.

        Args:
            views: the pictures, one or more.
            question: as the model is to read it; a region {0} belongs to one picture: see `ask`.
            engine: see the class.

        Raises:
            InputError: no picture, or an empty question.
        """
        require(self.protocol, OBJECTS.name, *views)
        if not views:
            raise InputError("no pictures came; give one view or more")
        if not question.strip():
            raise InputError('the question is empty; ask such as "Which picture shows the window?"')
        prompt = OBJECTS.question(self.protocol, views[0].camera, question, ())
        (said,) = self._reply(views, [prompt], [], engine)
        return text_answer(self.protocol, views, prompt, said.text)

    def fov(
        self,
        view: View,
        *,
        engine: Literal["naive"] | None = None,
        readout: Readout | None = None,
        grammar: bool = False,
    ) -> FovAnswer:
        """How wide the lens of a picture is, from the picture alone: the view's camera is unused.

        Args:
            view: the picture.
            engine: see the class.
            readout: see the class.
            grammar: see the class.
        """
        require(self.protocol, FOV.name, view)
        (prompt,) = FOV.prompts(self.protocol, [view.camera], {}).values()
        (reply,) = self._reply([view], [prompt], [FOV.name], engine, readout, grammar)
        return fov_answer(self.protocol, view, prompt, reply, readout)

    def texts(
        self,
        task: TaskName,
        views: Sequence[View],
        prompts: Sequence[str],
        *,
        engine: Literal["naive"] | None = None,
    ) -> list[str]:
        """What the model writes to complete prompts of one task, word for word.

        Args:
            task: the name of the task that wrote the prompts; see `vlm3.tasks.registry`.
            views: the pictures that they are about.
            prompts: each is answered on its own.
            engine: see the class.
        """
        require(self.protocol, TASKS[task].protocol_task, *views)
        return [reply.text for reply in self._reply(views, prompts, [], engine)]

    def measure(
        self,
        view: View,
        pairs_px: ArrayLike = (),
        boxes_xyxy_px: ArrayLike = (),
        *,
        readout: Readout | None = None,
        grammar: bool = False,
        progress: Progress | None = None,
    ) -> Measurement:
        """Metres between pairs of pixels, and the width and height of regions.

        Two questions a pair, 64 a box. Intervals hold 80 % of what the probabilities of the digits
        allow, the two ends of a length taken as independent; an error that all distances of a
        picture share, such as that of a guessed focal length, is not in them.

        Args:
            view: the picture.
            pairs_px: (n, 2, 2) or (2, 2) pixels: from, to.
            boxes_xyxy_px: (m, 4) or (4,) x_min, y_min, x_max, y_max in pixels, drawn tightly.
            readout: see the class.
            grammar: see the class.
            progress: called now and then with how many more answers there are.

        Raises:
            InputError: a point or box outside the picture, a box that is inverted, or neither.
        """
        return measure(
            self,
            view,
            pairs_px,
            boxes_xyxy_px,
            readout=readout,
            grammar=grammar,
            progress=progress,
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
            readout: see the class.
            grammar: see the class.
            refine: ask every second cell, and the others only where those around them disagree;
                what is filled in is marked in `DepthMap.asked`.
            progress: called now and then with how many more answers there are.

        Raises:
            InputError: a grid with no cells or more than the picture has pixels.
        """
        return depth_map(
            self,
            view,
            grid,
            readout=readout,
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
            readout=readout,
            grammar=grammar,
            progress=progress,
        )

    def _reply(
        self,
        views: Sequence[View],
        prompts: Sequence[str],
        components: Sequence[str],
        engine: Literal["naive"] | None,
        readout: Readout | None = None,
        grammar: bool = False,
        progress: Progress | None = None,
    ) -> list[Reply]:
        asked = self._engine(engine)
        require_able(asked, readout or "digits", grammar)
        if not prompts:
            return []
        images = sized(
            views, self.protocol, multiple_px=self.multiple_px, max_tokens=self.max_tokens
        )
        return replies(
            asked,
            self.protocol,
            images,
            prompts,
            components=components if grammar else None,
            progress=progress,
        )

    def _engine(self, which: Literal["naive"] | None) -> Engine:
        if which is None:
            return self.engine
        if which != "naive" or self.naive is None:
            raise InputError(
                f"no engine {which!r} here; a predictor of a local model has engine='naive', "
                "any other only its own: leave engine out"
            )
        return self.naive
