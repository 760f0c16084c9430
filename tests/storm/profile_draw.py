"""What the storm over all profiles asks, drawn from the seed: what servers do, and where clients leave. Pure."""

from dataclasses import dataclass
from random import Random
from typing import Any

from proxy.simulator.profiles.profile import FailureKind, Profile
from proxy.simulator.profiles.table import PROFILES

from .draw import Ask, HangUp, Place

USERS = {"anna": 400, "bo": 12}
"""Each user's max_tokens: both have a limit on cost, so that every request has a reservation."""
SPARE, SPARE_MODEL = "spare", "openai/gpt-4o-mini"

_PLACES: tuple[tuple[Place, int], ...] = (
    ("nowhere", 70),
    ("before_answer", 8),
    ("after_bytes", 12),
    ("at_usage", 5),
    ("at_done", 5),
)
_OWN_MODEL, _NAMED, _FAILS = 60, 32, 8  # in a hundred
_NAMES = (
    *("ok", "slow", "reasoning", "tool-calls", "wide-chunks", "many-comments", "seven-byte-pieces", "no-done"),
    *("midstream-error-after-3", "rst-after-3-chunks", "fin-after-3-chunks", "rst-before-usage", "fin-before-usage"),
    *("fin-after-usage", "rst-before-headers", "fin-in-headers", "fin-after-headers", "usage-missing"),
)
_CALLERS: tuple[FailureKind, ...] = (
    "context_full",
    "unknown_model",
    "no_tools",
    "no_pictures",
    "no_thinking",
    "content_refused",
)
_PROVIDERS: tuple[FailureKind, ...] = ("overloaded", "broken", "rate_limited")
_WORDS = ("ledger", "toll", "bridge", "gate", "naïve", "橋", "count")


@dataclass(frozen=True, slots=True)
class ProfileAsk(Ask):
    """One request to one profile. spare: the route has a second target; words: of its prompt."""

    profile: Profile
    spare: bool
    words: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"/v1/{self.profile.api}"

    def body(self) -> dict[str, Any]:
        prompt = f"{self.session} {' '.join(self.words)}"
        fields: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        if self.stream:
            fields["stream"] = True
        if self.spare:
            fields["models"] = [f"{SPARE}/{SPARE_MODEL}"]
        if self.max_tokens is not None:
            fields["max_tokens"] = self.max_tokens
        return fields


def draw_asks(seed: int, requests: int) -> list[ProfileAsk]:
    """Return so many requests, over all profiles in turn; each fifth is for the one that can be asked for its costs."""
    rng = Random(f"profiles {seed}")
    profiles = list(PROFILES.values())
    asked = PROFILES["openrouter"]
    return [_ask(rng, n, asked if n % 5 == 0 else profiles[n % len(profiles)]) for n in range(requests)]


def kill_moments(seed: int, requests: int, kills: int) -> list[tuple[int, float]]:
    """Return (after so many requests have begun, seconds later) for each SIGKILL, in order."""
    rng = Random(f"kills {seed}")
    part = requests // (kills + 1)
    return [(part * (n + 1) + rng.randrange(max(1, part // 3)), rng.uniform(0, 0.05)) for n in range(kills)]


def _ask(rng: Random, n: int, profile: Profile) -> ProfileAsk:
    name = _model(rng, profile)
    stream = rng.random() < 0.6
    maximum = 64 if profile.api == "messages" else None
    return ProfileAsk(
        n=n,
        session=f"p-{n:06}",
        user=rng.choice(tuple(USERS)),
        model=f"{profile.name}/{name}",
        behaviour=name,
        plain=True,
        stream=stream,
        max_tokens=maximum,
        choices=1,
        hang_up=_hang_up(rng),
        keep_alive=rng.random() < 0.8,
        look_up_fails=False,
        profile=profile,
        spare=rng.random() < 0.4,
        words=tuple(rng.choices(_WORDS, k=rng.randrange(20, 400))),
    )


def _model(rng: Random, profile: Profile) -> str:
    kind = rng.randrange(100)
    if kind < _OWN_MODEL:
        return profile.models[0].id
    if kind < _OWN_MODEL + _NAMED:
        return f"sim/{rng.choice(_NAMES)}"
    # what opens a breaker or sets a key aside leaves fewer requests that reach the server
    kinds = [k for k in (_CALLERS if rng.random() < 0.7 else _PROVIDERS) if k in profile.failures]
    return f"sim/failure-{rng.choice(kinds)}" if kinds else profile.models[0].id


def _hang_up(rng: Random) -> HangUp:
    (place,) = rng.choices([place for place, _ in _PLACES], [weight for _, weight in _PLACES])
    at = {"before_answer": rng.uniform(0, 0.04), "after_bytes": float(rng.randrange(1, 3000))}.get(place, 0.0)
    return HangUp(place, at, reset=rng.random() < 0.5)
