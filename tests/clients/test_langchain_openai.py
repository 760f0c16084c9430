"""LangChain's ChatOpenAI."""

from tests.clients.matrix import Embeddings, Matrix


class TestChat(Matrix):
    program_file = "python/langchain_chat_openai.py"


class TestEmbeddings(Embeddings):
    program_file = "python/langchain_chat_openai.py"
