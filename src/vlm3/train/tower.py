"""Nano's vision tower before it meets text: dense answers at every place of a picture.

The paper starts from a tower that has seen billions of pictures; nano has none to start from. So
the tower alone first learns, from rendered pairs, what lies at each spot of its token grid:
distance, the way the surface faces, colour, and which spot of another picture shows the same point.
The heads are thrown away; from there on everything is text, as in the paper.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vlm3 import strict_json
from vlm3.model import PictureInput, patchify, pixel_values
from vlm3.train.config import Run
from vlm3.train.gallery import SHAPES, StoredPair, gallery_of, repainted, shown
from vlm3.train.muon import Muon

SPOTS = 4
"""Spots a side of a token: labels every 4 px for tokens of 16."""
MUON_RATE, ADAM_RATE = 2e-2, 1e-3
"""For matrices, and for the rest."""
TWINS = 2
"""Spots a side of a token that are told apart when looking for a match."""

_CHANNELS = 7


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

    def to(self, device: torch.device) -> "Dense":
        """The same on a device."""
        return Dense(
            self.patches.to(device, non_blocking=True),
            self.grids.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.xy1.to(device, non_blocking=True),
            self.xy2.to(device, non_blocking=True),
            self.columns,
        )


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
    count = real.sum().clamp(min=1)
    each = torch.nn.functional.cross_entropy(scores[real], at2[real], reduction="sum")
    parts["match"] = each / count
    parts["found"] = (scores[real].argmax(-1) == at2[real]).sum() / count
    return parts


def total(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    """One number to go down."""
    weight = {"distance": 1.0, "normal": 0.3, "color": 0.3, "match": 0.15}
    out = torch.zeros((), device=parts["distance"].device)
    for name, value in parts.items():
        kind, _, place = name.partition("_")
        out = out + weight.get(kind, 0.0) * (0.3 if place else 1.0) * value
    return out


class _Batches(torch.utils.data.Dataset[Dense]):
    """Item s is step s: a function of the run alone."""

    def __init__(self, run: Run, spec: PictureInput) -> None:
        self.run, self.spec = run, spec
        self.gallery = gallery_of(run)

    def __getitem__(self, step: int) -> Dense:
        torch.set_num_threads(1)
        rng = np.random.default_rng((self.run.seed, step))
        width_px, height_px = SHAPES[rng.integers(len(SHAPES))]
        first = step * self.run.batch
        pairs = [
            shown(self.gallery.pair((first + k) % self.run.worlds), rng, width_px, height_px)
            for k in range(self.run.batch)
        ]
        return dense(pairs, self.spec, rng)


@torch.no_grad()
def check(
    run: Run, visual: Any, heads: Heads, spec: PictureInput, device: torch.device
) -> dict[str, float]:
    """The losses on held-out pairs, and delta1 beside the best constant's."""
    visual.eval()
    gallery, count = gallery_of(run, "heldout"), run.held_out
    rng = np.random.default_rng(0)
    sums: dict[str, float] = {}
    said: list[torch.Tensor] = []
    true: list[torch.Tensor] = []
    for start in range(0, count, 8):
        pairs = [gallery.pair(k).cut(160, 128) for k in range(start, min(count, start + 8))]
        batch = dense(pairs, spec, rng, paint=False).to(device)
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
    constants = torch.linspace(-1, 4, 200, device=device)
    best = max(float(((c - right).abs() < near).float().mean()) for c in constants)
    return sums | {"delta1": float(((guess - right).abs() < near).float().mean()), "constant": best}


def train_tower(run: Run, model: Any, spec: PictureInput, device: torch.device) -> None:
    """Trains the model's vision tower in place, `run.tower_steps` steps of `run.batch` pairs.

    Started again it goes on where it was saved, in `run.out`/tower.pt; a finished one is loaded.
    """
    visual = model.model.visual.to(device).requires_grad_(True)
    width = model.config.text_config.hidden_size
    heads = Heads(width, 1 + len(model.config.vision_config.deepstack_visual_indexes)).to(device)
    named = [*visual.named_parameters(), *heads.named_parameters()]
    matrices = [p for n, p in visual.named_parameters() if p.ndim == 2 and "embed" not in n]
    chosen = {id(p) for p in matrices}
    stepping: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=MUON_RATE),
        torch.optim.AdamW(
            [p for _, p in named if id(p) not in chosen], ADAM_RATE, (0.9, 0.98), weight_decay=0.0
        ),
    ]
    run.out.mkdir(parents=True, exist_ok=True)
    saved, done = run.out / "tower.pt", 0
    if saved.is_file():
        state = torch.load(saved, weights_only=True, map_location=device)
        visual.load_state_dict(state["visual"])
        heads.load_state_dict(state["heads"])
        for optimizer, held in zip(stepping, state["optimizers"], strict=True):
            optimizer.load_state_dict(held)
        done = int(state["step"])
    means: dict[str, float] = {}
    visual.train()
    begun = done
    clock = time.monotonic()
    for step, batch in zip(range(done, run.tower_steps), _loader(run, spec, done), strict=True):
        rate = min(1.0, (step + 1) / 50, 2 * (run.tower_steps - step) / run.tower_steps)
        for optimizer, base in zip(stepping, (MUON_RATE, ADAM_RATE), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = base * rate
        parts = losses(visual, heads, batch.to(device), spec)
        for optimizer in stepping:
            optimizer.zero_grad()
        total(parts).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
        for optimizer in stepping:
            optimizer.step()
        for name, value in parts.items():
            means[name] = means.get(name, 0.0) + value.item()
        done = step + 1
        if done % run.check_every == 0 or done == run.tower_steps:
            count = done - begun
            entry = {"step": done, "seconds": (time.monotonic() - clock) / count}
            entry |= {name: value / count for name, value in means.items()}
            entry |= {f"held_{k}": v for k, v in check(run, visual, heads, spec, device).items()}
            rounded = {k: round(v, 4) for k, v in entry.items()}
            with (run.out / "tower.jsonl").open("a") as log:
                print(strict_json.dumps(rounded), file=log)
            print(
                f"tower: step {done} of {run.tower_steps}, held-out distance delta1 "
                f"{entry['held_delta1']:.3f} (constant {entry['held_constant']:.3f}), matches "
                f"found {entry['held_found']:.3f}",
                file=sys.stderr,
            )
            _save(saved, done, visual, heads, stepping)
            begun, means, clock = done, {}, time.monotonic()
    visual.requires_grad_(not run.freeze_vision)


def load_tower(run: Run, model: Any) -> None:
    """Puts a trained tower into a model, where `train_tower` has left one."""
    state = torch.load(run.out / "tower.pt", weights_only=True, map_location="cpu")
    model.model.visual.load_state_dict(state["visual"])


def _loader(run: Run, spec: PictureInput, start: int) -> Iterable[Dense]:
    return torch.utils.data.DataLoader(
        _Batches(run, spec),
        batch_size=None,
        sampler=range(start, run.tower_steps),
        num_workers=run.workers,
        prefetch_factor=2 if run.workers else None,
        multiprocessing_context="spawn" if run.workers else None,
    )


def _save(
    path: Path, step: int, visual: Any, heads: Heads, stepping: list[torch.optim.Optimizer]
) -> None:
    state = {
        "step": step,
        "visual": visual.state_dict(),
        "heads": heads.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in stepping],
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
