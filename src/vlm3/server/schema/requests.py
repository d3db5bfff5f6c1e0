"""Bodies of the requests of the 3D routes."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from vlm3.server.schema.fields import (
    BOX_BYTES,
    EXAMPLE_URL,
    FIELDS_BYTES,
    LONG_TEXT_BYTES,
    MOST_BOXES,
    MOST_PAIRS,
    MOST_POINTS,
    MOST_WORDS,
    POINT_BYTES,
    XY,
    Box,
    Number,
    Readout,
)


class RequestModel(BaseModel):
    """A request: what is not known is refused, so that a slip of the pen is noticed.

    Attributes:
        beside_pictures_bytes: as much of a body can be used, beside long strings.
    """

    model_config = ConfigDict(extra="forbid")
    beside_pictures_bytes: ClassVar[int] = FIELDS_BYTES


class RequestPicture(RequestModel):
    """A picture, and at most one of `f_px`, `fov_deg`, `intrinsics_px`: what took it.

    Without one, the focal length comes from EXIF, else from the calibrator that the server was
    started with, else a field of view of 60 degrees is assumed.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": EXAMPLE_URL, "fov_deg": 60}]}
    )
    url: str = Field(
        description="data:image/...;base64,... of a PNG, JPEG, WebP, AVIF, TIFF, BMP, PPM or GIF; "
        "addresses on the network are not fetched",
        # Told, not checked: what checks it has better words.
        json_schema_extra={"pattern": r"^data:image/[a-zA-Z0-9.+-]+;base64,"},
    )
    f_px: Number | None = Field(None, gt=0, description="focal length in pixels")
    fov_deg: Number | None = Field(None, gt=0, lt=180, description="horizontal field of view")
    intrinsics_px: tuple[Number, Number, Number, Number] | None = Field(
        None, description="fx, fy, cx, cy in pixels"
    )


class ImageRequest(RequestModel):
    """A request about one picture."""

    image: RequestPicture

    @property
    def pictures(self) -> list[RequestPicture]:
        """The one."""
        return [self.image]


class PairRequest(RequestModel):
    """A request about picture a and picture b."""

    image_a: RequestPicture
    image_b: RequestPicture

    @property
    def pictures(self) -> list[RequestPicture]:
        """Picture a, then picture b."""
        return [self.image_a, self.image_b]


WhichNumber = Annotated[
    Readout | None,
    Field(
        description="the number written (digits), or the mean or median of its digits' "
        "probabilities; null: median where the model gives probabilities, else digits"
    ),
]
Held = Annotated[bool, Field(description="let the model write only what can be read")]
Points = Annotated[
    list[XY],
    FailFast(),
    Field(min_length=1, max_length=MOST_POINTS, examples=[[[12.5, 20.5]]]),
]
Boxes = Annotated[list[Box], FailFast()]


class PictureRequest(ImageRequest):
    """What is in a picture file, for people who are about to ask about it."""

    preview_side_px: int = Field(
        0, ge=0, le=2048, description="longer side of a JPEG preview; 0 for none"
    )


class DepthRequest(ImageRequest):
    """How far some pixels are."""

    beside_pictures_bytes: ClassVar[int] = FIELDS_BYTES + MOST_POINTS * POINT_BYTES
    points_px: Points
    readout: WhichNumber = None
    grammar: Held = False


MapFormat = Literal["json", "npz", "png", "ply", "glb"]


class DepthMapRequest(ImageRequest):
    """How far everything is: one question a cell of a grid."""

    columns: int = Field(64, ge=1, le=1024, examples=[4])
    rows: int = Field(48, ge=1, le=1024, examples=[3])
    refine: bool = Field(
        False, description="ask every second cell, the others only where neighbours disagree"
    )
    format: MapFormat = Field(
        "json",
        description="json; npz; png (16 bit, z in mm); ply or glb (a coloured cloud in metres)",
    )
    stream: bool = Field(
        False,
        description="with json: lines of JSON, first {answered, of} as it goes on, at last "
        "{result} or {error}",
    )


class MeasureRequest(ImageRequest):
    """Metres between two points, and the size of regions; at least one of them.

    Two questions a pair, 64 a box.
    """

    beside_pictures_bytes: ClassVar[int] = (
        FIELDS_BYTES + MOST_POINTS * POINT_BYTES + MOST_BOXES * BOX_BYTES
    )
    pairs_px: Annotated[list[tuple[XY, XY]], FailFast()] = Field(
        [],
        max_length=MOST_PAIRS,
        description="from, to",
        examples=[[[[4.5, 20.5], [28.5, 20.5]]]],
    )
    boxes_px: Boxes = Field(
        [], max_length=MOST_BOXES, description="drawn tightly", examples=[[[4, 4, 28, 28]]]
    )
    readout: WhichNumber = None
    grammar: Held = False


class MatchRequest(PairRequest):
    """Where pixels of picture a appear in picture b."""

    beside_pictures_bytes: ClassVar[int] = FIELDS_BYTES + MOST_POINTS * POINT_BYTES
    points_px: Points
    readout: WhichNumber = None
    grammar: Held = False


class PoseRequest(PairRequest):
    """How the camera moved from picture a to picture b."""

    readout: WhichNumber = None
    grammar: Held = False
    check: bool = Field(
        False,
        description="also ask the motion back, and matches and distances to hold it against: "
        "about a hundred more questions",
    )


class ObjectsRequest(ImageRequest):
    """A question in words about regions of a picture."""

    beside_pictures_bytes: ClassVar[int] = FIELDS_BYTES + LONG_TEXT_BYTES + MOST_BOXES * BOX_BYTES
    question: str = Field(
        min_length=1,
        max_length=MOST_WORDS,
        description="{0}, {1}, ... stand for the boxes",
        examples=["How wide is {0}?"],
    )
    boxes_px: Boxes = Field([], max_length=MOST_BOXES, examples=[[[4, 4, 28, 28]]])
