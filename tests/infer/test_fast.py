"""The engine that shares equals the forward pass that does not."""

import copy
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from vlm3.errors import InputError
from vlm3.infer.decoding import kernels, layers
from vlm3.infer.decoding.prefix_attention import RowMemory
from vlm3.infer.engines.local import LocalEngine, held_limit
from vlm3.infer.engines.naive import NaiveEngine
from vlm3.model import Checkpoint
from vlm3.tasks import correspondence, depth, fov, object_writing, pose
from vlm3.tasks.protocol import PROTOCOLS, Protocol

TOKENS = 6
RAGGED = ["0880 0512", "7", "in picture 2: 1000 0001", "0881 0512", "", "0880 0512 " * 4]


@pytest.fixture(params=["qwen3", "qwen25"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    found: Checkpoint = request.getfixturevalue(request.param)
    return found


def message(pictures: int, question: str) -> list[dict[str, Any]]:
    content = [{"type": "image"} for _ in range(pictures)]
    return [{"role": "user", "content": [*content, {"type": "text", "text": question}]}]


@torch.no_grad()
def unsplit_logp(
    checkpoint: Checkpoint, images: Sequence[Any], question: str, pieces: Sequence[str]
) -> Any:
    """What one forward pass over prompt and answer says before each token of the answer."""
    batch = checkpoint.encode(message(len(images), question), images)
    answer = [
        checkpoint.tokenizer.convert_tokens_to_ids(piece.replace(" ", "Ġ"))
        if piece
        else checkpoint.tokenizer.eos_token_id
        for piece in pieces
    ]
    ids = torch.cat([batch["input_ids"], torch.tensor([answer[:-1]], dtype=torch.long)], dim=1)
    last = batch["position_ids"][..., -1:]
    more = torch.arange(1, len(answer)) + last
    logits = checkpoint.model(
        input_ids=ids,
        position_ids=torch.cat([batch["position_ids"], more], dim=-1),
        pixel_values=batch["pixel_values"],
        image_grid_thw=batch["image_grid_thw"],
        mm_token_type_ids=(ids == checkpoint.image_token_id).long(),
        use_cache=False,
    ).logits
    return logits[0, -len(answer) :].log_softmax(-1).numpy()


def difference(
    checkpoint: Checkpoint, images: Sequence[Any], questions: Sequence[str], **settings: Any
) -> float:
    """Largest difference of log probabilities between the engine and the un-split pass."""
    engine = LocalEngine(checkpoint, **settings)
    with engine.open(images) as scene:
        replies = engine.reply(scene, questions, max_new_tokens=TOKENS)
    assert len({reply.text for reply in replies}) > 1, "a model that says one thing tests nothing"
    worst = 0.0
    for question, reply in zip(questions, replies, strict=True):
        assert reply.logp is not None
        columns = checkpoint.tokenizer.convert_tokens_to_ids(
            [symbol.replace(" ", "Ġ") or "<|im_end|>" for symbol in reply.symbols]
        )
        expected = unsplit_logp(checkpoint, images, question, reply.pieces)[:, columns]
        worst = max(worst, float(np.abs(reply.logp - expected).max()))
    return worst


@pytest.mark.parametrize("which", [[0], [1], [0, 1], [2, 0]], ids=str)
@pytest.mark.parametrize("most_rows", [1, 2, None])
def test_probabilities_equal_the_unsplit_pass(
    checkpoint: Checkpoint, pictures: list[Any], which: list[int], most_rows: int | None
) -> None:
    images = [pictures[i] for i in which]
    assert difference(checkpoint, images, RAGGED, most_rows=most_rows) < 1e-4


@contextmanager
def shifted(by: int) -> Iterator[None]:
    """Every token after the pictures at a wrong place."""
    right = layers.run
    layers.run = lambda text, ids, places, *rest: right(text, ids, places + by, *rest)
    try:
        yield
    finally:
        layers.run = right


@pytest.mark.parametrize("which", [[0], [0, 1]], ids=str)
def test_a_wrong_position_shows(
    checkpoint: Checkpoint, pictures: list[Any], which: list[int]
) -> None:
    """The control: what the stock model does with the offset of another picture."""
    with shifted(3):
        assert difference(checkpoint, [pictures[i] for i in which], RAGGED) > 1e-2


def test_a_grid_shares_its_columns(checkpoint: Checkpoint, pictures: list[Any]) -> None:
    grid = [f"{x:04d} {y:04d}" for x in (1120, 1370, 1990) for y in (1000, 1250, 1500, 1875)]
    for most_rows in (3, 4, 9, 64):
        assert difference(checkpoint, pictures[:1], grid, most_rows=most_rows) < 1e-4


def test_plain_attention_serves_where_no_kernel_does(
    qwen3: Checkpoint, pictures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code path of a GPU in float32, computed here; in turns, too."""
    monkeypatch.setattr(kernels, "attention", kernels.plain_attention)
    assert difference(qwen3, pictures[:2], RAGGED) < 1e-4
    monkeypatch.setattr(kernels, "_MOST_SCORES", 64)
    assert difference(qwen3, pictures[:2], RAGGED) < 1e-4


def test_batches_take_over_each_others_memory(
    checkpoint: Checkpoint, pictures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next batch has the memory of the last, and what it finds there changes nothing."""
    real = RowMemory.take
    taken: dict[RowMemory, list[torch.Tensor]] = {}

    def take(self: RowMemory, *args: Any, **options: Any) -> torch.Tensor:
        room = real(self, *args, **options).fill_(float("nan"))
        taken.setdefault(self, []).append(room)
        return room

    monkeypatch.setattr(RowMemory, "take", take)
    grid = [f"{x:04d} {y:04d}" for x in (1120, 1370, 1990) for y in (1000, 1250, 1500, 1875)]
    assert difference(checkpoint, pictures[:1], grid, most_rows=4) < 1e-4
    rooms = max(taken.values(), key=len)
    parts = 2 * checkpoint.model.config.text_config.num_hidden_layers
    assert len(rooms) == 3 * parts and len({room.data_ptr() for room in rooms}) == parts
    assert difference(checkpoint, pictures[:1], RAGGED, most_rows=2) < 1e-4


def asked(
    engine: LocalEngine | NaiveEngine, images: Sequence[Any], questions: Sequence[str], tokens: int
) -> list[str]:
    with engine.open(images) as scene:
        return engine.ask(scene, questions, max_new_tokens=tokens)


def questions_of(protocol: Protocol, count: int) -> tuple[int, list[str]]:
    """How many pictures a protocol's questions are about, and questions."""
    size = {"width_px": 200, "height_px": 100}
    points = np.random.default_rng(5).uniform(0, 1, (count, 2)) * (200, 100)
    if "depth" in protocol.tasks:
        return 1, [depth.ask(protocol, point, **size) for point in points]
    if "correspondence" in protocol.tasks:
        return 2, [correspondence.ask(protocol, point, **size) for point in points]
    if "pose" in protocol.tasks:
        return 2, [pose.ask(protocol, part) for part in pose.components(protocol)]
    if "fov" in protocol.tasks:
        return 1, [fov.ask(protocol)]
    boxes = [[*point / 2, *(point / 2 + 5)] for point in points]
    return 1, [object_writing.ask(protocol, "How wide is {0}?", [box], **size) for box in boxes]


@pytest.mark.parametrize("protocol", list(PROTOCOLS.values()), ids=lambda p: p.name)
def test_texts_equal_the_naive_engine(
    checkpoint: Checkpoint, pictures: list[Any], protocol: Protocol
) -> None:
    count, questions = questions_of(protocol, 9)
    images = pictures[:count]
    fast = asked(LocalEngine(checkpoint), images, questions, 8)
    assert fast == asked(NaiveEngine(checkpoint), images, questions, 8)


def test_batch_size_changes_nothing(qwen3: Checkpoint, pictures: list[Any]) -> None:
    _, questions = questions_of(PROTOCOLS["paper"], 256)
    texts = {
        most_rows: asked(LocalEngine(qwen3, most_rows=most_rows), pictures[:1], questions, 3)
        for most_rows in (1, 7, 64, 256)
    }
    assert texts[1] == texts[7] == texts[64] == texts[256]
    assert len(set(texts[1])) > 10


def test_scenes_do_not_mix(checkpoint: Checkpoint, pictures: list[Any]) -> None:
    engine = LocalEngine(checkpoint)
    alone = [asked(LocalEngine(checkpoint), [picture], RAGGED, TOKENS) for picture in pictures[:2]]
    assert alone[0] != alone[1]
    mixed: list[list[str]] = [[], []]
    with engine.open(pictures[:1]) as first, engine.open(pictures[1:2]) as second:
        for question in RAGGED:
            checkpoint.model.model.rope_deltas = torch.tensor([[1000]])
            for texts, scene in zip(mixed, (first, second), strict=True):
                texts += engine.ask(scene, [question], max_new_tokens=TOKENS)
    assert mixed == alone


def test_questions_asked_again_are_computed_once(qwen3: Checkpoint, pictures: list[Any]) -> None:
    once = asked(LocalEngine(qwen3), pictures[:1], RAGGED, TOKENS)
    assert asked(LocalEngine(qwen3), pictures[:1], RAGGED * 2, TOKENS) == once * 2
    assert asked(LocalEngine(qwen3), pictures[:1], [], TOKENS) == []


def test_the_tower_sees_a_picture_once_whatever_stands_beside_it(
    checkpoint: Checkpoint, pictures: list[Any]
) -> None:
    """As a motion is checked: a to b, b to a, a alone; then a to c. All as if seen anew."""
    a, b, c = pictures[:3]
    scenes = [[a, b], [b, a], [a], [a, c], [a, a], [c, b, a]]
    fresh = [asked(LocalEngine(checkpoint), scene, RAGGED, TOKENS) for scene in scenes]
    seen: list[int] = []
    hook = checkpoint.model.model.visual.register_forward_hook(
        lambda _, arguments, named, out: seen.append(len(named["grid_thw"])), with_kwargs=True
    )
    try:
        engine = LocalEngine(checkpoint)
        assert [asked(engine, scene, RAGGED, TOKENS) for scene in scenes] == fresh
        assert sum(seen) == 3
        seen.clear()
        # Without room between calls, only those of the last call are still there.
        small = LocalEngine(checkpoint, held_bytes=1)
        assert [asked(small, scene, RAGGED, TOKENS) for scene in scenes] == fresh
        assert sum(seen) == 5
    finally:
        hook.remove()


def test_what_is_kept_keeps_nothing_beside_it(qwen3: Checkpoint, pictures: list[Any]) -> None:
    """Of two pictures seen together one may be forgotten, of a batch of answers all but one."""
    engine = LocalEngine(qwen3)
    with engine.open(pictures[:2]) as scene:
        replies = engine.reply(scene, RAGGED, max_new_tokens=TOKENS)
    for reply in replies:
        assert reply.logp is not None and reply.logp.base is None
    held = list(engine._tower._held.values())
    assert len(held) == 2
    for features in held:
        for part in (features.tokens, *features.layers):
            assert part.untyped_storage().nbytes() == part.nbytes


def test_threads_take_turns(qwen3: Checkpoint, pictures: list[Any]) -> None:
    """What one lets go of is not what another is about to use, nor one's form another's."""
    scenes = [[a, b] for a in pictures for b in pictures] * 3
    fresh = [asked(LocalEngine(qwen3), scene, ["7"], 2) for scene in scenes]
    engine = LocalEngine(qwen3, held_bytes=1)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda scene: asked(engine, scene, ["7"], 2), scenes))
    finally:
        sys.setswitchinterval(before)
    assert found == fresh


def test_progress_may_ask_the_same_engine(qwen3: Checkpoint, pictures: list[Any]) -> None:
    engine = LocalEngine(qwen3)
    inner: list[list[str]] = []
    with engine.open(pictures[:1]) as scene:
        expected = engine.ask(scene, RAGGED, max_new_tokens=TOKENS)
        replies = engine.reply(
            scene,
            RAGGED,
            max_new_tokens=TOKENS,
            progress=lambda _: inner.append(asked(engine, pictures[1:2], RAGGED, TOKENS)),
        )
    assert [reply.text for reply in replies] == expected
    assert inner and inner[0] == asked(LocalEngine(qwen3), pictures[1:2], RAGGED, TOKENS)


@pytest.mark.parametrize(("weights", "limit"), [(2**26, 2**28), (2**29, 2**29), (2**33, 2**30)])
def test_encoded_pictures_do_not_outweigh_a_small_model(weights: int, limit: int) -> None:
    model = torch.nn.Linear(weights // 4, 1, bias=False, device="meta", dtype=torch.float32)
    assert held_limit(model) == limit


def test_pictures_are_encoded_once_and_forgotten_in_time(
    qwen3: Checkpoint, pictures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    visual = qwen3.model.model.visual
    hook = visual.register_forward_hook(lambda *_: seen.append(1))
    try:
        engine = LocalEngine(qwen3)
        before = asked(engine, pictures[:1], ["0880 0512"], TOKENS)
        assert asked(engine, pictures[:1], ["0880 0512", "in 2"], TOKENS)[:1] == before
        assert len(seen) == 1
        asked(engine, pictures[1:2], RAGGED, TOKENS)
        asked(engine, pictures[:1], RAGGED, TOKENS)
        assert len(seen) == 2
        small = LocalEngine(qwen3, held_bytes=1)
        for picture in pictures:
            asked(small, [picture], RAGGED, TOKENS)
            assert small.held_bytes < engine.held_bytes
        assert len(seen) == 5
    finally:
        hook.remove()


def test_long_answers_outgrow_their_buffers(qwen3: Checkpoint, pictures: list[Any]) -> None:
    fast = asked(LocalEngine(qwen3), pictures[:1], RAGGED, 80)
    assert fast == asked(NaiveEngine(qwen3), pictures[:1], RAGGED, 80)
    assert max(map(len, fast)) > 60


def test_picture_markup_in_a_question_is_refused(qwen3: Checkpoint, pictures: list[Any]) -> None:
    with pytest.raises(InputError, match="stands for a picture"):
        asked(LocalEngine(qwen3), pictures[:1], ["how far is <|image_pad|>?"], TOKENS)


def test_progress_counts_every_question(qwen3: Checkpoint, pictures: list[Any]) -> None:
    told: list[int] = []
    engine = LocalEngine(qwen3, most_rows=2)
    with engine.open(pictures[:1]) as scene:
        engine.reply(scene, RAGGED * 2, max_new_tokens=2, progress=told.append)
    assert sum(told) == 2 * len(RAGGED)
    assert len(told) > 1


def test_half_precision_agrees_roughly(qwen3: Checkpoint, pictures: list[Any]) -> None:
    """bfloat16 keeps three digits: the distributions stay close, whatever the texts do."""
    half = replace(qwen3, model=copy.deepcopy(qwen3.model).to(torch.bfloat16))
    exact, rough = (
        LocalEngine(chosen).reply(LocalEngine(chosen).open(pictures[:1]), RAGGED, max_new_tokens=1)
        for chosen in (qwen3, half)
    )
    gaps = [
        np.abs(np.exp(a.logp) - np.exp(b.logp)).max() for a, b in zip(exact, rough, strict=True)
    ]
    assert max(gaps) < 0.2
