"""Laws of adapting to a server: it ends, it takes nothing back, it gives up what was named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3.infer.engines.request import ROOM_TO_THINK, Manner

WORDS = (
    "temperature", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs",
    "unsupported", "not supported", "must be at most 5", "context length", "extra", "",
)  # fmt: skip
REFUSALS = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), max_size=40)


@given(REFUSALS, st.booleans())
def test_adapting_ends_and_never_takes_back(refusals: list[str], room: bool) -> None:
    manner, changes = Manner().widened() if room else Manner(), 0
    for refusal in refusals:
        after = manner.after(refusal)
        if after is None:
            continue
        changed, _ = after
        changes += 1
        assert changed != manner and changed.top <= manner.top and changed.room <= manner.room
        assert changed.temperature <= manner.temperature
        assert (
            manner.limit_name != "max_completion_tokens" or changed.limit_name == manner.limit_name
        )
        manner = changed
    # Limit's name, temperature, two steps of lists, four of room.
    assert changes <= 8


@given(st.text(max_size=200))
def test_a_refusal_that_names_nothing_changes_nothing(refusal: str) -> None:
    if not any(word in refusal for word in ("temperature", "tokens", "logprobs")):
        assert Manner().after(refusal) is None


@pytest.mark.parametrize(
    ("manner", "sent"),
    [
        (Manner(), {"temperature": 0, "logprobs": True, "top_logprobs": 20}),
        (Manner(top=0), {"temperature": 0}),
        (Manner(top=5, temperature=False), {"logprobs": True, "top_logprobs": 5}),
    ],
)
def test_what_is_sent(manner: Manner, sent: dict[str, object]) -> None:
    assert manner.arguments(8) == sent | {"extra_body": {"max_tokens": 8}}
    assert manner.widened().arguments(8)["extra_body"] == {"max_tokens": ROOM_TO_THINK}
    assert Manner(room=4).arguments(8)["extra_body"] == {"max_tokens": 8}


@pytest.mark.parametrize(
    ("refusal", "field", "value"),
    [
        # As vendors write it.
        ("Unsupported value: 'temperature' does not support 0 with this model. Only the default "
         "(1) value is supported.", "temperature", False),
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
         "'max_completion_tokens' instead.", "limit_name", "max_completion_tokens"),
        ("You are not allowed to request logprobs from this model", "top", 0),
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", "top", 5),
        ("logprobs is True, but it is not there: leave it out", "top", 0),
        ("{'loc': ['body', 'temperature'], 'msg': 'Extra inputs are not permitted'}",
         "temperature", False),
    ],
)  # fmt: skip
def test_refusals_as_servers_write_them(refusal: str, field: str, value: object) -> None:
    after = Manner().after(refusal)
    assert after is not None and getattr(after[0], field) == value
