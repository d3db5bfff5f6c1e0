"""One training step of a toy in the trainer that reads an export: its loader, collator and loss.

    python benchmarks/exports.py trl|llama-factory|ms-swift
    python benchmarks/exports.py depthlm --code CLONE       of facebookresearch/DepthLM_Official

Run it with the Python in which that package is installed (TRL, LLaMA-Factory and ms-swift want
other versions of transformers than each other) and `src` on PYTHONPATH; it needs no GPU and no
download. Shards of noise are exported as `vlm3 data export` does, the package trains one step on
them, and what its trainer was given is held against what was exported: pictures that nobody
resized, one place for each of their tokens, and a loss on the answers alone. DepthLM is no package:
its data classes are taken from a clone, and the step is made here.
"""

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

PROTOCOL = "joint"
WIDTH, HEIGHT, F_PX = 640, 480, 700.0
PATCH_PX, MERGE = 16, 2
# Where Qwen's tokenizer ends and its special tokens begin: ms-swift has these numbers in its code.
WORDS = 151_643
IGNORED = -100

CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part.type == 'text' -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


@dataclass(frozen=True)
class Exported:
    """What was written, as a trainer must be given it.

    Attributes:
        folder: of the export.
        answers: of each row, in order.
        grids: of each row, patches (rows, columns) of each picture.
    """

    folder: Path
    answers: tuple[tuple[str, ...], ...]
    grids: tuple[tuple[tuple[int, int], ...], ...]


def write_shards(folder: Path) -> None:
    """Two scenes of six pictures of noise, all four tasks."""
    from vlm3.data.pair_rows import pair_row
    from vlm3.data.record import ObjectQuestion, Record
    from vlm3.data.shards import write_pairs
    from vlm3.data.shards import write_shards as write
    from vlm3.geometry.camera import Camera

    camera = Camera(F_PX, F_PX, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)
    rng = np.random.default_rng(0)
    samples, scenes = [], [f"scene{k // 6}" for k in range(12)]
    for k, scene in enumerate(scenes):
        cells = rng.integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3), np.uint8)
        jpeg = io.BytesIO()
        Image.fromarray(cells).resize((WIDTH, HEIGHT)).save(jpeg, "JPEG")
        wide = ObjectQuestion("How wide is {0}?", ((10, 20, 300, 400),), value_m=1.25)
        made = Record(
            camera,
            rng.uniform(0, 1, (20, 2)) * (WIDTH, HEIGHT),
            rng.uniform(0.5, 9, 20),
            (wide,),
            source="noise",
        )
        row = made.to_json({"scene": scene, "frame": str(k)})
        samples.append((f"p{k:03d}", jpeg.getvalue(), row))
    write(folder, iter(samples))
    motion = np.eye(4)
    motion[:3, 3] = (0.3, 0.1, 0.4)
    matches = [[50.0, 60.0], [400.0, 300.0]], [[80.0, 60.0], [440.0, 300.0]]
    pairs = [
        pair_row(k, k + 1, motion, *matches, covisibility=0.5)
        for k in range(11)
        if scenes[k] == scenes[k + 1]
    ]
    write_pairs(folder, np.array(pairs))


