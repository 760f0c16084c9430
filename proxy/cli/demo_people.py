"""Who uses the demo's proxy: a family, a lab and a product, with their limits and what they ask for, day by day."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PRESETS: Final[Mapping[str, tuple[str, ...]]] = {
    "fast": ("openai/gpt-5-mini", "google/gemini-2.5-flash"),
    "clever": ("anthropic/claude-sonnet-4.5", "openai/gpt-5"),
    "quick": ("groq/openai/gpt-oss-20b", "openai/gpt-4.1-nano"),
    "shop": ("direct/gpt-4o-mini", "google/gemini-2.5-flash-lite"),
    "home": ("ollama/gpt-oss:20b", "openai/gpt-5-nano"),
}
"""Targets by preset: a model of OpenRouter, or one of another provider with its name before it."""

PROVIDER_KEYS: Final[Mapping[str, str]] = {"openrouter": "sk-or-v1-demo", "direct": "sk-demo", "groq": "gsk_demo"}

GROUPS: Final[Mapping[str, Mapping[str, Any]]] = {
    "family": {"limits": {"cost": "$9/month"}},
    "lab": {"limits": {"cost": "$60/month"}},
    "students": {"parent": "lab", "limits": {"cost": "$22/month"}},
    "product": {"limits": {"cost": "$36/month", "requests": "600/minute"}},
}


class Habit(NamedTuple):
    """What somebody asks for again and again.

    model: a preset, or a model. per_day: on a working day; weekend: the share of it on other days. input_tokens and
    output_tokens: the least and the most. hours: of UTC, from and until. growth: by how much it grows in a week.
    """

    model: str
    per_day: float
    input_tokens: tuple[int, int]
    output_tokens: tuple[int, int]
    use_case: str | None = None
    hours: tuple[int, int] = (8, 20)
    weekend: float = 1.0
    streamed: float = 0.9
    tags: str | None = None
    growth: float = 0.0


class Person(NamedTuple):
    """A user of the demo; settings as in the configuration."""

    name: str
    group: str
    settings: Mapping[str, Any]
    habits: tuple[Habit, ...]


PEOPLE: Final = (
    Person(
        "anna",
        "family",
        {"limits": {"cost": "$3/day"}, "preferences": True},
        (
            Habit("fast", 6, (300, 6_000), (200, 1_200), "chat", (6, 22), 1.4),
            Habit("clever", 2, (2_000, 20_000), (400, 2_500), "letters", (17, 23), 1.5),
        ),
    ),
    Person(
        "ben",
        "family",
        {"limits": {"cost": "$3/day"}},
        (
            Habit("openai/gpt-4o", 2, (500, 5_000), (200, 1_000), "recipes", (16, 22), 1.8),
            Habit("home", 3, (200, 3_000), (100, 800), "chat", (18, 23), 1.2),
        ),
    ),
    Person(
        "mia",
        "family",
        {"models": ["fast", "home"], "max_tokens": 2_000, "limits": {"cost": "$1/day"}},
        (Habit("fast", 9, (400, 9_000), (200, 1_500), "homework", (13, 20), 0.7),),
    ),
    Person(
        "dr-okafor",
        "lab",
        {"limits": {"cost": "$30/day"}},
        (
            Habit("anthropic/claude-opus-5", 2, (8_000, 60_000), (800, 4_000), "papers", (7, 19), 0.2),
            Habit("clever", 4, (3_000, 40_000), (500, 3_000), "reviews", (8, 18), 0.3),
        ),
    ),
    Person(
        "lena",
        "students",
        {"limits": {"cost": "$8/day"}},
        (
            Habit("clever", 7, (2_000, 30_000), (400, 2_500), "code", (9, 21), 0.4, tags='{"project": "thesis"}'),
            Habit("deepseek/deepseek-v3.2", 5, (1_000, 20_000), (300, 2_000), "notes", (9, 22), 0.6),
        ),
    ),
    Person(
        "jonas",
        "students",
        {"limits": {"cost": "$8/day"}},
        (Habit("openai/gpt-5", 6, (2_000, 25_000), (500, 3_500), "code", (10, 23), 0.5),),
    ),
    Person(
        "evals",
        "lab",
        {"limits": {"cost": "$25/day"}, "max_tokens": 4_000},
        (
            Habit(
                "google/gemini-2.5-pro", 9, (4_000, 18_000), (500, 2_000), "evals", (1, 4), 1.0, 0.0, '{"suite": "a"}'
            ),
            Habit(
                "openai/gpt-oss-120b", 12, (4_000, 18_000), (500, 2_000), "evals", (1, 4), 1.0, 0.0, '{"suite": "b"}'
            ),
        ),
    ),
    Person(
        "shop-search",
        "product",
        {"limits": {"cost": "$20/day"}},
        (
            Habit("quick", 16, (300, 2_500), (40, 250), "search", (5, 23), 0.8, 0.0, '{"site": "shop"}', 0.07),
            Habit("shop", 11, (800, 5_000), (60, 400), "tagging", (0, 24), 0.9, 0.0, '{"site": "shop"}', 0.05),
        ),
    ),
    Person(
        "support-bot",
        "product",
        {"limits": {"cost": "$40/day"}},
        (
            Habit("anthropic/claude-haiku-4.5", 20, (3_000, 22_000), (150, 900), "support", (6, 22), 0.6, growth=0.09),
            Habit("clever", 3, (6_000, 45_000), (300, 1_500), "escalations", (8, 20), 0.4, growth=0.06),
        ),
    ),
    Person(
        "summaries",
        "product",
        {"limits": {"cost": "$30/day"}},
        (Habit("google/gemini-2.5-flash", 9, (10_000, 90_000), (300, 1_500), "summary", (2, 5), 0.9, 0.0),),
    ),
)
