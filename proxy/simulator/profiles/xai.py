"""xAI.

Sources: xAI's API reference and its page on consumption (reasoning counts apart from completion_tokens, and inside
total_tokens); Wei-Shaw/sub2api#5771 (figures, and cost_in_usd_ticks: 1e-10 USD), vercel/ai#12425,
UKGovernmentBEIS/inspect_ai#5528; brainlid/langchain#626 and BerriAI/litellm#17136 (usage of a stream, when asked for,
in a chunk with empty choices); the words of a full context from a public list of them. Errors are a code and a text,
not an object.
"""

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


def _error(status: int, code: str, text: str, **headers: str) -> ProfileFailure:
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return ProfileFailure(status, {"code": code, "error": text}, told)


_INVALID = "Client specified an invalid argument"
_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": _error(
        400,
        _INVALID,
        "Incorrect API key provided: xa***77. You can obtain an API key from https://console.x.ai.",
    ),
    "no_credit": _error(
        403,
        "The caller does not have permission to execute the specified operation",
        "Your team has either used all available credits or reached its monthly spending limit. To continue making "
        "API requests, please purchase more credits or raise your spending limit.",
    ),
    "rate_limited": _error(
        429,
        "Some resource has been exhausted",
        "Too many requests for team simulator and model {model}. Your team's rate limit is 480 requests per minute.",
    ),
    "context_full": _error(
        400,
        _INVALID,
        "This model's maximum prompt length is {limit} but the request contains {value} tokens.",
    ),
    "unknown_model": _error(
        404,
        "Some requested entity was not found",
        "The model {model} does not exist or your team simulator does not have access to it.",
    ),
    "no_tools": _error(400, _INVALID, "Function calling is not supported by model {model}."),
    "no_pictures": _error(400, _INVALID, "Image inputs are not supported by this model."),
    "no_thinking": _error(400, _INVALID, "Model {model} does not support parameter reasoningEffort."),
    "content_refused": _error(
        403,
        "The caller does not have permission to execute the specified operation",
        "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
    ),
    "overloaded": _error(
        503,
        "The service is currently unavailable",
        "Service temporarily unavailable. The model is at capacity and currently cannot serve this request.",
    ),
    "broken": _error(500, "Internal error", "Internal error"),
}

XAI = Profile(
    name="xai",
    title="xAI",
    address="https://api.x.ai/v1",
    models=(ProfileModel("grok-4", price("3", "15", "0.75"), 256_000, 256_000, thinks=True),),
    more=frozenset(("responses",)),
    failures=_FAILURES,
    told=ProfileUsage(
        "asked", "own_chunk", reasoning="beside", cached="details", cost="ticks", more={"num_sources_used": 0}
    ),
    stream=ProfileStream(broken=_error(500, "Internal error", "Internal error")),
    refuses={"stop": _error(400, _INVALID, "Argument not supported on this model: stop")},
    listing=ProfileListing(more={"object": "model", "owned_by": "xai"}),
    notes=(
        "Reasoning is outside `completion_tokens`, but inside `total_tokens`.",
        "`cost_in_usd_ticks` reports the cost in 1e-10 USD.",
        "Models that think take no `stop`.",
        "A bad key is reported as 400, an empty account as 403.",
    ),
)
PROFILES = (XAI,)
