"""Gemini's OpenAI-compatible endpoint.

Sources: Google's page on OpenAI compatibility and its troubleshooting guide; ogx-ai/ogx#5122 (usage in every chunk,
growing), BerriAI/litellm#10667 (thinking outside completion_tokens, inside total_tokens, and nothing of the cache),
tashfeenahmed/freellmapi#285 (a bad key reported as 400), google-gemini/gemini-cli#5191 (overloaded). Errors come as an
array of one object; the wait is in its details.
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


def _error(status: int, word: str, message: str, *details: Any) -> ProfileFailure:
    error: dict[str, Any] = {"code": status, "message": message, "status": word}
    return ProfileFailure(status, [{"error": error | ({"details": list(details)} if details else {})}])


_GOOGLE = "type.googleapis.com/google.rpc."
_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": _error(
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        {"@type": f"{_GOOGLE}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
    ),
    "no_credit": _error(
        429,
        "RESOURCE_EXHAUSTED",
        "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing.",
    ),
    "rate_limited": _error(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details. Quota exceeded for metric: "
        "generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10\nPlease retry in 1.0s.",
        {
            "@type": f"{_GOOGLE}QuotaFailure",
            "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"}],
        },
        {"@type": f"{_GOOGLE}RetryInfo", "retryDelay": "1s"},
    ),
    "context_full": _error(
        400,
        "INVALID_ARGUMENT",
        "The input token count ({value}) exceeds the maximum number of tokens allowed ({limit}).",
    ),
    "unknown_model": _error(
        404,
        "NOT_FOUND",
        "models/{model} is not found for API version v1main, or is not supported for generateContent.",
    ),
    "no_tools": _error(400, "INVALID_ARGUMENT", "Function calling is not enabled for models/{model}"),
    "no_pictures": _error(400, "INVALID_ARGUMENT", "Image input modality is not enabled for models/{model}"),
    "no_thinking": _error(
        400, "INVALID_ARGUMENT", "Unable to submit request because thinking is not supported by this model."
    ),
    "content_refused": _error(
        400, "INVALID_ARGUMENT", "The prompt was blocked due to PROHIBITED_CONTENT by the safety filters."
    ),
    "overloaded": _error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "broken": _error(500, "INTERNAL", "An internal error has occurred. Please retry."),
}

GEMINI = Profile(
    name="gemini",
    title="Gemini, OpenAI endpoint",
    address="https://generativelanguage.googleapis.com/v1beta/openai",
    models=(ProfileModel("gemini-2.5-flash", price("0.30", "2.50"), 1_048_576, 65_536, thinks=True),),
    waits_s=1,
    more=frozenset(("embeddings",)),
    failures=_FAILURES,
    told=ProfileUsage("always", "every", reasoning="beside", details=False),
    stream=ProfileStream(empty_first=False, broken=_FAILURES["overloaded"]),
    listing=ProfileListing(prefix="models/", more={"object": "model", "owned_by": "google"}),
    hang_up="runs_on",
    notes=(
        "Thinking is outside `completion_tokens`, but inside `total_tokens`.",
        "Names in its list begin with `models/`; both forms are taken.",
        "A bad key is reported as 400.",
    ),
)
PROFILES = (GEMINI,)
