"""What is saved loads in stock transformers; what cannot be loaded is named in one line."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlm3.errors import CheckpointError, InputError
from vlm3.model import NANO_PATH, Checkpoint, load_checkpoint

MESSAGES = [
    {
        "role": "user",
        "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "0880 0512"}],
    }
]

# Runs without vlm3: only what a stranger has who got the folder.
STOCK = """
import sys, numpy as np, torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer
folder, inputs, out = sys.argv[1:]
AutoConfig.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
batch = {k: torch.from_numpy(v) for k, v in np.load(inputs).items()}
assert "vlm3" not in sys.modules
with torch.no_grad():
    np.save(out, model(**batch, use_cache=False).logits.numpy())
text = tokenizer.apply_chat_template(
    [{"role": "user", "content": "12"}], tokenize=False, add_generation_prompt=True
)
assert tokenizer(text)["input_ids"], text
"""


def pictures() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((32, 48, 3), (48, 32, 3))]


def stock_logits(folder: Path, batch: dict[str, torch.Tensor], tmp_path: Path) -> Any:
    np.savez(tmp_path / "in.npz", **{k: v.numpy() for k, v in batch.items()})
    done = subprocess.run(
        [sys.executable, "-c", STOCK, folder, tmp_path / "in.npz", tmp_path / "out.npy"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return np.load(tmp_path / "out.npy")


def test_saved_model_gives_the_same_logits_in_stock_transformers(
    tiny_folder: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(tiny_folder, device="cpu")
    batch = checkpoint.encode(MESSAGES, pictures())
    with torch.no_grad():
        ours = checkpoint.model(**batch, use_cache=False).logits.numpy()
    theirs = stock_logits(tiny_folder, batch, tmp_path)
    assert np.abs(ours - theirs).max() < 1e-5
    assert ours.std() > 0.1, "logits that do not vary would make this test empty"


@pytest.mark.skipif(
    not (NANO_PATH / "model.safetensors").is_file(), reason="the weights of nano are not here"
)
def test_nano_gives_the_same_logits_in_stock_transformers(tmp_path: Path) -> None:
    checkpoint = load_checkpoint("nano", device="cpu")
    rng = np.random.default_rng(0)
    shape = (6 * checkpoint.token_px, 8 * checkpoint.token_px, 3)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2)]
    batch = checkpoint.encode(MESSAGES, images)
    with torch.no_grad():
        ours = checkpoint.model(**batch, use_cache=False).logits.numpy()
    assert np.abs(ours - stock_logits(NANO_PATH, batch, tmp_path)).max() < 1e-4


def test_every_digit_is_its_own_token(tiny_tokenizer: Any) -> None:
    ids = tiny_tokenizer("1234567890 77")["input_ids"]
    assert len(ids) == 13
    assert tiny_tokenizer.decode(ids) == "1234567890 77"


def test_position_ids_do_not_depend_on_what_the_model_saw_before(tiny_folder: Path) -> None:
    checkpoint = load_checkpoint(tiny_folder, device="cpu")
    one, two = pictures()
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "07"}]}]
    batch = checkpoint.encode(messages, [one])
    with torch.no_grad():
        before = checkpoint.model(**batch, use_cache=False).logits
        checkpoint.model(**checkpoint.encode(MESSAGES, [two, two]), use_cache=False)
        after = checkpoint.model(**batch, use_cache=False).logits
    assert torch.equal(before, after)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_pictures_and_places_must_agree(tiny_folder: Path, count: int) -> None:
    checkpoint = load_checkpoint(tiny_folder, device="cpu")
    with pytest.raises(InputError, match=f"2 places for pictures, {count} came"):
        checkpoint.encode(MESSAGES, (pictures() * 2)[:count])


def test_a_question_cannot_smuggle_in_a_picture(tiny_folder: Path) -> None:
    checkpoint = load_checkpoint(tiny_folder, device="cpu")
    content = [{"type": "image"}, {"type": "text", "text": "what is <|image_pad|>?"}]
    with pytest.raises(InputError, match="must not contain"):
        checkpoint.encode([{"role": "user", "content": content}], pictures()[:1])


def _drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _other_type(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))


def _lose_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors.pop(sorted(tensors)[3])
    save_file(tensors, path, metadata={"format": "pt"})


def _lose_a_shard(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _break_settings(folder: Path) -> None:
    (folder / "vlm3.json").write_text('{"focal": 3}')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_drop("config.json"), "no config.json"),
        (_drop("model.safetensors"), "weights are missing"),
        (_drop("preprocessor_config.json"), "preprocessor_config.json"),
        (_pickle, "pickled weights"),
        (_truncate, "damaged or cut short"),
        (_other_type, "'llama'"),
        (_lose_a_tensor, "lacks 1 of the model's weights"),
        (_lose_a_shard, "lacks 1 of 1 weight files"),
        (_break_settings, "vlm3.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(
    tiny_folder: Path, tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_folder, folder)
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, device="cpu")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nnano", "no/such/folder", "../nowhere"])
def test_unknown_names_say_what_is_allowed(name: str) -> None:
    with pytest.raises(CheckpointError, match="nano, a folder, or a hub id"):
        load_checkpoint(name)


def test_a_hub_id_without_a_hub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="facebook/VLM3-nothing is no folder"):
        load_checkpoint("facebook/VLM3-nothing")


def test_an_unknown_device_is_named(tiny_folder: Path) -> None:
    with pytest.raises(InputError, match="no device 'cuda:9'"):
        load_checkpoint(tiny_folder, device="cuda:9")


def test_loading_checks_types(tiny_folder: Path) -> None:
    checkpoint = load_checkpoint(tiny_folder, device="cpu")
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.settings.protocol == "joint"
    assert checkpoint.token_px == 16
