"""The naive engine equals plain greedy search, whatever pictures the model saw before."""

import gc
import importlib.machinery
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlm3.errors import InputError, MissingDependencyError
from vlm3.geometry.camera import Camera
from vlm3.infer import loading
from vlm3.infer.engines import naive as local
from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.engines.naive import NaiveEngine, check_torchvision
from vlm3.model import Checkpoint, load_checkpoint
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.reading import CUT_OFF, answer_part
from vlm3.view import View

QUESTIONS = ["0880 0512", "0007 1999", "in picture 2: 1000 0001"]


@pytest.fixture(scope="module")
def checkpoint(tiny_folder: Path) -> Checkpoint:
    """The tiny model with an output layer of its own: a tied one repeats the prompt's last token.

    Only digits can be written, so that answers are visible and never end early.
    """
    checkpoint = load_checkpoint(tiny_folder, device="cpu")
    rows = torch.randn(checkpoint.model.lm_head.weight.shape, generator=torch.manual_seed(0))
    digits = checkpoint.tokenizer.convert_tokens_to_ids(list("0123456789"))
    allowed = torch.zeros(len(rows), 1)
    allowed[digits] = 1
    checkpoint.model.lm_head.weight = torch.nn.Parameter(rows * allowed)
    return checkpoint


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    rng = np.random.default_rng(3)
    shapes = ((32, 48, 3), (96, 32, 3), (48, 48, 3))
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


def answers(checkpoint: Checkpoint, images: list[Any], questions: list[str]) -> list[str]:
    engine = NaiveEngine(checkpoint)
    with engine.open(images) as scene:
        return engine.ask(scene, questions, max_new_tokens=6)


def unsplit(checkpoint: Checkpoint, images: list[Any], question: str) -> str:
    """Greedy search that runs the whole sequence again for every token: no cache, own positions."""
    views = tuple(
        View(image, Camera(50, 50, 1, 1, image.shape[1], image.shape[0])) for image in images
    )
    messages = Conversation(views, (QA("depth", question),)).messages()
    batch = checkpoint.encode(messages, images)
    end = checkpoint.tokenizer.eos_token_id
    written: list[int] = []
    while len(written) < 6:
        with torch.no_grad():
            logits = checkpoint.model(**batch, use_cache=False).logits
        token = int(logits[0, -1].argmax())
        written.append(token)
        if token == end:
            break
        for name, fill in (("input_ids", token), ("attention_mask", 1), ("mm_token_type_ids", 0)):
            batch[name] = torch.cat([batch[name], torch.tensor([[fill]])], dim=1)
        positions = batch["position_ids"]
        batch["position_ids"] = torch.cat([positions, positions[..., -1:] + 1], dim=-1)
    return checkpoint.tokenizer.decode(written, skip_special_tokens=True).strip()


@pytest.mark.parametrize("which", [[0], [1], [0, 1], [2, 0]])
def test_answers_equal_greedy_search_without_a_cache(
    checkpoint: Checkpoint, pictures: list[Any], which: list[int]
) -> None:
    images = [pictures[i] for i in which]
    got = answers(checkpoint, images, QUESTIONS)
    whole = [text.removesuffix(CUT_OFF) for text in got]
    assert whole == [unsplit(checkpoint, images, question) for question in QUESTIONS]


def test_pictures_seen_before_change_nothing(checkpoint: Checkpoint, pictures: list[Any]) -> None:
    """The stock model keeps the M-RoPE offset of the last picture; it must not be used."""
    engine = NaiveEngine(checkpoint)
    alone = {i: answers(checkpoint, [pictures[i]], QUESTIONS) for i in (0, 1)}
    assert alone[0] != alone[1], "a model that does not look would make this test empty"
    with engine.open([pictures[0]]) as first, engine.open([pictures[1]]) as second:
        mixed: dict[int, list[str]] = {0: [], 1: []}
        for question in QUESTIONS:
            for i, scene in enumerate((first, second)):
                checkpoint.model.model.rope_deltas = torch.tensor([[1000]])
                mixed[i] += engine.ask(scene, [question], max_new_tokens=6)
    assert mixed == alone


