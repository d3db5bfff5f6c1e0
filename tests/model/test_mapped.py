"""A small model straight from its file is the library's own; and what a first answer imports."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vlm3.model.finding import NANO_PATH
from vlm3.model.loading import load_checkpoint
from vlm3.model.mapped import mapped_model

PHOTO = Path(__file__).parents[2] / "src/vlm3/assets/examples/lounge_1.jpg"
NOT_FOR_A_QUESTION = ("fastapi", "matplotlib", "pandas", "torchvision", "warp")
# Nearly all of them are torch's and transformers'; there is room for a release of each.
MOST_MODULES = 3300

ASK = f"""
import json, sys
from click.testing import CliRunner
from vlm3.cli.main import main
done = CliRunner().invoke(main, ["depth", {str(PHOTO)!r}, "--at", "100,100", "--fov-deg", "60"])
print(json.dumps({{"code": done.exit_code, "said": done.output, "modules": sorted(sys.modules)}}))
"""


def test_a_question_imports_no_more_than_its_model() -> None:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    asked = json.loads(done.stdout.splitlines()[-1])
    assert asked["code"] == 0 and "100.0" in asked["said"]
    assert [name for name in NOT_FOR_A_QUESTION if name in asked["modules"]] == []
    assert len(asked["modules"]) <= MOST_MODULES, len(asked["modules"])


def stock(folder: Path) -> Any:
    from transformers import Qwen3VLForConditionalGeneration

    return Qwen3VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    )


@pytest.mark.parametrize("which", ["nano", "tiny"])
def test_read_from_the_file_it_is_the_librarys_model(which: str, tiny_folder: Path) -> None:
    from transformers import AutoConfig

    folder = NANO_PATH if which == "nano" else tiny_folder
    plain = stock(folder)
    ours = mapped_model(folder, AutoConfig.from_pretrained(folder), torch.float32)
    assert type(ours) is type(plain) and not ours.training
    for held in ("state_dict", "named_buffers", "named_parameters"):
        one, other = dict(getattr(ours, held)()), dict(getattr(plain, held)())
        assert one.keys() == other.keys()
        assert all(torch.equal(one[k], other[k]) and one[k].dtype == other[k].dtype for k in one), (
            held
        )
    assert all(p.requires_grad for p in ours.parameters())
    assert ours.lm_head.weight is ours.model.language_model.embed_tokens.weight
    assert ours.generation_config.to_dict() == plain.generation_config.to_dict()
    assert ours.config._attn_implementation == plain.config._attn_implementation
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        assert torch.equal(ours(input_ids=ids).logits, plain(input_ids=ids).logits)


def test_the_file_may_go_once_the_model_is_read(tiny_folder: Path, tmp_path: Path) -> None:
    for path in tiny_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    loaded = load_checkpoint(tmp_path)
    before = {k: v.clone() for k, v in loaded.model.state_dict().items()}
    weights = tmp_path / "model.safetensors"
    weights.rename(tmp_path / "old")
    weights.write_bytes(b"another file")
    assert all(torch.equal(before[k], v) for k, v in loaded.model.state_dict().items())


def test_another_set_of_weights_is_left_to_the_library(tiny_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import AutoConfig

    held = load_file(tiny_folder / "model.safetensors")
    config = AutoConfig.from_pretrained(tiny_folder)
    first = next(iter(held))
    for odd in (
        {k: v for k, v in held.items() if k != first},
        held | {"more": torch.zeros(1)},
        held | {first: held[first][:1].contiguous()},
    ):
        save_file(odd, tmp_path / "model.safetensors")
        assert mapped_model(tmp_path, config, torch.float32) is None
