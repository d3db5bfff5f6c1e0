"""What requests and answers look like: the published schema. Units stand in the names.

Pixels are those of the picture as displayed (after its EXIF rotation), from the top left corner,
the first pixel's centre at (0.5, 0.5). Camera axes: x right, y down, z forward; lengths in metres.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from vlm3.tasks.conversation import openai_messages

MOST_POINTS = 4096
MOST_CELLS = 32_768
MOST_BOXES = 64
MOST_PAIRS = MOST_POINTS // 2
MOST_WORDS = 4000

# Longer strings than this are pictures: a text of 4,000 characters has 48,000 bytes if a client
# writes every one of them as two escapes.
LONG_TEXT_BYTES = 65_536
# What JSON takes beside pictures: two of them that are shorter than that, and some fields; a point
# or a box, in lines of their own with indents, with all digits of a float64.
_FIELDS_BYTES = 2 * LONG_TEXT_BYTES + 16_384
_POINT_BYTES = 96
_BOX_BYTES = 256

# A picture of 32x32 px, so that the schema's examples can be tried as they stand.
EXAMPLE_URL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAi0lEQVR42mPs7ehh"
    "IBoYMJAMmBhoDEYtGAEWsDDwD2UfcPHR0gIuPlr6AGI6rSyAm04TC5BNp74FaKYzMDAwfZdg+C5BK9MRPqDcDq"
    "ymMzAwsMBZEDs4X0C563eew1S9HrcF3aFGRGU0KoYYvkimoh2jxTWBsloIKRVR0VDsyZS65o5G8qgFoxYgAQDK"
    "Rg97DSK4OgAAAABJRU5ErkJggg=="
)

Number = Annotated[float, Field(allow_inf_nan=False)]
XY = Annotated[tuple[Number, Number], Field(description="x, y in pixels")]
XYZ = tuple[float, float, float]
Box = Annotated[
    tuple[Number, Number, Number, Number], Field(description="x_min, y_min, x_max, y_max in pixels")
]


class Asked(BaseModel):
    """A request: what is not known is refused, so that a slip of the pen is noticed.

    Attributes:
        beside_pictures_bytes: as much of a body can be used, beside long strings.
    """

    model_config = ConfigDict(extra="forbid")
    beside_pictures_bytes: ClassVar[int] = _FIELDS_BYTES


class Picture(Asked):
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


class Camera(BaseModel):
    """The camera a picture was read with."""

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    width_px: int
    height_px: int
    fov_deg: float = Field(description="horizontal field of view")
    source: str = Field(
        description="given, exif, fov, calibrator or assumed: where the focal length is from"
    )


class Interval(BaseModel):
    """How sure the model was of a number, from the probabilities of its digits."""

    p10: float | None = Field(description="a tenth of the probability lies below")
    p50: float | None = Field(description="the median")
    p90: float | None = Field(description="a tenth lies above")


class Answered(BaseModel):
    """Fields of every response beside its answers."""

    model: str
    protocol: str = Field(description="the wording of the model's prompts")
    cameras: list[Camera] = Field(description="of the pictures, in the request's order")
    notes: list[str] = Field(description="what to know about these numbers, in sentences")


Readout = Literal["digits", "mean", "median"]
WhichNumber = Annotated[
    Readout | None,
    Field(
        description="the number written (digits), or the mean or median of its digits' "
        "probabilities; null: median where the model gives probabilities, else digits"
    ),
]
Held = Annotated[bool, Field(description="let the model write only what can be read")]


class PictureRequest(Asked):
    """What is in a picture file, for people who are about to ask about it."""

    image: Picture
    preview_side_px: int = Field(
        0, ge=0, le=2048, description="longer side of a JPEG preview; 0 for none"
    )


class PictureResponse(BaseModel):
    """How a picture is read."""

    camera: Camera
    preview_url: str | None = Field(description="data:image/jpeg;base64,... upright")
    notes: list[str]


class DepthRequest(Asked):
    """How far some pixels are."""

    beside_pictures_bytes: ClassVar[int] = _FIELDS_BYTES + MOST_POINTS * _POINT_BYTES
    image: Picture
    points_px: Annotated[list[XY], FailFast()] = Field(
        min_length=1, max_length=MOST_POINTS, examples=[[[12.5, 20.5]]]
    )
    readout: WhichNumber = None
    grammar: Held = False


class DepthPoint(BaseModel):
    """The answer for one pixel; null where the text could not be read."""

    xy_px: XY
    distance_m: float | None = Field(description="straight from the camera to the point")
    depth_z_m: float | None = Field(description="along the optical axis")
    xyz_m: XYZ | None = Field(description="the point in the camera's frame")
    interval_m: Interval | None = Field(description="of the distance")
    parsed: bool
    raw_text: str = Field(description="exactly what the model wrote")
    prompt: str = Field(description="the prompt, word for word")


class DepthResponse(Answered):
    """Distances, in the request's order."""

    points: list[DepthPoint]
    readout: Readout = Field(description="which number the distances are")


