"""The figures of docs/worlds.md: truth against oracles, distances, balance, speed.

    python benchmarks/worlds.py [--worlds 200] [--data FOLDER]
    python benchmarks/worlds.py --device cuda:0      # views a second there, and nothing else

`--data` is a folder with ibims1_a, rgbd_7scenes_redkitchen and kitti_object_a, for the rows of
real pictures; without it only the worlds' own are printed.
"""

import argparse
import collections
import json
import resource
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, transform_points
from vlm3.tasks.truth import Region, YesNo
from vlm3.worlds.bench import measure
from vlm3.worlds.frame import motion_between
from vlm3.worlds.questions import object_questions
from vlm3.worlds.render import pixel_rays
from vlm3.worlds.world import World


def best_constant(distance_m):
    tried = np.exp(np.linspace(np.log(0.3), np.log(100), 600))
    return max((np.maximum(distance_m / c, c / distance_m) < 1.25).mean() for c in tried)


def row(name, distance_m):
    low, middle, high = np.quantile(distance_m, [0.05, 0.5, 0.95])
    best = best_constant(distance_m)
    print(f"| {name} | {low:.2f} | {middle:.2f} | {high:.2f} | {best:.3f} |")


def world_distances(kind, count):
    """Held-out worlds; streets only where a roof lidar looks: -25 to 2 degrees, to 120 m."""
    f = 70 if kind == "room" else 46
    camera = Camera(f, f, 40, 30, 80, 60) if kind == "room" else Camera(f, f, 40, 12, 80, 24)
    rays = pixel_rays(camera).reshape(-1, 3)
    parts = []
    for index in range(count):
        world = World(7, index, split="heldout", kind=kind)
        pose = world.pose(world.rng(1), camera)
        way = rays @ pose[:3, :3].T
        distance, _ = world.renderer.cast(pose[:3, 3], way)
        good = np.isfinite(distance) & (distance < 120)
        if kind == "street":
            lift = np.degrees(np.arcsin(way[:, 2]))
            good &= (lift > -25) & (lift < 2)
        if good.sum() > 100:
            parts.append(np.random.default_rng(index).choice(distance[good], 200))
    return np.concatenate(parts)


def real_distances(data):
    parts = []
    for line in (data / "ibims1_a/ibims1_val.jsonl").read_text().splitlines():
        r = json.loads(line)
        fx, fy, cx, cy, _, _ = r["intrinsics"]
        x, y = np.array(r["pixel_coords"], float).T
        parts.append(
            np.array(r["depth"]) * np.sqrt(1 + ((x - cx) / fx) ** 2 + ((y - cy) / fy) ** 2)
        )
    yield "ibims1_a (z turned to distance)", np.concatenate(parts)
    parts = []
    y, x = np.mgrid[0:480:8, 0:640:8]
    stretch = np.sqrt(1 + ((x - 320) / 585) ** 2 + ((y - 240) / 585) ** 2)
    for path in sorted((data / "rgbd_7scenes_redkitchen").glob("*.depth.png")):
        z = np.asarray(Image.open(path)).astype(float)[::8, ::8]
        parts.append((z * stretch / 1000)[(z > 0) & (z < 65535)])
    yield "rgbd_7scenes_redkitchen", np.concatenate(parts)
    parts = []
    folder = data / "kitti_object_a"
    for path in sorted((folder / "velodyne").glob("*.bin")):
        lines = (folder / "calib" / f"{path.stem}.txt").read_text().splitlines()
        c = {n: np.array(v.split(), float) for n, v in (x.split(":") for x in lines if ":" in x)}
        camera, move = c["P2"].reshape(3, 4), c["Tr_velo_to_cam"].reshape(3, 4)
        points = np.fromfile(path, np.float32).reshape(-1, 4)[:, :3]
        seen = c["R0_rect"].reshape(3, 3) @ (move[:, :3] @ points.T + move[:, 3:])
        seen = seen[:, seen[2] > 0.5]
        uvw = camera[:, :3] @ seen + camera[:, 3:]
        u, v = uvw[:2] / uvw[2]
        width, height = Image.open(folder / "image_2" / f"{path.stem}.png").size
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        parts.append(np.linalg.norm(seen[:, inside], axis=0))
    yield "kitti_object_a (lidar in the picture)", np.concatenate(parts)
    parts = []
    for path in (data / "ddad_dgp").glob("scene_*/point_cloud/LIDAR/*.npz"):
        parts.append(np.linalg.norm(np.load(path)["data"][:, :3], axis=1))
    reach = np.concatenate(parts)
    yield "ddad_dgp (lidar, all around)", reach[reach > 2]


