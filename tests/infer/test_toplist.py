"""Lists of likely tokens as recorded replies: cases by hand."""

import math

import numpy as np
import pytest

from vlm3.infer.engines.base import SYMBOLS
from vlm3.infer.engines.top_logprobs import Step, recorded, step


def chances(one: Step) -> dict[str, float]:
    return {symbol: math.exp(logp) for symbol, logp in one.top}


def test_ends_add_up_and_other_words_are_left_out() -> None:
    one = step(
        "<|im_end|>",
        math.log(0.5),
        [
            ("<|im_end|>", math.log(0.5)),
            ("</s>", math.log(0.1)),
            ("", math.log(0.05)),
            ("7", math.log(0.2)),
            ("meters", math.log(0.1)),
            (".5", math.log(0.05)),
        ],
    )
    assert one.piece == ""
    assert chances(one) == pytest.approx({"": 0.65, "7": 0.2})


def test_the_token_written_counts_once_whether_listed_or_not() -> None:
    without = step("2", math.log(0.6), [("3", math.log(0.4))])
    listed = step("2", math.log(0.6), [("3", math.log(0.4)), ("2", math.log(0.6))])
    assert chances(without) == chances(listed) == pytest.approx({"2": 0.6, "3": 0.4})


def test_what_is_not_listed_has_no_probability() -> None:
    reply = recorded("2", [Step("2", (("2", -0.5),)), Step("", (("", 0.0),))])
    assert reply.logp is not None and reply.logp.shape == (2, len(SYMBOLS))
    assert reply.pieces == ("2", "")
    assert np.isfinite(reply.logp).sum() == 2
