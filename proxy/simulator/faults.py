"""The errors that OpenRouter answers with a status, by the names that behaviours use. Pure.

Each has a status, a text, metadata and headers; which text belongs to which status follows what was seen on
the wire in 2026. ``code`` is an integer here and a string in OpenAI mode.
"""

from typing import Any, Literal

from msgspec import Struct, field

BodyKind = Literal["json", "html"]


class ProviderFault(Struct, frozen=True):
    status: int
    message: str
    metadata: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: BodyKind = "json"
    reset_after_ms: int | None = None  # a platform limit: X-RateLimit-* with Reset in epoch milliseconds


_UPSTREAM = {"provider_name": "Google", "is_byok": False}

FAULTS: dict[str, ProviderFault] = {
    "invalid-model": ProviderFault(400, "{model} is not a valid model ID", {"error_type": "invalid_request"}),
    "context-length": ProviderFault(
        400,
        "This endpoint's maximum context length is 128000 tokens. However, you requested about 200000 tokens "
        "(183616 of text input, 16384 in the output). Please reduce the length of either one.",
        {"error_type": "context_length_exceeded", "provider_name": None},
    ),
    "bad-parameter": ProviderFault(
        400,
        "Provider returned error",
        {
            "provider_name": "OpenAI",
            "raw": '{"error":{"type":"invalid_request_error",'
            '"message":"Invalid type for \'temperature\': expected a decimal, but got a string instead."}}',
            "error_type": "invalid_request",
        },
    ),
    "no-auth": ProviderFault(401, "No auth credentials found", {"error_type": "authentication"}),
    "no-cookie-auth": ProviderFault(401, "No cookie auth credentials found"),
    "user-not-found": ProviderFault(401, "User not found.", {"error_type": "authentication"}),
    "missing-header": ProviderFault(401, "Missing Authentication header"),
    "credits-fewer-max-tokens": ProviderFault(
        402,
        "This request requires more credits, or fewer max_tokens. You requested up to 16384 tokens, but can "
        "only afford 812. To increase, visit https://openrouter.ai/settings/credits and add more credits",
        {"provider_name": None, "error_type": "payment_required"},
    ),
    "credits-insufficient": ProviderFault(
        402,
        "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
        {"limit_source": "openrouter_credits", "error_type": "payment_required"},
    ),
    "credits-never-purchased": ProviderFault(
        402,
        "Insufficient credits. This account never purchased credits. Make sure your key is on the correct "
        "account or org, and if so, purchase more at https://openrouter.ai/settings/credits",
        {"error_type": "payment_required"},
    ),
    "in-flight-budget": ProviderFault(
        402,
        "Your in-flight requests have reserved all remaining credits. Retry when they finish.",
        {
            "reason": "in_flight_budget_exhausted",
            "limit_source": "openrouter_in_flight_budget",
            "error_type": "payment_required",
        },
        {"Retry-After": "2"},
    ),
    "weight-exceeds-budget": ProviderFault(
        402,
        "This request alone needs more than the remaining credits. Lower max_tokens or add credits.",
        {"reason": "weight_exceeds_budget", "error_type": "payment_required"},
    ),
    "key-limit": ProviderFault(
        403,
        "Key limit exceeded (monthly limit). Manage it using https://openrouter.ai/settings/keys",
        {
            "limit_source": "openrouter_key_limit",
            "scope": "key_limit",
            "limit_usd": 50,
            "spend_usd": 50.01,
            "resets_at": "2026-12-01T00:00:00Z",
            "error_type": "permission_denied",
        },
    ),
    "key-limit-daily": ProviderFault(
        403, "Key limit exceeded (daily limit). Manage it using https://openrouter.ai/settings/keys"
    ),
    "guardrail-budget": ProviderFault(
        403,
        "Guardrail budget exceeded",
        {"limit_source": "openrouter_guardrail_budget", "limit_usd": 5, "spend_usd": 5.2},
    ),
    "workspace-budget": ProviderFault(
        403, "Workspace budget exceeded", {"limit_source": "openrouter_workspace_budget"}
    ),
    "moderation": ProviderFault(
        403,
        'Your chosen model requires moderation and your input was flagged for "violence". No credits were charged.',
        {
            "reasons": ["violence"],
            "flagged_input": "…",
            "provider_name": "OpenAI",
            "model_slug": "openai/gpt-4o-mini-2024-07-18",
            "error_type": "content_policy_violation",
        },
    ),
    "management-only": ProviderFault(403, "Only management keys can perform this operation"),
    "no-endpoints": ProviderFault(404, "No endpoints found for {model}.", {"error_type": "not_found"}),
    "no-tool-endpoints": ProviderFault(404, "No endpoints found that support tool use."),
    "no-image-endpoints": ProviderFault(404, "No endpoints found that support image input"),
    "data-policy": ProviderFault(404, "No endpoints found matching your guardrail restrictions and data policy."),
    "no-allowed-providers": ProviderFault(404, "No allowed providers are available for the selected model."),
    "request-timeout": ProviderFault(408, "Request timed out. Please try again."),
    "precondition": ProviderFault(412, "Precondition failed", {"error_type": "precondition_failed"}),
    "too-large": ProviderFault(413, "Request payload is too large", {"error_type": "payload_too_large"}),
    "unprocessable": ProviderFault(422, "Unprocessable request", {"error_type": "unprocessable"}),
    "free-per-day": ProviderFault(
        429,
        "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
        {"limit_source": "openrouter_free_tier_daily", "error_type": "rate_limit_exceeded"},
        {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0"},
        reset_after_ms=3_600_000,
    ),
    "free-per-minute": ProviderFault(
        429,
        "Rate limit exceeded: free-models-per-min.",
        {"error_type": "rate_limit_exceeded"},
        {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0"},
        reset_after_ms=30_000,
    ),
    "high-demand": ProviderFault(
        429,
        "Rate limit exceeded: limit_rpm/{model}/00000000-0000-4000-8000-000000000000. High demand for "
        "{model} on OpenRouter - limited to 15 requests per minute.",
        {"limit_source": "openrouter_shared_capacity"},
        {"X-RateLimit-Limit": "15", "X-RateLimit-Remaining": "0"},
        reset_after_ms=60_000,
    ),
    "upstream-rate-limit": ProviderFault(
        429,
        "Provider returned error",
        {
            **_UPSTREAM,
            "raw": "{model} is temporarily rate-limited upstream. Please retry shortly.",
            "retry_after_seconds": 12,
            "limit_source": "upstream_provider_shared_pool",
            "error_type": "rate_limit_exceeded",
        },
        {"Retry-After": "12"},
    ),
    "server-error": ProviderFault(500, "Internal Server Error", {"error_type": "server"}),
    "provider-error": ProviderFault(
        502,
        "Provider returned error",
        {
            **_UPSTREAM,
            "raw": "upstream connect error",
            "error_type": "provider_unavailable",
            "previous_errors": [{"provider": "Google AI Studio", "code": "provider_unavailable", "status": 502}],
        },
    ),
    "overloaded": ProviderFault(
        503,
        "There is no available model provider that meets your routing requirements",
        {"error_type": "provider_overloaded"},
        {"Retry-After": "5"},
    ),
    "gateway-timeout": ProviderFault(504, "The provider timed out", {"error_type": "timeout"}),
    "edge-timeout": ProviderFault(524, "A timeout occurred", body="html"),
    "provider-overloaded": ProviderFault(529, "Provider is overloaded", {"error_type": "provider_overloaded"}),
    "html-403": ProviderFault(403, "Just a moment...", body="html"),
    "html-500": ProviderFault(500, "Internal server error", body="html"),
    "html-502": ProviderFault(502, "Bad gateway", body="html"),
    "html-503": ProviderFault(503, "Service temporarily unavailable", body="html"),
    "html-520": ProviderFault(520, "Web server is returning an unknown error", body="html"),
}

# OpenAI's string codes and types for the same statuses.
_OPENAI_CODES: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def openai_error(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Write an error as OpenAI does: all four keys, ``code`` a string or null."""
    kind, usual = _OPENAI_CODES.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": param, "code": code or usual}}


def openrouter_error(
    code: Any, message: str, metadata: dict[str, Any] | None = None, user_id: str | None = None
) -> dict[str, Any]:
    """Write an error as OpenRouter does: ``code`` an integer, ``metadata`` only where there is some."""
    error: dict[str, Any] = {"code": code, "message": message}
    if metadata:
        error["metadata"] = metadata
    return {"error": error} | ({"user_id": user_id} if user_id else {})


def anthropic_error(status: int, message: str) -> dict[str, Any]:
    """Write an error in the shape of the Messages API."""
    kinds = {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}


def html_error(status: int, title: str) -> bytes:
    """Write the kind of page that an edge server sends instead of JSON."""
    return (
        f'<!DOCTYPE html>\n<html lang="en-US">\n<head><title>openrouter.ai | {status}</title></head>\n'
        f"<body><h1>Error {status}</h1><p>{title}</p><p>Ray ID: 0000000000000000</p></body>\n</html>\n"
    ).encode()
