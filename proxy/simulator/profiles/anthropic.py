"""Anthropic: its OpenAI-compatible endpoint and its own /v1/messages.

Sources: Anthropic's pages on OpenAI SDK compatibility, on errors, on streaming and on prompt caching;
abi/screenshot-to-code#272 (a bad key), anthropics/claude-code#66297 (an empty account is reported as 400),
continuedev/continue#6080 (input and maximum together above the context), anthropics/claude-code#64667 (529),
stackblitz/bolt.new#1453 (a prompt that is too long). In the Messages API tokens from and to the cache stand beside
input_tokens, message_start reports the input and message_delta the output, and thinking counts as output.
"""

from msgspec.structs import replace

from proxy.simulator.profiles.profile import (
    FailureKind,
    Profile,
    ProfileFailure,
    ProfileListing,
    ProfileModel,
    ProfileStream,
    ProfileUsage,
    anthropic_error,
    price,
)

_INVALID = "invalid_request_error"
_FIELDS = (
    "cache_control container context_management mcp_servers max_tokens messages metadata model output_config "
    "service_tier stop_sequences stream system temperature thinking tool_choice tools top_k top_p"
)
_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": anthropic_error(401, "authentication_error", "invalid x-api-key"),
    "no_credit": anthropic_error(
        400,
        _INVALID,
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
        "purchase credits.",
    ),
    "rate_limited": anthropic_error(
        429,
        "rate_limit_error",
        "This request would exceed the rate limit for your organization of 50 requests per minute.",
        retry_after="1",
        anthropic_ratelimit_requests_remaining="0",
        anthropic_ratelimit_requests_reset="2026-11-01T12:00:01Z",
    ),
    "context_full": anthropic_error(400, _INVALID, "prompt is too long: {value} tokens > {limit} maximum"),
    "unknown_model": anthropic_error(404, "not_found_error", "model: {model}"),
    "no_tools": anthropic_error(400, _INVALID, "tools: '{model}' does not support tool use."),
    "no_pictures": anthropic_error(400, _INVALID, "messages.0.content.0: '{model}' does not support image input."),
    "no_thinking": anthropic_error(400, _INVALID, "thinking: this model does not support thinking."),
    "content_refused": anthropic_error(400, _INVALID, "Output blocked by content filtering policy"),
    "overloaded": anthropic_error(529, "overloaded_error", "Overloaded"),
    "broken": anthropic_error(500, "api_error", "Internal server error"),
}
_OVERLOADED = anthropic_error(529, "overloaded_error", "Overloaded")
_TOO_MUCH = anthropic_error(
    400, _INVALID, "max_tokens: {value} > {limit}, which is the maximum allowed number of output tokens for {model}"
)
_FILLS = anthropic_error(
    400,
    _INVALID,
    "input length and `max_tokens` exceed context limit: {input} + {value} > {limit}, decrease input length or "
    "`max_tokens` and try again",
)

MESSAGES = Profile(
    name="anthropic",
    title="Anthropic, /v1/messages",
    address="https://api.anthropic.com/v1",
    models=(ProfileModel("claude-haiku-4-5", price("1", "5", "0.10", "1.25"), 200_000, 64_000, thinks=True),),
    waits_s=1,
    failures=_FAILURES,
    told=ProfileUsage("always", "parts", cached="beside", writes="beside", details=False),
    stream=ProfileStream(done=True, thoughts="thinking", broken=_OVERLOADED),
    listing=ProfileListing(more={"type": "model", "display_name": "Claude", "created_at": "2025-10-01T00:00:00Z"}),
    api="messages",
    known=frozenset(_FIELDS.split()),
    strange=anthropic_error(400, _INVALID, "{field}: Extra inputs are not permitted"),
    over_output=_TOO_MUCH,
    fills=_FILLS,
    key_header="x-api-key",
    bearer=False,
    wants=("anthropic-version", anthropic_error(400, _INVALID, "anthropic-version: header is required")),
    notes=(
        "For clients that call `/v1/messages`. `max_tokens` must be there; the client sends it.",
        "Its key goes out as `x-api-key`, with `anthropic-version`; at another address write `auth: x-api-key`.",
    ),
)

OPENAI_ENDPOINT = replace(
    MESSAGES,
    name="anthropic-openai",
    title="Anthropic, OpenAI endpoint",
    failures={
        **_FAILURES,
        "bad_key": ProfileFailure(
            401,
            {
                "error": {
                    "code": "authentication_error",
                    "message": "invalid x-api-key",
                    "type": _INVALID,
                    "param": None,
                }
            },
        ),
        "broken": ProfileFailure(
            500,
            {"error": {"code": "api_error", "message": "Internal server error", "type": "api_error", "param": None}},
        ),
    },
    told=ProfileUsage("asked", "own_chunk", details=False),
    stream=ProfileStream(thoughts="reasoning_content", broken=_OVERLOADED),
    api="chat/completions",
    known=None,
    strange=None,
    bearer=True,
    wants=None,
    notes=(
        "It reports nothing about its cache here, so what it saves cannot be seen; `/v1/messages` does.",
        "An empty account is reported as 400.",
    ),
)
PROFILES = (OPENAI_ENDPOINT, MESSAGES)
