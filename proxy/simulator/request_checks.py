"""What a request must be before it gets an answer; the first thing that is wrong is refused. Pure."""

from typing import Any

from msgspec import Struct

from proxy.core.money import PUSD_PER_USD
from proxy.simulator.account import MANAGEMENT_PREFIX, SimulatedAccount
from proxy.simulator.api import Api
from proxy.simulator.budgets import SCOPES
from proxy.simulator.faults import FAULTS, ProviderFault

# OpenAI refuses what it does not know; the names are those of its own packages of November 2026.
_OPENAI_WORDS = {
    "chat/completions": (
        "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens "
        "messages metadata modalities model moderation n parallel_tool_calls prediction presence_penalty "
        "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort response_format "
        "safety_identifier seed service_tier stop store stream stream_options temperature tool_choice tools "
        "top_logprobs top_p user verbosity web_search_options"
    ),
    "completions": (
        "best_of echo frequency_penalty logit_bias logprobs max_tokens model n presence_penalty prompt seed "
        "stop stream stream_options suffix temperature top_p user"
    ),
    "embeddings": "dimensions encoding_format input model user",
    "responses": (
        "access_programs background context_management conversation image include input instructions "
        "max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls previous_response_id "
        "prompt prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier "
        "service_tier store stream stream_options temperature text tool_choice tools top_logprobs top_p "
        "truncation user"
    ),
}
_OPENAI_FIELDS = {path: frozenset(words.split()) for path, words in _OPENAI_WORDS.items()}
_KINDS: tuple[tuple[str, type], ...] = (
    ("messages", list),
    ("stream", bool),
    ("n", int),
    ("max_tokens", int),
    ("max_completion_tokens", int),
    ("max_output_tokens", int),
)
_MANY_CHOICES = 128  # OpenAI's bound on n


class RefusedError(Exception):
    """The request gets this fault instead of a generation; model fills the text."""

    def __init__(
        self, fault: ProviderFault, model: str = "", param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.model = model
        self.param = param
        self.code = code


class SimulatedRequest(Struct):
    """One request while it is answered."""

    api: Api
    openai: bool
    sequence: int
    now: int
    authorization: str
    key: str
    key_sha256: str
    body: dict[str, Any]
    model: str
    stream: bool
    session_id: str | None
    user: str | None
    user_agent: str | None = None


def check_key(asked: SimulatedRequest, account: SimulatedAccount) -> None:
    if asked.openai:
        if not asked.key:
            raise RefusedError(
                ProviderFault(
                    401,
                    "You didn't provide an API key. You need to provide your API key in an "
                    "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
                )
            )
        if not asked.key.startswith("sk-"):
            shown = f"{asked.key[:4]}***{asked.key[-4:]}"
            raise RefusedError(
                ProviderFault(
                    401,
                    f"Incorrect API key provided: {shown}. You can find your API key at "
                    "https://platform.openai.com/account/api-keys.",
                )
            )
        return
    if not asked.key:
        name = "no-auth" if not asked.authorization else "missing-header"
        raise RefusedError(FAULTS[name])
    if not asked.key.startswith("sk-or-v1-"):
        raise RefusedError(FAULTS["user-not-found"])
    if asked.key.startswith(MANAGEMENT_PREFIX):
        raise RefusedError(ProviderFault(403, "Management keys cannot be used for inference"))
    key = account.keys[asked.key_sha256]
    if key.disabled:
        raise RefusedError(ProviderFault(401, "API key is disabled", {"error_type": "authentication"}))
    for layer in account.layers(key, asked.now):
        if layer["left_pusd"] <= 0 and layer["scope"] != "key_limit":
            raise RefusedError(_spent_budget(layer))
    if key.remaining_pusd(asked.now) == 0:
        window = key.limit_reset or "total"
        text = f"Key limit exceeded ({window} limit). Manage it using https://openrouter.ai/settings/keys"
        raise RefusedError(ProviderFault(403, text, {"limit_source": "openrouter_key_limit"}))


def _spent_budget(layer: dict[str, Any]) -> ProviderFault:
    source = SCOPES[layer["scope"]]
    whose = "Guardrail" if "guardrail" in source else "Workspace"
    figures = {"limit_usd": layer["limit_pusd"] / PUSD_PER_USD, "spend_usd": layer["spent_pusd"] / PUSD_PER_USD}
    return ProviderFault(403, f"{whose} budget exceeded", {"limit_source": source, "scope": layer["scope"], **figures})


def check_body(asked: SimulatedRequest) -> None:
    body, api = asked.body, asked.api
    if not body:
        raise RefusedError(ProviderFault(400, "We could not parse the JSON body of your request."))
    if not body.get(api.required):
        raise RefusedError(ProviderFault(400, f"Missing required parameter: '{api.required}'."), param=api.required)
    for name, kind in _KINDS:
        if body.get(name) is not None and not isinstance(body[name], kind):
            raise RefusedError(ProviderFault(400, f"Invalid type for '{name}'."), param=name, code="invalid_type")
    if isinstance(body.get("n"), int) and not 1 <= body["n"] <= _MANY_CHOICES:
        raise RefusedError(ProviderFault(400, f"'n' must be from 1 to {_MANY_CHOICES}."), param="n")
    if asked.openai:
        _check_openai(asked)


def _check_openai(asked: SimulatedRequest) -> None:
    known = _OPENAI_FIELDS[asked.api.path]
    for name in asked.body:
        if name not in known:
            fault = ProviderFault(400, f"Unknown parameter: '{name}'.")
            raise RefusedError(fault, param=name, code="unknown_parameter")
    if asked.body.get("stream_options") is not None and not asked.stream:
        fault = ProviderFault(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        raise RefusedError(fault, param="stream_options", code="invalid_value")
