"""Where each endpoint's answers have their usage, and under which names."""

from typing import Final

from msgspec import Struct
from msgspec.structs import force_setattr, replace

MAX_TOKENS: Final = 2**53
"""Beyond, a double skips integers: whoever wrote such a count did not count."""

_OPENROUTER: Final = ("cost", "is_byok", "cost_details")


class UsageShape(Struct, frozen=True):
    """Where an endpoint's answers carry what: a path of keys to the usage, and the keys of its counts.

    The details are objects in the usage that hold the cached and the reasoning tokens; None: these stand in the usage
    itself. A count whose key is None is one that the shape has not. is_beside: tokens read from or written to a cache
    are counted beside the input and not in it. generates False: there is no output to count.
    """

    usage: tuple[str, ...]
    input_tokens: str
    output_tokens: str | None
    cached_tokens: str
    input_details: str | None = None
    reasoning_tokens: str | None = None
    output_details: str | None = None
    is_beside: bool = False
    generates: bool = True
    first: str = ""
    second: str | None = None
    plain_keys: frozenset[str] = frozenset()  # of a usage that needs no closer look

    def __post_init__(self) -> None:
        force_setattr(self, "first", self.usage[0])
        force_setattr(self, "second", self.usage[1] if len(self.usage) > 1 else None)
        names = (self.input_tokens, self.output_tokens, self.input_details, self.output_details, "total_tokens")
        plain = (name for name in (*names, *_OPENROUTER) if name is not None)
        force_setattr(self, "plain_keys", frozenset(plain))


CHAT: Final = UsageShape(
    usage=("usage",),
    input_tokens="prompt_tokens",
    output_tokens="completion_tokens",
    cached_tokens="cached_tokens",
    input_details="prompt_tokens_details",
    reasoning_tokens="reasoning_tokens",
    output_details="completion_tokens_details",
)
"""/chat/completions and /completions, streamed or not."""

EMBEDDINGS: Final = UsageShape(
    usage=("usage",),
    input_tokens="prompt_tokens",
    output_tokens=None,
    cached_tokens="cached_tokens",
    input_details="prompt_tokens_details",
    generates=False,
)

RESPONSES: Final = UsageShape(
    usage=("usage",),
    input_tokens="input_tokens",
    output_tokens="output_tokens",
    cached_tokens="cached_tokens",
    input_details="input_tokens_details",
    reasoning_tokens="reasoning_tokens",
    output_details="output_tokens_details",
)
"""A response; in a stream it stands in its last event, one level down: STREAMED_RESPONSES."""

STREAMED_RESPONSES: Final = replace(RESPONSES, usage=("response", "usage"))

MESSAGES: Final = UsageShape(
    usage=("usage",),
    input_tokens="input_tokens",
    output_tokens="output_tokens",
    cached_tokens="cache_read_input_tokens",
    reasoning_tokens="thinking_tokens",
    output_details="output_tokens_details",
    is_beside=True,
)
"""A message, and the end of a streamed one. Anthropic counts cached tokens beside the input, all others inside."""
