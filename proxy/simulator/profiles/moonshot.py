"""Moonshot (Kimi).

Sources: Moonshot's API reference with its table of errors; higress-group/higress#1568, earendil-works/pi#2017 and
northes/go-moonshot#17 (usage of a stream is in the choice of its last chunk), MoonshotAI/Kimi-K2.5#20. The part
of the prompt that came from its cache is in usage.cached_tokens.
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


def _error(status: int, kind: str, message: str, **headers: str) -> ProfileFailure:
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return ProfileFailure(status, {"error": {"message": message, "type": kind}}, told)


_INVALID = "invalid_request_error"
_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": _error(401, "invalid_authentication_error", "Invalid Authentication"),
    "no_credit": _error(
        429,
        "exceeded_current_quota_error",
        "Your account org-simulator is suspended due to insufficient balance, please recharge your account or check "
        "your plan and billing details",
    ),
    "rate_limited": _error(
        429,
        "rate_limit_reached_error",
        "Your account org-simulator request reached organization max RPM: 3, please try again after 1 seconds",
    ),
    "context_full": _error(
        400, _INVALID, "Invalid request: Your request exceeded model token limit: {limit} (requested: {value})"
    ),
    "unknown_model": _error(404, "resource_not_found_error", "Not found the model {model} or Permission denied"),
    "no_tools": _error(400, _INVALID, "Invalid request: model {model} does not support tool calling"),
    "no_pictures": _error(400, _INVALID, "Invalid request: Image input not supported for model {model}"),
    "no_thinking": _error(400, _INVALID, "Invalid request: thinking is not supported by model {model}"),
    "content_refused": _error(400, "content_filter", "The request was rejected because it was considered high risk"),
    "overloaded": _error(429, "engine_overloaded_error", "The engine is currently overloaded, please try again later"),
    "broken": _error(500, "server_error", "Unexpected error"),
}

MOONSHOT = Profile(
    name="moonshot",
    title="Moonshot",
    address="https://api.moonshot.ai/v1",
    models=(ProfileModel("kimi-k2.5", price("0.60", "3.00", "0.10"), 262_144, 262_144, thinks=True),),
    waits_s=1,
    failures=_FAILURES,
    told=ProfileUsage("always", "choice", cached="flat", details=False),
    stream=ProfileStream(broken=_error(500, "server_error", "Unexpected error")),
    listing=ProfileListing(
        context="context_length", more={"object": "model", "owned_by": "moonshot", "supports_image_in": True}
    ),
    hang_up="runs_on",
    fills=_error(
        400, _INVALID, "Invalid request: Your request exceeded model token limit: {limit} (requested: {total})"
    ),
    notes=(
        "Usage of a stream is in the choice of its last chunk.",
        "An empty account and an overloaded engine are reported as 429.",
    ),
)
PROFILES = (MOONSHOT,)
