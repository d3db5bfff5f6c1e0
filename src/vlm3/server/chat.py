"""OpenAI's chat completion over the same engine: pictures and a question in, a text out.

Knows no task: the words are the client's, and so is the size of the picture as long as it fits the
model's grid.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from vlm3 import strict_json
from vlm3.errors import InputError
from vlm3.infer.engines.base import RecordingEngine, Reply, Scene
from vlm3.infer.predictor import Predictor
from vlm3.server.bodies import BodyRoute
from vlm3.server.limits import RefusedError
from vlm3.server.schema.chat import ChatRequest, ImagePart, TextPart
from vlm3.server.schema.requests import RequestPicture
from vlm3.server.service import Service
from vlm3.server.uploads import fitted
from vlm3.tasks.reading import CUT_OFF
from vlm3.view import View

_MAX_NEW_TOKENS = 256
_NOT_LISTED = -9999.0
"""OpenAI's log-probability of a token that is not among those listed."""
# What would change an answer and is not there, with the values that ask for nothing.
_NOTHING: dict[str, tuple[Any, ...]] = {
    "temperature": (None, 0, 0.0),
    "n": (None, 1),
    "best_of": (None, 1),
    "stop": (None, [], ""),
    "tools": (None, []),
    "functions": (None, []),
    "response_format": (None, {"type": "text"}),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0, 0.0),
    "presence_penalty": (None, 0, 0.0),
    "modalities": (None, ["text"]),
    "audio": (None,),
}

CountTokens = Callable[[Scene, str], int]


def chat_routes(service: Service, count: CountTokens | None, **common: Any) -> APIRouter:
    """`/v1/models` and `/v1/chat/completions`.

    Args:
        service: what answers.
        count: tokens of a prompt; without it usage says 0.
        common: of every route, such as what errors look like.
    """
    router = APIRouter(tags=["OpenAI"], route_class=BodyRoute)
    began = int(time.time())
    card = {
        "id": service.broker.name,
        "object": "model",
        "created": began,
        "owned_by": "vlm3",
        "vlm3": how_to_ask(service.predictor),
    }

    @router.get("/v1/models", **common)
    async def models() -> dict[str, Any]:
        """The one model this server has."""
        return {"object": "list", "data": [card]}

    @router.get("/v1/models/{name:path}", **common)
    async def model(name: str) -> dict[str, Any]:
        """That model, if it is the one."""
        _require(name, service)
        return card

    @router.post("/v1/chat/completions", response_model=None, **common)
    async def chat(request: Request, body: ChatRequest) -> Response:
        """A question about pictures, as OpenAI's clients ask it; always the likeliest answer."""
        _require(body.model, service)
        pictures, question = _read(body)
        limit = body.max_completion_tokens or body.max_tokens or _MAX_NEW_TOKENS
        reply, tokens = await service.answer(
            request,
            pictures,
            lambda predictor, views: _replied(predictor, views, question, limit, count),
        )
        # In OpenAI's form the reason stands beside the text.
        text = reply.text.removesuffix(CUT_OFF)
        reason = "stop" if text == reply.text else "length"
        answer = _Answer(service.broker.name, text, reason, tokens, len(reply.pieces))
        if body.logprobs:
            answer.listed = _listed(reply, body.top_logprobs or 0)
        if body.stream:
            usage = body.stream_options is not None and body.stream_options.include_usage
            return StreamingResponse(answer.events(usage), media_type="text/event-stream")
        return JSONResponse(answer.whole())

    return router


def _replied(
    predictor: Predictor, views: list[View], question: str, limit: int, count: CountTokens | None
) -> tuple[Reply, int]:
    """The answer to a question about pictures, and the tokens of its prompt."""
    images = [
        fitted(view, multiple_px=predictor.multiple_px, max_tokens=predictor.max_tokens)
        for view in views
    ]
    engine = predictor.engine
    scene = engine.open(images)
    tokens = count(scene, question) if count else 0
    if isinstance(engine, RecordingEngine):
        (reply,) = engine.reply(scene, [question], max_new_tokens=limit)
    else:
        reply = Reply(engine.ask(scene, [question], max_new_tokens=limit)[0])
    return reply, tokens


