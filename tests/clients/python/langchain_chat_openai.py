"""langchain-openai, pointed by OPENAI_BASE_URL and OPENAI_API_KEY."""

import os
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from turns import WORDS, Turn, answer_turns, weather


def take(turn: Turn) -> Any:
    os.environ["OPENAI_BASE_URL"] = turn.base_url
    os.environ["OPENAI_API_KEY"] = turn.token
    if turn.endpoint == "embeddings":
        # else it sends the ids of tokens, for which it fetches a table from elsewhere
        embeddings = OpenAIEmbeddings(model=turn.model, check_embedding_ctx_length=False, **turn.settings())
        return embeddings.embed_documents([WORDS])
    chat: Any = ChatOpenAI(model=turn.model, **turn.settings())
    if turn.tool:
        chat = chat.bind_tools([weather])
    if not turn.stream:
        return _shown(chat.invoke(WORDS))
    return [_shown(chunk) for chunk in chat.stream(WORDS)]


def _shown(message: BaseMessage) -> dict[str, Any]:
    found: dict[str, Any] = message.model_dump(exclude={"id"})  # the id is that of a run, drawn by lot
    return found


answer_turns(take)
