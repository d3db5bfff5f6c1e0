"""Predictors of models elsewhere, behind a server or in vLLM, with their own settings.

A vlm3 server gives the settings of its model in `/v1/models`, under `vlm3`:

    {"id": "nano", ..., "vlm3": {"protocol": "joint", "f_px": 125.0, "max_tokens": 400,
                                 "multiple_px": 16, "fewest_px2": 1024, "most_px2": 256000000,
                                 "weights": "0123456789abcdef"}}

so that its client asks as the server itself would. Of other servers' entries, what names the model
(`root`, `meta`, `digest`) separates kept answers. Knows no task.
"""

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vlm3 import strict_json
from vlm3.errors import InputError, MissingDependencyError
from vlm3.geometry.focal import PixelLimits
from vlm3.infer.predictor import MAX_TOKENS, Predictor
from vlm3.infer.resolve_protocol import resolve_protocol

_TIMEOUT_S = 5.0
_LONGEST_BYTES = 10**6
# Stable between two lists of the same server, and another's for another model.
_NAMING = ("root", "parent", "meta", "digest", "max_model_len")
# Qwen3-VL's; a server whose model has another grid fits the picture to it itself.
_MULTIPLE_PX = 32


@dataclass(frozen=True)
class Told:
    """The settings that a server gives for a model.

    Attributes:
        identity: what names the model, as text; empty where nothing does.
        ours: whether it is a vlm3 server, which gave the rest.
        protocol: the wording of the model's prompts.
        f_px: focal length of its pictures.
        long_side_px: their longer side, where it is fixed instead.
        max_tokens: most tokens a picture may take.
        multiple_px: what sides of pictures are multiples of.
        limits: fewest and most pixels of a picture.
        weights: digest of its content; see `vlm3.model.digest`.
    """

    identity: str = ""
    ours: bool = False
    protocol: str | None = None
    f_px: float | None = None
    long_side_px: int | None = None
    max_tokens: int | None = None
    multiple_px: int | None = None
    limits: PixelLimits | None = None
    weights: str | None = None


def told_of(entries: Any, name: str) -> Told:
    """Reads the entry of a model in the list of `/v1/models`; empty where it has none.

    Args:
        entries: the list, as decoded JSON of whatever kind.
        name: the model's id.

    Raises:
        InputError: the settings of a vlm3 server cannot be used.
    """
    listed = entries.get("data") if isinstance(entries, dict) else None
    entry = next(
        (e for e in listed or () if isinstance(e, dict) and e.get("id") == name)
        if isinstance(listed, list)
        else iter(()),
        None,
    )
    if entry is None:
        return Told()
    naming = {key: entry[key] for key in _NAMING if entry.get(key) is not None}
    identity = strict_json.dumps(naming, sort_keys=True) if naming else ""
    ours = entry.get("vlm3")
    if not isinstance(ours, dict):
        return Told(identity)
    fewest, most = (_field(ours, name, int) for name in ("fewest_px2", "most_px2"))
    return Told(
        identity=strict_json.dumps(ours, sort_keys=True),
        ours=True,
        protocol=_field(ours, "protocol", str),
        f_px=_field(ours, "f_px", float),
        long_side_px=_field(ours, "long_side_px", int),
        max_tokens=_field(ours, "max_tokens", int),
        multiple_px=_field(ours, "multiple_px", int),
        limits=PixelLimits(fewest, most) if fewest and most else None,
        weights=_field(ours, "weights", str),
    )


def _field(ours: dict[str, Any], name: str, kind: type) -> Any:
    value = ours.get(name)
    if value is None:
        return None
    number = kind is not str
    right = isinstance(value, int | float if kind is float else kind) and not isinstance(
        value, bool
    )
    if not right or (number and not 0 < value < 10**9):
        raise InputError(
            f"the server gives {name} {str(value)[:40]!r}, which cannot be used: is it a vlm3 "
            "server of another version? Give --protocol and another server"
        )
    return kind(value)


def ask_server(base_url: str, name: str, api_key: str | None = None) -> Told:
    """The settings of a model on the server at `base_url`; empty where it does not answer that."""
    try:
        import openai
    except ImportError as error:
        raise MissingDependencyError(
            'a model behind a server needs the openai package: pip install "vlm3[openai]"'
        ) from error
    key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
    client = openai.OpenAI(api_key=key, base_url=base_url, timeout=_TIMEOUT_S, max_retries=0)
    try:
        text = client.models.with_raw_response.list().http_response.text
        entries = json.loads(text) if len(text) < _LONGEST_BYTES else None
    except (openai.OpenAIError, ValueError, RecursionError):
        # Not every server has the list; whether it answers at all is seen with the first question.
        return Told()
    return told_of(entries, name)


def behind_server(
    name: str, protocol: str | None, base_url: str | None, *, cache: bool = True
) -> Predictor:
    """A predictor that asks an OpenAI-compatible server.

    Args:
        name: of the model there.
        protocol: as the caller says; the server's own when it gives one.
        base_url: of its API; OPENAI_BASE_URL, else OpenAI's own.
        cache: keep answers on disk and use those of earlier runs.

    Raises:
        InputError: no address, no key for OpenAI, an unknown protocol, or settings that cannot be
            used.
    """
    from vlm3.infer.engines.http import HttpEngine, default_cache

    url = base_url or os.environ.get("OPENAI_BASE_URL") or None
    if url and not _is_address(url):
        raise InputError(
            f"the server's address is {url[:80]!r}; give such as http://localhost:8000/v1"
        )
    told = ask_server(url, name) if url else Told()
    engine = HttpEngine(
        name,
        base_url=url,
        cache=default_cache() if cache else None,
        identity=told.identity,
        weights=told.weights,
    )
    return Predictor(
        engine=engine,
        protocol=resolve_protocol(
            protocol,
            name=name,
            trained=told.protocol,
            f_px=told.f_px,
            long_side_px=told.long_side_px,
        ).within(told.limits),
        multiple_px=told.multiple_px or _MULTIPLE_PX,
        max_tokens=told.max_tokens or MAX_TOKENS,
    )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def in_vllm(name: str, protocol: str | None) -> Predictor:
    """A predictor that runs a folder or a hub id in vLLM.

    Raises:
        CheckpointError: a folder whose settings cannot be read.
        MissingDependencyError: without vLLM.
    """
    from vlm3.infer.engines.vllm import VllmEngine
    from vlm3.model import PictureInput, Settings
    from vlm3.model.finding import find_folder
    from vlm3.model.folder import refuse_gguf

    # vLLM takes a hub id from the same place. What lies in the folder is read before vLLM takes
    # its minute.
    folder = find_folder(name)
    refuse_gguf(folder)
    settings, picture_input = Settings.read(folder), PictureInput.read(folder)
    engine = VllmEngine(os.fspath(folder) if name == "nano" else name, folder=folder)
    return Predictor(
        engine=engine,
        protocol=resolve_protocol(
            protocol,
            name=name,
            trained=settings.protocol,
            f_px=settings.f_px,
            long_side_px=settings.long_side_px,
        ).within(picture_input.limits),
        multiple_px=picture_input.token_px,
        max_tokens=settings.max_tokens or MAX_TOKENS,
    )
