"""The doctor names what is wrong, what to do, and survives it."""

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import vlm3.infer.predictor
from vlm3.cli import doctor
from vlm3.cli.main import main
from vlm3.errors import MissingDependencyError
from vlm3.infer import loading
from vlm3.infer.engines import naive as local


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tiny_folder: Path) -> Callable[..., Result]:
    """`vlm3 doctor` with the tiny model in nano's place."""
    real = loading.load
    monkeypatch.setattr(vlm3, "load", lambda name, **options: real(tiny_folder, **options))
    return lambda *args: CliRunner().invoke(main, ["doctor", *args], prog_name="vlm3")


def findings(result: Result) -> dict[str, dict[str, Any]]:
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(set(r) == {"subject", "status", "found", "advice"} for r in records)
    assert all(r["status"] == "ok" or r["advice"] for r in records), "what is wrong has a cure"
    return {r["subject"]: r for r in records}


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_a_sound_machine(run: Callable[..., Result]) -> None:
    result = run("--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = findings(result)
    assert all(found[name]["status"] == "ok" for name in ("system", "torch", "model nano"))
    assert "answers in" in found["model nano"]["found"]


def test_lines_are_for_people(run: Callable[..., Result]) -> None:
    lines = run().stdout.splitlines()
    assert lines[0].startswith("ok       system: vlm3 ")


def test_a_missing_extra_is_no_fault_and_says_how_to_get_it(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "matplotlib")
    result = run("--json")
    assert result.exit_code == 0
    (viz,) = (f for name, f in findings(result).items() if name.startswith("extra viz"))
    assert viz["status"] == "missing"
    assert viz["found"] == "without matplotlib"
    assert viz["advice"] == 'pip install "vlm3[viz]"'


def test_a_missing_need_is_a_fault(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "safetensors")
    result = run("--json")
    assert result.exit_code == 1
    assert findings(result)["safetensors"]["status"] == "broken"


def test_vlm3_itself_not_installed(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert findings(run("--json"))["extras"]["status"] == "missing"


def test_the_torchvision_trap(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        raise MissingDependencyError("torchvision is built for CUDA: pip uninstall torchvision")

    monkeypatch.setattr(local, "check_torchvision", check)
    result = run("--json")
    assert result.exit_code == 1
    found = findings(result)
    assert found["torchvision"]["status"] == found["model nano"]["status"] == "broken"


def test_a_broken_torch_does_not_hide_the_rest(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> doctor.Finding:
        raise OSError("libtorch_cpu.so: cannot open\nshared object file")

    monkeypatch.setattr(doctor, "_torch", broken)
    result = run("--json")
    assert result.exit_code == 1
    found = findings(result)
    assert found["torch"]["found"].startswith("OSError: libtorch_cpu.so: cannot open shared")
    assert found["model nano"]["status"] == "ok"


def test_extras_named_are_those_of_the_package() -> None:
    """All but the ones that gather others, and those that need nothing."""
    names = set(importlib.metadata.metadata("vlm3").get_all("Provides-Extra") or [])
    assert set(doctor._EXTRAS) <= names
    assert names - set(doctor._EXTRAS) <= {"all", "test"}


def test_the_fast_engine_is_compared_with_the_naive_one(
    run: Callable[..., Result], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> dict[str, str]:
        lines = run("--json", "--self-check", str(tiny_folder)).stdout.splitlines()
        return json.loads(lines[-1])

    right = found()
    assert right["status"] == "ok"
    assert right["subject"] == f"self-check {tiny_folder}"
    from vlm3.infer.engines.naive import NaiveEngine

    monkeypatch.setattr(
        NaiveEngine, "ask", lambda self, scene, questions, **_: ["?"] * len(questions)
    )
    wrong = found()
    assert wrong["status"] == "broken"
    assert wrong["found"].startswith("0 of ")
