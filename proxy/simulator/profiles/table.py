"""All profiles by name, in the order in which tables show them. Pure."""

from typing import Final

from proxy.simulator.profiles import (
    anthropic,
    cohere,
    deepseek,
    gemini,
    groq,
    hosts,
    litellm,
    local,
    mistral,
    moonshot,
    openai,
    openrouter,
    perplexity,
    qwen,
    servers,
    xai,
    zai,
)
from proxy.simulator.profiles.profile import Profile

PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for module in (
        openrouter,
        openai,
        anthropic,
        gemini,
        deepseek,
        mistral,
        groq,
        hosts,
        xai,
        perplexity,
        moonshot,
        zai,
        qwen,
        cohere,
        servers,
        local,
        litellm,
    )
    for profile in module.PROFILES
}
