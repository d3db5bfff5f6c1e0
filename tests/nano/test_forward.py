"""Every kind of batch equals the project's Encoder and Collator and the stock forward."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from vlm3.nano.batches import Batch, BatchMaker
from vlm3.nano.forward import Forward
from vlm3.nano.recipe import MINIATURE
from vlm3.nano.validation import answered
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.train.collate import Collator, Encoder, stock_rows
from vlm3.train.loss_module import answer_losses
from vlm3.train.packing import IGNORE

SPEC = MINIATURE.size.picture_input
KINDS = ("mosaic color", "color", "mosaic match", "boxes", "view", "objects", "pair")


def made(maker: BatchMaker, kind: Any, seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    batch = maker.make(kind, 2, 3)
    return replace(batch, images=batch.images.round())


def lessons(batch: Batch, tokenizer: Any) -> list[tuple[int, int, int, Conversation]]:
    """Row, group, question and what the project would make of it, for each that has a label."""
    out = []
    count = batch.layout.pictures
    images = batch.images.byte().numpy()
    for group, asked in enumerate(batch.questions):
        stem = batch.layout.stem if group == 0 else ()
        for row in range(len(asked.ids)):
            for number in range(asked.ids.shape[1]):
                labelled = (asked.labels[row, number] != IGNORE).nonzero().flatten().tolist()
                if not labelled:
                    continue
                first, last = labelled[0], labelled[-1]
                ids = asked.ids[row, number].tolist()
                question = tokenizer.decode([*stem, *ids[:first]])
                answer = tokenizer.decode(ids[first + 1 : last + 1])
                shown = tuple(images[count * row : count * (row + 1)])
                out.append(
                    (row, group, number, Conversation(shown, (QA("depth", question, answer),)))
                )
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_ids_labels_and_positions(
    kind: str, maker: BatchMaker, forward: Forward, tokenizer: Any
) -> None:
    batch, encode = made(maker, kind), Encoder(tokenizer, SPEC)
    prefix, cosine, sine = forward._text_constants(batch.layout)
    starts = [batch.layout.prefix]
    for group in batch.layout.groups:
        starts.append(starts[-1] + group.count * group.length)
    found = lessons(batch, tokenizer)
    assert found
    for row, group, number, lesson in found:
        wanted = encode(lesson)
        asked, laid = batch.questions[group], batch.layout.groups[group]
        length = len(wanted.ids) - laid.sees
        ids = asked.ids[row, number, :length].tolist()
        assert prefix[: laid.sees].tolist() + ids == wanted.ids.tolist()
        labels = asked.labels[row, number, :length].tolist()
        assert [IGNORE] * laid.sees + labels == wanted.labels.tolist()
        assert (asked.labels[row, number, length:] == IGNORE).all()
        start = starts[group] + number * laid.length
        places = [*range(laid.sees), *range(start, start + length)]
        like, positions = torch.zeros(1, 1, 1), torch.from_numpy(wanted.positions)[:, None]
        for own, true in zip((cosine, sine), forward.text.rotary_emb(like, positions), strict=True):
            assert torch.equal(own[places], true[0])


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_losses(kind: str, maker: BatchMaker, forward: Forward, model: Any, tokenizer: Any) -> None:
    batch, collate = made(maker, kind), Collator(tokenizer, SPEC)
    found = lessons(batch, tokenizer)
    wanted = answer_losses(model, collate([lesson for *_, lesson in found]), SPEC)
    seen = forward.see(batch.images)
    hidden = forward.read(batch.layout, seen, [q.ids[..., :-1] for q in batch.questions])
    own = []
    for row, group, number, _ in found:
        labels = batch.questions[group].labels[row, number]
        logits = forward.logits(hidden[group][row, number])
        each = torch.nn.functional.cross_entropy(
            logits, labels, reduction="none", ignore_index=IGNORE
        )
        own.append(each[labels != IGNORE])
    assert (torch.cat(own) - wanted).abs().max() < 1e-4
    assert wanted.std() > 0.1


@torch.no_grad()
def test_a_question_sees_its_pictures_and_itself(maker: BatchMaker, forward: Forward) -> None:
    batch = made(maker, "pair")

    def hidden(batch: Batch) -> list[torch.Tensor]:
        ids = [q.ids[..., :-1] for q in batch.questions]
        return forward.read(batch.layout, forward.see(batch.images), ids)

    plain = hidden(batch)
    other = [replace(q, ids=q.ids.clone()) for q in batch.questions]
    other[0].ids[:, 1] = other[0].ids[:, 1].roll(1, -1)
    changed = hidden(replace(batch, questions=tuple(other)))
    for group in (0, 1):
        same = (plain[group] == changed[group]).all(-1).all(-1)
        assert same.tolist() == [[group == 1 or k != 1 for k in range(same.shape[1])]] * 2
    # The other row's pictures change nothing, a row's own do.
    images = batch.images.clone()
    images[2:] = 255 - images[2:]
    changed = hidden(replace(batch, images=images))
    assert torch.allclose(plain[0][0], changed[0][0], atol=1e-5)
    assert not torch.allclose(plain[0][1], changed[0][1], atol=1e-3)


@torch.no_grad()
def test_greedy_answers_are_those_of_the_stock_model(
    maker: BatchMaker, forward: Forward, model: Any, tokenizer: Any
) -> None:
    """Digit by digit: each is the likeliest after those before it."""
    batch = made(maker, "view")
    own = answered(forward, batch)[0]
    collate = Collator(tokenizer, SPEC)
    for row, _, number, lesson in lessons(batch, tokenizer):
        labels = batch.questions[0].labels[row, number]
        first = int((labels != IGNORE).nonzero()[0])
        given = own[row, number, first + 1 :].tolist()
        tensors = stock_rows(collate([lesson]))
        start = int((tensors["labels"][0] != IGNORE).nonzero()[0])
        tensors["input_ids"][0, start + 1 :] = torch.tensor(given[:-1])
        tensors["labels"][0, start : start + len(given)] = torch.tensor(given)
        inputs = {k: v for k, v in tensors.items() if k not in ("labels", "patches")}
        from vlm3.model import pixel_values

        pixels = pixel_values(tensors["patches"], SPEC)
        hidden = model.model(**inputs, pixel_values=pixels, use_cache=False).last_hidden_state
        wanted = model.lm_head(hidden[0, start : start + len(given)]).argmax(-1)
        assert wanted.tolist() == given
