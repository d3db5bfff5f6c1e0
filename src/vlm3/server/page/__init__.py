"""The web app's files, and the routes that give them out.

One page of plain HTML, CSS and JavaScript modules, written by hand: no build step, no framework,
nothing from any other server. It is a client of the public routes and of nothing else.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import FileResponse, JSONResponse, Response

from vlm3.assets import EXAMPLES_DIR
from vlm3.infer.predictor import Predictor
from vlm3.server.limits import RefusedError
from vlm3.server.page.folder import folder_routes
from vlm3.server.schema.fields import MOST_BOXES, MOST_CELLS, MOST_POINTS

_HERE = Path(__file__).parent
_FILES = {
    "style.css": "text/css",
    **{
        f"{name}.js": "text/javascript"
        for name in ("main", "api", "stage", "space", "words", "files", "folder")
    },
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes(predictor: Predictor, pictures: Sequence[Path] = ()) -> APIRouter:
    """The page, what it is made of, the packaged examples, and pictures to choose from.

    Args:
        predictor: what answers.
        pictures: files that are offered on the page.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index() -> Response:
        return FileResponse(_HERE / "index.html", media_type="text/html", headers=_HEADERS)

    @router.get("/page/about.json")
    async def about() -> Response:
        return JSONResponse(_about(predictor) | {"pictures": len(pictures)}, headers=_HEADERS)

    @router.get("/page/{name}")
    async def file(name: str) -> Response:
        if name in _FILES:
            return FileResponse(_HERE / name, media_type=_FILES[name], headers=_HEADERS)
        if name in ("lounge_1.jpg", "lounge_2.jpg"):
            return FileResponse(EXAMPLES_DIR / name, headers=_HEADERS)
        raise RefusedError(404, f"the page has no file {name[:80]!r}", code="no_route")

    router.include_router(folder_routes(pictures))
    return router


def _about(predictor: Predictor) -> dict[str, Any]:
    """What the page must know before the first question."""
    example = json.loads((EXAMPLES_DIR / "example.json").read_text(encoding="utf-8"))
    return {
        "model": predictor.engine.name,
        "protocol": predictor.protocol.name,
        "tasks": sorted(predictor.protocol.tasks),
        "limits": {"points": MOST_POINTS, "cells": MOST_CELLS, "boxes": MOST_BOXES},
        "example": {
            "files": [view["file"] for view in example["views"]],
            "cameras": [view["camera"] for view in example["views"]],
            "cam1_from_cam2": example["cam1_from_cam2"],
            "points": example["points"],
            "matches": example["matches"],
            "objects": example["objects"],
            "credit": example["source"]["repository"] + ", MIT",
        },
    }
