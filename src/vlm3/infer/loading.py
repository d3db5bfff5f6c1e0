"""Loads what answers: a checkpoint in this process, or a model behind a server or in vLLM."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from vlm3.errors import InputError
from vlm3.infer.predictor import MAX_TOKENS, Predictor
from vlm3.infer.resolve_protocol import resolve_protocol
from vlm3.tasks.protocol import get_protocol


def load(
    model: str | os.PathLike[str] = "nano",
    *,
    protocol: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    engine: Literal["fast", "naive"] = "fast",
    base_url: str | None = None,
    int8: bool = False,
    cache: bool = True,
) -> Predictor:
    """A predictor that runs a checkpoint in this process, or asks a server.

    Args:
        model: "nano" (in the package), a local folder, or a hub id such as "facebook/VLM3-depth";
            "openai:NAME" for a model behind an OpenAI-compatible server; "vllm:" before a folder or
            a hub id to run it in vLLM; "depthlm:" before a folder, a hub id or "openai:NAME" to ask
            a checkpoint of DepthLM with its red arrow.
        protocol: how to ask it, a name from `vlm3.tasks.protocol.PROTOCOLS`. Without one: what the
            checkpoint's `vlm3.json` says, else what its name says, else `paper`, with a warning.
        device: such as "cpu" or "cuda"; the GPU if there is one.
        dtype: of a local model's weights: "float32", "bfloat16" or "float16". Without it float32
            for models like nano, and for those below 2 GB on a CPU; else bfloat16.
        engine: "fast" encodes pictures once and asks in batches; "naive" reads them again for every
            question, gives the same texts, and is there to compare with.
        base_url: of the server's API, such as "http://localhost:8000/v1"; OpenAI's own when None.
            Its answers are kept on disk (VLM3_CACHE, ~/.cache/vlm3) and not requested again.
        int8: on a CPU, compute in whole numbers, which is faster and not the same; the model is
            run on a hundred questions or so both ways first, and refused when its answers change.
        cache: keep a server's answers on disk, and use those of earlier runs.

    Raises:
        InputError: an unknown protocol, device or engine; or int8 where it cannot be, or where it
            changes the model's answers.
        CheckpointError: the model cannot be found or loaded.
        MissingDependencyError: a CUDA torchvision beside a CPU torch, which breaks every model.

    Warns:
        ProtocolWarning: nothing says how the checkpoint was prompted in training.
    """
    # A wrong name should not take the seconds that importing torch takes.
    if protocol is not None:
        get_protocol(protocol)
    if engine not in ("fast", "naive"):
        raise InputError(f"no engine {engine!r}: give fast or naive")
    if int8 and engine != "fast":
        raise InputError("int8 is for the fast engine: leave engine out")
    found = _elsewhere(str(model), protocol, device, base_url, int8=int8, cache=cache)
    if found is not None:
        return found
    with _no_collection():
        return _in_process(os.fspath(model), protocol, device, dtype, engine, int8=int8)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Within, Python does not look for garbage.

    torch and transformers make half a million objects that stay; to look through them again and
    again while they come was a quarter of the processor time of a first answer.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _elsewhere(
    model: str,
    protocol: str | None,
    device: str | None,
    base_url: str | None,
    *,
    int8: bool,
    cache: bool,
) -> Predictor | None:
    """What a prefix of the model's name asks for; None for a checkpoint of this process."""
    kind, _, name = model.partition(":")
    if kind in ("openai", "vllm") and name:
        if int8:
            raise InputError(f"int8 is for models in this process, not for {model}: leave it out")
        from vlm3.infer.engines.served import behind_server, in_vllm

        if kind == "openai":
            return behind_server(name, protocol, base_url, cache=cache)
        if base_url is None:
            return in_vllm(name, protocol)
    if kind == "depthlm" and name:
        if protocol is not None or int8:
            raise InputError("DepthLM has a protocol of its own: leave protocol and int8 out")
        from vlm3.infer.depthlm import load_depthlm

        return load_depthlm(name, device=device, base_url=base_url, cache=cache)
    if base_url is not None:
        raise InputError(
            f"base_url goes with a model behind a server: give openai:{name or model} instead of "
            f"{model}"
        )
    return None


def _in_process(
    model: str,
    protocol: str | None,
    device: str | None,
    dtype: str | None,
    engine: Literal["fast", "naive"],
    *,
    int8: bool,
) -> Predictor:
    """A checkpoint, prompted as its settings or its name say unless a protocol is given."""
    from vlm3.infer.engines.naive import NaiveEngine, check_torchvision

    check_torchvision()
    from vlm3.infer.engines.local import LocalEngine
    from vlm3.model import load_checkpoint

    checkpoint = load_checkpoint(model, device=device, dtype=dtype)
    settings = checkpoint.settings
    naive = NaiveEngine(checkpoint)
    predictor = Predictor(
        engine=naive if engine == "naive" else LocalEngine(checkpoint),
        protocol=resolve_protocol(
            protocol,
            name=checkpoint.name,
            trained=settings.protocol,
            f_px=settings.f_px,
            long_side_px=settings.long_side_px,
        ).within(checkpoint.picture_input.limits),
        multiple_px=checkpoint.token_px,
        max_tokens=settings.max_tokens or MAX_TOKENS,
        naive=naive,
    )
    if not int8:
        return predictor
    from vlm3.infer.engines.int8 import in_int8

    return in_int8(predictor, checkpoint)
