"""The OpenAI Agents SDK; it calls /responses unless told otherwise."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "python/openai_agents_sdk.py"


class TestResponses(Matrix):
    program_file = "python/openai_agents_sdk.py"
    endpoint = "responses"
