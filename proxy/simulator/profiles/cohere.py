"""Cohere's OpenAI-compatible endpoint.

Sources: Cohere's page on the Compatibility API and its list of status codes (cohere-ai/cohere-developer-experience
#189: 402 for the billing limit, 498 for content that is not permitted); cohere-ai/cohere-toolkit#857 (a bad key). An
error is a message at the top of the body, with an id.
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


def _error(status: int, message: str, **headers: str) -> ProfileFailure:
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return ProfileFailure(status, {"id": "00000000-0000-4000-8000-000000000007", "message": message}, told)


_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": _error(401, "invalid api token"),
    "no_credit": _error(402, "You have reached your billing limit. Please add or update a payment method."),
    "rate_limited": _error(
        429, "You are using a Trial key, which is limited to 20 API calls / minute. Please wait and try again later"
    ),
    "context_full": _error(
        400,
        "too many tokens: total number of tokens in the prompt cannot exceed {limit} - received {value}. Try using a "
        "shorter prompt, or enabling prompt truncating.",
    ),
    "unknown_model": _error(
        404, "model '{model}' not found, make sure the correct model ID was used and that you have access to the model."
    ),
    "no_tools": _error(400, "tools are not supported with model {model}"),
    "no_pictures": _error(400, "invalid request: model {model} does not support image content"),
    "no_thinking": _error(400, "thinking is not supported with model {model}"),
    "content_refused": _error(498, "blocked input: the request violates the usage guidelines"),
    "overloaded": _error(503, "the service is overloaded, please try again later"),
    "broken": _error(500, "internal server error, this has been reported to our developers."),
}

COHERE = Profile(
    name="cohere",
    title="Cohere, OpenAI endpoint",
    address="https://api.cohere.ai/compatibility/v1",
    models=(ProfileModel("command-a-03-2025", price("2.50", "10"), 256_000, 8_192, thinks=True),),
    more=frozenset(("embeddings",)),
    failures=_FAILURES,
    told=ProfileUsage(details=False),
    stream=ProfileStream(broken=_error(500, "internal server error, this has been reported to our developers.")),
    listing=ProfileListing("missing"),
    over_output=_error(
        400, "max_tokens must be less than or equal to {limit}, the maximum output length of model {model}."
    ),
    notes=("Content that it refuses is reported as 498.", "It has no list of models here."),
)
PROFILES = (COHERE,)