MapFormat = Literal["json", "npz", "png", "ply", "glb"]


class DepthMapRequest(Asked):
    """How far everything is: one question a cell of a grid."""

    image: Picture
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


class DepthMapResponse(Answered):
    """Distances at the centres of the cells, by rows; null where unread."""

    columns: int
    rows: int
    distance_m: list[list[float | None]]
    depth_z_m: list[list[float | None]]
    p10_m: list[list[float | None]] = Field(description="of the distance; null without odds")
    p90_m: list[list[float | None]]
    asked: list[list[bool]] = Field(description="false where filled in from neighbours")
    readout: Readout


class MeasureRequest(Asked):
    """Metres between two points, and the size of regions; at least one of them.

    Two questions a pair, 64 a box.
    """

    beside_pictures_bytes: ClassVar[int] = (
        _FIELDS_BYTES + MOST_POINTS * _POINT_BYTES + MOST_BOXES * _BOX_BYTES
    )
    image: Picture
    pairs_px: Annotated[list[tuple[XY, XY]], FailFast()] = Field(
        [],
        max_length=MOST_PAIRS,
        description="from, to",
        examples=[[[[4.5, 20.5], [28.5, 20.5]]]],
    )
    boxes_px: Annotated[list[Box], FailFast()] = Field(
        [], max_length=MOST_BOXES, description="drawn tightly", examples=[[[4, 4, 28, 28]]]
    )
    readout: WhichNumber = None
    grammar: Held = False


class Length(BaseModel):
    """A length in metres; null where an answer could not be read."""

    value_m: float | None = Field(description="between the points themselves")
    p10_m: float | None = Field(description="a tenth of the probability lies below")
    p90_m: float | None = Field(description="a tenth lies above; null without probabilities")


class MeasuredSpan(BaseModel):
    """The straight line between the points at two pixels."""

    xy_px: tuple[XY, XY]
    xyz_m: tuple[XYZ | None, XYZ | None] = Field(description="the points in the camera's frame")
    length: Length
    raw_text: tuple[str, str] = Field(description="exactly what the model wrote about each")
    prompt: tuple[str, str] = Field(description="the prompt, word for word")


class MeasuredRegion(BaseModel):
    """The size of what a box shows, between the middles of its edges."""

    box_xyxy_px: Box
    edges_xyz_m: tuple[XYZ | None, XYZ | None, XYZ | None, XYZ | None] = Field(
        description="the middles of its left, right, top and bottom edge in the camera's frame"
    )
    width: Length
    height: Length
    distance: Length = Field(description="of its surface from the camera, the median")
    points: int = Field(description="how many answers lie on the surface")
    asked: int = Field(description="how many points had a question")


class MeasureResponse(Answered):
    """Lengths, in the request's order.

    The intervals take the two ends of a length as independent. An error that all distances of a
    picture share, such as that of a guessed focal length, is not in them.
    """

    spans: list[MeasuredSpan]
    regions: list[MeasuredRegion]
    readout: Readout = Field(description="which number the distances are")


class MatchRequest(Asked):
    """Where pixels of picture a appear in picture b."""

    beside_pictures_bytes: ClassVar[int] = _FIELDS_BYTES + MOST_POINTS * _POINT_BYTES
    image_a: Picture
    image_b: Picture
    points_px: Annotated[list[XY], FailFast()] = Field(
        min_length=1, max_length=MOST_POINTS, examples=[[[12.5, 20.5]]]
    )
    readout: WhichNumber = None
    grammar: Held = False


class MatchPoint(BaseModel):
    """The answer for one pixel of picture a."""

    xy_a_px: XY
    xy_b_px: XY | None
    interval_x_px: Interval | None
    interval_y_px: Interval | None = Field(description="given x")
    parsed: bool
    raw_text: str
    prompt: str


class MatchResponse(Answered):
    """Matches, in the request's order."""

    matches: list[MatchPoint]
    readout: Readout = Field(description="which number the matches are")


class PoseRequest(Asked):
    """How the camera moved from picture a to picture b."""

    image_a: Picture
    image_b: Picture
    readout: WhichNumber = None
    grammar: Held = False
    check: bool = Field(
        False,
        description="also ask the motion back, and matches and distances to hold it against: "
        "about a hundred more questions",
    )


