"""DeepSeek.

Sources: DeepSeek's API reference, its pages on error codes, rate limits (comments while a request waits) and context
caching; continuedev/continue#9942 (an empty account), mnfst/llm-gateway#2219 (pictures, reasoning that is wanted
back). The maximum must lie within the model's, and tokens of the cache are told as hit and miss.
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
_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": openai_error(
        401, "Authentication Fails, Your api key: ****7777 is invalid", "authentication_error", _INVALID
    ),
    "no_credit": openai_error(402, "Insufficient Balance", "unknown_error", _INVALID),
    "rate_limited": openai_error(429, "Rate limit reached. Please pace your requests.", "rate_limit_error", _INVALID),
    "context_full": openai_error(
        400,
        "This model's maximum context length is {limit} tokens. However, you requested {value} tokens ({value} in "
        "the messages, 0 in the completion). Please reduce the length of the messages or completion.",
        _INVALID,
        _INVALID,
    ),
    "unknown_model": openai_error(400, "Model Not Exist", _INVALID, _INVALID),
    "no_tools": openai_error(400, "{model} does not support Function Calling", _INVALID, _INVALID),
    "no_pictures": openai_error(
        400,
        "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `image_url`, "
        "expected `text` at line 1 column 93",
        _INVALID,
        _INVALID,
    ),
    "no_thinking": openai_error(400, "thinking mode is not supported by {model}", _INVALID, _INVALID),
    "content_refused": openai_error(400, "Content Exists Risk", _INVALID, _INVALID),
    "overloaded": openai_error(
        503,
        "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
        "service_unavailable_error",
        "service_unavailable_error",
    ),
    "broken": openai_error(500, "Internal Server Error", "internal_server_error", "internal_server_error"),
}

DEEPSEEK = Profile(
    name="deepseek",
    title="DeepSeek",
    address="https://api.deepseek.com",
    models=(ProfileModel("deepseek-chat", price("0.28", "0.42", "0.028"), 131_072, 8_192, thinks=True),),
    failures=_FAILURES,
    told=ProfileUsage(cached="hit_miss"),
    stream=ProfileStream(comment=b": keep-alive", broken=_FAILURES["broken"]),
    listing=ProfileListing(more={"object": "model", "owned_by": "deepseek"}),
    over_output=openai_error(
        400, "Invalid max_tokens value, the valid range of max_tokens is [1, {limit}]", _INVALID, _INVALID
    ),
    notes=(
        "`prompt_cache_hit_tokens` and `prompt_cache_miss_tokens` tell the cache.",
        "A model that it does not have is reported as 400.",
    ),
)
PROFILES = (DEEPSEEK,)
