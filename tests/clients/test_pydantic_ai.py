"""pydantic-ai."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "python/pydantic_ai_agent.py"


class TestResponses(Matrix):
    program_file = "python/pydantic_ai_agent.py"
    endpoint = "responses"
