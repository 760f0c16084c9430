"""langchain-openrouter, pointed by base_url and api_key."""

from typing import Any

from langchain_core.messages import BaseMessage
from langchain_openrouter import ChatOpenRouter
from turns import WORDS, Turn, answer_turns, weather


def take(turn: Turn) -> Any:
    chat: Any = ChatOpenRouter(model=turn.model, base_url=turn.base_url, api_key=turn.token)
    if turn.retries == 0:  # with max_retries=0 the client below goes on for an hour, with 1 for 150 s
        chat.client.sdk_configuration.retry_config = None
    if turn.tool:
        chat = chat.bind_tools([weather])
    if not turn.stream:
        return _shown(chat.invoke(WORDS))
    return [_shown(chunk) for chunk in chat.stream(WORDS)]


def _shown(message: BaseMessage) -> dict[str, Any]:
    found: dict[str, Any] = message.model_dump(exclude={"id"})  # the id is that of a run, drawn by lot
    return found


answer_turns(take)
