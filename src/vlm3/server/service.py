"""One request's way through the server: pictures, a seat in line, an answer, or an error.

Ends what it began when the client goes or the time is up. Knows no route.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from vlm3.infer.predictor import Predictor
from vlm3.server.broker import Broker
from vlm3.server.jobs import Ticket
from vlm3.server.limits import Budget, Limits, RefusedError
from vlm3.server.metrics import Metrics
from vlm3.server.schema.requests import RequestPicture
from vlm3.server.uploads import Calibrate, Uploads
from vlm3.view import View

T = TypeVar("T")
Work = Callable[[Predictor, list[View]], T]


class Service:
    """What all routes share.

    Args:
        predictor: what answers; its engine is used by one thread from now on.
        limits: how much is taken on.
        metrics: where it is counted.
        calibrate: the camera of pictures that come without one.
    """

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits,
        metrics: Metrics,
        calibrate: Calibrate | None = None,
    ) -> None:
        self.predictor, self.limits, self.metrics = predictor, limits, metrics
        self.uploads = Uploads(limits, calibrate)
        self.requests = Budget(limits.requests, f"{limits.requests} requests are under way")
        self.broker = Broker(predictor.engine, limits, metrics.turn)
        # Every request under way waits in a thread of its own.
        self._pool = ThreadPoolExecutor(limits.requests, thread_name_prefix="request")
        metrics.watch(self.broker, self.requests, self.uploads.budget)

    def close(self) -> None:
        """Refuses what waits and ends the threads."""
        self.broker.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def answer(
        self,
        request: Request,
        pictures: Sequence[RequestPicture],
        work: Work[T],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> T:
        """What `work` makes of the pictures, in a thread; ends early when the client goes.

        Raises:
            InputError: the client's mistake.
            RefusedError: too much to do, or no time left.
        """
        ticket = Ticket(self.limits.timeout_s, progress)

        def run() -> T:
            with self.uploads.open(pictures, ticket) as views:
                seated = replace(self.predictor, engine=self.broker.seat(ticket), naive=None)
                return work(seated, views)

        loop = asyncio.get_running_loop()
        answer = loop.run_in_executor(self._pool, run)
        gone = asyncio.ensure_future(_until_gone(request))
        try:
            both: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(both, timeout=self.limits.timeout_s, return_when="FIRST_COMPLETED")
            if not answer.done():
                ticket.end()
                # The thread notices at once, unless it is decoding a picture.
                await asyncio.wait({answer}, timeout=1)
            if not answer.done():
                raise RefusedError(504, "the time for this request is up", code="timeout")
            return await answer
        finally:
            ticket.end()
            gone.cancel()
            # Where nobody waits any more, what comes of it is looked at all the same: asyncio logs
            # a trace-back of what is not.
            answer.add_done_callback(lambda late: late.cancelled() or late.exception())


async def _until_gone(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def rendered(answer: BaseModel) -> Response:
    """The answer as bytes: made by the thread that worked it out, not by the event loop."""
    return Response(answer.model_dump_json(), media_type="application/json")
