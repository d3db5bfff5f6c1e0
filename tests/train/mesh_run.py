"""Trains a tiny run and prints nothing: started by torchrun in test_meshes.py."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from test_loop import tiny

from vlm3.train.trainer import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, out, mesh, stop, *rest = sys.argv[1:]
    names = ("samples", "workers")
    steps = dict(zip(names, (int(word) for word in rest if word.isdigit()), strict=False))
    compiled = "on" if "compile" in rest else "off"
    run = tiny(
        Path(folder), out, mesh=mesh, compile=compiled, recompute="recompute" in rest, **steps
    )
    train(run, stop_at=int(stop) or None)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
