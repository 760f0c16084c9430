"""Vercel AI SDK with @openrouter/ai-sdk-provider."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "node/ai_openrouter.mjs"
