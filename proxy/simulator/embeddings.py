"""Embeddings: made-up vectors, one for each input. Pure."""

import base64
import struct
from typing import Any

import orjson

from proxy.simulator import text
from proxy.simulator.bill import chat_usage, with_usage
from proxy.simulator.reply import SimulatedReply

_DIMENSIONS = 8  # enough to see that the right vector arrived
_MOST_DIMENSIONS = 4096


def body(reply: SimulatedReply, request: dict[str, Any]) -> bytes:
    """Write the answer; floats, or base64 of 32-bit floats where the request asks for it."""
    given = request.get("input", "")
    count = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    asked = request.get("dimensions")
    dimensions = min(asked, _MOST_DIMENSIONS) if isinstance(asked, int) and asked > 0 else _DIMENSIONS
    as_base64 = request.get("encoding_format") == "base64"
    whole: dict[str, Any] = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _vector(reply.seed, index, dimensions, as_base64),
            }
            for index in range(count)
        ],
        "model": reply.model,
    }
    usage = chat_usage(reply.behaviour, reply.bill(), openai=reply.openai)
    if reply.openai:
        tokens = reply.prompt_tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    else:
        whole |= {"id": reply.id, "provider": reply.provider}
        if isinstance(usage, dict):
            usage = {k: v for k, v in usage.items() if not k.startswith("completion_tokens")}
    return orjson.dumps(with_usage(whole, reply.behaviour, usage))


def _vector(seed: int, index: int, dimensions: int, as_base64: bool) -> Any:
    # steps of 1/256 are exact in 32 bits, so that both encodings give the same numbers
    values = [((text.number(seed, f"vector{index}", n) % 513) - 256) / 256 for n in range(dimensions)]
    return base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode() if as_base64 else values
