"""View.open on what people really have: rotated, distorted, EXIF, and everything it must refuse."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlm3 import pictures
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import plan_focal, plan_long_side
from vlm3.view import AssumedCameraWarning, View, resize_image

EXIF_IFD = 0x8769


def scene(width_px: int = 64, height_px: int = 48) -> np.ndarray:
    """A picture in which no two pixels are alike, so that any turn of it shows."""
    y, x = np.mgrid[0:height_px, 0:width_px]
    return np.stack([x * 255 // width_px, y * 255 // height_px, (x + y) % 256], -1).astype(np.uint8)


def save(path: Path, image: Any, **arguments: Any) -> Path:
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(path, **arguments)
    return path


def exif_of(orientation: int | None = None, **tags: Any) -> Image.Exif:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    names = {
        "f_mm": 0x920A,
        "f_35mm": 0xA405,
        "width": 0xA002,
        "height": 0xA003,
        "x_resolution": 0xA20E,
        "unit": 0xA210,
        "rendered": 0xA401,
    }
    exif[EXIF_IFD] = {names[name]: value for name, value in tags.items()}
    return exif


def refused(source: Any, *says: str, **arguments: Any) -> None:
    arguments = arguments or {"f_px": 50.0}
    with pytest.raises(InputError) as caught:
        View.open(source, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    for part in says:
        assert part in message


# --- orientation and intrinsics -------------------------------------------------------------


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("as_file", [True, False])
def test_exif_rotation(tmp_path: Path, orientation: int, as_file: bool) -> None:
    stored = scene()
    path = save(tmp_path / "a.png", stored, exif=exif_of(orientation))
    with Image.open(path) as picture:
        view = View.open(path if as_file else picture, f_px=50)
    np.testing.assert_array_equal(view.image, UPRIGHT[orientation](stored))
    height, width = view.image.shape[:2]
    assert (view.camera.width_px, view.camera.height_px) == (width, height)
    assert (view.camera.cx_px, view.camera.cy_px) == (width / 2, height / 2)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_camera_is_of_the_stored_pixels(tmp_path: Path, orientation: int) -> None:
    stored = scene()
    path = save(tmp_path / "a.png", stored, exif=exif_of(orientation))
    camera = Camera(50, 50, 30, 25, 64, 48)
    view = View.open(path, camera=camera)
    np.testing.assert_array_equal(view.image, stored)
    assert view.camera == camera
    # Its size may say that it is of the picture as displayed.
    if orientation >= 5:
        shown = Camera(50, 50, 25, 30, 48, 64)
        np.testing.assert_array_equal(
            View.open(path, camera=shown).image, UPRIGHT[orientation](stored)
        )


@pytest.mark.parametrize("orientation", [3, 6])
def test_intrinsics_of_a_turned_picture_are_asked_about(tmp_path: Path, orientation: int) -> None:
    path = save(tmp_path / "a.png", scene(), exif=exif_of(orientation))
    K = (50.0, 50.0, 32.0, 24.0)
    refused(path, "EXIF turns", "as stored or as shown", intrinsics_px=K)
    view = View.open(path, intrinsics_px=K, as_stored=True)
    np.testing.assert_array_equal(view.image, scene())


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description GPano:%s/></x:xmpmeta>'
PANORAMAS = {
    "attribute": {"xmp": XMP % b'ProjectionType="equirectangular"'},
    "element": {"xmp": XMP % b"x><GPano:ProjectionType>cylindrical</GPano:ProjectionType"},
    "fisheye": {"xmp": XMP % b"ProjectionType = 'fisheye'"},
    "part": {"xmp": XMP % b'FullPanoWidthPixels="9000"'},
}


@pytest.mark.parametrize("name", PANORAMAS)
@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_panoramas_are_asked_about(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    exif = exif_of(f_35mm=26)
    Image.fromarray(scene(400, 100)).save(path, exif=exif, **PANORAMAS[name])
    with pytest.raises(InputError, match=r"panorama.*XMP.*or give camera"):
        View.open(path)
    assert View.open(path, f_px=300).intrinsics == "given"


def test_other_marks_of_panoramas(tmp_path: Path) -> None:
    apple = exif_of(f_35mm=26, rendered=6)
    with pytest.raises(InputError, match="EXIF calls it a panorama"):
        View.open(save(tmp_path / "apple.jpg", scene(400, 120), exif=apple))
    theta = exif_of(f_35mm=26)
    theta[0x010F], theta[0x0110] = "RICOH", "RICOH THETA Z1"
    with pytest.raises(InputError, match="360-degree camera"):
        View.open(save(tmp_path / "theta.jpg", scene(400, 200), exif=theta))
    flat = XMP % b'ProjectionType="perspective"'
    path = tmp_path / "flat.jpg"
    Image.fromarray(scene(400, 300)).save(path, exif=exif_of(f_35mm=26), xmp=flat)
    assert View.open(path).intrinsics == "exif"
    # Stitched or cropped: the focal length is not believed.
    with pytest.warns(AssumedCameraWarning, match="no camera takes 400x100"):
        View.open(save(tmp_path / "long.jpg", scene(400, 100), exif=exif_of(f_35mm=26)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"intrinsics_px": (0.87, 1.3, 0.5, 0.5)},
            ["units of the picture", "469.8, 468, 270, 180"],
        ),
        ({"camera": Camera(0.87, 1.3, 0.5, 0.5, 540, 360)}, ["units of the picture"]),
        ({"f_px": 26}, ["millimetres", "35 mm equivalent it would be 390 px"]),
        ({"f_px": 4.2}, ["millimetres", "sensor"]),
        ({"intrinsics_px": (26, 26, 270, 180)}, ["169 degrees", "millimetres"]),
        ({"fov_deg": 1.2}, ["radians", "68.8 degrees"]),
        ({"fov_deg": 2.4}, ["radians"]),
        ({"fov_deg": 146}, ["wider than any lens", "diagonal"]),
        ({"fov_deg": 121}, ["wider than any lens", "diagonal"]),
        ({"f_px": 150}, ["field of view of 122 degrees", "millimetres"]),
        ({"f_px": 26000}, ["larger picture", "1.2 degrees"]),
    ],
)
def test_what_no_camera_has_is_asked_about(given: dict[str, Any], says: list[str]) -> None:
    refused(scene(540, 360), *says, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"f_px": 400},
        {"f_px": 14000},  # an 800 mm lens
        {"fov_deg": 3.2},
        {"fov_deg": 120},
        {"f_px": 270 / np.tan(np.radians(60))},  # the same
        {"intrinsics_px": (480, 480, 30, 300)},
        {"camera": Camera(60, 60, 270, 180, 540, 360)},  # 155 degrees, said with a Camera
    ],
)
def test_what_cameras_have_is_not(given: dict[str, Any]) -> None:
    assert View.open(scene(540, 360), **given).intrinsics in ("given", "fov")


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    path = tmp_path / "a.heic"
    heif.from_pillow(Image.fromarray(scene(400, 300))).save(path, exif=exif_of(f_35mm=26).tobytes())
    view = View.open(path)
    assert (view.intrinsics, view.image.shape) == ("exif", (300, 400, 3))
    assert np.abs(view.image.astype(int) - scene(400, 300)).mean() < 8


def test_heic_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlm3.pictures._FORMATS", ("PNG", "JPEG"))
    path = tmp_path / "a.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    refused(path, "HEIC", "pip install 'vlm3[heic]'", "JPEG")
    refused(path.read_bytes(), "HEIC")


def test_a_file_that_is_only_called_heic(tmp_path: Path) -> None:
    """Whether the reader is there or not: what came, and what reading the real thing takes."""
    path = tmp_path / "a.heic"
    path.write_bytes(b"no picture at all" * 20)
    refused(path, "not a picture", "HEIC with pip install 'vlm3[heic]'")


def test_given(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", scene())
    camera = Camera(50, 60, 30, 20, 64, 48)
    view = View.open(str(path), camera=camera)
    assert (view.camera, view.intrinsics, view.path) == (camera, "given", str(path))
    view = View.open(path, f_px=70)
    assert (view.camera, view.intrinsics) == (Camera(70, 70, 32, 24, 64, 48), "given")
    view = View.open(path, fov_deg=90)
    assert view.camera.fx_px == pytest.approx(32)
    assert view.intrinsics == "fov"


def test_assumed_warns_and_names_the_guess(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", scene())
    with pytest.warns(AssumedCameraWarning, match=r"a\.png.*60 degrees.*Give camera") as caught:
        view = View.open(path)
    assert view.intrinsics == "assumed"
    assert view.camera.fov_deg[0] == pytest.approx(60)
    assert caught[0].filename == __file__, "the warning must point at the caller"
    with pytest.warns(AssumedCameraWarning, match="arrays have no EXIF"):
        View.open(scene())


@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_35mm_equivalent(tmp_path: Path, orientation: int) -> None:
    path = save(tmp_path / "a.jpg", scene(400, 300), exif=exif_of(orientation, f_35mm=26))
    view = View.open(path)
    # By diagonals: 26 mm of 43.267 mm, so 26 / 43.267 of the 500 px diagonal.
    assert view.camera.fx_px == pytest.approx(26 / 43.26661530556787 * 500)
    assert view.intrinsics == "exif"


@pytest.mark.parametrize(("unit", "per_mm"), [(2, 25.4), (3, 10.0), (None, 25.4)])
def test_exif_pixel_pitch(tmp_path: Path, unit: int | None, per_mm: float) -> None:
    tags = {"f_mm": 4.0, "x_resolution": 100.0 * per_mm, "width": 400, "height": 300}
    if unit is not None:
        tags["unit"] = unit
    view = View.open(save(tmp_path / "a.jpg", scene(400, 300), exif=exif_of(**tags)))
    assert view.camera.fx_px == pytest.approx(400)
    # Halved since, with its EXIF left as it was.
    view = View.open(save(tmp_path / "b.jpg", scene(200, 150), exif=exif_of(**tags)))
    assert view.camera.fx_px == pytest.approx(200)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"f_35mm": 0}, "no focal length"),
        ({"f_35mm": 1}, "not believable"),
        ({"f_35mm": 60000}, "not believable"),
        ({"f_mm": 4.0}, "no focal length"),
        ({"f_mm": 4.0, "x_resolution": 0.0}, "no focal length"),
        ({"f_mm": 4.0, "x_resolution": 1e9, "unit": 2}, "not believable"),
        ({"f_mm": 4.0, "x_resolution": 1000.0, "unit": 9}, "no focal length"),
        ({"f_35mm": 26, "width": 400, "height": 400}, "another shape"),
    ],
)
def test_exif_that_is_not_believed(tmp_path: Path, tags: dict[str, Any], says: str) -> None:
    path = save(tmp_path / "a.jpg", scene(400, 300), exif=exif_of(**tags))
    with pytest.warns(AssumedCameraWarning, match=says):
        assert View.open(path).intrinsics == "assumed"


def test_exif_yields_to_what_is_given(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", scene(400, 300), exif=exif_of(f_35mm=26))
    assert View.open(path, f_px=123).camera.fx_px == 123


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Tag data larger than file")
def test_damaged_exif_costs_only_the_focal_length(tmp_path: Path) -> None:
    for number, block in enumerate(
        [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0rubbish", b"Exif\0\0"]
    ):
        path = save(tmp_path / f"{number}.jpg", scene(), exif=block)
        with pytest.warns(AssumedCameraWarning):
            assert View.open(path).image.shape == (48, 64, 3)


def test_intrinsics_are_those_of_the_picture_at_its_size() -> None:
    view = View.open(scene(), intrinsics_px=(60.0, 61.0, 30.0, 25.0))
    assert view.camera == Camera(60.0, 61.0, 30.0, 25.0, 64, 48)
    assert view.intrinsics == "given"
    with pytest.raises(InputError, match=r"principal point \(300, 25\) lies outside .* 64x48 px"):
        View.open(scene(), intrinsics_px=(60.0, 61.0, 300.0, 25.0))
    with pytest.raises(InputError, match="only one of them"):
        View.open(scene(), f_px=60.0, intrinsics_px=(60.0, 61.0, 30.0, 25.0))


def test_only_one_source_of_intrinsics() -> None:
    camera = Camera(50, 50, 32, 24, 64, 48)
    refused(scene(), "camera and f_px", "only one", camera=camera, f_px=50)
    refused(scene(), "f_px and fov_deg", "only one", f_px=50, fov_deg=60)
    refused(scene(), "only one", camera=camera, f_px=50, fov_deg=60)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"f_px": 0}, "must be positive"),
        ({"f_px": -3.0}, "must be positive"),
        ({"f_px": float("nan")}, "finite"),
        ({"f_px": "500"}, None),
        ({"f_px": "wide"}, "give a number"),
        ({"fov_deg": 180}, "less than 180"),
        ({"fov_deg": 0}, "more than 0"),
        ({"camera": np.eye(3)}, "vlm3.Camera"),
        ({"camera": Camera(50, 50, 32, 24, 65, 48)}, "camera.resized"),
    ],
)
def test_bad_intrinsics(arguments: dict[str, Any], says: str | None) -> None:
    if says is None:  # a number in a string is a number
        assert View.open(scene(), **arguments).camera.fx_px == 500
    else:
        refused(scene(), says, **arguments)


@pytest.mark.parametrize(
    ("model", "distortion"),
    [("brown_conrady", (-0.2, 0.05, 0.001, 0.0)), ("fisheye", (0.05, 0.01, 0.0, 0.0))],
)
def test_a_distorted_camera_is_straightened(model: Any, distortion: tuple[float, ...]) -> None:
    camera = Camera(300, 300, 160, 120, 320, 240, distortion, model)
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8), (9, 9), 3
    )
    view = View.open(image, camera=camera)
    assert view.camera == camera.undistorted()
    K = camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    straighten = cv2.fisheye.undistortImage if model == "fisheye" else cv2.undistort
    extra = {"Knew": K} if model == "fisheye" else {}
    expected = straighten(image, K, np.array(distortion), **extra)
    gap = np.abs(view.image[20:-20, 20:-20].astype(int) - expected[20:-20, 20:-20])
    # OpenCV samples with weights of 1/32.
    assert gap.max() <= 2


# --- conversions ----------------------------------------------------------------------------


def opened(path: Path) -> np.ndarray:
    return View.open(path, f_px=50).image


@pytest.mark.parametrize("extension", ["png", "bmp", "tiff", "ppm", "webp"])
def test_lossless_formats(tmp_path: Path, extension: str) -> None:
    arguments = {"lossless": True} if extension == "webp" else {}
    path = save(tmp_path / f"a.{extension}", scene(), **arguments)
    np.testing.assert_array_equal(opened(path), scene())


def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", scene(), format="PNG")
    np.testing.assert_array_equal(opened(path), scene())


def test_grey_one_bit_and_palette(tmp_path: Path) -> None:
    grey = scene()[..., 0]
    path = save(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(opened(path), np.repeat(grey[..., None], 3, -1))
    bits = Image.fromarray(grey).point(lambda v: 255 if v > 127 else 0).convert("1")
    np.testing.assert_array_equal(np.unique(opened(save(tmp_path / "bits.png", bits))), [0, 255])
    palette = Image.fromarray(scene()).quantize(16)
    expected = np.array(palette.convert("RGB"))
    for name in ("palette.png", "still.gif"):
        np.testing.assert_array_equal(opened(save(tmp_path / name, palette)), expected)


def test_cmyk(tmp_path: Path) -> None:
    picture = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    for name in ("a.jpg", "a.tiff"):
        got = opened(save(tmp_path / name, picture)).reshape(-1, 3)
        np.testing.assert_allclose(got, np.tile([255, 0, 0], (len(got), 1)), atol=3)


def test_alpha_lies_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:16, :, 3] = 255
    rgba[16:, :16, 3] = 0
    rgba[16:, 16:, 3] = 51
    for name in ("a.png", "a.tiff"):
        got = opened(save(tmp_path / name, rgba))
        assert got[0, 0].tolist() == [200, 0, 0]
        assert got[31, 0].tolist() == [255, 255, 255]
        assert got[31, 31].tolist() == [244, 204, 204]
    grey = np.dstack([np.full((32, 32), 90, np.uint8), rgba[..., 3]])
    got = opened(save(tmp_path / "la.png", Image.fromarray(grey, "LA")))
    assert got[0, 0].tolist() == [90] * 3
    assert got[31, 0].tolist() == [255] * 3


def test_transparent_colour_is_white(tmp_path: Path) -> None:
    palette = Image.fromarray(scene()).quantize(8)
    palette.putpixel((0, 0), 3)
    for name in ("a.png", "a.gif"):
        got = opened(save(tmp_path / name, palette, transparency=3))
        assert got[0, 0].tolist() == [255, 255, 255]
    black_is_clear = save(tmp_path / "b.png", Image.new("RGB", (32, 32)), transparency=(0, 0, 0))
    assert (opened(black_is_clear) == 255).all()


def test_sixteen_bit(tmp_path: Path) -> None:
    deep = (np.arange(48 * 64, dtype=np.uint32).reshape(48, 64) * 21).astype(np.uint16)
    expected = np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, -1)
    for name in ("a.png", "a.tiff", "a.pgm"):
        np.testing.assert_array_equal(opened(save(tmp_path / name, deep)), expected)
    turned = save(tmp_path / "turned.png", deep, exif=exif_of(6))
    np.testing.assert_array_equal(opened(turned), np.rot90(expected, -1))
    colour = np.dstack([deep, deep[::-1], deep[:, ::-1]])
    cv2.imwrite(str(tmp_path / "rgb.png"), colour[..., ::-1])
    np.testing.assert_array_equal(opened(tmp_path / "rgb.png"), (colour >> 8).astype(np.uint8))


def test_thirty_two_bit_float_and_lab_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "i.tiff", np.full((32, 32), 70000, np.int32))
    refused(path, "32-bit", "70000")
    refused(save(tmp_path / "n.tiff", np.full((32, 32), -1, np.int32)), "32-bit", "-1")
    refused(save(tmp_path / "f.tiff", np.ones((32, 32), np.float32)), "mode F")
    refused(save(tmp_path / "lab.tiff", Image.new("LAB", (32, 32))), "mode LAB")
    refused(Image.new("La", (32, 32)), "mode La")


def test_phone_pictures_of_two_frames(tmp_path: Path) -> None:
    first, second = Image.fromarray(scene()), Image.fromarray(scene()[::-1].copy())
    path = tmp_path / "a.jpg"
    first.save(path, format="MPO", save_all=True, append_images=[second], quality=95)
    with Image.open(path) as picture:
        assert picture.format == "MPO"
    assert np.abs(opened(path).astype(int) - scene()).mean() < 5


def test_pillow_images() -> None:
    picture = Image.fromarray(scene())
    view = View.open(picture, f_px=50)
    np.testing.assert_array_equal(view.image, scene())
    assert view.path is None
    picture.putpixel((0, 0), (9, 9, 9))
    assert view.image[0, 0].tolist() == scene()[0, 0].tolist()


def test_arrays_are_copied_and_frozen() -> None:
    array = scene()
    view = View.open(array, f_px=50)
    array[0, 0] = 99
    assert view.image[0, 0].tolist() == [0, 0, 0]
    array[0, 0] = 98  # the caller's own array stays writeable
    with pytest.raises(ValueError, match="read-only"):
        view.image[0, 0] = 1
    upside_down = View.open(scene()[::-1], f_px=50)
    np.testing.assert_array_equal(upside_down.image, scene()[::-1])


# --- refusals -------------------------------------------------------------------------------


def test_missing_folder_empty_and_addresses(tmp_path: Path) -> None:
    refused(tmp_path / "none.png", "none.png", "does not exist", "PNG")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty (0 bytes)")
    refused("https://example.org/a.png", "address", "download")
    refused("a\0b.png", "a\\x00b.png")
    refused("x" * 300, "xxx")
    refused("line\nbreak.png", "line\\nbreak.png")
    refused("", "''")


def test_unreadable_and_special_files(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "regular file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(tmp_path / "loop", "loop")
    path = save(tmp_path / "secret.png", scene())
    path.chmod(0)
    if os.geteuid() != 0:
        refused(path, "ermission")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Tag data larger than file")
@pytest.mark.parametrize(
    "content",
    [
        b"hello, I am text\n" * 20,
        b"\x00" * 500,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
        b"%PDF-1.4\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='100' height='100'/>",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"RIFF\x10\x00\x00\x00WEBPVP8 ",
        b"II*\x00\x08\x00\x00\x00",
        b"P6\n99999999999 99999999999\n255\n",
        b"P6\n-5 10\n255\n",
    ],
)
def test_not_a_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    refused(path, "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated(tmp_path: Path, kind: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, kind)
    path = tmp_path / "cut"
    path.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * kept)])
    refused(path, "'")


def png_header(width_px: int, height_px: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side_px", [12_500, 14_000, 60_000, 2_000_000_000])
def test_decompression_bombs_are_not_decoded(
    tmp_path: Path, side_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side_px, side_px))
    refused(path, "150 megapixels", "smaller")


def test_the_limit_holds_for_every_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pictures, "LARGEST_PX", 64 * 48 - 1)
    refused(scene(), "64x48")
    refused(Image.fromarray(scene()), "64x48")
    refused(save(tmp_path / "a.png", scene()), "64x48")


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 15), (15, 16)])
def test_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size)
    says = (f"{size[0]}x{size[1]}", "at least 16 px")
    refused(picture, *says)
    refused(np.array(picture), *says)
    refused(save(tmp_path / "a.png", picture), *says)
    assert View.open(Image.new("RGB", (16, 16)), f_px=9).image.shape == (16, 16, 3)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_animated(tmp_path: Path, kind: str) -> None:
    from PIL import features

    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    frames = [Image.fromarray(np.roll(scene(), 9 * k, axis=1)) for k in range(3)]
    path = tmp_path / "a"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    refused(path, "3 pictures", "one still")
    with Image.open(path) as picture:
        refused(picture, "3 pictures")


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((48, 64), np.uint8), "repeat grey"),
        (np.zeros((3, 48, 64), np.uint8), "transpose"),
        (np.zeros((48, 64, 4), np.uint8), "alpha"),
        (np.zeros((48, 64, 1), np.uint8), "(48, 64, 1)"),
        (np.zeros((2, 48, 64, 3), np.uint8), "(2, 48, 64, 3)"),
        (np.zeros((), np.uint8), "()"),
        (np.zeros((0, 0, 3), np.uint8), "0x0"),
        (np.zeros((48, 64, 3), np.float32), "multiply by 255"),
        (np.zeros((48, 64, 3), np.int64), "int64"),
        (np.zeros((48, 64, 3), np.uint16), "uint16"),
        (np.zeros((48, 64, 3), bool), "bool"),
    ],
)
def test_bad_arrays(array: np.ndarray, says: str) -> None:
    refused(array, says)


@pytest.mark.parametrize("source", [None, 5, bytearray(b"a"), [[1, 2], [3, 4]], object()])
def test_bad_sources(source: Any) -> None:
    refused(source, type(source).__name__, "path")


def test_bytes_of_a_file_are_read_as_the_file(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "a.png", scene()))
    np.testing.assert_array_equal(opened(path.read_bytes()), opened(path))
    assert pictures.picture_size(path.read_bytes()) == Image.open(path).size
    refused(b"a.png", "not a picture")
    with pytest.raises(InputError, match="not a picture"):
        pictures.picture_size(b"")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Tag data larger than file")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM"])
def test_damaged_bytes_never_escape(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(5)
    whole = io.BytesIO()
    exif = {"exif": exif_of(3, f_35mm=30)} if kind in ("PNG", "JPEG", "WEBP") else {}
    Image.fromarray(scene()).save(whole, kind, **exif)
    clean = np.frombuffer(whole.getvalue(), np.uint8)
    path = tmp_path / "a"
    for _ in range(150):
        bytes_ = clean.copy()
        # Headers are where decoders stumble: half of the damage goes there.
        end = len(bytes_) if rng.random() < 0.5 else min(len(bytes_), 120)
        spots = rng.integers(0, end, rng.integers(1, 6))
        bytes_[spots] = rng.integers(0, 256, len(spots))
        path.write_bytes(bytes_.tobytes())
        try:
            view = View.open(path, f_px=50)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert view.image.dtype == np.uint8


# --- resize ---------------------------------------------------------------------------------


@given(st.integers(16, 200), st.integers(16, 200), st.floats(0.2, 0.8), st.floats(0.2, 0.8))
def test_the_resize_is_a_pure_scale(width: int, height: int, u: float, v: float) -> None:
    camera = Camera(100, 100, 50, 40, 100, 80)
    y, x = np.mgrid[0:80, 0:100] + 0.5
    spot = np.array([u * 100, v * 80])
    blob = 250 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 50)
    image = np.repeat(np.rint(blob).astype(np.uint8)[..., None], 3, -1)
    plan = plan_long_side(camera, long_side_px=100, multiple_px=1)
    object.__setattr__(plan, "camera", camera.resized(width, height))
    small = resize_image(image, plan)[..., 0].astype(float)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    centroid = np.array([(small * x).sum(), (small * y).sum()]) / small.sum()
    weighted = np.array([(image[..., 0] * a).sum() for a in np.mgrid[0:80, 0:100][::-1] + 0.5])
    before = weighted / image[..., 0].sum()
    # Half a pixel of wrong convention would show as 0.5; edges cut the blob a little.
    np.testing.assert_allclose(
        centroid, plan.xy_to_resized(before), atol=0.12 + 0.004 * max(width, height)
    )


def test_the_resize_antialiases() -> None:
    checks = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    image = np.repeat(checks[..., None], 3, -1)
    plan = plan_long_side(Camera(99, 99, 64, 64, 128, 128), long_side_px=32, multiple_px=1)
    inner = resize_image(image, plan)[4:-4, 4:-4]
    assert np.abs(inner.astype(int) - 127.5).max() < 3


def test_resized_view_keeps_its_story(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", scene(400, 300), exif=exif_of(f_35mm=26))
    view = View.open(path)
    plan = plan_focal(view.camera, f_px=200, multiple_px=32)
    small = view.resized(plan)
    assert small.camera == plan.camera
    assert small.image.shape == (plan.camera.height_px, plan.camera.width_px, 3)
    assert (small.intrinsics, small.path) == ("exif", str(path))
    assert not small.image.flags.writeable
    other = plan_focal(Camera(1, 1, 0, 0, 400, 300), f_px=2, multiple_px=1)
    with pytest.raises(InputError, match="another camera"):
        view.resized(other)
    same = plan_long_side(view.camera, long_side_px=400, multiple_px=1)
    np.testing.assert_array_equal(view.resized(same).image, view.image)


def test_a_view_checks_its_parts() -> None:
    camera = Camera(50, 50, 32, 24, 64, 48)
    image = scene()
    view = View(image, camera)
    image[0, 0] = 77
    assert view.image[0, 0].tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="sizes must agree"):
        View(scene(65, 48), camera)
    with pytest.raises(InputError, match="uint8"):
        View(scene().astype(float), camera)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pinhole"):
        View(scene(), Camera(50, 50, 32, 24, 64, 48, (0, 0, 0, 0), "fisheye"))
