"""The official package of Anthropic, on /v1/messages."""

from tests.clients.matrix import Matrix


class TestMessages(Matrix):
    program_file = "python/anthropic_sdk.py"
    endpoint = "messages"
