"""The official package of OpenAI."""

from tests.clients.matrix import Embeddings, Matrix


class TestChat(Matrix):
    program_file = "python/openai_sdk.py"


class TestResponses(Matrix):
    program_file = "python/openai_sdk.py"
    endpoint = "responses"


class TestEmbeddings(Embeddings):
    program_file = "python/openai_sdk.py"
