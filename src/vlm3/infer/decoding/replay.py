"""Steps of fixed shape by one launch: recorded once, replayed from then on (CUDA graphs).

A step of a text model is many small kernels, whose launches cost more than they do. A step that
reads and writes the same memory each time can be recorded. The first step of a shape is plain, the
second is recorded as well, and the recording is held against it before it is used. Knows no model.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Protocol

import torch

_MOST_RECORDINGS = 64
# Between the best logits of a replayed and a plain step, relative to the largest.
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.03}

_log = logging.getLogger(__name__)

Step = Callable[[], None]
Recorder = Callable[[Step], Step]
"""Records what a step does without doing it, and returns what does it again."""


class Memory(Protocol):
    """What steps read and write."""

    @property
    def version(self) -> int:
        """Changes when anything of it moves: recordings made before are void."""

    @property
    def dtype(self) -> torch.dtype:
        """That steps compute in."""

    def changing(self) -> tuple[torch.Tensor, ...]:
        """What a step both reads and writes; with this as it was, a step does the same again."""

    def outcome(self) -> torch.Tensor:
        """What a step came to, in numbers that can be compared."""


class CudaGraphs:
    """Records steps on a GPU, all in one pool of memory: a replay overwrites what others left.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = None
        self._stream: Any = None

    def __call__(self, step: Step) -> Step:
        """Records a step.

        Raises:
            RuntimeError: it cannot be recorded.
        """
        with torch.cuda.device(self._device):
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
                self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            graph = torch.cuda.CUDAGraph()
            current = torch.cuda.current_stream()
            # Other threads may use the GPU meanwhile.
            how = {"pool": self._pool, "capture_error_mode": "thread_local"}
            try:
                with torch.cuda.graph(graph, stream=self._stream, **how):
                    step()
            finally:
                # A recording that fails leaves its own stream the current one.
                torch.cuda.set_stream(current)
        replay: Step = graph.replay
        return replay


class Replays:
    """Runs steps, by one launch where their shape has been recorded.

    Args:
        memory: that the steps read and write.
        record: records them.
    """

    def __init__(self, memory: Memory, record: Recorder) -> None:
        self._memory = memory
        self._record: Recorder | None = record
        self._version = memory.version
        # With each recording the step it was made of, which holds what the recording reads.
        self._recorded: OrderedDict[Hashable, tuple[Step, Step] | None] = OrderedDict()

    def run(self, shape: Hashable, step: Step) -> None:
        """Runs a step; `shape` names what it does, the memory apart."""
        if self._record is None:
            step()
            return
        if self._version != self._memory.version:
            self._recorded.clear()
            self._version = self._memory.version
        if shape not in self._recorded:
            # It also sets up what libraries set up once, which cannot be recorded.
            self._recorded[shape] = None
            step()
            return
        recorded = self._recorded[shape]
        self._recorded.move_to_end(shape)
        if recorded is not None:
            replay, _ = recorded
            replay()
            return
        checked = self._checked(step, self._record)
        if checked is not None:
            self._recorded[shape] = checked, step
        while len(self._recorded) > _MOST_RECORDINGS:
            self._recorded.popitem(last=False)

    def _checked(self, step: Step, record: Recorder) -> Step | None:
        """Runs the step and records it; None where the recording cannot be used."""
        before = [one.clone() for one in self._memory.changing()]
        step()
        expected = self._memory.outcome().clone()
        try:
            replay = record(step)
            self._put(before)
            # A recording that does nothing must not pass for the step before it.
            self._memory.outcome().fill_(float("nan"))
            replay()
            found = self._memory.outcome()
            worst = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6))
            if worst <= _TOLERANCE[self._memory.dtype]:
                return replay
            reason = f"a replayed step differs from a plain one by {worst:.2g} of the largest logit"
        except RuntimeError as error:
            # Drivers, recording and memory fail in their own ways; plain steps go on.
            reason = (str(error).strip().splitlines() or ["no reason given"])[0][:200]
        self._record = None
        self._recorded.clear()
        # Whatever a recording did is done again.
        self._put(before)
        step()
        _log.warning("answers are decoded without CUDA graphs from here on: %s", reason)
        return None

    def _put(self, values: list[torch.Tensor]) -> None:
        for one, value in zip(self._memory.changing(), values, strict=True):
            one.copy_(value)
