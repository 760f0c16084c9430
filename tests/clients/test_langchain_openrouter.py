"""LangChain's ChatOpenRouter, whose SDK of OpenRouter refuses every error that is not in OpenRouter's shape."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "python/langchain_chat_openrouter.py"
    base = "/api/v1"
    retries = 0
