"""Perplexity.

Sources: Perplexity's API reference and its page on pricing (a fee for each request beside the tokens);
kardolus/chatgpt-cli#149 (usage.cost.total_cost), langchain-ai/langchain#40285, perplexityai/api-discussion#214;
perplexityai/api-discussion#209 (no [DONE]), langchain-ai/langchain#39924 (usage on every chunk, growing). Each
chunk of a stream reports usage so far, the last one with the cost; there is no list of models.
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

_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": html(401, "Authorization Required"),
    "no_credit": openai_error(
        401,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        401,
    ),
    "rate_limited": openai_error(
        429, "Request rate limit exceeded, please try again later.", "request_rate_limit_exceeded", 429
    ),
    "context_full": openai_error(
        400,
        "Requested number of input tokens {value} exceeds the maximum context length of {limit} tokens",
        "invalid_request",
        400,
    ),
    "unknown_model": openai_error(
        400,
        "Invalid model '{model}'. Permitted models can be found in the documentation at "
        "https://docs.perplexity.ai/getting-started/models.",
        "invalid_model",
        400,
    ),
    "no_tools": openai_error(400, "Tool calling is not supported for this model", "invalid_parameter", 400),
    "no_pictures": openai_error(400, "Image input is not supported for this model", "invalid_parameter", 400),
    "no_thinking": openai_error(400, "reasoning_effort is not supported for this model", "invalid_parameter", 400),
    "content_refused": openai_error(
        400, "The content was blocked by the usage policy", "content_policy_violation", 400
    ),
    "overloaded": html(503, "Service Temporarily Unavailable"),
    "broken": openai_error(500, "Internal server error", "internal_server_error", 500),
}

PERPLEXITY = Profile(
    name="perplexity",
    title="Perplexity",
    address="https://api.perplexity.ai",
    models=(ProfileModel("sonar", price("1", "1", request="5"), 128_000, 128_000, thinks=True),),
    failures=_FAILURES,
    told=ProfileUsage(
        "always", "every", reasoning="inside", cost="object", details=False, more={"search_context_size": "low"}
    ),
    stream=ProfileStream(done=False, broken=_FAILURES["broken"]),
    listing=ProfileListing("missing"),
    hang_up="runs_on",
    notes=(
        "Each request costs a fee beside its tokens: write it as `request`.",
        "A stream ends without `[DONE]`, and every chunk reports usage so far.",
        "It has no list of models.",
    ),
)
PROFILES = (PERPLEXITY,)
