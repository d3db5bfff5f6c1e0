"""Checkpoint folders whose side files are damaged, and bodies that a server never asked for."""

import json
from pathlib import Path
from typing import Any

from faulty.data import picture, put
from faulty.mutate import Rng, damaged_bytes, damaged_json, pick

_GARBAGE = 5_000_000


def checkpoints_setup(folder: Path) -> dict[str, bytes]:
    from vlm3.model.checkpoint import NANO_PATH

    return {p.name: p.read_bytes() for p in NANO_PATH.iterdir() if p.suffix != ".safetensors"}


def checkpoints_case(state: dict[str, bytes], rng: Rng, folder: Path) -> str:
    """One side file damaged; the weights are linked, not copied."""
    from vlm3.model import load_checkpoint
    from vlm3.model.checkpoint import NANO_PATH

    name = pick(rng, sorted(state))
    before = state[name]
    if name.endswith(".json"):
        after = damaged_json(rng, json.loads(before))
    else:
        after = damaged_bytes(rng, before)
    put(folder, state | {name: after})
    for weights in NANO_PATH.glob("*.safetensors"):
        (folder / weights.name).symlink_to(weights)
    load_checkpoint(str(folder))
    return "value"


def server_setup(folder: Path) -> Any:
    import base64

    from starlette.testclient import TestClient

    from vlm3.infer.engines.fakes import ConstantEngine
    from vlm3.infer.predictor import Predictor
    from vlm3.server.application import create_app
    from vlm3.tasks.protocol import get_protocol

    predictor = Predictor(ConstantEngine("03.42"), get_protocol("joint").with_focal(100.0), 16)
    client = TestClient(create_app(predictor), raise_server_exceptions=False)
    url = "data:image/jpeg;base64," + base64.b64encode(picture(0)).decode()
    body = {"image": {"url": url, "fov_deg": 60}, "points_px": [[10, 20], [30, 40]]}
    # Made once: it takes longer to write than to refuse.
    large = json.dumps(body | {"points_px": [[1, 2]] * (_GARBAGE // 8)}).encode()
    return client, body, large


def server_case(state: Any, rng: Rng, folder: Path) -> str:
    client, body, large = state
    kind = int(rng.integers(8))
    if kind == 0:
        data = large
    elif kind == 1:
        data = b"x" * int(rng.integers(1, _GARBAGE))
    else:
        data = damaged_json(rng, body)
    route = pick(rng, ("/v1/depth", "/v1/depth", "/v1/matches", "/v1/chat/completions", "/nowhere"))
    answer = client.post(route, content=data, headers={"content-type": "application/json"})
    if answer.status_code >= 500:
        raise RuntimeError(f"{route} answers {answer.status_code}: {answer.text[:80]}")
    return "value" if answer.status_code == 200 else "line"
