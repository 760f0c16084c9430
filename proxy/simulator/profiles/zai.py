"""Z.ai (GLM).

Sources: Z.ai's API reference and its table of business codes; zai-org/GLM-5#148 and vercel/ai#9290 (1113, an empty
account, reported as 429), kaitranntt/ccs#402 (1302, too many at once), izaart95-jpg/GLM-Free-API#32 (a page of the
server in front). Codes are digits in a string and say more than the status.
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
    price,
)


def _error(status: int, code: str, message: str) -> ProfileFailure:
    return ProfileFailure(status, {"error": {"code": code, "message": message}})


_FAILURES: dict[FailureKind, ProfileFailure] = {
    "bad_key": _error(401, "1000", "Authentication Failed"),
    "no_credit": _error(429, "1113", "Insufficient balance or no resource package. Please recharge."),
    "rate_limited": _error(
        429,
        "1302",
        "High concurrency usage of this API, please reduce concurrency or contact customer service to increase limits",
    ),
    "context_full": _error(400, "1261", "Prompt exceeds max length"),
    "unknown_model": _error(400, "1211", "Unknown Model, please check the model code."),
    "no_tools": _error(400, "1210", "Invalid API parameter: the current model does not support tools"),
    "no_pictures": _error(400, "1210", "Invalid API parameter: the current model does not support image input"),
    "no_thinking": _error(400, "1210", "Invalid API parameter: the current model does not support thinking"),
    "content_refused": _error(
        400,
        "1301",
        "System detected potentially unsafe or sensitive content in input or generation. Please avoid using prompts "
        "that may generate sensitive content.",
    ),
    "overloaded": _error(
        429, "1305", "The model is currently overloaded due to too many requests, please try again later"
    ),
    "broken": html(502, "Bad Gateway"),
}

ZAI = Profile(
    name="zai",
    title="Z.ai",
    address="https://api.z.ai/api/paas/v4",
    models=(ProfileModel("glm-4.6", price("0.60", "2.20", "0.11"), 200_000, 128_000, thinks=True),),
    more=frozenset(("embeddings",)),
    failures=_FAILURES,
    told=ProfileUsage("always", "finish", cached="details"),
    stream=ProfileStream(broken=_error(500, "1234", "Network error, please contact customer service")),
    listing=ProfileListing(more={"object": "model", "owned_by": "z-ai"}),
    hang_up="runs_on",
    notes=("An empty account and an overloaded model are reported as 429; the code in the body reports which.",),
)
PROFILES = (ZAI,)
