"""COLMAP models, in text or binary; and ETH3D, whose calibration is one.

    ROOT/[SCENE/][sparse/[0/]]{cameras,images,points3D}.{bin,txt}, ROOT/[SCENE/]images/NAME  colmap
    ROOT/[SCENE/]depth/NAME.png, .npy ...   optional: dense depth, in the formats of source `folder`
    ROOT/[SCENE/]format.json                optional, of dense depth: {"unit_m": 1, "accept": []}

    ROOT/SCENE/images/dslr_images_undistorted/NAME.JPG, dslr_calibration_undistorted/        eth3d
    ROOT/SCENE/dslr_calibration_jpg/, ground_truth_depth/dslr_images/NAME.JPG

A model's own depth is where its points are; it has the model's scale, so it is not metric. ETH3D's
depth is raw float32 named .JPG, along the axis, infinite where unknown, on the grid of the
DISTORTED picture: its pixels go through that lens (thin prism) into space, and from there into the
undistorted picture. COLMAP's pixels count from the corner, as ours, and are those that are stored:
COLMAP does not turn pictures as EXIF says, so neither does this.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets.base import (
    READ_ERRORS,
    Depth,
    DepthMap,
    Floats,
    Frames,
    LaserPoints,
    RawFrame,
    Reader,
    Remark,
    each,
    folders_with,
    need_scenes,
)
from vlm3.datasets.files import files_in, picture_size
from vlm3.datasets.own import check_camera, check_scale, covering
from vlm3.datasets.own_depth import depth_files, matching, read_depth
from vlm3.datasets.own_format import read_format
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.lens import LensModel
from vlm3.geometry.pose import invert, transform_points
from vlm3.signals import keeping_sigterm

_LAYOUT = facts("colmap").layout
_ETH3D_LAYOUT = facts("eth3d").layout
_MODEL_FOLDERS = ("", "sparse", "sparse/0", "colmap", "colmap/sparse/0")
# Of a 24 megapixel scan; a picture needs a hundred labels.
_MOST_POINTS = 500_000
# Pictures whose dense depth is compared with the model's points.
_LOOKED_AT = 8


def scenes(root: Path) -> list[str]:
    """The folder itself if it holds a model, else each folder in it that does."""
    if _model_folder(root) is not None:
        return ["."]
    found = (p.name for p in root.iterdir() if p.is_dir() and _model_folder(p) is not None)
    return need_scenes(root, found, "COLMAP model", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The registered pictures, by name."""
    folder = root / scene
    where = _model_folder(folder)
    if where is None:
        raise InputError(f"{str(folder)!r} has no COLMAP model; expected {_LAYOUT}")
    model = load_model(where)
    how = read_format(folder / "format.json")
    images = _registered(model)
    depths, remarks = depth_files(folder / "depth")
    remarks += matching((_stem(image) for image in images), depths) if depths else []
    remarks += _unregistered(folder / "images", images)
    check_scale(_dense_ratios(model, images, depths, how.unit_m), "COLMAP")

    def make(image: Any) -> RawFrame:
        cam_from_world = _cam_from_world(image)
        camera = camera_of(model.cameras[image.camera_id])
        check_camera(camera, how.accept)
        picture = folder / "images" / image.name
        size = picture_size(picture)
        if size != (camera.width_px, camera.height_px):
            raise InputError(
                f"the picture is {size[0]}x{size[1]}, its camera in the model {camera.width_px}x"
                f"{camera.height_px}: give the pictures that COLMAP was run on"
            )
        dense = depths.get(_stem(image))

        def depth() -> Depth:
            if dense is not None:
                return DepthMap(covering(read_depth(dense, how.unit_m), size, how.accept), "z")
            points = [model.points3D[p.point3D_id].xyz for p in image.points2D if p.has_point3D()]
            in_world = np.array(points, np.float64).reshape(-1, 3)
            return LaserPoints(transform_points(cam_from_world, in_world))

        return RawFrame(
            _stem(image),
            picture,
            camera,
            depth,
            invert(cam_from_world),
            metric=False,
        )

    yield from map(Remark, remarks)
    yield from each(images, make)


def camera_of(found: Any) -> Camera:
    """One of pycolmap's cameras.

    Raises:
        InputError: a lens that vlm3 has no model of.
    """
    p = [float(v) for v in found.params]
    one_f = [p[0], p[0], *p[1:3]]
    # Focal lengths and centre, the lens, its coefficients in OpenCV's order.
    known: dict[str, tuple[list[float], LensModel, list[float]]] = {
        "SIMPLE_PINHOLE": (one_f, "pinhole", []),
        "PINHOLE": (p[:4], "pinhole", []),
        "SIMPLE_RADIAL": (one_f, "brown_conrady", [*p[3:], 0, 0, 0]),
        "RADIAL": (one_f, "brown_conrady", [*p[3:], 0, 0]),
        "OPENCV": (p[:4], "brown_conrady", p[4:]),
        "FULL_OPENCV": (p[:4], "brown_conrady", p[4:]),
        "OPENCV_FISHEYE": (p[:4], "fisheye", p[4:]),
        "SIMPLE_RADIAL_FISHEYE": (one_f, "fisheye", [*p[3:], 0, 0, 0]),
        "RADIAL_FISHEYE": (one_f, "fisheye", [*p[3:], 0, 0]),
    }
    if found.model_name in known:
        (fx, fy, cx, cy), model, lens = known[found.model_name]
        return Camera(fx, fy, cx, cy, found.width, found.height, tuple(lens), model)
    raise InputError(f"no lens model {found.model_name}; undistort with colmap image_undistorter")


