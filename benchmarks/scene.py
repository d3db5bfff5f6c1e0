"""Cameras of a scene by chaining and by averaging, on rings and loops in rendered worlds.

    python benchmarks/scene.py                     # the table of docs/seeing.md
    python benchmarks/scene.py --page scene.html   # one of them through the whole of `vlm3 scene`

Motions are the true ones with noise (3 degrees about each axis, 10 % of the distance, 2 cm), and
a share of them is replaced by random ones. A pair of which less than a tenth is seen by both is
always replaced: no model could know it. Every pair is asked twice, as `vlm3 scene` does, with
errors of their own; the chain takes the first. Errors are after the best rigid alignment, without
scale.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import relative_pose, rotation_error_deg
from vlm3.infer.predictor import Predictor
from vlm3.multiview.averaging import Motion, average, chain
from vlm3.multiview.build import build_scene, choose_pairs
from vlm3.multiview.oracle import SceneOracle
from vlm3.output.scenes import write_scene
from vlm3.tasks.protocol import get_protocol
from vlm3.view import View
from vlm3.worlds import World
from vlm3.worlds.cameras import angles_to, pose_from_angles

CAMERA = Camera.from_fov(75, width_px=320, height_px=240)
TURN_DEG, FAR, NEAR_M = 3.0, 0.10, 0.02
LEAST_SHARED = 0.1


def walk(world, shape, count):
    """World_from_cam (count, 4, 4): a ring that looks at the middle, or a loop that looks ahead."""
    low, high = world.scene.spots.min(0), world.scene.spots.max(0)
    middle, half = (low + high) / 2, 0.45 * (high - low)
    poses = []
    for k in range(count):
        t = 2 * np.pi * k / count
        centre = np.array([middle[0] + half[0] * np.cos(t), middle[1] + half[1] * np.sin(t), 1.5])
        ahead = np.array([-half[0] * np.sin(t), half[1] * np.cos(t), 0.0])
        target = np.array([*middle, 0.9]) if shape == "ring" else centre + ahead
        yaw, pitch = angles_to(centre, target)
        poses.append(pose_from_angles(centre, yaw, pitch if shape == "ring" else -0.15, 0.02))
    return np.stack(poses)


def disturbed(motion, rng):
    """With the noise of a stated motion."""
    out = motion.copy()
    turn = Rotation.from_rotvec(np.radians(rng.normal(0, TURN_DEG, 3))).as_matrix()
    out[:3, :3] = out[:3, :3] @ turn
    out[:3, 3] = out[:3, 3] * (1 + FAR * rng.normal()) + rng.normal(0, NEAR_M, 3)
    return out


def wild(rng):
    """Any motion at all."""
    out = np.eye(4)
    out[:3, :3] = Rotation.random(rng=rng).as_matrix()
    out[:3, 3] = rng.normal(0, 1.5, 3)
    return out


def errors(found, truth):
    """RMS of the centres in metres, median of the rotations in degrees, after alignment."""
    a, b = found[:, :3, 3], truth[:, :3, 3]
    turn, _ = Rotation.align_vectors(b - b.mean(0), a - a.mean(0))
    moved = turn.apply(a - a.mean(0)) + b.mean(0)
    gauge = Rotation.from_matrix(truth[:, :3, :3] @ np.swapaxes(found[:, :3, :3], -1, -2)).mean()
    off = rotation_error_deg(gauge.as_matrix() @ found[:, :3, :3], truth[:, :3, :3])
    return np.sqrt(((moved - b) ** 2).sum(1).mean()), np.median(off)


def measure(shape, count, share, worlds):
    """Means over worlds of: (ATE, degrees) chained, averaged; share of motions judged right."""
    rows = []
    for index in range(worlds):
        world = World(0, index, kind="room")
        rng = np.random.default_rng([index, count])
        truth = walk(world, shape, count)
        motions, bad = [], []
        for a, b in choose_pairs(count):
            shared = world.sight.covisibility(truth[a], CAMERA, truth[b], CAMERA)
            true = relative_pose(truth[a], truth[b])
            for _ in ("there", "back"):
                lost = shared < LEAST_SHARED or rng.random() < share
                motions.append(Motion(a, b, wild(rng) if lost else disturbed(true, rng)))
                bad.append(lost)
        found = average(count, motions)
        right = np.mean(found.kept != np.array(bad))
        chained = errors(chain(count, motions), truth)
        rows.append((*chained, *errors(found.world_from_cam, truth), right, np.mean(bad)))
    return np.array(rows)


def scene_of(shape, count, share, index, seed=0, side=(320, 240)):
    """A predictor that knows a rendered walk, its views, and the true poses."""
    world = World(0, index, kind="room")
    camera = CAMERA.resized(*side)
    truth = walk(world, shape, count)
    rng = np.random.default_rng(seed)
    frames = [world.frame(camera, pose, rng) for pose in truth]
    views = [View(frame.image, camera) for frame in frames]
    protocol = get_protocol("joint").with_focal(100)

    def disturb(a, b, motion):
        return wild(rng) if rng.random() < share else disturbed(motion, rng)

    oracle = SceneOracle(
        views, truth, [frame.distance_m for frame in frames], protocol, disturb=disturb
    )
    return Predictor(oracle, protocol, multiple_px=16), views, truth


def main():
    """Prints the table, or writes a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--page", metavar="FILE", help="Instead: a ring of 8 views, as a file.")
    parser.add_argument("--index", type=int, default=1, help="The world of the page.")
    options = parser.parse_args()
    if options.page:
        predictor, views, truth = scene_of("ring", 8, 0.2, options.index)
        made = build_scene(predictor, views, grid=(64, 48))
        ate, degrees = errors(made.cameras.world_from_cam, truth)
        print(f"ATE {ate:.3f} m, rotation {degrees:.2f} degrees")
        write_scene(made, [str(Path(options.page))], model="oracle with noise")
        return
    print("| walk | views | wild motions | chained: ATE, rotation | averaged | told apart |")
    print("|---|---|---|---|---|---|")
    for shape in ("ring", "loop"):
        for count in (8, 24):
            for share in (0.0, 0.2, 0.3):
                r = np.median(measure(shape, count, share, options.worlds), 0)
                print(
                    f"| {shape} | {count} | {r[5]:.0%} | {r[0]:.2f} m, {r[1]:.1f}° "
                    f"| {r[2]:.2f} m, {r[3]:.1f}° | {r[4]:.0%} |"
                )


if __name__ == "__main__":
    main()
