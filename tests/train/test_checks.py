"""What a model writes in a packed row is what it writes when asked alone."""

import numpy as np
import torch

from vlm3.infer.engines.naive import NaiveEngine
from vlm3.model import load_checkpoint
from vlm3.tasks import depth
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import get_protocol
from vlm3.train.collate import Collator
from vlm3.train.loss_module import LossModule
from vlm3.train.mosaics import color_questions, mosaic
from vlm3.train.validation import printed


def lessons() -> list[Conversation]:
    """Pictures with 6, 2 and 4 questions, whose answers have 2 tokens or 6."""
    protocol = get_protocol("joint")
    rng = np.random.default_rng(0)
    out = []
    for count in (3, 1, 2):
        image = mosaic(rng, 64, 48)
        qas = color_questions(rng, image, count)
        for x in range(4, 4 + 20 * count, 20):
            question = depth.ask(protocol, (x, 24), width_px=64, height_px=48)
            qas.append(QA("depth", question, "02.50"))
        out.append(Conversation((image,), tuple(qas)))
    return out


def test_packed_answers_are_those_of_each_question_asked_alone() -> None:
    nano = load_checkpoint("nano", device="cpu", dtype=torch.float32)
    collator = Collator(nano.tokenizer, nano.picture_input)
    made = lessons()
    encoded = [collator.encoder(one, str(k)) for k, one in enumerate(made)]
    batches = collator.micro_batches(encoded, 10_000)
    assert len(batches) == 1, "rows with different numbers of questions stand together"
    found = printed(LossModule(nano.model, nano.picture_input), nano.tokenizer, batches)
    engine = NaiveEngine(nano)
    for k, one in enumerate(made):
        packed = [(p.truth, p.said) for p in found if p.name == str(k)]
        scene = engine.open(one.images)
        # As many tokens as the truth has, its end among them.
        alone = [
            engine.ask(scene, [qa.question], max_new_tokens=2 if qa.answer.isalpha() else 6)[0]
            for qa in one.turns
        ]
        truths = [qa.answer for qa in one.turns]
        assert sorted(packed) == sorted(zip(truths, alone, strict=True))
    assert len({one.said for one in found}) > 4
