"""The conventions of a model's prompts and answers, as data: eight of them, by name.

`paper` is the paper's section 3.2; the `release-` ones are those of the four released checkpoints
(facebookresearch/VLM3: README, inference.ipynb, sample_data), word for word, `release-corr-direct`
being VLM3-corr with the notebook's USE_THINK off; `joint` is ours: one checkpoint for the four
tasks, what is constant first and the numbers that vary last; `fov` is ours too, for the lens of a
picture.

The words themselves stand in `wordings`. Knows no model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Literal, Self

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import PixelLimits, ResizePlan, plan_focal, plan_long_side
from vlm3.tasks import wordings
from vlm3.tasks.base import TaskName


@dataclass(frozen=True)
class ImagePrep:
    """How a picture is resized before the model sees it.

    Attributes:
        kind: "focal" brings both focal lengths to `target_px`, each axis by its own factor;
            "focal_x" scales both axes by `target_px` / fx; "long_side" makes the longer side
            `target_px`.
        target_px: pixels.
        rounding: how a side becomes whole: to nearest, or down.
        limits: fewest and most pixels, of the checkpoint; None: none are known.
    """

    kind: Literal["focal", "focal_x", "long_side"]
    target_px: float
    rounding: Literal["nearest", "floor"] = "nearest"
    limits: PixelLimits | None = None


@dataclass(frozen=True)
class Protocol:
    """One convention: picture, coordinates, questions, answers.

    Attributes:
        name: what it is chosen by.
        description: one line.
        prep: what happens to the picture.
        templates: name -> text with fields, e.g. "depth.ask" with {x} and {y}.
        patterns: name -> the form of an answer, with named groups, e.g. "depth".
        norm_size: coordinates in the text run from 0 to this.
        half_open: whether written coordinates stay below `norm_size`.
        whole_px: whether distances are at whole pixels of the resized picture; see
            `writing.named_pixel`.
        centre_px: what the text calls the centre of the top-left pixel of the given picture: 0.5,
            or 0 where pixels are counted by whole numbers, as in UFM's pairs.
        match_wording: which wording the question for a match has; training draws among
            all of them.
    """

    name: str
    description: str
    prep: ImagePrep
    templates: Mapping[str, str] = field(hash=False, repr=False)
    patterns: Mapping[str, re.Pattern[str]] = field(hash=False, repr=False)
    norm_size: int = 2000
    half_open: bool = False
    whole_px: bool = False
    centre_px: float = 0.5
    match_wording: int = 0

    @property
    def tasks(self) -> frozenset[TaskName]:
        """Those that it has prompts for."""
        return frozenset(name.partition(".")[0] for name in self.templates)

    def template(self, name: str) -> str:
        """The template of that name, e.g. "depth.ask".

        Raises:
            InputError: the protocol does not have it.
        """
        found = self.templates.get(name)
        if found is None:
            others = ", ".join(p.name for p in PROTOCOLS.values() if name in p.templates)
            raise InputError(
                f"protocol {self.name!r} has no {name!r}; "
                f"choose one that has: {others or 'none does'}"
            )
        return found

    def scales(self, camera: Camera) -> tuple[float, float]:
        """What a picture is to be scaled by along x and y, before its sides are whole."""
        if self.prep.kind == "long_side":
            scale = round(self.prep.target_px) / max(camera.width_px, camera.height_px)
            return scale, scale
        scale = self.prep.target_px / camera.fx_px
        return scale, scale if self.prep.kind == "focal_x" else self.prep.target_px / camera.fy_px

    def plan(
        self,
        camera: Camera,
        *,
        multiple_px: int,
        max_tokens: int | None = None,
        token_px: int | None = None,
    ) -> ResizePlan:
        """The resize this protocol gives a picture; see `vlm3.geometry.focal`."""
        if self.prep.kind == "long_side":
            return plan_long_side(
                camera,
                long_side_px=round(self.prep.target_px),
                multiple_px=multiple_px,
                max_tokens=max_tokens,
                token_px=token_px,
                limits=self.prep.limits,
                rounding=self.prep.rounding,
            )
        return plan_focal(
            camera,
            f_px=self.prep.target_px,
            multiple_px=multiple_px,
            max_tokens=max_tokens,
            token_px=token_px,
            limits=self.prep.limits,
            axes="both" if self.prep.kind == "focal" else "x",
            rounding=self.prep.rounding,
        )

    def with_focal(self, f_px: float) -> Self:
        """The same protocol at another focal length, as a checkpoint may have been trained.

        Raises:
            InputError: the protocol has no focal length, or `f_px` is not positive.
        """
        if self.prep.kind == "long_side":
            raise InputError(f"protocol {self.name!r} sets the longer side, not a focal length")
        if not 0 < f_px < float("inf"):
            raise InputError(f"f_px is {f_px}; a focal length is positive, in pixels")
        return replace(self, prep=replace(self.prep, target_px=f_px))

    def with_long_side(self, long_side_px: int) -> Self:
        """The same protocol for pictures with this longer side, whatever their focal length."""
        return replace(self, prep=ImagePrep("long_side", long_side_px))

    def within(self, limits: PixelLimits | None) -> Self:
        """The same protocol for a checkpoint whose own processor keeps pictures within limits."""
        return replace(self, prep=replace(self.prep, limits=limits))


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        InputError: there is none; the message lists the names.
    """
    if name not in PROTOCOLS:
        raise InputError(f"unknown protocol {name[:80]!r}; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocol_for_checkpoint(name_or_path: str) -> Protocol | None:
    """The protocol of a released checkpoint, by its name; None for any other.

    Takes a hub id ("facebook/VLM3-depth"), a folder that ends in the name, or a hub cache path.
    """
    path = PurePath(name_or_path)
    cached = [p.split("--")[-1] for p in path.parts if p.startswith("models--")]
    for name in (path.name, *cached):
        if name.lower() in _RELEASED:
            return PROTOCOLS[_RELEASED[name.lower()]]
    return None


_RELEASED = {
    "vlm3-depth": "release-depth",
    "vlm3-object": "release-object",
    "vlm3-corr": "release-corr",
    "vlm3-pose": "release-pose",
}


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        p.name: p
        for p in (
            Protocol(
                "paper",
                "the paper's own wording (section 3.2), four tasks",
                ImagePrep("focal", 1000.0),
                wordings.PAPER_TEMPLATES,
                {},
                half_open=True,
            ),
            Protocol(
                "release-depth",
                "facebook/VLM3-depth",
                ImagePrep("focal_x", 1000.0, "floor"),
                wordings.RELEASE_DEPTH_TEMPLATES,
                wordings.RELEASE_DEPTH_PATTERNS,
                whole_px=True,
            ),
            Protocol(
                "release-object",
                "facebook/VLM3-object: SpatialRGPT's questions with boxes in text",
                ImagePrep("focal_x", 1000.0, "floor"),
                wordings.RELEASE_OBJECT_TEMPLATES,
                {},
                norm_size=1000,
            ),
            Protocol(
                "release-corr",
                "facebook/VLM3-corr, prompted to think first as its notebook does",
                ImagePrep("long_side", 1024.0),
                wordings.RELEASE_CORR_TEMPLATES,
                wordings.RELEASE_CORR_PATTERNS,
                norm_size=1000,
                centre_px=0.0,
                match_wording=1,
            ),
            Protocol(
                "release-corr-direct",
                "facebook/VLM3-corr without thinking: its notebook's USE_THINK off",
                ImagePrep("long_side", 1024.0),
                wordings.RELEASE_CORR_TEMPLATES,
                wordings.RELEASE_CORR_PATTERNS,
                norm_size=1000,
                centre_px=0.0,
            ),
            Protocol(
                "release-pose",
                "facebook/VLM3-pose: four questions, one a call",
                ImagePrep("focal", 750.0),
                wordings.RELEASE_POSE_TEMPLATES,
                wordings.RELEASE_POSE_PATTERNS,
            ),
            Protocol(
                "joint",
                "ours: one checkpoint, four tasks, constant text first, numbers last",
                ImagePrep("focal", 1000.0),
                wordings.JOINT_TEMPLATES,
                wordings.JOINT_PATTERNS,
                half_open=True,
            ),
            Protocol(
                "fov",
                "ours: the field of view of a picture at a fixed longer side",
                ImagePrep("long_side", 512.0),
                wordings.FOV_TEMPLATES,
                wordings.FOV_PATTERNS,
                half_open=True,
            ),
        )
    }
)
"""Name -> protocol."""
