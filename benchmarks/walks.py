"""`vlm3 scene` on real walks with known cameras: errors after alignment, and the page of each.

    python benchmarks/walks.py kitchen=DIR:0:5:3 turning=DIR:63:8:3 --pages pages

A walk is a name, a folder of RGB-D frames with poses (the layouts of `vlm3 eval rgbd-pairs`), and
which of its frames, by their order: the first, how many, and the step. Only the colour pictures are
shown to the model. Errors are of camera centres after the best rigid alignment, without scale.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scene import errors

from vlm3 import InputError, View, load
from vlm3.eval.readers.rgbd import frames_of
from vlm3.geometry.pose import invert
from vlm3.multiview.build import build_scene
from vlm3.output.scenes import summary, write_scene


def chosen(walk):
    """The walk's name and its frames."""
    name, _, rest = walk.partition("=")
    folder, first, count, step = rest.rsplit(":", 3)
    frames = frames_of(Path(folder))
    return name, frames[int(first) :: int(step)][: int(count)]


def opened(frame):
    """The colour picture with its camera."""
    camera = frame.camera
    return View.open(
        frame.image, intrinsics_px=(camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px)
    )


def measure(predictor, frames, name, grid, pages):
    """One row of the table."""
    views = [opened(frame) for frame in frames]
    truth = np.stack([frame.world_from_cam for frame in frames])
    path_m = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    row = {"walk": name, "pictures": len(views), "path_m": float(path_m)}
    try:
        made = build_scene(predictor, views, grid=grid)
    except InputError as error:
        return {**row, "refused": str(error)}
    found = made.cameras.world_from_cam
    ate_m, degrees = errors(found, truth)
    direct = np.linalg.norm((invert(truth[0]) @ truth)[:, :3, 3] - found[:, :3, 3], axis=1)
    outputs = [str(pages / f"{name}.html"), str(pages / f"{name}.npz")] if pages else []
    fused, _ = write_scene(made, outputs, model="nano")
    return {
        **row,
        "ate_m": float(ate_m),
        "rotation_deg": float(degrees),
        "from_first_m": direct.round(3).tolist(),
        "path_found_m": float(np.linalg.norm(np.diff(found[:, :3, 3], axis=0), axis=1).sum()),
        **summary(made, fused),
    }


def main():
    """Prints a line of JSON and a row of the table for each walk."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("walks", nargs="+", metavar="NAME=DIR:FIRST:COUNT:STEP")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--grid", default="32x24", help="of each depth map")
    parser.add_argument("--pages", type=Path, help="where pages and arrays go")
    options = parser.parse_args()
    predictor = load(options.model)
    grid = tuple(int(side) for side in options.grid.split("x"))
    for walk in options.walks:
        name, frames = chosen(walk)
        print(json.dumps(measure(predictor, frames, name, grid, options.pages)), flush=True)


if __name__ == "__main__":
    main()
