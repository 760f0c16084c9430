"""LlamaIndex's OpenAILike."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "python/llamaindex_openai_like.py"
