"""The counts of an answer that few providers report, beside input, output, cached and reasoning tokens."""

from typing import NamedTuple


class Counts(NamedTuple):
    """Counts of the rarer classes; 0 if nothing was reported.

    The tokens are parts of the input or the output and never added to them. The fields are, in order, columns of the
    ledger. cache_write_1h_tokens are those of cache_write_tokens that the provider keeps for an hour.
    """

    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    searches: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return the sums, class by class."""
        return Counts(*(one + more for one, more in zip(self, other, strict=True)))


NO_COUNTS = Counts()
