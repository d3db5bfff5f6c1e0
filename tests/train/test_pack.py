"""Packing so that no question sees another: equal to asking each alone, and learnt from alone."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlm3.model import PictureInput
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.train.collate import Collator, TensorBatch, stock_rows
from vlm3.train.loss_module import answer_loss
from vlm3.train.packing import IGNORE, pack_independent

SPEC = PictureInput(8, 2, 2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

prompts = st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple)


@given(
    head=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    asked=st.dictionaries(
        prompts, st.lists(st.integers(10, 14), min_size=1, max_size=4), min_size=1, max_size=8
    ),
)
def test_every_path_reads_as_the_question_alone(
    head: list[int], asked: dict[tuple[int, ...], list[int]]
) -> None:
    # No prompt may be the beginning of another: its answer would stand among the other's words.
    asked = {
        prompt: answer
        for prompt, answer in asked.items()
        if not any(other != prompt and other[: len(prompt)] == prompt for other in asked)
    }
    packed = pack_independent(head, list(asked.items()))
    wanted = {(*head, *prompt, *answer) for prompt, answer in asked.items()}
    found = set()
    for row in range(len(packed.ids)):
        path = np.flatnonzero(packed.sees[row])
        assert packed.depth[path].tolist() == list(range(len(path)))
        ids = (*packed.ids[path].tolist(), int(packed.labels[row]))
        if packed.labels[row] != IGNORE and ids in wanted:
            found.add(ids)
    assert found == wanted
    assert (packed.labels != IGNORE).sum() == sum(len(answer) for answer in asked.values())


def test_two_answers_to_one_prompt_are_refused() -> None:
    with pytest.raises(ValueError, match="two different answers"):
        pack_independent([1], [([2], [3]), ([2], [4])])


def lessons(two: bool) -> list[Conversation]:
    rng = np.random.default_rng(0)
    shapes = [(32, 48, 3)] * (2 if two else 1)
    return [
        Conversation(
            tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes),
            # Questions in order lie in the row as they come: those that begin alike side by side.
            tuple(
                QA("depth", f"Distance to the point: {place:04d}", f"{k}.{k}7")
                for k, place in enumerate(sorted(rng.integers(2000, size=count)))
            ),
        )
        for count in (5, 2)
    ]


@pytest.mark.parametrize("two", [False, True], ids=["one picture", "two pictures"])
def test_packed_logits_equal_each_question_alone(
    tiny_model: Any, tiny_tokenizer: Any, two: bool
) -> None:
    collator = Collator(tiny_tokenizer, SPEC)

    def answer_logits(packed: TensorBatch) -> torch.Tensor:
        from vlm3.model import pixel_values

        batch = stock_rows(packed)
        inputs = {k: v for k, v in batch.items() if k not in ("labels", "patches")}
        with torch.no_grad():
            logits = tiny_model(
                **inputs, pixel_values=pixel_values(batch["patches"], SPEC), use_cache=False
            ).logits
        return logits[batch["labels"] != IGNORE]

    given = lessons(two)
    packed = answer_logits(collator(given))
    alone = torch.cat(
        [
            answer_logits(collator([Conversation(lesson.images, (qa,))]))
            for lesson in given
            for qa in lesson.turns
        ]
    )
    assert packed.shape == alone.shape
    assert (packed - alone).abs().max() < 1e-5
    assert alone.std() > 0.1


def test_loss_looks_at_answers_only(tiny_model: Any, tiny_tokenizer: Any) -> None:
    batch = Collator(tiny_tokenizer, SPEC)(lessons(False))
    tokens = len(tiny_tokenizer("0.07<|im_end|>")["input_ids"])
    assert (batch["labels"] != IGNORE).sum() == 7 * tokens
    assert answer_loss(tiny_model, batch, SPEC).isfinite()


def test_collator_speaks_as_the_checkpoint_is_asked(tiny_folder: Any) -> None:
    from vlm3.model import load_checkpoint

    checkpoint = load_checkpoint(tiny_folder, device="cpu")
    lesson = lessons(True)[1]
    batch = Collator(checkpoint.tokenizer, SPEC)([Conversation(lesson.images, lesson.turns[:1])])
    content = [{"type": "image"}] * 2 + [{"type": "text", "text": lesson.turns[0].question}]
    asked = checkpoint.encode([{"role": "user", "content": content}], lesson.images)
    length = asked["input_ids"].shape[1]
    assert torch.equal(batch["input_ids"][:, :length], asked["input_ids"])
    assert torch.equal(batch["position_ids"][-3:, :, :length], asked["position_ids"])


@pytest.mark.parametrize("attention", ["eager", "sdpa", "tree"])
def test_a_run_hides_questions_from_each_other(attention: str) -> None:
    from dataclasses import replace

    from vlm3.train.loss_module import begin
    from vlm3.train.recipes import recipe

    run = recipe("debug_cpu")
    made = begin(run.model, replace(run.parallel, attention=attention), seed=0)
    collator = Collator(made.tokenizer, made.spec)
    with torch.no_grad():
        for parameter in made.trainee.model.model.language_model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)
        packed = made.trainee(collator(lessons(True)))
        alone = torch.cat(
            [
                made.trainee(collator([Conversation(lesson.images, (qa,))]))
                for lesson in lessons(True)
                for qa in lesson.turns
            ]
        )
    assert (packed - alone).abs().max() < 1e-5
    assert alone.std() > 0.1
