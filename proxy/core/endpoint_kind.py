"""The ways to ask for tokens: their names, and where each one's request says how long the answer may be."""

from collections.abc import Mapping
from typing import Literal

Endpoint = Literal["chat", "completions", "embeddings", "responses", "messages"]

MAXIMUM: Mapping[Endpoint, tuple[str, ...]] = {
    "chat": ("max_tokens", "max_completion_tokens"),  # providers know the older name, some of them only that
    "completions": ("max_tokens",),
    "embeddings": (),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
"""The first is written where the request has none. A name that belongs to another endpoint bounds nothing: the provider
does not read it."""

LEAST_TOKENS: Mapping[Endpoint, int] = {"responses": 16}
"""The smallest bound of an answer that an endpoint takes: OpenAI answers a smaller max_output_tokens with 400."""
