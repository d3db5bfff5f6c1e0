"""What requests and answers look like: the published schema. Units stand in the names.

Pixels are those of the picture as displayed (after its EXIF rotation), from the top left corner,
the first pixel's centre at (0.5, 0.5). Camera axes: x right, y down, z forward; lengths in metres.
"""
