"""The judge of object answers: agreement with known truth on 500 generated answers."""

from collections import Counter

import numpy as np
import pytest
from generated import CATEGORIES, samples

from vlm3.tasks.base import ParseFailure
from vlm3.tasks.object_judge import QUALITATIVE, QUANTITATIVE, is_right, judge
from vlm3.tasks.object_reading import parse
from vlm3.tasks.truth import Length, ObjectTruth, YesNo

NAN = np.nan


def read(question: str, answer: str) -> ObjectTruth | None:
    value = parse(question, answer, 2)
    return None if isinstance(value, ParseFailure) else value


def test_agreement_on_500_generated_answers() -> None:
    made = samples(500)
    assert {s.category for s in made} == set(CATEGORIES) == {*QUALITATIVE, *QUANTITATIVE}
    assert 0.3 < np.mean([s.right for s in made]) < 0.8
    misses = [s for s in made if is_right(read(s.question, s.answer), s.truth) != s.right]
    agreement = 1 - len(misses) / len(made)
    print(f"agreement {agreement:.3f}, {len(misses)} misses")
    for s in misses:
        found = parse(s.question, s.answer, 2)
        print(
            f"  {s.category}/{s.manner}: {s.answer!r} is {s.right}, truth {s.truth}, read {found}"
        )
    assert agreement >= 0.99


@pytest.mark.parametrize("seed", range(1, 6))
def test_agreement_holds_for_other_draws(seed: int) -> None:
    made = samples(500, seed)
    wrong = Counter(
        (s.category, s.manner)
        for s in made
        if is_right(read(s.question, s.answer), s.truth) != s.right
    )
    assert wrong.total() <= 5, wrong


def test_marks_by_hand() -> None:
    said = np.array(
        [
            [1.0, NAN, NAN, NAN],
            [NAN] * 4,
            [NAN, 12, NAN, NAN],
            [NAN, NAN, 1, NAN],
            [NAN, NAN, NAN, 0],
        ]
    )
    truth = np.array(
        [
            [1.3, NAN, NAN, NAN],
            [2.0, NAN, NAN, NAN],
            [NAN, 2, NAN, NAN],
            [NAN, NAN, 1, NAN],
            [NAN, NAN, NAN, 1],
        ]
    )
    marks = judge(said, truth)
    assert marks.right.tolist() == [1, 0, 0, 1, 0]
    assert marks.relative_error[:2] == pytest.approx([0.3 / 1.3, 1])
    assert marks.clock_error_deg[2] == 60
    assert marks.parsed.tolist() == [True, False, True, True, True]


def test_an_answer_of_another_kind_is_a_failure() -> None:
    assert not is_right(YesNo(True), Length(1.0))
    assert not is_right(None, YesNo(False))
    assert is_right(YesNo(False), YesNo(False))