def how_to_ask(predictor: Predictor) -> dict[str, Any]:
    """What a client needs in order to ask as this server does; see `vlm3.infer.engines.served`."""
    prep = predictor.protocol.prep
    return {
        "protocol": predictor.protocol.name,
        "f_px": None if prep.kind == "long_side" else prep.target_px,
        "long_side_px": round(prep.target_px) if prep.kind == "long_side" else None,
        "max_tokens": predictor.max_tokens,
        "multiple_px": predictor.multiple_px,
        "fewest_px2": prep.limits.fewest_px2 if prep.limits else None,
        "most_px2": prep.limits.most_px2 if prep.limits else None,
        "weights": getattr(predictor.engine, "weights", None),
    }


class _Answer:
    """One answer, whole or as a stream of one piece: answers here are a few tokens long."""

    def __init__(self, model: str, text: str, reason: str, read: int, written: int) -> None:
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }
        self._text, self._reason = text, reason
        self.listed: list[dict[str, Any]] | None = None
        self._usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }

    def whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self._text, "refusal": None}
        listed = None if self.listed is None else {"content": self.listed, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": self._reason, "logprobs": listed}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self._usage,
        }

    def events(self, usage: bool) -> Iterator[str]:
        said = {"role": "assistant", "content": self._text}
        for delta, reason in ((said, None), ({}, self._reason)):
            yield self._event([{"index": 0, "delta": delta, "finish_reason": reason}])
        if usage:
            yield self._event([], usage=self._usage)
        yield "data: [DONE]\n\n"

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices, **more}
        return f"data: {strict_json.dumps(chunk)}\n\n"


def _listed(reply: Reply, top: int) -> list[dict[str, Any]]:
    """Every token of an answer, with the likeliest of what numbers are written with in its place.

    Raises:
        InputError: the engine records no probabilities.
    """
    if reply.logp is None:
        raise InputError("logprobs is true, but this server's engine has none: leave it out")

    def one(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

    found = []
    for piece, logp in zip(reply.pieces, reply.logp.tolist(), strict=True):
        known = dict(zip(reply.symbols, logp, strict=True))
        ranked = sorted(known, key=known.__getitem__, reverse=True)[:top]
        others = [one(token, known[token]) for token in ranked if isfinite(known[token])]
        found.append(one(piece, known.get(piece, _NOT_LISTED)) | {"top_logprobs": others})
    return found


def _require(name: str, service: Service) -> None:
    if name != service.broker.name:
        raise RefusedError(
            404,
            f"there is no model {name[:200]!r} here, only {service.broker.name!r}: ask for that",
            code="model_not_found",
        )


def _read(body: ChatRequest) -> tuple[list[RequestPicture], str]:
    """The pictures and the words.

    Raises:
        InputError: what is not there would change the answer.
    """
    for name, value in (body.model_extra or {}).items():
        if name in _NOTHING and value not in _NOTHING[name]:
            why = "answers are always the likeliest" if name == "temperature" else "it is not there"
            raise InputError(f"{name} is {str(value)[:60]!r}, but {why}: leave it out")
    if len(body.messages) != 1 or body.messages[0].role != "user":
        roles = ", ".join(message.role[:20] for message in body.messages[:8])
        raise InputError(
            f"the messages are of {roles}; send one message of the user: each question stands "
            "alone, as the model was trained"
        )
    if body.stream and body.logprobs:
        raise InputError("logprobs of a stream are not there: leave out logprobs, or stream")
    content = body.messages[0].content
    if isinstance(content, str):
        return [], _words([content])
    pictures = [
        RequestPicture.model_construct(
            url=part.image_url.url, f_px=None, fov_deg=None, intrinsics_px=None
        )
        for part in content
        if isinstance(part, ImagePart)
    ]
    if len(pictures) > 2:
        raise InputError(f"{len(pictures)} pictures came; at most two are read")
    return pictures, _words([part.text for part in content if isinstance(part, TextPart)])


def _words(texts: list[str]) -> str:
    words = "\n".join(texts)
    if not words.strip():
        raise InputError("the message has no words; add a part of type text with the question")
    return words
