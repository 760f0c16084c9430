"""Vercel AI SDK with @ai-sdk/openai-compatible."""

from tests.clients.matrix import Matrix


class TestChat(Matrix):
    program_file = "node/ai_openai_compatible.mjs"
