"""WAI, MapAnything's layout: one reader for most two-view sets, and for ETH3D and TartanAir-WB.

    ROOT/SCENE/scene_meta.json        frames with world_from_cam (OpenCV axes) and intrinsics, and
                                      which file of a frame is its picture, depth, mask
    ROOT/SCENE/images/NAME.png        or .jpg; undistorted
    ROOT/SCENE/depth/NAME.exr         along the axis, 0 unknown; usually half floats
    ROOT/SCENE/_process_log.json      which stages of MapAnything's processing are finished

Written by facebookresearch/map-anything (data_processing, mapanything/utils/wai). What its loader
leaves out is left out here: sky, masks of MoGe where the set has them, the farthest 5 % of sets
whose windows show the sky. Its principal points are COLMAP's and the game engines': measured from
the picture's corner, as here (MapAnything's own code shifts its points by half a pixel).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.datasets.base import DepthMap, Frames, RawFrame, Reader, each, need_folder, need_scenes
from vlm3.datasets.depth_files import read_exr, without_far
from vlm3.datasets.files import read_json
from vlm3.datasets.published import facts
from vlm3.datasets.splits import (
    MEGADEPTH_VAL,
    SCANNETPP_TEST,
    SCANNETPP_VAL,
    SPRING_VAL,
    TARTANAIR_TEST,
    TARTANAIR_VAL,
    UNREALSTEREO4K_TEST,
    Split,
    blendedmvs_split,
    named,
)
from vlm3.errors import InputError
from vlm3.files.reading import below, short
from vlm3.files.schema import anything, fields, list_of, maybe, number, numbers, table_of, text
from vlm3.geometry.camera import Camera
from vlm3.geometry.lens import LensModel

_LAYOUT = facts("wai").layout
_MODELS: dict[str, tuple[LensModel, tuple[str, ...]]] = {
    "PINHOLE": ("pinhole", ()),
    "OPENCV": ("brown_conrady", ("k1", "k2", "p1", "p2")),
    "OPENCV_FISHEYE": ("fisheye", ("k1", "k2", "k3", "k4")),
}
_LENS_KEYS = ("k1", "k2", "k3", "k4", "p1", "p2")
_MVS_CONFIDENCE = 0.25


def _modalities(value: Any, place: str) -> None:
    """An entry with the key of its file in a frame and a format; or several of them by name."""
    table_of(anything)(value, place)
    if "format" not in value:
        table_of(_modalities)(value, place)
    elif not any(isinstance(one, str) for key, one in value.items() if key != "format"):
        raise InputError(f"{place} names no key of a frame; give frame_key beside format")


_CAMERA = {
    "camera_model": text(100),
    **{name: number(1, 1e6) for name in ("w", "h")},
    **{name: number(-1e7, 1e7) for name in ("fl_x", "fl_y", "cx", "cy")},
    **{name: maybe(number(-1e6, 1e6)) for name in _LENS_KEYS},
}
_META = fields(
    {"frames": list_of(fields({}))},
    {
        "camera_convention": text(100),
        "scale_type": text(100),
        "skipped_reason": maybe(text()),
        "frame_modalities": table_of(_modalities),
        **_CAMERA,
    },
)
_FRAME = fields({}, {"frame_name": text(1000), "transform_matrix": maybe(numbers(4, 4)), **_CAMERA})
_LOG = table_of(anything)


@dataclass(frozen=True)
class _Rules:
    """How one set's depth is read.

    Attributes:
        depth: modality.
        masks: modalities that must be true, where the scene lists them.
        sky: modality that must be false, where the scene lists it.
        confidence: modality that must be above 0.25; the scene must list it.
        drop_far: leave out what is beyond the picture's 95th percentile.
        metric: whether lengths are metres; None takes the scene's word.
        stages: of MapAnything's processing that must be finished where they are logged.
        split: of a scene.
    """

    depth: str = "depth"
    masks: tuple[str, ...] = ()
    sky: str | None = None
    confidence: str | None = None
    drop_far: bool = False
    metric: bool | None = True
    stages: tuple[str, ...] = ("conversion", "undistort")
    split: Split = lambda scene: "train"


def scenes(root: Path) -> list[str]:
    """Every folder with a scene_meta.json."""
    need_folder(root, _LAYOUT)
    found = (path.parent.name for path in root.glob("*/scene_meta.json"))
    return need_scenes(root, found, "*/scene_meta.json", _LAYOUT)


def read_scene(root: Path, scene: str, rules: _Rules) -> Frames:
    """The frames of a scene in the order of its scene_meta.json."""
    folder = root / scene
    meta = read_json(folder / "scene_meta.json", _META)
    _check_stages(folder / "_process_log.json", rules.stages)
    if meta.get("camera_convention", "opencv") != "opencv":
        raise InputError(f"{folder}: axes are {short(meta['camera_convention'])}; WAI's are opencv")
    if not meta["frames"]:
        raise InputError(
            f"{folder} has no frames ({meta.get('skipped_reason', 'no reason given')})"
        )
    metric = meta.get("scale_type") == "metric" if rules.metric is None else rules.metric
    split = rules.split(scene)

    def make(thing: tuple[str, dict[str, Any]]) -> RawFrame:
        name, frame = thing
        _FRAME(frame, f"{folder}/scene_meta.json, frame {name:.100}")
        if str(frame.get("is_bad")) == "True":
            raise InputError("marked as bad by the set")
        image = below(folder, frame[_key(meta, "image")], f"{folder}/scene_meta.json")
        pose = frame.get("transform_matrix")
        has_depth = _listed(meta, rules.depth) and _key(meta, rules.depth) in frame
        return RawFrame(
            name,
            image,
            _camera(meta, frame),
            (lambda: _depth(folder, meta, frame, rules)) if has_depth else None,
            None if pose is None else np.array(pose, np.float64).reshape(4, 4),
            split=split,
            metric=metric,
        )

    return each(((str(f.get("frame_name")), f) for f in meta["frames"]), make)


def _check_stages(path: Path, stages: tuple[str, ...]) -> None:
    """Refuses a scene one of whose stages was begun and not finished."""
    log = read_json(path, _LOG) if path.is_file() else {}
    for name, entry in log.items():
        state = entry.get("state") if isinstance(entry, dict) else entry
        if any(stage in name for stage in stages) and state not in ("finished", "skipped"):
            raise InputError(f"MapAnything's stage {short(name)} is {state!s:.80}; finish it first")


def _camera(meta: dict[str, Any], frame: dict[str, Any]) -> Camera:
    both = meta | frame  # a frame's own value wins
    name = both.get("camera_model")
    if name not in _MODELS:
        raise InputError(f"camera_model is {short(name)}; WAI has {', '.join(_MODELS)}")
    model, keys = _MODELS[name]
    distortion = tuple(float(both.get(key) or 0.0) for key in keys)
    unused = [key for key in _LENS_KEYS if key not in keys and both.get(key)]
    if unused:
        raise InputError(f"a {name} camera with {', '.join(unused)}: undistort the scene first")
    if not any(distortion) and model == "brown_conrady":
        model, distortion = "pinhole", ()
    sizes = int(both["w"]), int(both["h"])
    return Camera(both["fl_x"], both["fl_y"], both["cx"], both["cy"], *sizes, distortion, model)


def _depth(folder: Path, meta: dict[str, Any], frame: dict[str, Any], rules: _Rules) -> DepthMap:
    values = read_exr(_beside(folder, meta, frame, rules.depth)).astype(np.float64)
    if rules.drop_far:
        values = without_far(values)
    good = np.isfinite(values) & (values > 0)
    for mask in rules.masks:
        if _listed(meta, mask) and _key(meta, mask) in frame:
            good &= _fitted(_mask(_beside(folder, meta, frame, mask)), good.shape)
    if rules.sky and _listed(meta, rules.sky) and _key(meta, rules.sky) in frame:
        good &= ~_fitted(_mask(_beside(folder, meta, frame, rules.sky)), good.shape)
    if rules.confidence:
        confidence = read_exr(_beside(folder, meta, frame, rules.confidence))
        good &= _fitted(confidence > _MVS_CONFIDENCE, good.shape)
    return DepthMap(np.where(good, values, np.nan), "z")


def _beside(folder: Path, meta: dict[str, Any], frame: dict[str, Any], modality: str) -> Path:
    return below(folder, frame[_key(meta, modality)], f"{folder}/scene_meta.json")


def _mask(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as picture:
        # As MapAnything: black and white, or grey from 128 on.
        return np.asarray(picture.convert("L")) >= 128


def _fitted(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask at the size of the depth, nearest."""
    rows, columns = (
        ((np.arange(n) + 0.5) * side / n).astype(np.intp)
        for n, side in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def _modality(meta: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A modality's entry; of variants without a name, the last, as MapAnything takes it."""
    found: Any = meta.get("frame_modalities", {})
    for part in name.split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    while isinstance(found, dict) and found and "format" not in found:
        found = found[list(found)[-1]]
    return found if isinstance(found, dict) and found else None


def _listed(meta: dict[str, Any], name: str) -> bool:
    return _modality(meta, name) is not None


def _key(meta: dict[str, Any], name: str) -> str:
    """The key under which a frame names its file of a modality."""
    entry = _modality(meta, name)
    if entry is None:
        raise InputError(f"scene_meta.json lists no {name}; MapAnything's stage for it is missing")
    return next(v for key, v in entry.items() if key != "format" and isinstance(v, str))


def _reader(rules: _Rules) -> Reader:
    def frames(root: Path, scene: str) -> Frames:
        yield from read_scene(root, scene, rules)

    return Reader(scenes, frames)


_MOGE = ("pred_mask/moge2",)

WAI = _reader(_Rules(masks=_MOGE, sky="skymask", metric=None))
BLENDEDMVS = _reader(_Rules(masks=_MOGE, metric=False, split=blendedmvs_split))
DYNAMICREPLICA = _reader(_Rules())
SAIL_VOS3D = _reader(_Rules(drop_far=True))
SCANNETPP = _reader(
    _Rules(
        depth="rendered_depth",
        stages=("conversion", "undistort", "render"),
        split=named(SCANNETPP_VAL, SCANNETPP_TEST),
    )
)
MPSD = _reader(_Rules(masks=_MOGE))
DL3DV = _reader(
    _Rules(
        depth="pred_depth/mvsanywhere",
        masks=_MOGE,
        confidence="depth_confidence/mvsanywhere",
        metric=False,
        stages=("conversion", "undistort", "mvsanywhere"),
    )
)
MEGADEPTH = _reader(_Rules(masks=_MOGE, metric=False, split=named(MEGADEPTH_VAL)))
ASE = _reader(_Rules())
TARTANAIR_WB = _reader(
    _Rules(masks=_MOGE, drop_far=True, split=named(TARTANAIR_VAL, TARTANAIR_TEST))
)
UNREALSTEREO4K = _reader(_Rules(drop_far=True, split=named(test=UNREALSTEREO4K_TEST)))
MVS_SYNTH = _reader(_Rules(drop_far=True))
SPRING = _reader(_Rules(masks=_MOGE, sky="skymask", split=named(SPRING_VAL)))
ETH3D = _reader(_Rules(split=lambda scene: "test"))
