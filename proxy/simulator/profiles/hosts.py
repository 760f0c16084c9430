"""Hosts of open models: Together, Fireworks and Cerebras.

Sources: their API references and pages on error codes; expectedparrot/edsl#2098 (Together, 402),
pollinations/pollinations#12136 and amd/gaia#3766 (Fireworks reports a suspended account by 412),
theopenco/llmgateway#3838, continuedev/continue#9800 (Cerebras, tokens of a minute), earendil-works/pi#4940 (an error
of Cerebras without a body). All three tell usage in the last chunk without being asked.
"""

from proxy.simulator.profiles.profile import (
    FailureKind,
    Profile,
    ProfileFailure,
    ProfileListing,
    ProfileModel,
    ProfileStream,
    ProfileUsage,
    html,
    openai_error,
    price,
)

_INVALID = "invalid_request_error"


def _together(status: int, message: str, kind: str, code: str | None = None, **headers: str) -> ProfileFailure:
    whole = openai_error(status, message, kind, code, None, **headers)
    return ProfileFailure(status, {"id": "o-simulator", **whole.body}, whole.headers)


_TOGETHER: dict[FailureKind, ProfileFailure] = {
    "bad_key": _together(
        401,
        "Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys.",
        _INVALID,
        "invalid_api_key",
    ),
    "no_credit": _together(
        402,
        "Credit limit exceeded. Please navigate to https://api.together.ai/settings/billing to add credit or upgrade "
        "your plan.",
        "credit_limit",
    ),
    "rate_limited": _together(
        429,
        "You have reached the rate limit specific to this model {model}. The maximum rate limit for this model is "
        "9.0 queries per minute.",
        "model_rate_limit",
        x_ratelimit_reset="1",
    ),
    "context_full": _together(
        422,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= {limit}. Given: {value} `inputs` tokens "
        "and 0 `max_new_tokens`",
        _INVALID,
    ),
    "unknown_model": _together(
        404,
        "Unable to access model {model}. Please visit https://api.together.ai/models to view the list of supported "
        "models.",
        _INVALID,
        "model_not_available",
    ),
    "no_tools": _together(
        400, "{model} is not supported for JSON mode/function calling", _INVALID, "constraints_model"
    ),
    "no_pictures": _together(400, "{model} does not support image inputs", _INVALID),
    "no_thinking": _together(400, "reasoning is not supported for model {model}", _INVALID, "reasoning"),
    "content_refused": _together(422, "Input was flagged as unsafe by the safety model", _INVALID, "content_filter"),
    "overloaded": _together(503, "The server is overloaded or not ready yet.", "server_error", "service_unavailable"),
    "broken": html(502, "Bad Gateway"),
}
TOGETHER = Profile(
    name="together",
    title="Together",
    address="https://api.together.xyz/v1",
    models=(
        ProfileModel("meta-llama/Llama-3.3-70B-Instruct-Turbo", price("0.88", "0.88"), 131_072, 131_072, thinks=True),
    ),
    waits_s=1,
    more=frozenset(("completions", "embeddings")),
    failures=_TOGETHER,
    told=ProfileUsage("always", "finish", details=False),
    stream=ProfileStream(
        thoughts="reasoning", broken=_together(503, "The server is overloaded or not ready yet.", "server_error")
    ),
    listing=ProfileListing(
        "array", "context_length", more={"object": "model", "type": "chat", "pricing": {"input": 0.88, "output": 0.88}}
    ),
    notes=("Its list of models is a bare array.", "A failure in front of the API is a page of HTML."),
)


def _fireworks(status: int, message: str, code: str, **headers: str) -> ProfileFailure:
    return openai_error(status, message, "error", code, None, **headers)


