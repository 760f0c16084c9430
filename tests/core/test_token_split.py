"""Each token is in one class: the classes add up to the totals, whatever the parts are."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.counts import Counts
from proxy.core.token_split import TokenSplit, split_tokens

COUNTS = st.integers(0, 50)


@given(*[COUNTS] * 4, st.builds(Counts, *[COUNTS] * 8))
def test_classes_add_up(sent: int, got: int, cached: int, reasoning: int, counts: Counts) -> None:
    split = split_tokens(sent, got, cached, reasoning, counts)
    assert (sum(split[:5]), sum(split[5:])) == (sent, got)
    parts = TokenSplit(
        sent,
        cached,
        counts.cache_write_tokens,
        counts.audio_input_tokens,
        counts.image_input_tokens,
        got,
        reasoning,
        counts.audio_output_tokens,
        counts.image_output_tokens,
    )
    assert all(0 <= found <= told for found, told in zip(split, parts, strict=True))
    if sum(parts[1:5]) <= sent and sum(parts[6:]) <= got:  # nothing overlaps
        assert split[1:5] + split[6:] == parts[1:5] + parts[6:]
