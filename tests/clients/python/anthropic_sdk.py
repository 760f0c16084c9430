"""anthropic-python, pointed by ANTHROPIC_BASE_URL (without /v1) and ANTHROPIC_AUTH_TOKEN."""

import os
from typing import Any

import anthropic
from turns import WEATHER_SCHEMA, WORDS, Turn, answer_turns


def take(turn: Turn) -> Any:
    os.environ["ANTHROPIC_BASE_URL"] = turn.base_url.removesuffix("/v1")
    os.environ["ANTHROPIC_AUTH_TOKEN"] = turn.token
    tools = {"tools": [{"name": "weather", "input_schema": WEATHER_SCHEMA}]} if turn.tool else {}
    asked = {"model": turn.model, "messages": [{"role": "user", "content": WORDS}], **tools}
    with anthropic.Anthropic(**turn.settings()) as client:
        if turn.endpoint == "messages/count_tokens":
            return client.messages.count_tokens(**asked).model_dump()
        if not turn.stream:
            return client.messages.create(**asked, max_tokens=100).model_dump()
        with client.messages.stream(**asked, max_tokens=100) as stream:
            return [event.model_dump(warnings=False) for event in stream]


answer_turns(take)