_FIREWORKS: dict[FailureKind, ProfileFailure] = {
    "bad_key": ProfileFailure(401, {"error": "unauthorized"}),
    "no_credit": _fireworks(
        412,
        "Account simulator is suspended, possibly due to reaching the monthly spending limit or failure to pay past "
        "invoices. Please go to https://fireworks.ai/account/billing for more information.",
        "PRECONDITION_FAILED",
    ),
    "rate_limited": _fireworks(
        429, "Request rate limit exceeded, please try again later", "RATE_LIMIT_EXCEEDED", x_ratelimit_over_limit="yes"
    ),
    "context_full": openai_error(
        400, "The prompt is too long: {value}, model maximum context length: {limit}", _INVALID
    ),
    "unknown_model": _fireworks(404, "Model not found, inaccessible, and/or not deployed", "NOT_FOUND"),
    "no_tools": openai_error(400, "Function calling is not supported for model {model}", _INVALID),
    "no_pictures": openai_error(400, "Model {model} does not support image inputs", _INVALID),
    "no_thinking": openai_error(400, "reasoning_effort is not supported for this model", _INVALID),
    "content_refused": _fireworks(403, "The content was blocked by the moderation policy", "CONTENT_BLOCKED"),
    "overloaded": _fireworks(503, "Service overloaded, please try again later", "SERVICE_UNAVAILABLE"),
    "broken": _fireworks(500, "Internal server error", "INTERNAL_SERVER_ERROR"),
}
FIREWORKS = Profile(
    name="fireworks",
    title="Fireworks",
    address="https://api.fireworks.ai/inference/v1",
    models=(
        ProfileModel(
            "accounts/fireworks/models/gpt-oss-120b", price("0.15", "0.60", "0.075"), 131_072, 131_072, thinks=True
        ),
    ),
    more=frozenset(("responses", "completions", "embeddings")),
    failures=_FIREWORKS,
    told=ProfileUsage("always", "finish", cached="details", details=False),
    stream=ProfileStream(broken=_fireworks(500, "Internal server error", "INTERNAL_SERVER_ERROR")),
    listing=ProfileListing(
        context="context_length", more={"object": "model", "owned_by": "fireworks", "supports_chat": True}
    ),
    notes=("A suspended account or a spending limit is reported as 412.",),
)


def _cerebras(
    status: int, message: str, kind: str, code: str, param: str | None = None, **headers: str
) -> ProfileFailure:
    whole = openai_error(status, message, kind, code, param, **headers)
    return ProfileFailure(status, whole.body["error"], whole.headers)


_CEREBRAS: dict[FailureKind, ProfileFailure] = {
    "bad_key": _cerebras(401, "Wrong API Key", _INVALID, "wrong_api_key", "api_key"),
    "no_credit": _cerebras(
        402, "Payment required to continue using this model.", "payment_required_error", "payment_required"
    ),
    "rate_limited": _cerebras(
        429,
        "Tokens per minute limit exceeded - too many tokens processed.",
        "too_many_tokens_error",
        "token_quota_exceeded",
        "quota",
        x_ratelimit_reset_tokens_minute="1.2",
        retry_after="1",
    ),
    "context_full": _cerebras(
        400,
        "Please reduce the length of the messages or completion. Current length is {value} while limit is {limit}",
        _INVALID,
        "context_length_exceeded",
        "messages",
    ),
    "unknown_model": _cerebras(
        404,
        "Model {model} does not exist or you do not have access to it.",
        "not_found_error",
        "model_not_found",
        "model",
    ),
    "no_tools": _cerebras(400, "Tools are not supported for this model", _INVALID, "wrong_api_format", "tools"),
    "no_pictures": _cerebras(
        400, "Content type 'image_url' is not supported by this model", _INVALID, "wrong_api_format", "messages"
    ),
    "no_thinking": _cerebras(
        400, "reasoning_effort is not supported by this model", _INVALID, "wrong_api_format", "reasoning_effort"
    ),
    "content_refused": _cerebras(
        400, "The request was blocked by the content policy", _INVALID, "content_policy_violation"
    ),
    "overloaded": _cerebras(
        429,
        "We're experiencing high traffic right now! Please try again soon.",
        "too_many_requests_error",
        "queue_exceeded",
        "queue",
    ),
    "broken": ProfileFailure(500, ""),
}
CEREBRAS = Profile(
    name="cerebras",
    title="Cerebras",
    address="https://api.cerebras.ai/v1",
    models=(ProfileModel("gpt-oss-120b", price("0.35", "0.75"), 131_072, 40_960, thinks=True),),
    waits_s=1,
    failures=_CEREBRAS,
    told=ProfileUsage("always", "finish", details=True),
    stream=ProfileStream(
        thoughts="reasoning", broken=_cerebras(500, "Internal server error", "server_error", "internal")
    ),
    listing=ProfileListing(more={"object": "model", "owned_by": "Cerebras"}),
    hang_up="runs_on",
    notes=("Its errors are at the top of the body, without `error`; some have no body at all.",),
)
PROFILES = (TOGETHER, FIREWORKS, CEREBRAS)
