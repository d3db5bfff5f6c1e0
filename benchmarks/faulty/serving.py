"""Checkpoint folders whose side files are damaged, and bodies that a server never asked for."""

import json
from pathlib import Path
from typing import Any

from faulty.data import picture, put
from faulty.mutate import Rng, damaged_bytes, damaged_json, pick

_GARBAGE = 5_000_000


def checkpoints_setup(folder: Path) -> dict[str, bytes]:
    from vlm3.model.finding import NANO_PATH

    return {p.name: p.read_bytes() for p in NANO_PATH.iterdir() if p.suffix != ".safetensors"}


def checkpoints_case(state: dict[str, bytes], rng: Rng, folder: Path) -> str:
    """One side file damaged; the weights are linked, not copied."""
    from vlm3.model import load_checkpoint
    from vlm3.model.finding import NANO_PATH

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
    image, points = {"url": url, "fov_deg": 60}, [[10, 20], [30, 40]]
    picture_part = {"type": "image_url", "image_url": {"url": url}}
    words = {"type": "text", "text": "How far?"}
    bodies = {
        "/v1/depth": {"image": image, "points_px": points},
        "/v1/measure": {"image": image, "pairs_px": [points], "boxes_px": [[1, 2, 30, 40]]},
        "/v1/match": {"image_a": image, "image_b": image, "points_px": points},
        "/v1/objects": {"image": image, "question": "How wide is {0}?", "boxes_px": [[1, 2, 9, 9]]},
        "/v1/chat/completions": {
            "model": "constant",
            "messages": [{"role": "user", "content": [picture_part, words]}],
        },
        "/nowhere": {"image": image},
    }
    return client, bodies


def server_case(state: Any, rng: Rng, folder: Path) -> str:
    client, bodies = state
    route = pick(rng, sorted(bodies))
    body = bodies[route]
    kind = int(rng.integers(8))
    if kind == 0:
        name = pick(rng, sorted(body))
        data = json.dumps(body | {name: [[1, 2]] * (_GARBAGE // 8)}).encode()
    elif kind == 1:
        data = b"x" * int(rng.integers(1, _GARBAGE))
    else:
        data = damaged_json(rng, body)
    answer = client.post(route, content=data, headers={"content-type": "application/json"})
    if answer.status_code >= 500:
        raise RuntimeError(f"{route} answers {answer.status_code}: {answer.text[:80]}")
    return "value" if answer.status_code == 200 else "line"
