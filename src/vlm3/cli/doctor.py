"""The command `vlm3 doctor`: what is installed, what works, and what to do about the rest.

Each check stands alone and survives what it finds, so that one broken package does not hide the
others. Changes nothing and asks no network. Loads nothing that costs time until it runs.
"""

import json
import os
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import click

import vlm3
from vlm3.cli.photo_options import as_json_option
from vlm3.errors import Vlm3Error
from vlm3.threads import COUNT, allowed_cores

Status = Literal["ok", "missing", "broken"]

_REQUIREMENT = re.compile(r"^([\w.-]+)[^;]*(?:;.*extra == ['\"]([\w-]+)['\"])?")
# What a user may want on top; `all` and `test` only gather these.
_EXTRAS = {
    "viz": "figures, vlm3 demo",
    "eval": "benchmarks",
    "data": "formats of data sets",
    "worlds": "rendered rooms",
    "train": "training",
    "app": "the web page and the server",
    "rerun": "recordings for the rerun viewer (.rrd)",
    "scene": "scenes from many pictures",
    "openai": "models behind an OpenAI-compatible server",
    "vllm": "serving with vLLM on a GPU",
    "video": "frames of a video",
    "heic": "photographs of iPhones",
}
_LONGEST_REASON = 160
# Points a side of a self-check's grid, and the share of its answers that must be equal.
_CHECKED = 6
_AGREE = 0.75


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: what was looked at.
        status: "ok"; "missing": optional and not there; "broken": needed and not working.
        found: the result, in a line.
        advice: what to do, None where there is nothing to do.
    """

    subject: str
    status: Status
    found: str
    advice: str | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields under their own names."""
        return asdict(self)


@click.command()
@click.option(
    "--self-check",
    metavar="MODEL",
    help="Also ask this model by the fast and by the naive engine, and compare.",
)
@as_json_option
@click.pass_context
def doctor(context: click.Context, self_check: str | None, as_json: bool) -> None:
    """Check what is installed and what works.

    Says what to do about the rest. Exit code 1 if something that vlm3 needs does not work.
    """
    findings = []
    for finding in examine(self_check):
        findings.append(finding)
        if as_json:
            click.echo(json.dumps(finding.to_json(), allow_nan=False))
        else:
            click.echo(f"{finding.status:<8} {finding.subject}: {finding.found}")
            if finding.advice:
                click.echo(f"{'':<8} -> {finding.advice}")
    context.exit(int(any(finding.status == "broken" for finding in findings)))


def examine(self_check: str | None = None) -> Iterator[Finding]:
    """Looks at everything, quick checks first, and yields each finding as it is made.

    Args:
        self_check: a model whose fast engine is compared with the naive one, on this machine.
    """
    yield _python()
    yield from _guarded("torch", _torch, "pip install --force-reinstall torch")
    yield from _guarded("threads", _threads, f"set {COUNT}=1 and try again")
    for package in ("transformers", "numpy", "pillow", "safetensors"):
        yield _package(package)
    yield from _guarded("torchvision", _torchvision, "pip uninstall torchvision")
    yield from _extras()
    yield from _guarded(
        "model nano",
        _nano,
        "mend what is broken above; if nothing is, pip install --force-reinstall vlm3",
    )
    if self_check is not None:
        yield from _guarded(
            f"self-check {self_check}",
            lambda: _self_check(self_check),
            "check the model's name; if the engines disagree, ask with engine='naive' and tell us",
        )


