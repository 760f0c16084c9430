"""LlamaIndex's OpenAILike, pointed by api_base and api_key."""

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from turns import WORDS, Turn, answer_turns, weather


def take(turn: Turn) -> Any:
    llm = OpenAILike(
        model=turn.model,
        api_base=turn.base_url,
        api_key=turn.token,
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=128_000,
        **turn.settings(),
    )
    if turn.tool:
        tools = [FunctionTool.from_defaults(fn=weather)]
        if turn.stream:
            return [part.model_dump() for part in llm.stream_chat_with_tools(tools, user_msg=WORDS)]
        return llm.chat_with_tools(tools, user_msg=WORDS).model_dump()
    words = [ChatMessage(role="user", content=WORDS)]
    if turn.stream:
        return [part.model_dump() for part in llm.stream_chat(words)]
    return llm.chat(words).model_dump()


answer_turns(take)
