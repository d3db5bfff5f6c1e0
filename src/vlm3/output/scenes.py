"""A scene in the form that its name says: cloud, COLMAP model, page, recording, figure, arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.multiview.build import SceneModel
from vlm3.multiview.fuse import Fused, fuse
from vlm3.output.colmap import Tracked, write_colmap
from vlm3.output.maps import save
from vlm3.output.names import COLMAP, check_names, either
from vlm3.output.results import facts, notes, read_as, shown_map
from vlm3.tasks.base import Floats
from vlm3.viz.viewer import ShownMap, write_viewer

MOST_LOOP_DEG, MOST_LOOP_PART = 30.0, 0.5
"""What three motions round a loop may leave over, in degrees and as a part of the way, before it
is called a contradiction: twice what a single motion may differ by from the cameras."""
DOUBTFUL = 0.3
"""As of a single motion, `tasks.answers.MotionCheck.verdict`."""

FORMS = (".glb", ".ply", ".npz", ".html", ".rrd", COLMAP)


def check(outputs: Sequence[str]) -> None:
    """Refuses names that a scene could not be written to.

    Raises:
        InputError: no name, an ending without a form, or one name twice.
        MissingDependencyError: rerun is wanted and not installed.
    """
    if not outputs:
        raise InputError(f"where should the scene go? Give -o with {either(FORMS)}")
    check_names(outputs, FORMS)


def write_scene(
    scene: SceneModel, outputs: Sequence[str], *, model: str
) -> tuple[Fused, list[Path]]:
    """Fuses and writes; returns the fused points and what was written."""
    poses = list(scene.cameras.world_from_cam)
    fused = fuse(scene.maps, poses)
    return fused, [_write(scene, fused, poses, Path(name), model) for name in outputs]


def _write(scene: SceneModel, fused: Fused, poses: list[Floats], target: Path, model: str) -> Path:
    ending = target.suffix.lower()
    if ending in (".glb", ".ply"):
        return save(fused.cloud, target)
    if not ending:
        points = Tracked(fused.points_m, fused.rgb, fused.view, fused.xy_px)
        return write_colmap(scene.views, poses, target, points)
    if ending == ".npz":
        with disk.whole(target) as partial, partial.open("wb") as file:
            _save_arrays(scene, fused, file)
        return target
    maps = [
        shown_map(one, view, pose)
        for one, view, pose in zip(scene.maps, scene.views, poses, strict=True)
    ]
    if ending == ".rrd":
        from vlm3.output.rerun import write_maps

        return write_maps(maps, target)
    return _page(scene, fused, maps, target, model)


def _save_arrays(scene: SceneModel, fused: Fused, file: BinaryIO) -> None:
    motions = scene.motions
    np.savez_compressed(
        file,
        points_m=fused.cloud.points_m,
        rgb=fused.cloud.rgb,
        readout=np.array(fused.cloud.readout),
        world_from_cam=scene.cameras.world_from_cam,
        K=np.stack([view.camera.K for view in scene.views]),
        pair=np.array([(m.a, m.b) for m in motions]),
        a_from_b=np.stack([m.a_from_b for m in motions]),
        weight=np.array([m.weight for m in motions]),
        kept=scene.cameras.kept,
        agree=scene.trust.agree,
        rotation_error_deg=scene.cameras.rotation_error_deg,
        translation_error_m=scene.cameras.translation_error_m,
    )


def _page(scene: SceneModel, fused: Fused, maps: list[ShownMap], target: Path, model: str) -> Path:
    said = facts(scene.views[:1], model, scene.maps[0].protocol)
    said["pictures"] = str(len(scene.views))
    said["numbers"] = read_as(scene.maps[0].readout)
    said |= {name: text for name, text in summary(scene, fused).items() if name != "points"}
    return write_viewer(
        maps,
        target,
        title=f"A scene of {len(scene.views)} pictures",
        facts=said,
        readout=scene.maps[0].readout,
        notes=(*contradictions(scene), *notes(model, scene.views)),
    )


def contradictions(scene: SceneModel) -> tuple[str, ...]:
    """What of the answers speaks against the scene although it could be built; empty if nothing.

    Pairs that contradict the others are left out while a chain of good ones joins all pictures;
    their texts are no less answers of the same model.
    """
    trust, said = scene.trust, []
    failed = [pair for pair, holds in trust.holds.items() if not holds]
    open_loops = trust.loop_deg is not None and (
        trust.loop_deg > MOST_LOOP_DEG or (trust.loop_part or 0) > MOST_LOOP_PART
    )
    if failed and open_loops:
        names = ", ".join(f"{a + 1}-{b + 1}" for a, b in failed)
        said.append(
            f"the motions contradict each other: round a loop of three {trust.loop_deg:.0f} "
            f"degrees are left over, and pair {names} was left out; check the cameras before you "
            "trust them"
        )
    checks = [check for pair in scene.pairs if (check := pair.check) is not None]
    if checks and np.median([check.confidence for check in checks]) < DOUBTFUL:
        said.append(
            "the model's own matches do not bear out most of its motions (median confidence below "
            f"{DOUBTFUL:g} of 1): do not trust cameras or cloud without looking"
        )
    return tuple(said)


def summary(scene: SceneModel, fused: Fused) -> dict[str, str]:
    """What came of the pairs and the points, in words."""
    kept, used = int(scene.cameras.kept.sum()), len(scene.motions)
    trust = scene.trust
    said = {
        "motions kept": f"{kept} of {used}",
        "pairs that hold": f"{sum(trust.holds.values())} of {len(trust.holds)}",
    }
    checks = [check for pair in scene.pairs if (check := pair.check) is not None]
    if checks:
        said["confidence of the motions"] = (
            f"{np.median([check.confidence for check in checks]):.2f} of 1 (median)"
        )
    if trust.loop_deg is not None:
        said["round loops of three"] = (
            f"{trust.loop_deg:.1f}° and {trust.loop_part:.0%} of the way left over (median)"
        )
    unread = 2 * len(scene.pairs) - used
    if unread:
        said["motions not read"] = str(unread)
    good = scene.cameras.kept
    if good.any():
        said["they differ by"] = (
            f"{np.median(scene.cameras.rotation_error_deg[good]):.1f}°, "
            f"{np.median(scene.cameras.translation_error_m[good]):.2f} m (median)"
        )
    said["seen through"] = f"{fused.seen_through} points"
    said["points"] = str(len(fused.cloud.points_m))
    return said
