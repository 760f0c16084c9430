"""openai-python, pointed by OPENAI_BASE_URL and OPENAI_API_KEY."""

import os
from typing import Any

import openai
from turns import WEATHER_SCHEMA, WORDS, Turn, answer_turns


def take(turn: Turn) -> Any:
    os.environ["OPENAI_BASE_URL"] = turn.base_url
    os.environ["OPENAI_API_KEY"] = turn.token
    with openai.OpenAI(**turn.settings()) as client:
        return {"chat": _chat, "responses": _responses, "embeddings": _embeddings}[turn.endpoint](client, turn)


def _chat(client: openai.OpenAI, turn: Turn) -> Any:
    function = {"name": "weather", "parameters": WEATHER_SCHEMA}
    tools = {"tools": [{"type": "function", "function": function}]} if turn.tool else {}
    asked: dict[str, Any] = {"model": turn.model, "messages": [{"role": "user", "content": WORDS}], **tools}
    if not turn.stream:
        return client.chat.completions.create(**asked).model_dump()
    return [chunk.model_dump() for chunk in client.chat.completions.create(**asked, stream=True)]


def _responses(client: openai.OpenAI, turn: Turn) -> Any:
    tools = {"tools": [{"type": "function", "name": "weather", "parameters": WEATHER_SCHEMA}]} if turn.tool else {}
    asked: dict[str, Any] = {"model": turn.model, "input": WORDS, **tools}
    if not turn.stream:
        return client.responses.create(**asked).model_dump()
    return [event.model_dump() for event in client.responses.create(**asked, stream=True)]


def _embeddings(client: openai.OpenAI, turn: Turn) -> Any:
    return client.embeddings.create(model=turn.model, input=[WORDS, "And tomorrow?"]).model_dump()


answer_turns(take)