def test_the_limit_on_new_tokens_holds(checkpoint: Checkpoint, pictures: list[Any]) -> None:
    engine = NaiveEngine(checkpoint)
    with engine.open(pictures[:1]) as scene:
        (short,) = engine.ask(scene, QUESTIONS[:1], max_new_tokens=1)
        (long,) = engine.ask(scene, QUESTIONS[:1], max_new_tokens=6)
    assert len(short) < len(long)
    assert long.startswith(short.removesuffix(CUT_OFF))
    # What the limit ended may end in half a number: it says so, and nothing is read from it.
    assert short.endswith(CUT_OFF) and not answer_part(short)
    fast = LocalEngine(checkpoint)
    with fast.open(pictures[:1]) as scene:
        assert fast.ask(scene, QUESTIONS[:1], max_new_tokens=1) == [short]


def test_load_takes_protocol_and_focal_length_from_the_folder(tiny_folder: Path) -> None:
    p = loading.load(tiny_folder, device="cpu")
    assert (p.protocol.name, p.protocol.prep.target_px, p.multiple_px) == ("joint", 125.0, 16)
    assert p.engine.name == str(tiny_folder)
    view = View(np.zeros((48, 64, 3), np.uint8), Camera(60, 60, 32, 24, 64, 48))
    answer = p.depth(view, [[1, 1], [63, 47]])
    assert len(answer.raw_text) == 2
    assert loading.load(tiny_folder, protocol="paper", device="cpu").protocol.name == "paper"


def test_a_local_model_asks_nobody_and_says_nothing(tiny_folder: Path) -> None:
    """In a process of its own, without the test suite's settings, and with the network cut."""
    program = """
    import socket, sys
    def refuse(*args, **kwargs):
        raise SystemExit("the network was asked")
    socket.socket.connect = socket.getaddrinfo = refuse
    import numpy as np, vlm3
    view = vlm3.View.open(np.zeros((48, 64, 3), np.uint8), f_px=60)
    print(len(vlm3.load(sys.argv[1], device="cpu").depth(view, [5, 5]).raw_text))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), tiny_folder],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
        timeout=300,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


class TestTorchvision:
    """A torchvision for CUDA beside a torch without is refused by its cause."""

    @staticmethod
    def install(folder: Path, library: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "_C.so").write_bytes(library)
        spec = importlib.machinery.ModuleSpec("torchvision", None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: spec)

    def test_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.version, "cuda", None)
        self.install(tmp_path, b"\x7fELF libc10.so\0libc10_cuda.so\0", monkeypatch)
        with pytest.raises(MissingDependencyError, match="pip uninstall torchvision") as caught:
            loading.load("nano")
        assert "\n" not in str(caught.value)

    def test_builds_that_agree_are_fine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.install(tmp_path, b"\x7fELF libc10.so\0", monkeypatch)
        monkeypatch.setattr(torch.version, "cuda", None)
        check_torchvision()
        self.install(tmp_path, b"\x7fELF libc10_cuda.so\0", monkeypatch)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        check_torchvision()

    def test_none_is_fine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None)
        check_torchvision()


def test_the_fast_engine_is_the_usual_one_and_the_naive_one_agrees(tiny_folder: Path) -> None:
    view = View.open(np.full((64, 96, 3), 90, np.uint8), fov_deg=60)
    points = [(5, 5), (60, 40), (90, 10)]
    fast = loading.load(tiny_folder, device="cpu")
    naive = loading.load(tiny_folder, device="cpu", engine="naive")
    assert isinstance(fast.engine, LocalEngine)
    assert isinstance(naive.engine, NaiveEngine)
    assert fast.depth(view, points).raw_text == naive.depth(view, points).raw_text


def test_an_unknown_engine_is_refused_before_a_model_is_loaded() -> None:
    with pytest.raises(InputError, match="fast or naive"):
        loading.load("no such folder", engine="quick")  # type: ignore[arg-type]


def test_no_garbage_is_looked_for_while_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    meanwhile: list[int] = []

    def note(phase: str, _: dict[str, int]) -> None:
        looked.append(phase)

    def load(*_: Any, **__: Any) -> Any:
        before = len(looked)
        # Enough to be looked through a hundred times.
        kept = [[k] for k in range(100_000)]
        meanwhile.append(len(looked) - before)
        raise InputError(f"{len(kept)} lists")

    monkeypatch.setattr(loading, "_in_process", load)
    gc.callbacks.append(note)
    try:
        with pytest.raises(InputError, match="100000 lists"):
            loading.load("nano")
        assert meanwhile == [0] and gc.isenabled()
        gc.disable()
        with pytest.raises(InputError, match="100000 lists"):
            loading.load("nano")
        assert not gc.isenabled()  # Who had switched it off keeps it so.
    finally:
        gc.enable()
        gc.callbacks.remove(note)
