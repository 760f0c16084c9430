"""Groq.

Sources: Groq's API reference and its pages on errors and rate limits; chigwell/telegram-mcp#16 (413 for a request
above the tokens of a minute), crewAIInc/crewAI#494 (429 with the wait in its text), elizaOS/eliza#4040. Usage of a
stream is under x_groq of its last chunk; 498 says that the flexible tier has no room.
"""

from proxy.simulator.profiles.profile import (
    FailureKind,
    Profile,
    ProfileFailure,
    ProfileListing,
    ProfileModel,
    ProfileStream,
    ProfileUsage,
    openai_error,
    price,
)

_INVALID = "invalid_request_error"


def _error(status: int, message: str, kind: str, code: str | None = None, **headers: str) -> ProfileFailure:
    whole = openai_error(status, message, kind, code, None, **headers)
    return ProfileFailure(
        status, {"error": {k: v for k, v in whole.body["error"].items() if v is not None}}, whole.headers
    )


_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": _error(401, "Invalid API Key", _INVALID, "invalid_api_key"),
    "no_credit": _error(
        400,
        "This request was blocked because the organization reached its spend limit. Raise it at "
        "https://console.groq.com/settings/billing.",
        _INVALID,
        "blocked_api_access",
    ),
    "rate_limited": _error(
        429,
        "Rate limit reached for model `{model}` in organization `org_simulator` service tier `on_demand` on tokens "
        "per minute (TPM): Limit 6000, Used 5747, Requested 4251. Please try again in 1.2s.",
        "tokens",
        "rate_limit_exceeded",
        retry_after="2",
        x_ratelimit_reset_tokens="1.2s",
    ),
    "context_full": _error(
        400,
        "Please reduce the length of the messages or completion.",
        _INVALID,
        "context_length_exceeded",
    ),
    "unknown_model": _error(
        404, "The model `{model}` does not exist or you do not have access to it.", _INVALID, "model_not_found"
    ),
    "no_tools": _error(400, "`tool calling` is not supported with this model", _INVALID),
    "no_pictures": _error(400, "messages[0].content must be a string", _INVALID),
    "no_thinking": _error(400, "reasoning_effort is not supported with this model", _INVALID),
    "content_refused": _error(400, "The content was blocked by the safety policy.", _INVALID, "content_filter"),
    "overloaded": _error(
        498, "Flex tier capacity exceeded: please retry your request.", "flex_capacity", "capacity_exceeded"
    ),
    "broken": _error(500, "Internal Server Error", "internal_server_error"),
}

GROQ = Profile(
    name="groq",
    title="Groq",
    address="https://api.groq.com/openai/v1",
    models=(ProfileModel("openai/gpt-oss-20b", price("0.075", "0.30", "0.0375"), 131_072, 65_536, thinks=True),),
    waits_s=1.2,
    more=frozenset(("responses",)),
    failures=_FAILURES,
    told=ProfileUsage("always", "x_groq", cached="details", more={"queue_time": 0.01, "total_time": 0.02}),
    stream=ProfileStream(
        thoughts="reasoning",
        broken=ProfileFailure(
            500, {"error": {"message": "Internal Server Error", "type": "internal_server_error"}}, event="error"
        ),
    ),
    listing=ProfileListing(context="context_window", more={"object": "model", "owned_by": "Groq", "active": True}),
    hang_up="runs_on",
    notes=(
        "Usage of a stream is under `x_groq` of its last chunk.",
        "413 is also said of a request above the tokens of one minute: that is a rate, not the context.",
    ),
)
PROFILES = (GROQ,)
