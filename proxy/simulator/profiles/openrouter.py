"""OpenRouter, served by the simulator's own rich imitation of it; this row says what the others say.

Sources: OpenRouter's documentation of errors, streaming, usage accounting and parameters, and what was seen on the
wire in 2026 (see faults.py). It reports the cost of every answer, and again by its id.
"""

from typing import Final

from proxy.simulator.faults import FAULTS, ProviderFault, openrouter_error
from proxy.simulator.prices import DemoModels
from proxy.simulator.profiles.profile import (
    FailureKind,
    Profile,
    ProfileFailure,
    ProfileListing,
    ProfileModel,
    ProfileStream,
    ProfileUsage,
)

FAULT_NAMES: Final[dict[FailureKind, str]] = {
    "bad_key": "user-not-found",
    "no_credit": "credits-insufficient",
    "rate_limited": "upstream-rate-limit",
    "context_full": "context-length",
    "unknown_model": "invalid-model",
    "no_tools": "no-tool-endpoints",
    "no_pictures": "no-image-endpoints",
    "content_refused": "moderation",
    "overloaded": "overloaded",
    "broken": "provider-error",
}
"""Which of the simulator's errors stands for each failure."""


def _failure(fault: ProviderFault) -> ProfileFailure:
    return ProfileFailure(
        fault.status, openrouter_error(fault.status, fault.message, fault.metadata), tuple(fault.headers.items())
    )


_MODEL = DemoModels().find("openai/gpt-4o-mini")
assert _MODEL is not None

OPENROUTER = Profile(
    name="openrouter",
    title="OpenRouter",
    address="https://openrouter.ai/api/v1",
    models=(ProfileModel(_MODEL.id, _MODEL.price, 128_000, 16_384, thinks=True),),
    waits_s=12,
    more=frozenset(("responses", "completions", "embeddings")),
    failures={kind: _failure(FAULTS[name]) for kind, name in FAULT_NAMES.items()},
    told=ProfileUsage("always", "finish", cached="details", writes="details"),
    stream=ProfileStream(comment=b": OPENROUTER PROCESSING", thoughts="reasoning"),
    listing=ProfileListing(context="context_length"),
    kind="openrouter",
    notes=("It reports its prices and the cost of each answer: nothing else is needed.",),
)
PROFILES = (OPENROUTER,)
