"""The OpenAI Agents SDK, pointed by OPENAI_BASE_URL and OPENAI_API_KEY; a called tool is run and told about.

Its default takes what stands before a slash in a model's name for a provider of its own, so it is told not to.
"""

import asyncio
import os
from dataclasses import asdict
from typing import Any

from agents import Agent, MultiProvider, RunConfig, Runner, function_tool, set_default_openai_api
from turns import WORDS, Turn, answer_turns, weather


def take(turn: Turn) -> Any:
    os.environ["OPENAI_BASE_URL"] = turn.base_url
    os.environ["OPENAI_API_KEY"] = turn.token
    set_default_openai_api("responses" if turn.endpoint == "responses" else "chat_completions")
    return _LOOP.run(_run(turn))


async def _run(turn: Turn) -> Any:
    agent = Agent(name="clerk", model=turn.model, tools=[function_tool(weather)] if turn.tool else [])
    names = MultiProvider(openai_prefix_mode="model_id", unknown_prefix_mode="model_id")
    config = RunConfig(model_provider=names)
    if not turn.stream:
        return _shown(await Runner.run(agent, WORDS, run_config=config))
    result = Runner.run_streamed(agent, WORDS, run_config=config)
    kinds = [event.data.type async for event in result.stream_events() if event.type == "raw_response_event"]
    return {"events": kinds, **_shown(result)}


def _shown(result: Any) -> dict[str, Any]:
    return {
        "output": result.final_output,
        "items": result.to_input_list(),
        "usage": [asdict(response.usage) for response in result.raw_responses],
    }


with asyncio.Runner() as _LOOP:  # one loop for all turns: the clients keep connections in it
    answer_turns(take)
