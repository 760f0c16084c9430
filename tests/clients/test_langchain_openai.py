"""LangChain's ChatOpenAI."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "python/langchain_chat_openai.py"
