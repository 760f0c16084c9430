"""Mistral.

Sources: Mistral's API reference; dnakov/anon-kode#53 (stream_options refused), editor-code-assistant/eca#231
(max_completion_tokens refused, and the nested words), cline/cline#9085 (rate limit), partITech/php-mistral#76,
raycast/extensions#31107 (capacity). It permits no field that it does not know, and its errors are at the top.
"""

from typing import Any

from proxy.simulator.profiles.profile import (
    FailureKind,
    Profile,
    ProfileFailure,
    ProfileListing,
    ProfileModel,
    ProfileStream,
    ProfileUsage,
    price,
)

_FIELDS = (
    "frequency_penalty guardrails max_tokens messages metadata model n parallel_tool_calls prediction "
    "presence_penalty prompt_mode random_seed reasoning_effort response_format safe_prompt stop stream temperature "
    "tool_choice tools top_p"
)


def _error(status: int, message: Any, kind: str, code: Any = None) -> ProfileFailure:
    return ProfileFailure(status, {"object": "error", "message": message, "type": kind, "param": None, "code": code})


_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": ProfileFailure(401, {"detail": "Unauthorized"}),
    "no_credit": ProfileFailure(
        402, {"detail": "Check your billing status: your organization has no active subscription."}
    ),
    "rate_limited": _error(429, "Rate limit exceeded", "rate_limited", "1300"),
    "context_full": _error(
        400,
        "Prompt contains {value} tokens and 0 draft tokens, too large for model with {limit} maximum context length",
        "invalid_request_prompt",
        "3051",
    ),
    "unknown_model": _error(400, "Invalid model: {model}", "invalid_model", "1500"),
    "no_tools": _error(400, "Function calling is not enabled for this model", "invalid_request_function_call", "3900"),
    "no_pictures": _error(400, "Image input is not enabled for this model", "invalid_request_invalid_args", "3902"),
    "no_thinking": _error(
        400, "Prompt mode reasoning is not supported by this model", "invalid_request_invalid_args", "3901"
    ),
    "content_refused": _error(403, "Content was flagged by moderation: violence", "guardrail_violation", "3800"),
    "overloaded": _error(
        429, "Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"
    ),
    "broken": _error(500, "Service unavailable.", "internal_server_error", "1000"),
}

MISTRAL = Profile(
    name="mistral",
    title="Mistral",
    address="https://api.mistral.ai/v1",
    models=(ProfileModel("mistral-small-latest", price("0.10", "0.30"), 131_072, 131_072, thinks=True),),
    more=frozenset(("embeddings",)),
    failures=_FAILURES,
    told=ProfileUsage("always", "finish", details=False),
    stream=ProfileStream(
        thoughts="reasoning_content", broken=_error(500, "Service unavailable.", "internal_server_error", "1000")
    ),
    listing=ProfileListing(
        context="max_context_length",
        more={"object": "model", "owned_by": "mistralai", "capabilities": {"completion_chat": True}, "aliases": []},
    ),
    hang_up="runs_on",
    known=frozenset(_FIELDS.split()),
    strange=_error(
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "{field}"],
                    "msg": "Extra inputs are not permitted",
                    "input": True,
                }
            ]
        },
        "invalid_request_error",
    ),
    notes=(
        "It refuses every field that it does not know, `stream_options`, `seed` and `user` among them.",
        "Usage comes in the last chunk of every stream without asking.",
    ),
)
PROFILES = (MISTRAL,)
