"""The 4B architecture at random weights with the paper's token counts, on GPUs.

    torchrun --nproc-per-node 8 benchmarks/train_4b.py            # the four tasks
    torchrun --nproc-per-node 8 benchmarks/train_4b.py depth --compile off
    python benchmarks/train_4b.py depth --size tiny      # anywhere: that the script runs

Prints samples a second a GPU beside the paper's own (from its hours and GPUs), MFU and memory, and
what `vlm3 plan` counts for the same budget: samples a second at that MFU, and memory.
"""

import argparse
import gc
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import keep

from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.train.collate import Collator
from vlm3.train.flat_settings import changed
from vlm3.train.loss_module import begin
from vlm3.train.optim import optimizers
from vlm3.train.parallel import Parallel, precision, spread, start
from vlm3.train.plan import GPUS, SHAPES, batch_flops, peak_flops, plan
from vlm3.train.recipes import recipe
from vlm3.train.validation import moved

PAPER = {"depth": 3.9, "objects": 2.9, "correspondence": 2.1, "pose": 0.9}


def lesson(task: str, token_px: int, tokenizer: object, shrink: int) -> Conversation:
    """Noise with as many tokens as a sample of the task has."""
    shape = SHAPES[task]
    rng = np.random.default_rng(0)
    images = []
    for tokens in shape.pictures:
        rows = max(1, round(tokens**0.5 / shrink))
        columns = max(1, round(tokens / rows / shrink**2))
        images.append(
            rng.integers(0, 256, (rows * token_px, columns * token_px, 3), dtype=np.uint8)
        )
    question, qas = "Distance in meters from the camera to the point: 0123 0456", []
    per_question = len(tokenizer(question)["input_ids"]) + 10
    for k in range(max(1, shape.text // per_question)):
        qas.append(QA("depth", f"{question} {k:04d}", "02.75"))
    return Conversation(tuple(images), tuple(qas))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", choices=[*PAPER, []], help="all four if none is named")
    parser.add_argument("--size", default="4b-random", choices=["4b-random", "tiny"])
    parser.add_argument("--attention", default="auto")
    parser.add_argument("--packing", default="chat", choices=["chat", "independent"])
    parser.add_argument("--samples", type=int, default=4, help="conversations a forward pass")
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument(
        "--compile", nargs="?", const="on", default="auto", choices=["auto", "on", "off"]
    )
    parser.add_argument("--json", type=Path, help="such as benchmarks/results/train-h100.json")
    given = parser.parse_args()
    parallel = start("auto", ())
    rows = []
    for task in given.tasks or PAPER:
        rows.append(measure(task, given, parallel))
        # Model and optimiser go in circles: without this the next task starts with their 18 GB.
        gc.collect()
        if parallel.device.type == "cuda":
            torch.cuda.empty_cache()
    if given.json and parallel.first:
        keep(given.json, parallel.device, rows)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        torch.distributed.destroy_process_group()


def measure(task: str, given: argparse.Namespace, parallel: Parallel) -> dict[str, Any]:
    small = given.size == "tiny"
    run = changed(
        recipe(f"{task}_4b"),
        model=given.size,
        attention=given.attention,
        packing=given.packing,
        compile=given.compile,
        precision="fp32" if small else "bf16",
    )
    if parallel.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    device = str(parallel.device)
    made = begin(run.model, run.parallel, run.loader.packing, seed=run.seed, device=device)
    module = spread(made.trainee, made.blocks, parallel, bf16=not small)
    stepping = optimizers(made.trainee, run.optim)
    collator = Collator(made.tokenizer, made.spec, run.loader.packing)
    one = collator.encoder(lesson(task, made.spec.token_px, made.tokenizer, 8 if small else 1))
    batch = collator.batch([one] * given.samples)
    tensors = moved(batch.tensors, parallel.device)
    seconds, first_loss = [], None
    for turn in range(given.passes + 2):
        begun = time.perf_counter()
        with precision(parallel, bf16=not small):
            losses = module(tensors)
        losses.mean().backward()
        if first_loss is None:
            first_loss = float(losses.detach().double().mean())
        torch.nn.utils.clip_grad_norm_(made.trainee.parameters(), run.optim.clip)
        stepping[0].step()
        stepping[0].zero_grad(set_to_none=True)
        if parallel.device.type == "cuda":
            torch.cuda.synchronize()
        if turn >= 2:
            seconds.append(time.perf_counter() - begun)
    each = float(np.median(seconds))
    peak = peak_flops(parallel.device)
    flops = batch_flops(made.trainee.model.config, batch)
    rate = given.samples / each
    row = {
        "task": task,
        "size": given.size,
        "attention": given.attention,
        "packing": given.packing,
        "samples": given.samples,
        "compile": given.compile,
        "compiled": made.compiled,
        "loss": first_loss,
        "samples_a_second": rate,
    }
    if peak:
        row |= {"mfu": flops / each / peak, "memory_gb": torch.cuda.max_memory_allocated() / 1e9}
    if parallel.first:
        print(f"{made.attention}\n{made.compiled}")
        print(f"{task}: {len(one.ids)} tokens a sample, {rate:.2f} samples/s a GPU")
        if not small:
            print(f"the paper's own rate: {PAPER[task]} (x {rate / PAPER[task]:.2f})")
        if peak:
            mfu = row["mfu"]
            print(f"MFU {mfu:.3f}, memory {row['memory_gb']:.1f} GB a GPU")
            gpu = next(name for name in GPUS if name in torch.cuda.get_device_name())
            same = changed(run, budget=given.samples * len(one.ids), mesh="auto")
            told = plan(same, gpu=gpu, gpus=parallel.world, mfu=mfu)
            print(
                f"vlm3 plan at that MFU: {told.samples_a_second / parallel.world:.2f} samples/s a "
                f"GPU, {told.memory_gb:.1f} GB"
            )
        print(f"model TFLOP a sample {flops / given.samples / 1e12:.3g}")
    return row


if __name__ == "__main__":
    main()
