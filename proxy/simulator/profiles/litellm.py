"""LiteLLM as a proxy before other providers.

Sources: LiteLLM's documentation of its proxy, exceptions and budgets; BerriAI/litellm#14144 (a budget reported as 400),
#13264 and #39069 (usage and cost of streams), #18118 (an overloaded provider reported as 500, the cause as JSON within
the text), OWASP/OpenCRE#1102 (budget_exceeded). Codes are statuses in a string; the text begins with the class of the
exception.
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

_AVAILABLE = ". Received Model Group={model}\nAvailable Model Group Fallbacks=None"


def _error(status: int, message: str, kind: str | None = None, **headers: str) -> ProfileFailure:
    return openai_error(status, message, kind, str(status), None, **headers)


_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": openai_error(
        401,
        "Authentication Error, Invalid proxy server token passed. Received API Key = sk-...7777, Key Hash "
        "(Token) =0000. Unable to find token in cache or `LiteLLM_VerificationTokenTable`",
        "token_not_found_in_db",
        "401",
        "key",
    ),
    "no_credit": _error(400, "Budget has been exceeded! Current cost: 26.075, Max budget: 0.25", "budget_exceeded"),
    "rate_limited": _error(
        429,
        "litellm.RateLimitError: No deployments available for selected model, Try again in 1 seconds. Passed "
        "model={model}.",
        "throttling_error",
        retry_after="1",
    ),
    "context_full": _error(
        400,
        "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - "
        "This model's maximum context length is {limit} tokens. However, your messages resulted in {value} tokens."
        + _AVAILABLE,
    ),
    "unknown_model": openai_error(
        400,
        "/chat/completions: Invalid model name passed in model={model}. Call `/v1/models` to view available models "
        "for your key.",
        "None",
        "400",
        "None",
    ),
    "no_tools": _error(
        400,
        "litellm.UnsupportedParamsError: together_ai does not support parameters: ['tools'], for model={model}. To "
        "drop these, set `litellm.drop_params=True`." + _AVAILABLE,
    ),
    "no_pictures": _error(
        400, "litellm.BadRequestError: OpenAIException - image_url is only supported by certain models." + _AVAILABLE
    ),
    "no_thinking": _error(
        400,
        "litellm.UnsupportedParamsError: openai does not support parameters: ['reasoning_effort'], for model={model}."
        + _AVAILABLE,
    ),
    "content_refused": _error(
        400,
        "litellm.ContentPolicyViolationError: litellm.BadRequestError: AzureException - The response was filtered due "
        "to the prompt triggering Azure OpenAI's content management policy." + _AVAILABLE,
    ),
    "overloaded": _error(
        500,
        'litellm.InternalServerError: litellm.InternalServerError: geminiException - {\n  "error": {\n    "code": '
        '503,\n    "message": "The model is overloaded. Please try again later.",\n    "status": "UNAVAILABLE"\n  '
        "}\n}\n" + _AVAILABLE,
    ),
    "broken": _error(500, "litellm.APIError: APIError: OpenAIException - Connection error." + _AVAILABLE),
}

LITELLM = Profile(
    name="litellm",
    title="LiteLLM",
    address="http://127.0.0.1:4000/v1",
    models=(ProfileModel("gpt-4o", price("2.50", "10", "1.25"), 128_000, 16_384, thinks=True),),
    waits_s=1,
    more=frozenset(("responses", "completions", "embeddings")),
    failures=_FAILURES,
    told=ProfileUsage(cached="details"),
    stream=ProfileStream(
        broken=_error(500, "litellm.APIConnectionError: APIConnectionError: OpenAIException - peer closed connection")
    ),
    listing=ProfileListing(more={"object": "model", "created": 1677610602, "owned_by": "openai"}),
    notes=(
        "Its own budgets are reported as 400 `budget_exceeded`.",
        "Failures of providers behind it are reported within its text, under a status of its own.",
    ),
)
PROFILES = (LITELLM,)
