"""OpenAI, and Azure OpenAI, which adds its content filter.

Sources: OpenAI's API reference, its guide on error codes and its page on reasoning models; openai/openai-openapi;
openai/openai-node#1316 (stream_options), nearai/ironclaw and danny-avila/LibreChat threads on max_completion_tokens;
Microsoft's pages on content filtering and on the v1 API; threads stanford-crfm/helm#3327, compl-ai/compl-ai#20 and
Oaklight/argo-proxy#91 (the filter's words, its inner error, and that it comes as one event of a stream);
uezo/aiavatarkit#124 (chunks without choices). Azure takes the key in api-key, and as a bearer in its v1 API.
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
    openai_error,
    price,
)

_FIELDS = (
    "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages "
    "metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key "
    "prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier stop store stream "
    "stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options"
)
_INVALID = "invalid_request_error"
_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": openai_error(
        401,
        "Incorrect API key provided: sk-***. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        _INVALID,
        "invalid_api_key",
    ),
    "no_credit": openai_error(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "rate_limited": openai_error(
        429,
        "Rate limit reached for {model} in organization org-simulator on requests per min (RPM): Limit 3, Used 3, "
        "Requested 1. Please try again in 1s.",
        "requests",
        "rate_limit_exceeded",
        retry_after_ms="1000",
        retry_after="1",
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="1s",
    ),
    "context_full": openai_error(
        400,
        "Input tokens exceed the configured limit of {limit} tokens. Your messages resulted in {value} tokens. "
        "Please reduce the length of the messages.",
        _INVALID,
        "context_length_exceeded",
        "messages",
    ),
    "unknown_model": openai_error(
        404, "The model `{model}` does not exist or you do not have access to it.", _INVALID, "model_not_found"
    ),
    "no_tools": openai_error(
        400,
        "Unsupported parameter: 'tools' is not supported with this model.",
        _INVALID,
        "unsupported_parameter",
        "tools",
    ),
    "no_pictures": openai_error(
        400,
        "Invalid content type. image_url is only supported by certain models.",
        _INVALID,
        None,
        "messages.[0].content.[0].type",
    ),
    "no_thinking": openai_error(
        400, "Unrecognized request argument supplied: reasoning_effort", _INVALID, None, "reasoning_effort"
    ),
    "content_refused": openai_error(
        400,
        "Your request was rejected as a result of our safety system.",
        _INVALID,
        "content_policy_violation",
    ),
    "overloaded": openai_error(
        503, "That model is currently overloaded with other requests. You can retry your request.", "server_error"
    ),
    "broken": openai_error(
        500, "The server had an error while processing your request. Sorry about that!", "server_error"
    ),
}
_REFUSED_MAXIMUM = openai_error(
    400,
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    _INVALID,
    "unsupported_parameter",
    "max_tokens",
)

OPENAI = Profile(
    name="openai",
    title="OpenAI",
    address="https://api.openai.com/v1",
    models=(ProfileModel("gpt-5-mini", price("0.25", "2", "0.025"), 400_000, 128_000, thinks=True),),
    waits_s=1,
    more=frozenset(("responses", "embeddings")),
    failures=_FAILURES,
    told=ProfileUsage(cached="details"),
    stream=ProfileStream(
        broken=openai_error(500, "The server had an error while processing your request.", "server_error")
    ),
    listing=ProfileListing(more={"object": "model", "created": 1721260800, "owned_by": "system"}),
    refuses={
        "max_tokens": _REFUSED_MAXIMUM,
        "temperature": openai_error(
            400,
            "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) value is "
            "supported.",
            _INVALID,
            "unsupported_value",
            "temperature",
        ),
        "stop": openai_error(
            400,
            "Unsupported parameter: 'stop' is not supported with this model.",
            _INVALID,
            "unsupported_parameter",
            "stop",
        ),
    },
    known=frozenset(_FIELDS.split()),
    strange=openai_error(400, "Unknown parameter: '{field}'.", _INVALID, "unknown_parameter", "{field}"),
    over_output=openai_error(
        400,
        "max_tokens is too large: {value}. This model supports at most {limit} completion tokens, whereas you "
        "provided {value}.",
        _INVALID,
        "invalid_value",
        "max_completion_tokens",
    ),
    notes=(
        "Models that think take `max_completion_tokens` in place of `max_tokens`, and no `temperature` or `stop`.",
        "An empty account is reported as 429 `insufficient_quota`, which waiting does not help.",
    ),
)

_FILTERED = {
    category: {"filtered": category == "violence", "severity": "medium" if category == "violence" else "safe"}
    for category in ("hate", "self_harm", "sexual", "violence")
}
_PASSED = {category: {"filtered": False, "severity": "safe"} for category in _FILTERED}

AZURE = replace(
    OPENAI,
    name="azure",
    title="Azure OpenAI",
    address="https://YOUR-RESOURCE.openai.azure.com/openai/v1",
    failures={
        **_FAILURES,
        "bad_key": ProfileFailure(
            401,
            {
                "error": {
                    "code": "401",
                    "message": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
                    "provide a valid key for an active subscription and use a correct regional API endpoint for your "
                    "resource.",
                }
            },
        ),
        "no_credit": ProfileFailure(
            403,
            {
                "error": {
                    "code": "403",
                    "message": "The subscription of this resource is disabled: out of call volume quota or payment "
                    "is overdue.",
                }
            },
        ),
        "rate_limited": ProfileFailure(
            429,
            {
                "error": {
                    "code": "429",
                    "message": "Requests to the ChatCompletions_Create Operation have exceeded the token rate limit "
                    "of your current OpenAI S0 pricing tier. Please retry after 1 second.",
                }
            },
            (("retry-after", "1"), ("x-ratelimit-reset-requests", "1")),
        ),
        "unknown_model": ProfileFailure(
            404,
            {
                "error": {
                    "code": "DeploymentNotFound",
                    "message": "The API deployment for this resource does not exist. If you created the deployment "
                    "within the last 5 minutes, please wait a moment and try again.",
                }
            },
        ),
        "content_refused": ProfileFailure(
            400,
            {
                "error": {
                    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
                    "management policy. Please modify your prompt and retry.",
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _FILTERED},
                }
            },
        ),
        "overloaded": ProfileFailure(
            503,
            {
                "error": {
                    "code": "ServiceUnavailable",
                    "message": "The service is temporarily unable to process your request. Please try again later.",
                }
            },
        ),
        "broken": ProfileFailure(500, {"error": {"code": "InternalServerError", "message": "Internal server error"}}),
    },
    stream=ProfileStream(
        first={"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _PASSED}]},
        broken=ProfileFailure(500, {"error": {"code": "InternalServerError", "message": "Internal server error"}}),
    ),
    listing=ProfileListing(more={"object": "model", "status": "succeeded", "lifecycle_status": "generally-available"}),
    key_header="api-key",
    notes=(
        "`model` is the name of your deployment; its price is that of the model behind it.",
        "The first chunk of a stream has no choices, only the filter's findings on the prompt.",
    ),
)
PROFILES = (OPENAI, AZURE)