def write_export(shards: Path, to: str, out: Path) -> Exported:
    """Exports, and reads back from the files alone what a trainer must be given."""
    from vlm3.curation.export import LAYOUTS, export
    from vlm3.tasks.protocol import get_protocol

    sides = PATCH_PX * MERGE
    list(export(shards, to, out, protocol=get_protocol(PROTOCOL), multiple_px=sides))
    layout = LAYOUTS[to]
    text = (out / layout.file).read_text("utf-8")
    rows = json.loads(text) if layout.array else [json.loads(x) for x in text.splitlines()]
    answers, grids = [], []
    for row in rows:
        said = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
        answers.append(tuple(c if isinstance(c, str) else c[0]["text"] for c in said))
        sizes = [Image.open(out / name).size for name in row.get("file_names") or row["images"]]
        grids.append(tuple((h // PATCH_PX, w // PATCH_PX) for w, h in sizes))
    return Exported(out, tuple(answers), tuple(grids))


def write_toy(folder: Path, template: str) -> None:
    """A random Qwen3-VL of a few million weights with the numbers of Qwen's special tokens."""
    import torch
    from transformers import AutoTokenizer, Qwen3VLConfig, Qwen3VLForConditionalGeneration

    from vlm3.model import PictureInput, Settings, save_checkpoint
    from vlm3.model.finding import NANO_PATH
    from vlm3.model.tokenizer import SPECIAL_TOKENS

    learnt = json.loads((NANO_PATH / "tokenizer.json").read_text("utf-8"))
    vocabulary = learnt["model"]["vocab"]
    fillers = {f"<filler{k}>": k for k in range(len(vocabulary), WORDS)}
    learnt["model"]["vocab"] = vocabulary | fillers
    plain = {k: v for k, v in learnt["added_tokens"][0].items() if k not in ("id", "content")}
    learnt["added_tokens"] = [
        {"id": WORDS + k, "content": name} | plain for k, name in enumerate(SPECIAL_TOKENS)
    ]
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(learnt), "utf-8")
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    token_id = tokenizer.convert_tokens_to_ids
    head = 24
    made = Qwen3VLConfig(
        text_config={
            "vocab_size": 151_936,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": head,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [4, 4, 4],
                "mrope_interleaved": True,
            },
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": None,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 48,
            "patch_size": PATCH_PX,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    half = (0.5, 0.5, 0.5)
    # Fewest and most pixels as in the official folders.
    spec = PictureInput(PATCH_PX, MERGE, 2, half, half, 65_536, 16_777_216)
    model = Qwen3VLForConditionalGeneration(made)
    save_checkpoint(model, tokenizer, spec, folder, settings=Settings(), dtype=torch.float32)


@cache
def beside_cpu_torch() -> Any:
    """Lets torchvision and torchaudio be imported beside a CPU build of torch.

    Their wheels on PyPI are CUDA builds, whose kernels do not load there. torchvision then still
    describes two operators that nothing has declared; torchaudio cannot be imported at all, and
    LLaMA-Factory imports it whatever it reads. Nothing here calls either of them.

    Returns:
        What must live as long as the process: the declarations go with it.
    """
    import torch

    if torch.version.cuda is not None:
        return None
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        empty = ModuleType("torchaudio")
        empty.__spec__ = ModuleSpec("torchaudio", None)
        sys.modules["torchaudio"] = empty
    return library


def step_in_trl(toy: Path, exported: Exported, work: Path) -> None:
    """As TRL's guide for vision says, with the loss on answers that conversations need."""
    from datasets import load_dataset
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration
    from trl import SFTConfig, SFTTrainer

    data = load_dataset("imagefolder", data_dir=str(exported.folder), split="train")
    assert len(data) == len(exported.answers), (len(data), len(exported.answers))
    trainer = SFTTrainer(
        model=Qwen3VLForConditionalGeneration.from_pretrained(toy),
        processing_class=AutoProcessor.from_pretrained(toy),
        train_dataset=data,
        args=SFTConfig(
            output_dir=str(work),
            max_steps=1,
            per_device_train_batch_size=2,
            max_length=None,
            assistant_only_loss=True,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
        ),
    )
    trainer.train()


def step_in_llama_factory(toy: Path, exported: Exported, work: Path) -> None:
    """As `llamafactory-cli train` with these settings in a file."""
    import yaml
    from llamafactory.train.tuner import run_exp

    run_exp(
        {
            "model_name_or_path": str(toy),
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "full",
            "freeze_vision_tower": False,
            "template": "qwen3_vl_nothink",
            **yaml.safe_load((exported.folder / "settings.yaml").read_text("utf-8")),
            "cutoff_len": 8192,
            "output_dir": str(work),
            "max_steps": 1,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 1,
            "bf16": False,
            "fp16": False,
            "use_cpu": True,
            "report_to": "none",
            "save_strategy": "no",
        }
    )


def step_in_ms_swift(toy: Path, exported: Exported, work: Path) -> None:
    """As `swift sft` with these arguments."""
    from swift import sft_main

    settings = {
        "model": toy,
        "model_type": "qwen3_vl",
        "template": "qwen3_vl",
        "dataset": exported.folder / "train.jsonl",
        "split_dataset_ratio": 0,
        "max_length": 8192,
        "tuner_type": "full",
        "freeze_vit": "false",
        "freeze_aligner": "false",
        "torch_dtype": "float32",
        "attn_impl": "sdpa",
        "use_cpu": "true",
        "bf16": "false",
        "fp16": "false",
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": "false",
        "vit_gradient_checkpointing": "false",
        "dataset_num_proc": 1,
        "dataloader_num_workers": 0,
        "save_strategy": "no",
        "report_to": "none",
        "output_dir": work,
    }
    sft_main([str(word) for name, value in settings.items() for word in (f"--{name}", value)])


@dataclass(frozen=True)
class Receiver:
    """A trainer: its package on PyPI, and one step in it."""

    package: str
    step: Callable[[Path, Exported, Path], None]


RECEIVERS = {
    "trl": Receiver("trl", step_in_trl),
    "llama-factory": Receiver("llamafactory", step_in_llama_factory),
    "ms-swift": Receiver("ms-swift", step_in_ms_swift),
}


def watch_first_step(seen: dict[str, Any]) -> Callable[[], None]:
    """Keeps what transformers' trainer, under all three, was given and what came of it."""
    from transformers import Trainer

    plain = Trainer.training_step

    def training_step(self: Any, model: Any, inputs: Mapping[str, Any], *rest: Any) -> Any:
        if "inputs" not in seen:
            seen["inputs"] = {k: v.clone() for k, v in inputs.items() if hasattr(v, "clone")}
            seen["before"] = {n: p.detach().clone() for n, p in model.named_parameters()}
        loss = plain(self, model, inputs, *rest)
        seen["loss"], seen["model"] = float(loss), model
        return loss

    Trainer.training_step = training_step

    def restore() -> None:
        Trainer.training_step = plain

    return restore


def compare(seen: Mapping[str, Any], exported: Exported, tokenizer: Any) -> dict[str, Any]:
    """Holds the batch against the files.

    Raises:
        AssertionError: something is not as it was exported.
    """
    inputs = seen["inputs"]
    grids = [(int(h), int(w)) for _, h, w in inputs["image_grid_thw"]]
    ids, labels = inputs["input_ids"], inputs["labels"]
    image_token = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    tokens = sum(h * w for h, w in grids) // MERGE**2
    places = int((ids == image_token).sum())
    assert places == tokens, f"{places} places for {tokens} tokens of pictures"
    start = 0
    answers = 0
    for row in range(len(ids)):
        kept = [int(t) for t in labels[row] if t != IGNORED]
        turns = tokenizer.decode(kept).split("<|im_end|>")
        said = tuple(turn.strip() for turn in turns if turn.strip())
        assert said in exported.answers, f"the loss is on {said}, which is no row's answers"
        own = exported.grids[exported.answers.index(said)]
        assert tuple(grids[start : start + len(own)]) == own, (
            f"exported as {own} patches, given as {grids[start : start + len(own)]}"
        )
        start += len(own)
        answers += len(said)
    assert start == len(grids)
    assert np.isfinite(seen["loss"]), seen["loss"]
    moved = [
        name
        for name, value in seen["model"].named_parameters()
        if not (value.detach() == seen["before"][name]).all()
    ]
    assert any("visual" in name for name in moved), "no weight of the vision tower moved"
    assert any("language_model" in name for name in moved), "no weight of the text model moved"
    return {
        "rows": len(exported.answers),
        "rows in the batch": len(ids),
        "pictures": len(grids),
        "answers": answers,
        "answer tokens": int((labels != IGNORED).sum()),
        "tokens": int(ids.numel()),
        "loss": round(seen["loss"], 3),
        "weights moved": f"{len(moved)} of {len(seen['before'])} tensors",
    }


def run_depthlm(code: Path, folder: Path) -> dict[str, Any]:
    """DepthLM's export through its own data classes, and one step on a batch of its samples.

    Raises:
        AssertionError: a label, a pixel or the arrow is not where it was exported.
    """
    beside_cpu_torch()
    import torch
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

    from vlm3.curation.export_depthlm import to_depthlm

    write_shards(folder / "shards")
    list(to_depthlm(folder / "shards", folder / "export"))
    write_toy(folder / "toy", CHATML)
    (jsonl,) = (folder / "export").glob("*.jsonl")
    rows = [json.loads(line) for line in jsonl.read_text("utf-8").splitlines()]
    sys.path.insert(0, str(code))
    from utils.datasets import dataset_eval, dataset_inference, dataset_train

    images = str(folder / "export")
    every = dataset_inference(str(jsonl), images, normalized_focal_length=F_PX)
    labels = [depth for row in rows for depth in row["depth"]]
    pixels = [tuple(xy) for row in rows for xy in row["pixel_coords"]]
    drawn = 0
    for k, (label, pixel) in enumerate(zip(labels, pixels, strict=True)):
        sample = every.extract_image_and_meta(k)
        if sample is None:  # Too near the border for its arrow.
            continue
        # pandas, which reads the file there, may give the next float.
        assert abs(sample["depth"] - label) < 1e-9 and sample["pixel_coord"] == pixel
        x, y = pixel
        assert sample["image"].getpixel((x - 1, y)) == (255, 0, 0)
        drawn += 1
    asked = dataset_eval(str(jsonl), images, normalized_focal_length=F_PX)
    truth = float(asked[0]["solution"].split()[1])
    assert min(abs(truth - depth) for depth in rows[0]["depth"]) < 1e-9

    data = dataset_train(str(jsonl), images, normalized_focal_length=F_PX)
    processor = AutoProcessor.from_pretrained(folder / "toy")
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder / "toy").train()
    prompts, texts, pictures = [], [], []
    for k in range(2):
        sample = data[k]
        content = [{"type": "image"}, {"type": "text", "text": sample["problem"]}]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        prompts.append(prompt)
        texts.append(f"{prompt}{sample['thinking']}\n\n{sample['solution']}<|im_end|>")
        pictures.append(sample["image"])
    batch = processor(text=texts, images=pictures, padding=True, return_tensors="pt")
    targets = batch["input_ids"].clone()
    targets[batch["attention_mask"] == 0] = IGNORED
    for row, (prompt, picture) in enumerate(zip(prompts, pictures, strict=True)):
        alone = processor(text=[prompt], images=[picture], return_tensors="pt")
        targets[row, : alone["input_ids"].shape[1]] = IGNORED
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loss = model(**batch, labels=targets).loss
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    return {
        "versions": f"transformers {version('transformers')}, torch {version('torch')}",
        "rows": len(rows),
        "labels": len(labels),
        "with its arrow": drawn,
        "answer tokens": int((targets != IGNORED).sum()),
        "loss": round(float(loss), 3),
    }


def run(to: str, folder: Path) -> dict[str, Any]:
    """Exports, trains one step there, compares.

    Raises:
        ImportError: the package is not installed.
        AssertionError: see `compare`.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    receiver = RECEIVERS[to]
    beside_cpu_torch()
    from transformers import AutoTokenizer

    write_shards(folder / "shards")
    exported = write_export(folder / "shards", to, folder / "export")
    template = CHATML
    if to == "trl":
        # It holds the official template, and knows it by its text.
        from trl import chat_template_utils

        template = (
            Path(chat_template_utils.__file__).parent / "chat_templates" / "qwen3_vl.jinja"
        ).read_text("utf-8")
    write_toy(folder / "toy", template)
    seen: dict[str, Any] = {}
    restore = watch_first_step(seen)
    try:
        receiver.step(folder / "toy", exported, folder / "work")
    finally:
        restore()
    found = compare(seen, exported, AutoTokenizer.from_pretrained(folder / "toy"))
    versions = ", ".join(f"{p} {version(p)}" for p in (receiver.package, "transformers", "torch"))
    return {"versions": versions} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("to", choices=[*RECEIVERS, "depthlm"])
    parser.add_argument("--code", type=Path, help="A clone of DepthLM's repository.")
    given = parser.parse_args()
    if given.to == "depthlm" and given.code is None:
        parser.error("depthlm is no package: give --code CLONE")
    # These trainers also read the command line.
    sys.argv = sys.argv[:1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = run_depthlm(given.code, folder) if given.code else run(given.to, folder)
    for name, value in found.items():
        print(f"{name:18} {value}")


if __name__ == "__main__":
    main()