class PosePart(BaseModel):
    """One of the questions that the motion is put together from."""

    component: str
    intervals: list[Interval] | None = Field(description="of its numbers, in their unit")
    parsed: bool
    raw_text: str
    prompt: str


class MotionChecked(BaseModel):
    """A motion held against other answers of the same model."""

    confidence: float = Field(description="0 to 1, the higher the likelier right; a rank")
    verdict: str = Field(description="the confidence in words")
    matches: int
    agree: float = Field(description="share of the matches that lie where the motion puts them")
    agree_still: float = Field(
        description="share of the matches where a still camera would put them"
    )
    back_rotation_deg: float | None = Field(
        description="angle between the motion and the inverse of the answer from b to a"
    )
    back_direction_deg: float | None


class PoseResponse(Answered):
    """Camera b in the frame of camera a; null where unread."""

    yaw_pitch_roll_deg: tuple[float, float, float] | None = Field(
        description="turns right, looks up, banks right"
    )
    direction: tuple[float, float, float] | None = Field(description="unit vector from a to b")
    direction_words: str | None
    distance_m: float | None
    cam1_from_cam2: list[list[float]] | None = Field(description="4x4, where all three were read")
    parts: list[PosePart]
    readout: Readout = Field(description="which numbers these are")
    direction_cone_deg: float | None = Field(
        description="half the opening of the cone about the direction in which 80 % of the true "
        "directions lay, where that was measured (nano); null without probabilities"
    )
    check: MotionChecked | None = Field(description="null unless requested and possible")


class ObjectsRequest(Asked):
    """A question in words about regions of a picture."""

    beside_pictures_bytes: ClassVar[int] = _FIELDS_BYTES + LONG_TEXT_BYTES + MOST_BOXES * _BOX_BYTES
    image: Picture
    question: str = Field(
        min_length=1,
        max_length=MOST_WORDS,
        description="{0}, {1}, ... stand for the boxes",
        examples=["How wide is {0}?"],
    )
    boxes_px: Annotated[list[Box], FailFast()] = Field(
        [], max_length=MOST_BOXES, examples=[[[4, 4, 28, 28]]]
    )


class ObjectsResponse(Answered):
    """The text, and the value in it where there is one."""

    text: str
    value_m: float | None
    clock_hour: int | None
    yes: bool | None
    region: int | None = Field(description="index, from 0, of the box that was chosen")
    parsed: bool
    raw_text: str
    prompt: str


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str = Field(description="what came, what is allowed, what to do")
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """Every error, in the shape that OpenAI's clients read."""

    error: ErrorDetail


class ImageUrl(BaseModel):
    """A picture of a chat message."""

    url: str = Field(description="data:image/...;base64,...")
    detail: str | None = Field(None, description="has no effect")


class ImagePart(BaseModel):
    """A picture. Pictures stand before the words, wherever they came."""

    type: Literal["image_url"]
    image_url: ImageUrl


class TextPart(BaseModel):
    """Words."""

    type: Literal["text"]
    text: str = Field(max_length=MOST_WORDS)


Part = Annotated[ImagePart | TextPart, Field(discriminator="type")]


class Message(BaseModel):
    """The one message of a chat: pictures and a question."""

    role: str = Field(description="user")
    content: (
        Annotated[str, Field(max_length=MOST_WORDS)] | Annotated[list[Part], Field(max_length=16)]
    )


class StreamOptions(BaseModel):
    """Of a streamed answer."""

    include_usage: bool = False


_EXAMPLE_MESSAGES = openai_messages([EXAMPLE_URL], "How far is the middle of the picture?")


class ChatRequest(BaseModel):
    """OpenAI's chat completion, as far as a greedy model with pictures has it.

    What would change the answer and is not there (tools, n, a temperature, ...) is refused; what
    would not is ignored. The log-probabilities listed are those of digits, signs, the point and
    what ends a number, of which there are fewer than twenty.
    """

    model_config = ConfigDict(extra="allow")
    beside_pictures_bytes: ClassVar[int] = _FIELDS_BYTES + 2 * LONG_TEXT_BYTES
    model: str = Field(description="as /v1/models names it")
    messages: Annotated[list[Message], FailFast()] = Field(
        min_length=1, max_length=64, examples=[_EXAMPLE_MESSAGES]
    )
    max_tokens: int | None = Field(None, ge=1, le=4096)
    max_completion_tokens: int | None = Field(None, ge=1, le=4096)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