def oracles(count):
    """Distances against Embree through trimesh; matches carried there and back."""
    import trimesh

    errors, disagree, there, back, sizes = [], 0, [], [], []
    for index in range(count):
        world = World(13, index, split="heldout")
        frame = world.view(width_px=96, height_px=72)
        mesh = trimesh.Trimesh(world.scene.mesh.vertices, world.scene.mesh.faces, process=False)
        rays = pixel_rays(frame.camera)[::2, ::2].reshape(-1, 3) @ frame.world_from_cam[:3, :3].T
        origins = np.tile(frame.world_from_cam[:3, 3], (len(rays), 1))
        where, which, _ = mesh.ray.intersects_location(origins, rays, multiple_hits=False)
        truth = np.full(len(rays), np.inf)
        truth[which] = np.linalg.norm(where - origins[which], axis=1)
        ours = frame.distance_m[::2, ::2].ravel().astype(float)
        both = np.isfinite(ours) & np.isfinite(truth)
        disagree += int((np.isfinite(ours) != np.isfinite(truth)).sum())
        errors.append(np.abs(ours[both] - truth[both]) / truth[both])
        for thing in world.scene.objects:
            own = world.scene.mesh.vertices[
                np.unique(world.scene.mesh.faces[world.scene.mesh.instance == thing.instance])
            ]
            c, s = np.cos(thing.yaw_rad), np.sin(thing.yaw_rad)
            extent = np.ptp(own @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), axis=0)
            sizes.append(np.abs(extent / thing.size_wdh_m - 1).max())
        one, two = world.pair(width_px=96, height_px=72)
        xy1, xy2 = world.sight.matches(one, two, 100, np.random.default_rng(0))
        if not len(xy1):
            continue
        cells = np.floor(xy1).astype(int)
        distance = one.distance_m[cells[:, 1], cells[:, 0]].astype(float)
        in1 = one.camera.unproject(xy1) * distance[:, None]
        in2 = transform_points(invert(motion_between(one, two).cam1_from_cam2), in1)
        there.append(np.linalg.norm(two.camera.project(in2) - xy2, axis=1))
        way = two.camera.unproject(xy2) @ two.world_from_cam[:3, :3].T
        met, _ = world.renderer.cast(two.world_from_cam[:3, 3], way)
        points = two.world_from_cam[:3, 3] + way * met[:, None].astype(float)
        again = one.camera.project(transform_points(invert(one.world_from_cam), points))
        back.append(np.linalg.norm(again - xy1, axis=1))
    error, there, back = np.concatenate(errors), np.concatenate(there), np.concatenate(back)
    print(
        f"distance against Embree, {count} worlds, {len(error)} rays: "
        f"median {np.median(error):.1e}, "
        f"p99.9 {np.quantile(error, 0.999):.1e}, share above 1e-4 {(error > 1e-4).mean():.1e}, "
        f"hit or miss disagree {disagree}"
    )
    print(
        f"matches, {len(there)}: reprojected {there.max():.1e} px at most; there and back by rays "
        f"median {np.median(back):.1e}, p99 {np.quantile(back, 0.99):.1e} px, "
        f"share above 0.01 px {(back > 0.01).mean():.4f}"
    )
    print(
        f"object sizes against their triangles, {len(sizes)} objects: median "
        f"{np.median(sizes):.1e}, largest {max(sizes):.1e} (relative)"
    )


def balance(count):
    asked, answers = collections.Counter(), collections.defaultdict(list)
    for index in range(count):
        frame = World(21, index).view(width_px=160, height_px=128, f_px=125.0)
        for q in object_questions(frame, np.random.default_rng(index), 24):
            asked[q.category] += 1
            if isinstance(q.truth, YesNo):
                answers[q.category, "yes"].append(q.truth.value)
            if isinstance(q.truth, Region):
                answers[q.category, "first"].append(q.truth.value == 0)
    print("questions:", dict(asked))
    for key, values in sorted(answers.items()):
        print(f"  {' '.join(key)}: {np.mean(values):.3f} of {len(values)}")


def speed(count, device):
    """Views a second, one at a time and several of a world together."""
    for kind in ("room", "street"):
        for width, height in ((160, 128), (320, 240), (512, 384)):
            for together in (1, 2, 16):
                size = {"width_px": width, "height_px": height}
                found = measure(count, **size, kind=kind, device=device, together=together)
                print(kind, found.text(), flush=True)


def triangles(count):
    """What a view costs by the size of its scene."""
    rows = []
    for kind in ("room", "street"):
        for index in range(count):
            world = World(1, index, kind=kind)
            start = time.process_time()
            world.view(width_px=320, height_px=240)
            rows.append((len(world.scene.mesh.faces), 1e3 * (time.process_time() - start)))
    rows = np.array(sorted(rows))
    for part in np.array_split(rows, 4):
        print(f"  {part[:, 0].mean():.0f} triangles: {np.median(part[:, 1]):.0f} ms CPU a view")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--device", help="measure speed there, and nothing else")
    options = parser.parse_args()
    few = max(options.worlds // 10, 4)
    if options.device:
        speed(few, options.device)
        return
    print("| | p5 | median | p95 | best constant |\n|---|---|---|---|---|")
    row("held-out rooms", world_distances("room", options.worlds))
    row("held-out streets", world_distances("street", options.worlds // 2))
    if options.data:
        for name, distance in real_distances(options.data):
            row(name, distance)
    oracles(few)
    balance(options.worlds)
    speed(few, "cpu")
    triangles(few)


if __name__ == "__main__":
    main()
