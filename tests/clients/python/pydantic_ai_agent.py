"""pydantic-ai, pointed by its OpenAI provider's base_url and api_key; a called tool is run and told about."""

import asyncio
import json
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from turns import WORDS, Turn, answer_turns, weather

_OF_THE_RUN = ("timestamp", "run_id", "conversation_id", "provider_url")


def take(turn: Turn) -> Any:
    return _LOOP.run(_run(turn))


async def _run(turn: Turn) -> Any:
    provider = OpenAIProvider(base_url=turn.base_url, api_key=turn.token)
    kind = OpenAIResponsesModel if turn.endpoint == "responses" else OpenAIChatModel
    agent = Agent(kind(turn.model, provider=provider), tools=[weather] if turn.tool else [])
    if not turn.stream:
        result = await agent.run(WORDS)
        return _shown(result.output, result.all_messages_json())
    async with agent.run_stream(WORDS) as stream:
        parts = [part async for part in stream.stream_text(delta=True, debounce_by=None)]
        return {"parts": parts, **_shown(await stream.get_output(), stream.all_messages_json())}


def _shown(output: str, messages: bytes) -> dict[str, Any]:
    return {"output": output, "messages": _comparable(json.loads(messages))}


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _comparable(inner) for name, inner in value.items() if name not in _OF_THE_RUN}
    return [_comparable(inner) for inner in value] if isinstance(value, list) else value


with asyncio.Runner() as _LOOP:  # one loop for all turns: the clients keep connections in it
    answer_turns(take)
