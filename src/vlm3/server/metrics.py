"""What a server did, as Prometheus reads it. Knows no route."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from vlm3.server.broker import Broker, Turn
from vlm3.server.limits import Budget

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_QUESTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of one server; several in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "vlm3_requests",
            "Requests by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "vlm3_request_seconds",
            "From a request's arrival to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._questions = Counter(
            "vlm3_questions", "Questions put to the model.", registry=self._registry
        )
        self._model_seconds = Counter(
            "vlm3_model_seconds", "Time the model was at work.", registry=self._registry
        )
        self._turn = Histogram(
            "vlm3_turn_questions",
            "Questions in one call of the engine.",
            buckets=_QUESTIONS,
            registry=self._registry,
        )
        self._turn_requests = Counter(
            "vlm3_turn_requests", "Requests that had a part in a turn.", registry=self._registry
        )
        ProcessCollector(registry=self._registry)

    def turn(self, turn: Turn) -> None:
        """Counts one call of the engine."""
        self._questions.inc(turn.questions)
        self._model_seconds.inc(turn.seconds)
        self._turn.observe(turn.questions)
        self._turn_requests.inc(turn.requests)

    def watch(self, broker: Broker, requests: Budget, pictures: Budget) -> None:
        """Shows what waits and what is held."""
        self._gauge("vlm3_questions_waiting", "Not answered yet.", lambda: broker.waiting)
        self._gauge("vlm3_answers_from_memory", "Answered from memory.", lambda: broker.from_memory)
        self._gauge("vlm3_requests_now", "Under way or waiting.", lambda: requests.held)
        self._gauge("vlm3_pixels_held", "Of pictures in use.", lambda: pictures.held)

    def _gauge(self, name: str, words: str, value: Callable[[], float]) -> None:
        Gauge(name, words, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
