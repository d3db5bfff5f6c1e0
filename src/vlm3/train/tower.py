"""Nano's vision tower before it meets text: dense answers at every place of a picture.

The paper starts from a tower that has seen billions of pictures; nano has none to start from. So
the tower alone first learns, from rendered pairs, what lies at each spot of its token grid:
distance, the way the surface faces, colour, and which spot of another picture shows the same point.
The heads are thrown away; from there on everything is text, as in the paper.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vlm3.model import PictureInput, patchify, pixel_values
from vlm3.train.gallery import SHAPES, Gallery, StoredPair, repainted, shown
from vlm3.train.muon import Muon

SPOTS = 4
"""Spots a side of a token: labels every 4 px for tokens of 16."""
TWINS = 2
"""Spots a side of a token that are told apart when looking for a match."""

_CHANNELS = 7


@dataclass(frozen=True)
class TowerRun:
    """The tower's stage.

    Attributes:
        out: folder for the log and the checkpoint.
        gallery: folder of rendered pairs.
        f_px: focal length.
        pairs: rendered pairs that are shown in turn.
        steps: optimiser steps in all.
        batch: pairs a step.
        muon_rate: for matrices.
        adam_rate: for the rest.
        seed: of order and looks.
        check_every: steps between checks and saves.
    """

    out: Path
    gallery: Path
    f_px: float
    pairs: int
    steps: int
    batch: int = 6
    muon_rate: float = 2e-2
    adam_rate: float = 1e-3
    seed: int = 0
    check_every: int = 100

    def rate(self, step: int) -> float:
        """Share of the full rate: up over 50 steps, level, down over the last half."""
        return min(1.0, (step + 1) / 50, 2 * (self.steps - step) / self.steps)


class Heads(nn.Module):
    """What a token says of its spots, read from each of the tower's outputs."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.dense = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, _CHANNELS * SPOTS**2))
            for _ in range(outputs)
        )
        self.twin = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 48 * TWINS**2))
        self.sharpness = nn.Parameter(torch.tensor(2.3))


@dataclass(frozen=True, eq=False)
class Dense:
    """Pictures of one shape with labels at each spot, as rows of tokens.

    Attributes:
        patches: (pictures * N, values) uint8.
        grids: (pictures, 3).
        labels: (pictures, tokens, SPOTS**2, 7) log distance, normal, colour; NaN in the sky.
        xy1: (pairs, n, 2) matches in pictures 0, 2, ...; in spots of `TWINS`; -1 where none.
        xy2: (pairs, n, 2) the same in pictures 1, 3, ...
        columns: spots of `TWINS` a row.
    """

    patches: torch.Tensor
    grids: torch.Tensor
    labels: torch.Tensor
    xy1: torch.Tensor
    xy2: torch.Tensor
    columns: int


