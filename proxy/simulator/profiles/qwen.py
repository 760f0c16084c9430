"""Qwen by Alibaba's DashScope, compatible mode.

Sources: Alibaba Cloud's pages on the OpenAI-compatible API, on error codes and on context caching;
tencentmusic/supersonic#1572 (Arrearage reported as 400), QwenLM/qwen-code#3145 (DataInspectionFailed),
infiniflow/ragflow#5912 (the shape of an error: error, id and request_id). Tokens written to an explicit cache stand
in prompt_tokens_details, inside prompt_tokens.
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


def _error(status: int, code: str, message: str, kind: str = _INVALID) -> ProfileFailure:
    whole = openai_error(status, message, kind, code)
    return ProfileFailure(status, {**whole.body, "id": "chatcmpl-simulator", "request_id": "simulator"})


_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": _error(401, "invalid_api_key", "Incorrect API key provided. "),
    "no_credit": _error(
        400, "Arrearage", "Access denied, please make sure your account is in good standing.", "Arrearage"
    ),
    "rate_limited": _error(
        429,
        "limit_requests",
        "You exceeded your current requests list. For more information on this error, see the documentation on rate "
        "limits.",
        "limit_requests",
    ),
    "context_full": _error(
        400,
        "invalid_parameter_error",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, {limit}]",
    ),
    "unknown_model": _error(
        404, "model_not_found", "The model `{model}` does not exist or you do not have access to it."
    ),
    "no_tools": _error(
        400, "invalid_parameter_error", "<400> InternalError.Algo.InvalidParameter: The tool call is not supported."
    ),
    "no_pictures": _error(
        400,
        "invalid_parameter_error",
        "<400> InternalError.Algo.InvalidParameter: The provided messages do not support image content for this model.",
    ),
    "no_thinking": _error(
        400,
        "invalid_parameter_error",
        "<400> InternalError.Algo.InvalidParameter: This model does not support enable_thinking.",
    ),
    "content_refused": _error(
        400,
        "data_inspection_failed",
        "<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate content.",
        "data_inspection_failed",
    ),
    "overloaded": _error(
        503,
        "ModelServingError",
        "Too many requests. Your requests are being throttled due to system capacity limits. Please try again later.",
        "ServiceUnavailable",
    ),
    "broken": _error(500, "InternalError", "An internal error has occured, please try again later.", "InternalError"),
}

QWEN = Profile(
    name="qwen",
    title="Qwen, DashScope",
    address="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    models=(ProfileModel("qwen-plus", price("0.40", "1.20", "0.04", "0.50"), 131_072, 32_768, thinks=True),),
    more=frozenset(("embeddings",)),
    failures=_FAILURES,
    told=ProfileUsage(cached="details", writes="details"),
    stream=ProfileStream(broken=_FAILURES["broken"]),
    listing=ProfileListing(more={"object": "model", "owned_by": "system"}),
    hang_up="runs_on",
    over_output=_error(
        400,
        "invalid_parameter_error",
        "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, {limit}]",
    ),
    notes=(
        "An account in arrears is reported as 400.",
        "Tokens written to an explicit cache cost more than input: write their price as `cache_write`.",
    ),
)
PROFILES = (QWEN,)
