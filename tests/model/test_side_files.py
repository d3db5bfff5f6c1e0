"""Law: whatever stands in a checkpoint's side files, it loads and answers, or says one line."""

import json
import pickle
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlm3.errors import CheckpointError
from vlm3.model import CheckpointWarning, load_checkpoint
from vlm3.model.side_files import read_object

SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vlm3.json",
)


def asked(folder: Path) -> None:
    """Loads it and asks one question."""
    import numpy as np

    from vlm3.infer.engines.naive import NaiveEngine

    checkpoint = load_checkpoint(folder, device="cpu")
    side = checkpoint.token_px
    engine = NaiveEngine(checkpoint)
    with engine.open([np.zeros((2 * side, 2 * side, 3), np.uint8)]) as scene:
        (text,) = engine.ask(scene, ["0880 0512"], max_new_tokens=1)
    assert isinstance(text, str)


def asked_or_one_line(folder: Path) -> str:
    began = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked(folder)
    except CheckpointError as error:
        said = str(error)
        assert "\n" not in said and len(said) < 1000, said
        return said
    finally:
        assert time.monotonic() - began < 60
    return ""


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    made = tmp_path / "model"
    shutil.copytree(tiny_folder, made)
    return made


JUNK: list[Any] = [None, True, -1, 0, 2.5, 10**30, float("nan"), "", "x", "../x", [], [[]], {}, [1]]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), value=st.sampled_from(JUNK))
def test_one_value_changed(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: Any
) -> None:
    made = tmp_path_factory.mktemp("changed") / "model"
    shutil.copytree(tiny_folder, made)
    name = data.draw(st.sampled_from(SIDE_FILES))
    content = json.loads((made / name).read_text())
    spot: Any = content
    while True:
        keys = sorted(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(spot[key], (dict, list)) or not spot[key] or data.draw(st.booleans()):
            break
        spot = spot[key]
    spot[key] = value
    (made / name).write_text(json.dumps(content))
    asked_or_one_line(made)


GARBAGE = [b"", b"\xff\xfe\x00", b"[1, 2]", b"null", b'"x"', b"{", b"[" * 100_000, b'{"a": 1e999}']


@pytest.mark.parametrize(
    "name", [*SIDE_FILES, "model.safetensors.index.json", "chat_template.json"]
)
def test_garbage_in_a_whole_file(folder: Path, name: str) -> None:
    before = (folder / name).read_bytes() if (folder / name).exists() else None
    for junk in GARBAGE:
        (folder / name).write_bytes(junk)
        said = asked_or_one_line(folder)
        # A generation config that says nothing is as good as none.
        may = name in ("generation_config.json", "tokenizer_config.json") and b"{" in junk
        assert said or may, junk
    (folder / name).unlink()
    (folder / name).mkdir()
    asked_or_one_line(folder)
    (folder / name).rmdir()
    if before is not None:
        (folder / name).write_bytes(before)
    assert asked_or_one_line(folder) == ""


def _edit(name: str, **changes: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


def _index(weight_map: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        content = json.dumps({"metadata": {}, "weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(content)

    return apply


def _shard(folder: Path, *, lose: int = 0) -> None:
    """Splits the weights over two files with an index."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for k in range(2):
        name = f"model-{k + 1:05d}-of-00002.safetensors"
        part = {key: tensors[key] for key in sorted(tensors)[k::2]}
        weight_map |= dict.fromkeys(part, name)
        save_file(dict(list(part.items())[lose:]), folder / name, metadata={"format": "pt"})
    _index(weight_map)(folder)


def _stale(folder: Path) -> None:
    single = (folder / "model.safetensors").read_bytes()
    _shard(folder)
    (folder / "model.safetensors").write_bytes(single)


def _without_index(folder: Path) -> None:
    _shard(folder)
    (folder / "model.safetensors.index.json").unlink()


def _cut_a_shard(folder: Path) -> None:
    _shard(folder)
    path = folder / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _other_shape(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    name = "model.language_model.norm.weight"
    tensors[name] = tensors[name][:-1].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _gguf(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-q4.gguf")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_edit("config.json", model_type=["qwen3_vl"]), "model_type is a list"),
        (_edit("config.json", model_type="qwen3_vl_moe"), "cannot be loaded|of different models"),
        (_edit("config.json", quantization_config={"quant_method": "fp8"}), "fp8.*vllm:"),
        (_edit("config.json", quantization_config={"quant_method": "gptq"}), "gptq.*vllm:"),
        (_edit("config.json", quantization_config=True), "quantised"),
        (_edit("config.json", image_token_id=3), "does not write a picture"),
        (_edit("config.json", image_token_id="x"), "image_token_id"),
        (_edit("generation_config.json", eos_token_id="x"), "eos_token_id|cannot be loaded"),
        (_edit("preprocessor_config.json", patch_size="16"), "preprocessor_config"),
        (_edit("preprocessor_config.json", merge_size=4), "of different models"),
        (_edit("preprocessor_config.json", image_std=[0, 0, 0]), "image_std"),
        (_edit("preprocessor_config.json", image_mean=5), "preprocessor_config"),
        (_edit("preprocessor_config.json", size=[1]), "preprocessor_config"),
        (_edit("vlm3.json", f_px="far"), "f_px is a text; a number above 0"),
        (_edit("vlm3.json", f_px=-3), "f_px is the number -3"),
        (_edit("vlm3.json", max_tokens=2.5), "max_tokens is the number 2.5"),
        (_edit("vlm3.json", protocol=3), "protocol is the number 3"),
        (_index(5), "weight_map is the number 5"),
        (_index({"a": 3}), "'3'; a .safetensors file in this folder"),
        (_index({"a": "../model.safetensors"}), "in this folder is allowed"),
        (_stale, "two sets of weights"),
        (_without_index, r"weight files \(2 of 2\) and no model.safetensors.index.json"),
        (_cut_a_shard, "damaged or cut short"),
        (lambda f: _shard(f, lose=1), "lacks 1 tensors that"),
        (_other_shape, r"another shape.*norm.weight"),
        (_gguf, "GGUF"),
        (_edit("config.json", text_config={}), "describes a model of .* weights or more"),
        (_edit("config.json", vision_config={"depth": 10**9}), "depth of vision_config"),
    ],
)
def test_each_cause_is_named(folder: Path, damage: Callable[[Path], None], says: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_checkpoint(folder, device="cpu")
    assert "\n" not in str(caught.value)


def weights(folder: Path) -> dict[str, Any]:
    model = load_checkpoint(folder, device="cpu").model
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("indexed", ["shards", "the single file"])
def test_weights_with_an_index_are_the_same_weights(folder: Path, indexed: str) -> None:
    import torch
    from safetensors import safe_open

    whole = weights(folder)
    if indexed == "shards":
        _shard(folder)
    else:
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            names = list(file.keys())
        _index(dict.fromkeys(names, "model.safetensors"))(folder)
    found = weights(folder)
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_tensors_too_many_are_named(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors") | {"model.extra": torch.zeros(2)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(CheckpointWarning, match=r"1 tensors that the model does not have, .*extra"):
        load_checkpoint(folder, device="cpu")


def test_no_side_file_is_read_whole_before_its_size(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(10**10)
    began = time.monotonic()
    with pytest.raises(CheckpointError, match="10,000,000,000 bytes"):
        read_object(path)
    assert time.monotonic() - began < 1


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


PLACES = (
    *SIDE_FILES,
    "adapter_config.json",
    "adapter_model.bin",
    "adapter_model.safetensors",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "model.safetensors",
    "model.safetensors.index.json",
    "processor_config.json",
    "pytorch_model.bin",
    "special_tokens_map.json",
    "tokenizer.model",
    "training_args.bin",
    "vocab.json",
)


@pytest.mark.parametrize("alone", [False, True])
def test_a_planted_pickle_runs_in_no_model_folder(folder: Path, alone: bool) -> None:
    mark = folder.parent / "ran"
    payload = pickle.dumps(Planted(mark))
    for name in PLACES:
        before = (folder / name).read_bytes() if (folder / name).exists() else None
        weights = (folder / "model.safetensors").read_bytes()
        (folder / name).write_bytes(payload)
        if alone and name.endswith(".bin"):
            (folder / "model.safetensors").unlink()
        asked_or_one_line(folder)
        (folder / name).unlink()
        (folder / "model.safetensors").write_bytes(weights)
        if before is not None:
            (folder / name).write_bytes(before)
    assert not mark.exists()
    pickle.loads(payload)
    assert mark.exists(), "the payload works: only nobody opened it"