def dense(
    pairs: list[StoredPair], spec: PictureInput, rng: np.random.Generator, *, paint: bool = True
) -> Dense:
    """Pairs of one shape as tensors."""
    token = spec.token_px
    stride = token // SPOTS
    patches, grids, labels = [], [], []
    for pair in pairs:
        for frame in (pair.frame1, pair.frame2):
            image = repainted(frame.image, rng) if paint else frame.image
            values, grid = patchify(image, spec)
            patches.append(values)
            grids.append(grid)
            at = slice(stride // 2, None, stride)
            distance = frame.distance_m[at, at].astype(np.float64)
            log = np.where(np.isfinite(distance), np.log(np.maximum(distance, 0.05)), np.nan)
            color = image[at, at].astype(np.float32) / 127.5 - 1
            spots = np.concatenate([log[..., None], frame.normal[at, at], color], -1)
            rows, columns = spots.shape[0] // SPOTS, spots.shape[1] // SPOTS
            spots = spots.reshape(rows, SPOTS, columns, SPOTS, -1).transpose(0, 2, 1, 3, 4)
            labels.append(spots.reshape(rows * columns, SPOTS**2, -1))
    most = max(1, *(len(pair.xy1_px) for pair in pairs))
    ends = np.full((2, len(pairs), most, 2), -1.0)
    for k, pair in enumerate(pairs):
        ends[0, k, : len(pair.xy1_px)] = pair.xy1_px * TWINS / token
        ends[1, k, : len(pair.xy2_px)] = pair.xy2_px * TWINS / token
    found = torch.from_numpy(np.floor(ends).astype(np.int64))
    return Dense(
        torch.from_numpy(np.concatenate(patches)),
        torch.tensor(grids),
        torch.from_numpy(np.stack(labels).astype(np.float32)),
        found[0],
        found[1],
        columns * TWINS,
    )


def losses(visual: Any, heads: Heads, batch: Dense, spec: PictureInput) -> dict[str, torch.Tensor]:
    """Distance (mean |log|), normal, colour and match losses; and the share of matches found."""
    out = visual(pixel_values(batch.patches, spec), grid_thw=batch.grids)
    pictures, tokens = batch.labels.shape[:2]
    parts: dict[str, torch.Tensor] = {}
    truth = batch.labels
    solid = torch.isfinite(truth[..., 0])
    for place, (head, hidden) in enumerate(
        zip(heads.dense, (out.pooler_output, *out.deepstack_features), strict=True)
    ):
        said = head(hidden).view(pictures, tokens, SPOTS**2, _CHANNELS)
        distance = (said[..., 0] - truth[..., 0])[solid].abs().mean()
        normal = (said[..., 1:4] - truth[..., 1:4])[solid].abs().mean()
        color = (said[..., 4:] - truth[..., 4:]).abs().mean()
        name = "" if place == 0 else f"_{place}"
        parts |= {f"distance{name}": distance, f"normal{name}": normal, f"color{name}": color}
    # Descriptors of all finer spots of a picture, row by row as pixels lie.
    columns = batch.columns // TWINS
    code = heads.twin(out.pooler_output).view(pictures, -1, columns, TWINS, TWINS, 48)
    code = code.permute(0, 1, 3, 2, 4, 5).reshape(pictures, -1, 48)
    code = torch.nn.functional.normalize(code.float(), dim=-1)
    first, second = code[0::2], code[1::2]
    real = batch.xy1[..., 0] >= 0
    at1, at2 = (
        (xy[..., 1] * batch.columns + xy[..., 0]).clamp(min=0) for xy in (batch.xy1, batch.xy2)
    )
    asked = torch.gather(first, 1, at1[..., None].expand(-1, -1, 48))
    scores = torch.einsum("bnd,bsd->bns", asked, second) * heads.sharpness.exp()
    parts["match"] = torch.nn.functional.cross_entropy(scores[real], at2[real])
    parts["found"] = (scores[real].argmax(-1) == at2[real]).float().mean().detach()
    return parts


def total(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    """One number to go down."""
    weight = {"distance": 1.0, "normal": 0.3, "color": 0.3, "match": 0.15}
    out = torch.zeros(())
    for name, value in parts.items():
        kind, _, place = name.partition("_")
        out = out + weight.get(kind, 0.0) * (0.3 if place else 1.0) * value
    return out


def _batch(run: TowerRun, gallery: Gallery, spec: PictureInput, step: int) -> Dense:
    rng = np.random.default_rng((run.seed, step))
    width_px, height_px = SHAPES[rng.integers(len(SHAPES))]
    first = step * run.batch
    pairs = [
        shown(gallery.pair((first + k) % run.pairs), rng, width_px, height_px)
        for k in range(run.batch)
    ]
    return dense(pairs, spec, rng)


@torch.no_grad()
def check(visual: Any, heads: Heads, gallery: Gallery, spec: PictureInput, count: int = 48) -> dict[str, float]:
    """The losses on held-out pairs, and delta1 beside the best constant's."""
    visual.eval()
    rng = np.random.default_rng(0)
    sums: dict[str, float] = {}
    said: list[torch.Tensor] = []
    true: list[torch.Tensor] = []
    for start in range(0, count, 8):
        pairs = [gallery.pair(k).cut(160, 128) for k in range(start, min(count, start + 8))]
        batch = dense(pairs, spec, rng, paint=False)
        for name, value in losses(visual, heads, batch, spec).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(pairs) / count
        out = visual(pixel_values(batch.patches, spec), grid_thw=batch.grids).pooler_output
        log = heads.dense[0](out).view(*batch.labels.shape[:2], SPOTS**2, _CHANNELS)[..., 0]
        solid = torch.isfinite(batch.labels[..., 0])
        said.append(log[solid])
        true.append(batch.labels[..., 0][solid])
    visual.train()
    guess, right = torch.cat(said), torch.cat(true)
    near = float(np.log(1.25))
    constants = torch.linspace(-1, 4, 200)
    best = max(float(((c - right).abs() < near).float().mean()) for c in constants)
    return sums | {"delta1": float(((guess - right).abs() < near).float().mean()), "constant": best}


def train_tower(run: TowerRun, model: Any, spec: PictureInput) -> None:
    """Trains the model's vision tower in place; started again it goes on where it was saved."""
    visual = model.model.visual
    width = model.config.text_config.hidden_size
    heads = Heads(width, 1 + len(model.config.vision_config.deepstack_visual_indexes))
    named = [*visual.named_parameters(), *heads.named_parameters()]
    matrices = [p for n, p in visual.named_parameters() if p.ndim == 2 and "embed" not in n]
    chosen = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in chosen]
    stepping: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=run.muon_rate),
        torch.optim.AdamW(rest, lr=run.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    run.out.mkdir(parents=True, exist_ok=True)
    saved, done = run.out / "tower.pt", 0
    if saved.is_file():
        state = torch.load(saved, weights_only=True)
        visual.load_state_dict(state["visual"])
        heads.load_state_dict(state["heads"])
        for optimizer, held in zip(stepping, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        done = int(state["step"])
    learnt = Gallery(run.gallery, run.f_px, run.seed)
    held_out = Gallery(run.gallery, run.f_px, run.seed, "heldout")
    clock, means = time.monotonic(), {}
    visual.train()
    for step in range(done, run.steps):
        for optimizer, base in zip(stepping, (run.muon_rate, run.adam_rate), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = base * run.rate(step)
        parts = losses(visual, heads, _batch(run, learnt, spec, step), spec)
        for optimizer in stepping:
            optimizer.zero_grad()
        total(parts).backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
        for optimizer in stepping:
            optimizer.step()
        for name, value in parts.items():
            means[name] = means.get(name, 0.0) + value.item() / run.check_every
        if (step + 1) % run.check_every == 0 or step + 1 == run.steps:
            seconds = (time.monotonic() - clock) / run.check_every
            held = {f"held_{k}": v for k, v in check(visual, heads, held_out, spec).items()}
            entry = {"step": step + 1, "seconds": seconds} | means | held
            with (run.out / "tower.jsonl").open("a") as log:
                print(json.dumps({k: round(v, 4) for k, v in entry.items()}), file=log)
            print(" ".join(f"{k}={v:.3f}" for k, v in entry.items() if "_1" not in k and "_2" not in k), flush=True)
            state = {
                "step": step + 1,
                "visual": visual.state_dict(),
                "heads": heads.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in stepping],
            }
            partial = saved.with_suffix(".partial")
            torch.save(state, partial)
            partial.replace(saved)
            clock, means = time.monotonic(), {}
