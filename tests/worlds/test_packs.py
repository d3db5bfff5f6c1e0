"""Furniture packs, from a library written here in Sweet Home 3D's own format."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("warp")

from vlm3.cli.worlds import worlds as command
from vlm3.errors import InputError
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pack import load_pack
from vlm3.worlds.plan import MODELS
from vlm3.worlds.world import World

CC0 = "This file is under the Creative Commons Zero (Public Domain)"


def sphere_obj(rows=24, columns=48):
    """An ellipsoid that fills 40 x 90 x 60 (x, y up, z depth): thousands of triangles."""
    lines = ["mtllib thing.mtl", "usemtl red"]
    for r in range(rows + 1):
        for c in range(columns):
            a, b = np.pi * r / rows, 2 * np.pi * c / columns
            x, y, z = np.sin(a) * np.cos(b) * 20, np.cos(a) * 45, np.sin(a) * np.sin(b) * 30
            lines.append(f"v {x:.5f} {y:.5f} {z:.5f}")
    for r in range(rows):
        for c in range(columns):
            i, j = r * columns + c + 1, r * columns + (c + 1) % columns + 1
            lines += [f"f {i} {j} {j + columns}", f"f {i} {j + columns} {i + columns}"]
    return "\n".join(lines)


@pytest.fixture
def library(tmp_path):
    def make(licence=CC0, models=6):
        entries = ["name=Test"]
        for k in range(1, models + 1):
            entries += [
                f"id#{k}=t#{k}",
                f"name#{k}={'Chair' if k % 2 else 'Sofa'}",
                f"category#{k}=Living room",
                f"model#{k}=/m/thing.obj",
                f"width#{k}={50 + k}",
                f"depth#{k}=55",
                f"height#{k}=90",
                f"creator#{k}=Someone",
            ]
        with zipfile.ZipFile(tmp_path / "test.sh3f", "w") as archive:
            archive.writestr("LICENSE.TXT", licence)
            archive.writestr("PluginFurnitureCatalog.properties", "\n".join(entries))
            archive.writestr("m/thing.obj", sphere_obj())
            archive.writestr("m/thing.mtl", "newmtl red\nKd 0.8 0.1 0.1\n")
        return tmp_path

    return make


@pytest.fixture
def pack_path(library, tmp_path):
    for package in ("trimesh", "scipy", "fast_simplification"):
        pytest.importorskip(package)
    out = tmp_path / "pack.npz"
    arguments = ["assets", "--from", str(library()), "-o", str(out), "--triangles", "300"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert "6 models of 2 categories" in result.output
    return out


def test_models_have_the_catalogues_size(pack_path):
    pack = load_pack(str(pack_path))
    entry = pack.models[0]
    assert entry["licence"] == "CC0-1.0"
    assert entry["maker"] == "Someone"
    assert entry["face_count"] <= 600
    piece = pack.choose("chair", "train", np.random.default_rng(0))
    builder = MeshBuilder()
    piece.draw(builder, SimpleNamespace(paint=0))  # the one row of a palette that packs use
    mesh = builder.build(np.random.default_rng(0))
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), piece.size_wdh_m, rtol=0.01)
    assert mesh.vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
    red, green, _ = mesh.tint.mean(0)
    assert red > 5 * green


def test_held_out_models_are_others(library, tmp_path):
    for package in ("trimesh", "scipy", "fast_simplification"):
        pytest.importorskip(package)
    out = tmp_path / "many.npz"
    CliRunner().invoke(command, ["assets", "--from", str(library(models=20)), "-o", str(out)])
    pack, rng = load_pack(str(out)), np.random.default_rng(0)
    train = {pack.choose("chair", "train", rng).size_wdh_m for _ in range(50)}
    held = {pack.choose("chair", "heldout", rng).size_wdh_m for _ in range(50)}
    assert train
    assert held
    assert not train & held
    low, high = MODELS["train"]
    assert not set(range(low, high)) & set(range(*MODELS["heldout"]))


def test_worlds_use_the_pack(pack_path):
    names = set()
    for index in range(12):
        world = World(0, index, kind="room", pack=str(pack_path))
        names |= {round(o.size_wdh_m[0], 4) for o in world.scene.objects if o.category == "chair"}
    assert names & {0.51, 0.53, 0.55}


def test_other_licences_are_left_out(library, tmp_path):
    out = tmp_path / "pack.npz"
    folder = str(library(licence="All rights reserved"))
    result = CliRunner().invoke(command, ["assets", "--from", folder, "-o", str(out)])
    assert isinstance(result.exception, InputError)
    assert not out.exists()


def test_a_folder_without_libraries_is_refused(tmp_path):
    result = CliRunner().invoke(
        command, ["assets", "--from", str(tmp_path), "-o", str(tmp_path / "p.npz")]
    )
    assert isinstance(result.exception, InputError)
    with pytest.raises(InputError, match="no furniture pack"):
        load_pack(str(tmp_path / "missing.npz"))
