"""What sharing is worth: many questions about one picture, as ratios to one `generate` a question.

Random weights of a fixed size, so nothing here says how good an answer is. Times are processor
time of this process on one thread, because wall time on a shared machine is not repeatable; on a
GPU they are wall time until it is idle. Medians after a first run; the two engines are timed in one
run, one after the other. The naive engine's cost is the same for every question, so it is timed on
one.

    python benchmarks/ask.py --prefix 300 1492 --questions 1 16 1024 --json ask.json
"""

import argparse
import gc
import resource
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from results import clock, keep

from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.engines.naive import NaiveEngine
from vlm3.model import Checkpoint, Settings, SmallSize, build_small, train_tokenizer
from vlm3.tasks import depth
from vlm3.tasks.protocol import PROTOCOLS

# The study's size: vision 6x256, text 8x512.
SIZE = SmallSize(
    patch_px=16,
    vision_hidden=256,
    vision_layers=6,
    vision_heads=8,
    vision_mlp=1024,
    deepstack=(1, 3, 5),
    position_table=48,
    text_hidden=512,
    text_layers=8,
    text_heads=8,
    text_kv_heads=2,
    text_mlp=1536,
    rope_theta=10_000.0,
)
CHATML = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\n' -}}"
    "{%- if message.content is string -%}{{- message.content -}}{%- else -%}"
    "{%- for part in message.content -%}{%- if part.type == 'image' -%}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- else -%}{{- part.text -}}{%- endif -%}{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
PICTURES = {300: (576, 512), 1492: (1280, 1184)}
ANSWER_TOKENS = 6


def make_checkpoint() -> Checkpoint:
    """The model under test, which writes digits and never ends early."""
    points = np.random.default_rng(0).uniform(0, 500, (100, 2))
    sentences = ["user assistant"]
    for name in ("paper", "release-depth", "joint"):
        for point in points:
            sentences.append(depth.ask(PROTOCOLS[name], point, width_px=500, height_px=500))
            sentences.append(depth.answer(PROTOCOLS[name], float(point[0])))
    tokenizer = train_tokenizer(sentences, words=600)
    tokenizer.chat_template = CHATML
    model = build_small(tokenizer, SIZE)
    with torch.no_grad():
        for parameter in model.model.language_model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2)
        rows = torch.randn(model.lm_head.weight.shape)
        digits = tokenizer.convert_tokens_to_ids(list("0123456789"))
        keep = torch.zeros(len(rows), 1)
        keep[digits] = 1
        model.lm_head.weight = torch.nn.Parameter(rows * keep)
    return Checkpoint(model, tokenizer, SIZE.picture_input, Settings(), "random", Path())


def timed(engine: Any, image: Any, questions: Sequence[str]) -> tuple[float, list[str]]:
    """Seconds, pictures included, and the texts."""
    gc.collect()
    device = next(engine._checkpoint.model.parameters()).device
    began = clock(device)
    with engine.open([image]) as scene:
        texts = engine.ask(scene, questions, max_new_tokens=ANSWER_TOKENS)
    return clock(device) - began, texts


def measure(
    checkpoint: Checkpoint, prefix: int, names: Sequence[str], counts: Sequence[int], repeats: int
) -> list[dict[str, Any]]:
    width_px, height_px = PICTURES[prefix]
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    points = rng.uniform(0.05, 1, (max(counts), 2)) * (width_px, height_px)
    naive, rows = NaiveEngine(checkpoint), []
    for name in names:
        size = {"width_px": width_px, "height_px": height_px}
        questions = [depth.ask(PROTOCOLS[name], point, **size) for point in points]
        timed(naive, image, questions[:1])  # First runs pay for what is set up once.
        for count in counts:
            timed(LocalEngine(checkpoint), image, questions[:count])
        fast: dict[int, list[float]] = {count: [] for count in counts}
        slow: list[float] = []
        for _ in range(repeats):
            seconds, expected = timed(naive, image, questions[:1])
            slow.append(seconds)
            for count in counts:
                seconds, texts = timed(LocalEngine(checkpoint), image, questions[:count])
                assert texts[:1] == expected, "the engines disagree"
                fast[count].append(seconds)
        for count in counts:
            rows.append(
                {
                    "prefix": prefix,
                    "protocol": name,
                    "questions": count,
                    "naive_ms_per_question": 1e3 * median(slow),
                    "ms_per_question": 1e3 * median(fast[count]) / count,
                    "ratio": median(slow) * count / median(fast[count]),
                    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            )
            print(
                f"prefix {prefix:5d}  {name:14s} {count:5d} questions  "
                f"{rows[-1]['naive_ms_per_question']:8.1f} -> {rows[-1]['ms_per_question']:8.2f} ms"
                f"  ratio {rows[-1]['ratio']:7.2f}  peak {rows[-1]['peak_mb']:.0f} MB",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prefix", type=int, nargs="+", default=[300, 1492], choices=PICTURES)
    parser.add_argument("--protocol", nargs="+", default=["paper", "joint"])
    parser.add_argument("--questions", type=int, nargs="+", default=[1, 16, 1024])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="such as benchmarks/results/ask-h100.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = make_checkpoint()
    checkpoint.model.to(options.device)
    rows = []
    for prefix in options.prefix:
        rows += measure(checkpoint, prefix, options.protocol, options.questions, options.repeats)
    if options.json:
        keep(options.json, checkpoint.device, rows)


if __name__ == "__main__":
    main()
