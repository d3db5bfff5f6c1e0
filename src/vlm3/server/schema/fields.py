"""What requests and answers share: limits, numbers, pixels, and the readout."""

from typing import Annotated, Literal

from pydantic import Field

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
FIELDS_BYTES = 2 * LONG_TEXT_BYTES + 16_384
POINT_BYTES = 96
BOX_BYTES = 256

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

Readout = Literal["digits", "mean", "median"]
"""Which number of an answer is given."""
