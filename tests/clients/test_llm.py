"""The command llm of Simon Willison."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "python/llm_cli.py"
