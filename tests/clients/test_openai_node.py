"""openai-node."""

from tests.clients.matrix import Embeddings, Matrix


class TestChat(Matrix):
    program_file = "node/openai_node.mjs"


class TestResponses(Matrix):
    program_file = "node/openai_node.mjs"
    endpoint = "responses"


class TestEmbeddings(Embeddings):
    program_file = "node/openai_node.mjs"
