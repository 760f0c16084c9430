"""Servers of one's own for many users: vLLM, SGLang and TGI.

Sources: their documentation; vllm-project/vllm (its OpenAI server's error types, max_model_len in the list);
earendil-works/pi#6262 (vLLM's words for a full context), THUDM/LongBench#104 (the older ones, at the top of the
body), huggingface/text-generation-inference#2531 (usage of streams) and #439 (overloaded), huggingface/
huggingface_hub#2514 (a maximum that does not fit: 422). They bill nobody; prices are those of one's own machine.
"""

from typing import Any

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


def _vllm(status: int, kind: str, message: str, param: str | None = None) -> ProfileFailure:
    return ProfileFailure(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})


_BAD = "BadRequestError"
_VLLM: dict[FailureKind, ProfileFailure] = {
    "bad_key": ProfileFailure(401, {"error": "Unauthorized"}),
    "rate_limited": _vllm(429, "TooManyRequests", "Too many requests, please retry later."),
    "context_full": _vllm(
        400,
        _BAD,
        "This model's maximum context length is {limit} tokens. However, your request has {value} input tokens. "
        "Please reduce the length of the input messages.",
        "input_tokens",
    ),
    "unknown_model": _vllm(404, "NotFoundError", "The model `{model}` does not exist.", "model"),
    "no_tools": _vllm(
        400,
        _BAD,
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    ),
    "no_pictures": _vllm(400, _BAD, "At most 0 image(s) may be provided in one prompt."),
    "no_thinking": _vllm(400, _BAD, "reasoning_effort is not supported by this model"),
    "overloaded": _vllm(503, "ServiceUnavailableError", "The engine is overloaded"),
    "broken": _vllm(
        500, "InternalServerError", "EngineCore encountered an issue. See stack trace (above) for the root cause."
    ),
}
VLLM = Profile(
    name="vllm",
    title="vLLM",
    address="http://127.0.0.1:8000/v1",
    models=(ProfileModel("Qwen/Qwen3-8B", price("0.05", "0.20"), 40_960, 40_960, thinks=True),),
    more=frozenset(("responses", "completions", "embeddings")),
    failures=_VLLM,
    told=ProfileUsage(details=False, more={"prompt_tokens_details": None}),
    stream=ProfileStream(
        broken=_vllm(500, "InternalServerError", "EngineCore encountered an issue."), done_after_broken=True
    ),
    listing=ProfileListing(context="max_model_len", more={"object": "model", "owned_by": "vllm", "parent": None}),
    fills=_vllm(
        400,
        _BAD,
        "'max_tokens' or 'max_completion_tokens' is too large: {value}. This model's maximum context length is "
        "{limit} tokens and your request has {input} input tokens ({value} > {limit} - {input}).",
        "max_tokens",
    ),
    needs_key=False,
    notes=("A maximum that does not fit beside the prompt is refused.",),
)


def _sglang(status: int, kind: str, message: Any) -> ProfileFailure:
    return ProfileFailure(status, {"object": "error", "message": message, "type": kind, "param": None, "code": status})


_SGLANG: dict[FailureKind, ProfileFailure] = {
    "bad_key": ProfileFailure(401, {"error": "Unauthorized"}),
    "context_full": _sglang(
        400,
        "BadRequest",
        "The input ({value} tokens) is longer than the model's context length ({limit} tokens).",
    ),
    "unknown_model": _sglang(404, "NotFoundError", "The model `{model}` does not exist."),
    "no_tools": _sglang(400, "BadRequest", "Tools are provided but the server was started without --tool-call-parser"),
    "no_pictures": _sglang(400, "BadRequest", "The model is not multimodal; image input is not supported"),
    "no_thinking": _sglang(400, "BadRequest", "The model does not support reasoning"),
    "overloaded": _sglang(503, "ServiceUnavailable", "The request queue is full."),
    "broken": ProfileFailure(500, "Internal Server Error"),
}
SGLANG = Profile(
    name="sglang",
    title="SGLang",
    address="http://127.0.0.1:30000/v1",
    models=(ProfileModel("deepseek-ai/DeepSeek-V3.2", price("0.25", "0.40"), 163_840, 163_840, thinks=True),),
    more=frozenset(("responses", "completions", "embeddings")),
    failures=_SGLANG,
    told=ProfileUsage(details=False, more={"prompt_tokens_details": None, "reasoning_tokens": 0}),
    stream=ProfileStream(
        broken=ProfileFailure(
            500, {"error": {"object": "error", "message": "Internal error", "type": "InternalServerError", "code": 500}}
        ),
        done_after_broken=True,
    ),
    listing=ProfileListing(context="max_model_len", more={"object": "model", "owned_by": "sglang"}),
    fills=_sglang(
        400,
        "BadRequest",
        "Requested token count exceeds the model's maximum context length of {limit} tokens. You requested a total "
        "of {total} tokens: {input} tokens from the input messages and {value} tokens for the completion. Please "
        "reduce the number of tokens in the input messages or the completion to fit within the limit.",
    ),
    needs_key=False,
    notes=("Its errors are at the top of the body; a broken one may be plain text.",),
)


def _tgi(status: int, kind: str, text: str) -> ProfileFailure:
    return ProfileFailure(status, {"error": text, "error_type": kind})


_TGI: dict[FailureKind, ProfileFailure] = {
    "bad_key": ProfileFailure(401, "Unauthorized"),
    "context_full": _tgi(
        422, "validation", "Input validation error: `inputs` must have less than {limit} tokens. Given: {value}"
    ),
    "no_tools": _tgi(422, "template_error", "Template error: template does not support tools"),
    "no_pictures": _tgi(422, "validation", "Input validation error: image input is not supported by this model"),
    "overloaded": _tgi(429, "overloaded", "Model is overloaded"),
    "broken": _tgi(424, "generation", "Request failed during generation: Server error: CANCELLED"),
}
TGI = Profile(
    name="tgi",
    title="TGI",
    address="http://127.0.0.1:3000/v1",
    models=(ProfileModel("mistralai/Mistral-7B-Instruct-v0.3", price("0.05", "0.10"), 32_768, 32_768),),
    more=frozenset(("completions",)),
    failures=_TGI,
    told=ProfileUsage(reasoning="unsaid", details=False),
    stream=ProfileStream(
        broken=ProfileFailure(
            424,
            {"error": "Request failed during generation: Server error: CANCELLED", "error_type": "generation"},
            event="error",
        ),
        empty_first=False,
    ),
    listing=ProfileListing(more={"object": "model", "owned_by": "mistralai"}),
    fills=_tgi(
        422,
        "validation",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= {limit}. Given: {input} `inputs` "
        "tokens and {value} `max_new_tokens`",
    ),
    needs_key=False,
    notes=("It serves one model and answers to any name.", "Overload is reported as 429, failure as 424."),
)
PROFILES = (VLLM, SGLANG, TGI)
