"""A folder of pictures to choose from on the page. Shows these files and no others.

The routes begin with /v1/, so that they are behind the server's key, as every request is.
"""

import io
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter
from PIL import Image
from starlette.responses import FileResponse, JSONResponse, Response

from vlm3.pictures import read_picture
from vlm3.server.limits import RefusedError

_SMALL_PX = 320
_KEPT = 512
_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
# One at a time: a large picture takes gigabytes for a moment.
_decoding = threading.Lock()


def folder_routes(pictures: Sequence[Path]) -> APIRouter:
    """`/v1/page/pictures`, and under it each by its place: `0`, and `0/small`.

    Args:
        pictures: the files.
    """
    router = APIRouter(include_in_schema=False)

    def found(place: int) -> Path:
        if not 0 <= place < len(pictures) or not pictures[place].is_file():
            raise RefusedError(
                404, f"there is no picture {place} in the folder any more", code="no_route"
            )
        return pictures[place]

    @router.get("/v1/page/pictures")
    def names() -> Response:
        return JSONResponse([path.name for path in pictures], headers=_HEADERS)

    @router.get("/v1/page/pictures/{place}")
    def whole(place: int) -> Response:
        return FileResponse(found(place), media_type="application/octet-stream", headers=_HEADERS)

    @router.get("/v1/page/pictures/{place}/small")
    def small(place: int) -> Response:
        path = found(place)
        return Response(_small(path, path.stat().st_mtime_ns), 200, _HEADERS, "image/jpeg")

    return router


@lru_cache(_KEPT)
def _small(path: Path, changed_ns: int) -> bytes:
    """A JPEG of the picture, upright.

    Raises:
        InputError: it cannot be read.
    """
    with _decoding:
        image = Image.fromarray(read_picture(path).image)
    image.thumbnail((_SMALL_PX, _SMALL_PX), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
