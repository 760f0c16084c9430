"""Tokens of an answer, or of many, by classes of which each token is in one."""

from typing import NamedTuple

from proxy.core.counts import NO_COUNTS, Counts


class TokenSplit(NamedTuple):
    """Disjoint classes: the first five add up to the input, the others to the output."""

    uncached_input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    audio_input_tokens: int
    image_input_tokens: int
    visible_output_tokens: int
    reasoning_tokens: int
    audio_output_tokens: int
    image_output_tokens: int


def split_tokens(
    input_tokens: int, output_tokens: int, cached_tokens: int, reasoning_tokens: int, counts: Counts = NO_COUNTS
) -> TokenSplit:
    """Return each token in one class. Parts that overlap, or are more than their whole, are cut in the order above.

    What is left is text: of the input that no cache had, and of the output that is no reasoning.
    """
    left = input_tokens
    left -= (read := min(cached_tokens, left))
    left -= (written := min(counts.cache_write_tokens, left))
    left -= (heard := min(counts.audio_input_tokens, left))
    left -= (seen := min(counts.image_input_tokens, left))
    rest = output_tokens
    rest -= (thought := min(reasoning_tokens, rest))
    rest -= (spoken := min(counts.audio_output_tokens, rest))
    rest -= (drawn := min(counts.image_output_tokens, rest))
    return TokenSplit(left, read, written, heard, seen, rest, thought, spoken, drawn)