@lru_cache(2)
def load_model(folder: Path) -> Any:
    """A pycolmap.Reconstruction, from text or binary.

    Raises:
        InputError: it cannot be read.
    """
    # It brings glog's handler, which prints a native trace on SIGTERM.
    with keeping_sigterm():
        import pycolmap

    try:
        return pycolmap.Reconstruction(str(folder))
    # pycolmap raises what its C++ does.
    except Exception as error:
        first = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputError(f"cannot read the COLMAP model {str(folder)!r} ({first[0]})") from error


def eth3d_scenes(root: Path) -> list[str]:
    """Scenes with the undistorted calibration."""
    return folders_with(root, "*/dslr_calibration_undistorted", _ETH3D_LAYOUT)


def eth3d_frames(root: Path, scene: str) -> Frames:
    """The undistorted pictures; ETH3D's training scenes are used as a test set."""
    folder = root / scene
    straight = load_model(folder / "dslr_calibration_undistorted")
    bent = load_model(folder / "dslr_calibration_jpg")
    lenses = {
        Path(image.name).name: bent.cameras[image.camera_id] for image in bent.images.values()
    }

    def make(image: Any) -> RawFrame:
        name = Path(image.name).name
        lens = lenses[name]
        depth = folder / "ground_truth_depth" / "dslr_images" / name
        return RawFrame(
            Path(name).stem,
            folder / "images" / "dslr_images_undistorted" / name,
            camera_of(straight.cameras[image.camera_id]),
            lambda: _eth3d_points(depth, lens),
            invert(_cam_from_world(image)),
            split="test",
        )

    return each(_registered(straight), make)


def _eth3d_points(path: Path, lens: Any) -> LaserPoints:
    values = np.fromfile(path, "<f4")
    if values.size != lens.width * lens.height:
        raise InputError(
            f"{str(path)!r} holds {values.size} values for {lens.width}x{lens.height} pixels"
        )
    known = np.flatnonzero(np.isfinite(values) & (values > 0))
    if len(known) > _MOST_POINTS:
        # Evenly, so that each reading gives the same.
        known = known[np.linspace(0, len(known) - 1, _MOST_POINTS).astype(np.intp)]
    row, column = np.divmod(known, lens.width)
    plane = np.asarray(lens.cam_from_img(np.stack([column, row], -1) + 0.5))
    z = values[known].astype(np.float64)[:, None]
    points = np.concatenate([plane * z, z], axis=1)
    return LaserPoints(points[np.isfinite(points).all(axis=1)])


def _registered(model: Any) -> list[Any]:
    return sorted((i for i in model.images.values() if i.has_pose), key=lambda i: str(i.name))


def _cam_from_world(image: Any) -> Floats:
    cam_from_world = np.eye(4)
    cam_from_world[:3] = image.cam_from_world().matrix()
    return cam_from_world


def _model_folder(folder: Path) -> Path | None:
    for name in _MODEL_FOLDERS:
        if any((folder / name / f"cameras.{ending}").is_file() for ending in ("bin", "txt")):
            return folder / name
    return None


def _stem(image: Any) -> str:
    return str(Path(image.name).with_suffix("").as_posix())


def _unregistered(folder: Path, images: list[Any]) -> list[str]:
    names = {image.name for image in images}
    left = [p for p in files_in(folder) if p.relative_to(folder).as_posix() not in names]
    return [f"{len(left)} files of images/ are not registered in the model"] if left else []


def _dense_ratios(
    model: Any, images: list[Any], depths: dict[str, Path], unit_m: float | None
) -> list[float]:
    """Dense depth over that of the model's points, where pictures show them."""
    with_depth = [image for image in images if _stem(image) in depths]
    ratios: list[float] = []
    for image in with_depth[:: max(1, len(with_depth) // _LOOKED_AT)]:
        camera = model.cameras[image.camera_id]
        try:
            dense = read_depth(depths[_stem(image)], unit_m).values_m
        except READ_ERRORS:
            continue  # That frame is left out by itself, with the reason.
        height, width = dense.shape
        points = [(p.xy, p.point3D_id) for p in image.points2D if p.has_point3D()]
        if not points:
            continue
        xy = np.array([xy for xy, _ in points]) * [width / camera.width, height / camera.height]
        in_world = np.array([model.points3D[number].xyz for _, number in points])
        z = transform_points(_cam_from_world(image), in_world)[:, 2]
        inside = (xy >= 0).all(axis=1) & (xy < [width, height]).all(axis=1) & (z > 0)
        column, row = xy[inside].astype(np.intp).T
        found = dense[row, column] / z[inside]
        ratios += found[np.isfinite(found)].tolist()
    return ratios


COLMAP = Reader(scenes, frames)
ETH3D = Reader(eth3d_scenes, eth3d_frames)
