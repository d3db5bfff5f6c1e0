"""Answers of the 3D routes, and what errors look like. Null stands where a text was not read."""

from pydantic import BaseModel, Field

from vlm3.server.schema.fields import XY, XYZ, Box, Readout


class CameraResult(BaseModel):
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


class IntervalResult(BaseModel):
    """How sure the model was of a number, from the probabilities of its digits."""

    p10: float | None = Field(description="a tenth of the probability lies below")
    p50: float | None = Field(description="the median")
    p90: float | None = Field(description="a tenth lies above")


class ResponseModel(BaseModel):
    """Fields of every response beside its answers."""

    model: str
    protocol: str = Field(description="the wording of the model's prompts")
    cameras: list[CameraResult] = Field(description="of the pictures, in the request's order")
    notes: list[str] = Field(description="what to know about these numbers, in sentences")


class PictureResponse(BaseModel):
    """How a picture is read."""

    camera: CameraResult
    preview_url: str | None = Field(description="data:image/jpeg;base64,... upright")
    notes: list[str]


class DepthPoint(BaseModel):
    """The answer for one pixel; null where the text could not be read."""

    xy_px: XY
    distance_m: float | None = Field(description="straight from the camera to the point")
    depth_z_m: float | None = Field(description="along the optical axis")
    xyz_m: XYZ | None = Field(description="the point in the camera's frame")
    interval_m: IntervalResult | None = Field(description="of the distance")
    parsed: bool
    raw_text: str = Field(description="exactly what the model wrote")
    prompt: str = Field(description="the prompt, word for word")


class DepthResponse(ResponseModel):
    """Distances, in the request's order."""

    points: list[DepthPoint]
    readout: Readout = Field(description="which number the distances are")


class DepthMapResponse(ResponseModel):
    """Distances at the centres of the cells, by rows; null where unread."""

    columns: int
    rows: int
    distance_m: list[list[float | None]]
    depth_z_m: list[list[float | None]]
    p10_m: list[list[float | None]] = Field(description="of the distance; null without odds")
    p90_m: list[list[float | None]]
    asked: list[list[bool]] = Field(description="false where filled in from neighbours")
    readout: Readout


class LengthResult(BaseModel):
    """A length in metres; null where an answer could not be read."""

    value_m: float | None = Field(description="between the points themselves")
    p10_m: float | None = Field(description="a tenth of the probability lies below")
    p90_m: float | None = Field(description="a tenth lies above; null without probabilities")


class SpanResult(BaseModel):
    """The straight line between the points at two pixels."""

    xy_px: tuple[XY, XY]
    xyz_m: tuple[XYZ | None, XYZ | None] = Field(description="the points in the camera's frame")
    length: LengthResult
    raw_text: tuple[str, str] = Field(description="exactly what the model wrote about each")
    prompt: tuple[str, str] = Field(description="the prompt, word for word")


class RegionResult(BaseModel):
    """The size of what a box shows, between the middles of its edges."""

    box_xyxy_px: Box
    edges_xyz_m: tuple[XYZ | None, XYZ | None, XYZ | None, XYZ | None] = Field(
        description="the middles of its left, right, top and bottom edge in the camera's frame"
    )
    width: LengthResult
    height: LengthResult
    distance: LengthResult = Field(description="of its surface from the camera, the median")
    points: int = Field(description="how many answers lie on the surface")
    asked: int = Field(description="how many points had a question")


class MeasureResponse(ResponseModel):
    """Lengths, in the request's order.

    The intervals take the two ends of a length as independent. An error that all distances of a
    picture share, such as that of a guessed focal length, is not in them.
    """

    spans: list[SpanResult]
    regions: list[RegionResult]
    readout: Readout = Field(description="which number the distances are")


class MatchPoint(BaseModel):
    """The answer for one pixel of picture a."""

    xy_a_px: XY
    xy_b_px: XY | None
    interval_x_px: IntervalResult | None
    interval_y_px: IntervalResult | None = Field(description="given x")
    parsed: bool
    raw_text: str
    prompt: str


class MatchResponse(ResponseModel):
    """Matches, in the request's order."""

    matches: list[MatchPoint]
    readout: Readout = Field(description="which number the matches are")


class PosePart(BaseModel):
    """One of the questions that the motion is put together from."""

    component: str
    intervals: list[IntervalResult] | None = Field(description="of its numbers, in their unit")
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


class PoseResponse(ResponseModel):
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


class ObjectsResponse(ResponseModel):
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
