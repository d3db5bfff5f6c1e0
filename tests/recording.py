"""A stand-in for CUDA graphs on a CPU: what a graph would do, and what it could not.

Operations are noted with the very tensors that they read and wrote, and repeated into the same
memory without running any Python of the step again: a number that was read on the host stays what
it was. Reading one while recording, or reading memory that nobody keeps, fails as it should.
"""

from collections.abc import Callable, Iterable
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from vlm3.infer.engines.local import LocalEngine

_WAITS = {"_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "is_nonzero"}


def _tensors(values: Any) -> list[torch.Tensor]:
    return [one for one in tree_leaves(values) if isinstance(one, torch.Tensor)]


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class _Noting(TorchDispatchMode):
    def __init__(self, kept: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self._known = {_place(one) for one in kept}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket._qualified_op_name.split("::")[-1]
        assert name not in _WAITS, f"{name} waits for the device, which cannot be recorded"
        for one in _tensors((args, kwargs)):
            assert _place(one) in self._known or not one.numel(), f"{name} reads what nobody keeps"
        out = func(*args, **kwargs)
        self._known |= {_place(one) for one in _tensors(out)}
        self.calls.append((func, args, kwargs, out))
        return out


class Recorder:
    """Records steps as `vlm3.infer.decoding.replay.Recorder` does.

    Args:
        kept: what a step may read beside what it makes itself.

    Attributes:
        recorded: how many steps.
        replayed: how often one of them was repeated.
    """

    def __init__(self, kept: Callable[[], Iterable[torch.Tensor]]) -> None:
        self._kept = kept
        self.recorded, self.replayed = 0, 0

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        with _Noting(self._kept()) as noting:
            step()
        return lambda: self._again(noting.calls)

    def _again(self, calls: list[tuple[Any, Any, Any, Any]]) -> None:
        self.replayed += 1
        # A graph is one launch, whatever is in it.
        with _disable_current_modes(), torch.inference_mode():
            for func, args, kwargs, out in calls:
                places = {_place(one) for one in _tensors((args, kwargs))}
                news = func(*args, **kwargs)
                for old, new in zip(_tensors(out), _tensors(news), strict=True):
                    if _place(old) not in places:
                        old.copy_(new)


class FakeCuda:
    """`torch.cuda.CUDAGraph`, `torch.cuda.graph` and what belongs to them.

    As there, the stream of a recording stays the current one when the recording fails.

    Args:
        kept: see `Recorder`.
    """

    def __init__(self, kept: Callable[[], Iterable[torch.Tensor]]) -> None:
        self._recorder = Recorder(kept)
        self.pools: list[Any] = []
        self.stream = "the usual"

    @property
    def replayed(self) -> int:
        return self._recorder.replayed

    def patch(self, monkeypatch: Any) -> None:
        """Puts itself in the place of `torch.cuda`'s functions."""
        for name in ("graph_pool_handle", "CUDAGraph", "graph", "Stream", "set_stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.stream)
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())

    def graph_pool_handle(self) -> object:
        return object()

    def Stream(self) -> str:  # noqa: N802
        return "its own"

    def set_stream(self, stream: str) -> None:
        self.stream = stream

    class Graph:
        replay: Callable[[], None]

    def CUDAGraph(self) -> "FakeCuda.Graph":  # noqa: N802
        return self.Graph()

    @contextmanager
    def graph(
        self, graph: "FakeCuda.Graph", *, pool: Any, stream: str, capture_error_mode: str
    ) -> Any:
        self.pools.append(pool)
        assert capture_error_mode == "thread_local"
        self.stream = stream
        with _Noting(self._recorder._kept()) as noting:
            yield
        graph.replay = lambda: self._recorder._again(noting.calls)


def memory_of(engine: LocalEngine) -> list[torch.Tensor]:
    """What the steps of an engine read and write, wherever it lies by now."""
    assert engine._decoder._fixed is not None
    return _tensors(list(vars(engine._decoder._fixed._memory).values()))


def kept_by(engine: LocalEngine) -> list[torch.Tensor]:
    """All that a recorded step of an engine may read."""
    decoder = engine._decoder
    model, head, table = decoder._model, decoder._head, decoder._vocabulary._table
    kept = [*model.parameters(), *model.buffers(), head._symbols, head._ends, *memory_of(engine)]
    return kept if table is None else [*kept, table]
