"""Vercel AI SDK with createOpenAI; it calls /responses unless asked for .chat()."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "node/ai_openai.mjs"


class TestResponses(Matrix):
    program_file = "node/ai_openai.mjs"
    endpoint = "responses"