def _guarded(subject: str, check: Callable[[], Finding], cure: str) -> Iterator[Finding]:
    """A check whose failure is itself a finding, whatever it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield check()
    except Vlm3Error as error:
        yield Finding(subject, "broken", str(error), cure)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        yield Finding(subject, "broken", reason[:_LONGEST_REASON], cure)


def _python() -> Finding:
    found = (
        f"vlm3 {vlm3.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
    return Finding("system", "ok", found)


def _torch() -> Finding:
    import torch

    if torch.cuda.is_available():
        devices = ", ".join(
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        )
        return Finding("torch", "ok", f"{torch.__version__}, computes on {devices}")
    found = f"{torch.__version__}, computes on the CPU"
    if torch.version.cuda is None:
        return Finding("torch", "ok", found)
    return Finding(
        "torch",
        "ok",
        f"{found}: built for CUDA {torch.version.cuda}, but no GPU answers",
        "for a GPU, check nvidia-smi and the driver; on a machine without one nothing is wrong",
    )


def _threads() -> Finding:
    import torch

    threads, allowed = torch.get_num_threads(), allowed_cores()
    found = f"computes with {threads} on {allowed} cores ({COUNT}={os.environ.get(COUNT, '')})"
    if threads <= allowed:
        return Finding("threads", "ok", found)
    return Finding(
        "threads", "ok", found, f"more threads than cores hold each other up: {COUNT}={allowed}"
    )


def _package(name: str) -> Finding:
    version = installed_version(name)
    if version is None:
        return Finding(name, "broken", "not installed", f"pip install {name}")
    return Finding(name, "ok", version)


def _torchvision() -> Finding:
    from vlm3.infer.engines.naive import check_torchvision

    version = installed_version("torchvision")
    check_torchvision()
    return Finding("torchvision", "ok", version or "not installed, not needed")


def _extras() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires("vlm3") or []
    except PackageNotFoundError:
        yield Finding("extras", "missing", "vlm3 runs without being installed", "pip install -e .")
        return
    needed: dict[str, list[str]] = {extra: [] for extra in _EXTRAS}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None and match[2] in needed:
            needed[match[2]].append(match[1])
    for extra, packages in needed.items():
        versions = {package: installed_version(package) for package in packages}
        absent = [package for package, version in versions.items() if version is None]
        subject = f"extra {extra} ({_EXTRAS[extra]})"
        if absent:
            yield Finding(
                subject,
                "missing",
                f"without {', '.join(absent)}",
                f'pip install "vlm3[{extra}]"',
            )
        else:
            yield Finding(subject, "ok", ", ".join(f"{p} {v}" for p, v in versions.items()))


def _nano() -> Finding:
    began = time.perf_counter()
    predictor = vlm3.load("nano", device="cpu")
    blank = vlm3.View.open(_blank(), fov_deg=60)
    answer = predictor.depth(blank, [(80, 60)])
    seconds = time.perf_counter() - began
    return Finding(
        "model nano",
        "ok",
        f"loads and answers in {seconds:.1f} s, protocol {answer.protocol}",
    )


def _self_check(model: str) -> Finding:
    """The same questions about pictures of noise, to both engines."""
    import numpy as np

    from vlm3.infer.probe import probe_texts

    predictor = vlm3.load(model)
    rng = np.random.default_rng(0)
    views = [
        vlm3.View.open(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8), fov_deg=60)
        for _ in range(2)
    ]
    texts: dict[str | None, list[str]] = {}
    seconds: dict[str | None, float] = {}
    engines: tuple[Literal["naive"] | None, ...] = (None, "naive")
    for engine in engines:
        began = time.perf_counter()
        texts[engine] = probe_texts(predictor, views, side=_CHECKED, engine=engine)
        seconds[engine] = time.perf_counter() - began
    count = len(texts[None])
    equal = sum(a == b for a, b in zip(texts[None], texts["naive"], strict=True))
    found = (
        f"{equal} of {count} answers equal the naive engine's, {seconds[None]:.1f} s against "
        f"{seconds['naive']:.1f} s"
    )
    # Half precision rounds where two tokens are almost alike; a wrong position changes nearly all.
    if equal >= _AGREE * count:
        return Finding(f"self-check {model}", "ok", found)
    return Finding(
        f"self-check {model}", "broken", found, "ask with engine='naive', and tell us your versions"
    )


def _blank() -> Any:
    import numpy as np

    return np.full((120, 160, 3), 127, np.uint8)


def installed_version(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
