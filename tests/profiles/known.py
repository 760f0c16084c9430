"""Cells that are not yet as they should be: column -> profiles. Each is a strict expected failure: the list shrinks."""

from typing import Final

KNOWN: Final[dict[str, str]] = {
    "preset": "xai",
    "preset_stream": "xai",
    "second_key": "gemini xai",
    "second_account": "anthropic-openai anthropic groq fireworks xai qwen litellm",
    "bad_key": "gemini xai",
    "bad_key stream": "gemini xai",
    "bad_key spare": "gemini xai",
    "bad_key stream spare": "gemini xai",
    "no_credit": (
        "openai azure anthropic-openai anthropic gemini groq fireworks xai perplexity moonshot zai qwen litellm"
    ),
    "no_credit stream": (
        "openai azure anthropic-openai anthropic gemini groq fireworks xai perplexity moonshot zai qwen litellm"
    ),
    "no_credit spare": "anthropic-openai anthropic groq fireworks qwen litellm",
    "no_credit stream spare": "anthropic-openai anthropic groq fireworks qwen litellm",
    "rate_limited": "gemini together moonshot",
    "rate_limited stream": "gemini together moonshot",
    "context_full spare": "gemini mistral together cerebras xai moonshot zai qwen cohere sglang tgi ollama lmstudio",
    "context_full stream spare": "gemini mistral together cerebras xai moonshot zai qwen cohere sglang tgi ollama",
    "unknown_model spare": "deepseek mistral perplexity zai litellm",
    "unknown_model stream spare": "deepseek mistral perplexity zai litellm",
    "no_tools spare": (
        "openai azure anthropic-openai anthropic gemini deepseek mistral groq together fireworks cerebras xai "
        "perplexity moonshot zai qwen cohere vllm sglang tgi ollama lmstudio litellm"
    ),
    "no_tools stream spare": (
        "openai azure anthropic-openai anthropic gemini deepseek mistral groq together fireworks cerebras xai "
        "perplexity moonshot zai qwen cohere vllm sglang tgi ollama litellm"
    ),
    "no_pictures spare": (
        "openai azure anthropic-openai anthropic gemini deepseek mistral groq together fireworks cerebras xai "
        "perplexity moonshot zai qwen cohere vllm sglang tgi lmstudio litellm"
    ),
    "no_pictures stream spare": (
        "openai azure anthropic-openai anthropic gemini deepseek mistral groq together fireworks cerebras xai "
        "perplexity moonshot zai qwen cohere vllm sglang tgi litellm"
    ),
    "no_thinking spare": (
        "openai azure anthropic-openai anthropic gemini deepseek mistral groq together fireworks cerebras xai "
        "perplexity moonshot zai qwen cohere vllm sglang ollama litellm"
    ),
    "no_thinking stream spare": (
        "openai azure anthropic-openai anthropic gemini deepseek mistral groq together fireworks cerebras xai "
        "perplexity moonshot zai qwen cohere vllm sglang ollama litellm"
    ),
    "content_refused spare": "mistral xai",
    "content_refused stream spare": "mistral xai",
    "overloaded spare": "groq",
    "overloaded stream spare": "groq",
    "broken spare": "tgi",
    "broken stream spare": "tgi",
}

KNOWN_HEALTH: Final[dict[str, str]] = {
    "no_tools": "llamacpp",
    "no_pictures": "llamacpp ollama",
    "content_refused": "mistral xai",
    "broken": "tgi",
    "overloaded": "groq",
}
"""Profiles whose health is not yet judged as it should be, by failure (test_health.py)."""


def is_known(cell: str) -> bool:
    """Tell whether a cell, by its name, is among them."""
    profile, _, column = cell.partition(" ")
    return profile in KNOWN.get(column, "").split()
