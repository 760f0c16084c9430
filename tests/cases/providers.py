"""The providers of the cases, by the case's name: each answers as a real server was seen to answer."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.cases.upstream import (
    EVENTS,
    JSON,
    Answer,
    Provider,
    Request,
    catalogue,
    chunk,
    events,
    good,
    listed,
    models,
    refuse,
)

_CONTEXT_TOKENS = 131_072


def stream_options_refused(request: Request) -> Answer:
    if "stream_options" not in request.body:
        return good(request.body)
    detail = {"type": "extra_forbidden", "loc": ["body", "stream_options", "include_usage"], "msg": "not permitted"}
    return refuse(422, {"object": "error", "message": {"detail": [detail]}, "type": "invalid_request_error"})


def max_tokens_name(request: Request) -> Answer:
    if "max_tokens" not in request.body:
        return good(request.body)
    text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    error = {"message": text, "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}
    return refuse(400, {"error": error})


def max_tokens_fills_the_context(request: Request) -> Answer:
    prompt, asked = len(json.dumps(request.body["messages"])) // 4, request.body.get("max_tokens") or 0
    if prompt + asked <= _CONTEXT_TOKENS:
        return good(request.body, {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cost": 0.0000026})
    text = (
        f"This endpoint's maximum context length is {_CONTEXT_TOKENS} tokens. However, you requested about"
        f" {prompt + asked} tokens ({prompt} of text input, {asked} in the output)."
    )
    return refuse(400, {"error": {"code": 400, "message": text, "metadata": {"provider_name": None}}})


def two_system_messages(request: Request) -> Answer:
    if all(message["role"] not in ("system", "developer") for message in request.body["messages"][1:]):
        return good(request.body)
    text = "System message must be at the beginning."
    return refuse(400, {"error": {"message": text, "type": "BadRequestError", "param": None, "code": 400}})


_REASONING_OUTSIDE: Final[Mapping[str, Any]] = {
    "grok": {
        "prompt_tokens": 10120,
        "completion_tokens": 1499,
        "total_tokens": 14428,
        "prompt_tokens_details": {"cached_tokens": 128},
        "completion_tokens_details": {"reasoning_tokens": 2809},
    },
    "gemini": {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 520},
}


def reasoning_outside_completion(request: Request) -> Answer:
    return good(request.body, _REASONING_OUTSIDE[request.body["model"]])


_CACHE_WRITES: Final[Mapping[str, Any]] = {
    "input_tokens": 6,
    "cache_creation_input_tokens": 159217,
    "cache_read_input_tokens": 0,
    "output_tokens": 2745,
    "cache_creation": {"ephemeral_5m_input_tokens": 159217, "ephemeral_1h_input_tokens": 0},
}


def cache_writes_at_input_price(request: Request) -> Answer:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.body["model"],
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _CACHE_WRITES,
    }
    if not request.body.get("stream"):
        return 200, JSON, json.dumps(message)
    begun = {**message, "content": [], "stop_reason": None, "usage": {**_CACHE_WRITES, "output_tokens": 1}}
    return events(
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2745}},
        {"type": "message_stop"},
    )


def embeddings_total_only(request: Request) -> Answer:
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
    whole = {"object": "list", "data": vectors, "model": request.body["model"], "usage": {"total_tokens": 8}}
    return 200, JSON, json.dumps(whole)


def usage_inside_the_choice(request: Request) -> Answer:
    usage = {"prompt_tokens": 2989, "completion_tokens": 20, "total_tokens": 3009, "cached_tokens": 2989}
    if not request.body.get("stream"):
        return good(request.body, usage)
    said = {"index": 0, "delta": {"role": "assistant", "content": "Hello."}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}
    model = request.body["model"]
    return 200, EVENTS, [chunk(model, [said]), chunk(model, [end]), "data: [DONE]\n\n"]


_NO_ANSWERS: Final[Mapping[str, Any]] = {
    "nothing": {"id": "", "object": "", "created": 0, "model": "", "choices": None, "usage": None},
    "base-resp": {
        "id": "05a",
        "choices": None,
        "created": 1,
        "model": "m",
        "object": "",
        "usage": {"total_tokens": 0},
        "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"},
    },
    "stream-error": {"object": "error", "message": "Engine ran out of cache blocks", "type": "InternalServerError"},
}


def refusal_in_200_other_shape(request: Request) -> Answer:
    if request.body["model"] == "other":
        return good(request.body)
    text = json.dumps(_NO_ANSWERS[request.body["model"]])
    if request.body.get("stream"):
        return 200, EVENTS, [f"data: {text}\n\n", "data: [DONE]\n\n"]
    return 200, JSON, text


def account_fault_told_by_400(request: Request) -> Answer:
    if request.body["model"] == "other" or (request.authorization or "").endswith("good"):
        return good(request.body)
    if request.body["model"] == "gemini":
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        text = "API key not valid. Please pass a valid API key."
        return refuse(400, {"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT", "details": [info]}})
    text = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."
    return refuse(400, {"type": "error", "error": {"type": "invalid_request_error", "message": text}})


_TOO_LONG: Final[Mapping[str, tuple[int, Any]]] = {
    "xai": (
        400,
        {
            "code": "invalid-argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        },
    ),
    "poolside": (
        400,
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {
                    "provider_name": "Poolside",
                    "raw": '{"error":{"message":"Input length 131393 exceeds the maximum allowed input length of 131040'
                    ' tokens."}}',
                },
            }
        },
    ),
    "gemini": (
        400,
        {
            "error": {
                "code": 400,
                "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                "status": "INVALID_ARGUMENT",
            }
        },
    ),
    "tgi": (
        422,
        {
            "error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5005",
            "error_type": "validation",
        },
    ),
    "lmstudio": (
        400,
        {
            "error": "Trying to keep the first 8000 tokens when context the overflows. However, the model is loaded"
            " with context length of only 4096 tokens."
        },
    ),
    "old-vllm": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "bedrock": (
        400,
        {
            "error": {
                "message": "Input is too long for requested model.",
                "type": "invalid_request_error",
                "code": "validation_error",
            }
        },
    ),
    "openai": (
        400,
        {
            "error": {
                "message": "Your input exceeds the context window of this model. Please adjust your input and try"
                " again.",
                "type": "invalid_request_error",
                "param": "input",
                "code": "context_length_exceeded",
            }
        },
    ),
    "vllm": (
        400,
        {
            "error": {
                "message": "This model's maximum context length is 262144 tokens. However, you requested 0 output"
                " tokens and your prompt contains at least 262145 input tokens.",
                "type": "BadRequestError",
                "param": "input_tokens",
                "code": 400,
            }
        },
    ),
}


def context_overflow_words(request: Request) -> Answer:
    return good(request.body) if request.body["model"] == "big" else refuse(*_TOO_LONG[request.body["model"]])


_CANNOT: Final[Mapping[str, Any]] = {
    "ollama-tools": {
        "message": "registry.ollama.ai/library/gemma3:4b does not support tools",
        "type": "api_error",
        "param": None,
        "code": None,
    },
    "deepseek-image": {
        "message": "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `image_url`,"
        " expected `text` at line 1 column 93",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_request_error",
    },
    "deepseek-thought": {
        "message": "The `reasoning_content` in the thinking mode must be passed back to the API.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_request_error",
    },
    "gemini-thought": {
        "code": 400,
        "message": "Function call is missing a thought_signature in functionCall parts.",
        "status": "INVALID_ARGUMENT",
    },
    "temperature": {
        "message": "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value"
        " is supported.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_value",
    },
}


def model_cannot_told_by_400(request: Request) -> Answer:
    model = request.body["model"]
    return good(request.body) if model == "big" else refuse(400, {"error": _CANNOT[model]})


def error_in_array(request: Request) -> Answer:
    model, content = request.body["model"], request.body["messages"][0]["content"]
    if model == "gemini-tuned":
        text = "You do not have permission to access tuned model gemini-tuned."
        error = {"code": 403, "message": text, "status": "PERMISSION_DENIED"}
    elif content == "search":
        text = 'Invalid JSON payload received. Unknown name "web_search_options": Cannot find field.'
        error = {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}
    elif model == "gemini-2.5-flash" and content == "long":
        text = "The request exceeds the maximum context length."
        error = {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}
    else:
        return good(request.body)
    return refuse(int(str(error["code"])), json.dumps([{"error": error}], indent=2))


def one_user_shuts_provider(request: Request) -> Answer:
    if not isinstance(request.body["messages"][0]["content"], list):
        return good(request.body)
    text = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
    return refuse(500, {"error": {"code": 500, "message": text, "type": "server_error"}})


def complete_answer_called_broken(request: Request) -> Answer:
    model = request.body["model"]
    said = {"index": 0, "delta": {"role": "assistant", "content": "All of it."}, "finish_reason": None}
    return 200, EVENTS, [chunk(model, [said]), chunk(model, [{"index": 0, "delta": {}, "finish_reason": "stop"}])]


def reported_cost_ignored(request: Request) -> Answer:
    details = {"cached_tokens": 9519}
    usage = {"prompt_tokens": 9520, "completion_tokens": 16, "total_tokens": 9536, "cost": 0.00254674}
    return good(request.body, {**usage, "prompt_tokens_details": details})


def wrong_place_to_pay(_: Request) -> Answer:
    error = {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}
    return refuse(402, {"error": error})


def usage_that_comes_anyway_hidden(request: Request) -> Answer:
    model, usage = request.body["model"], {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    said = {"index": 0, "delta": {"role": "assistant", "content": "Hello."}, "finish_reason": None}
    end = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}
    pieces = [
        chunk(model, [said]),
        chunk(model, [end], usage=usage),
        chunk(model, [], usage=usage, citations=["https://example.com/a"]),
        "data: [DONE]\n\n",
    ]
    return 200, EVENTS, pieces


def wait_told_in_the_body(request: Request) -> Answer:
    if not (request.authorization or "").endswith("free"):
        return good(request.body)
    violation = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "15"}
    error = {
        "code": 429,
        "message": "You exceeded your current quota. Please retry in 38.922534355s.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38s"},
        ],
    }
    return refuse(429, {"error": error})


def streams_without_an_answer(request: Request) -> Answer:
    model, opening = request.body["model"], {"role": "assistant", "content": ""}
    begun = {
        "done": [],
        "role": [chunk(model, [{"index": 0, "delta": opening, "finish_reason": None}])],
        "failure": [chunk(model, [{"index": 0, "delta": opening, "finish_reason": "error"}])],
    }
    return (200, EVENTS, [*begun[model], "data: [DONE]\n\n"]) if model in begun else good(request.body)


def _good(request: Request) -> Answer:
    return good(request.body)


_OPENROUTER_LIST = catalogue(
    listed("qwen/qwen3-coder", _CONTEXT_TOKENS, None), listed("switchpoint/router", _CONTEXT_TOKENS, _CONTEXT_TOKENS)
)

PROVIDERS: Final[Mapping[str, tuple[Provider, Answer]]] = {
    "stream_options_refused": (stream_options_refused, models("large")),
    "max_tokens_name": (max_tokens_name, models("o4-mini")),
    "max_tokens_fills_the_context": (max_tokens_fills_the_context, _OPENROUTER_LIST),
    "two_system_messages": (two_system_messages, models("qwen3.6-27b")),
    "reasoning_outside_completion": (reasoning_outside_completion, models(*_REASONING_OUTSIDE)),
    "cache_writes_at_input_price": (cache_writes_at_input_price, models("claude-opus-4-7")),
    "embeddings_total_only": (embeddings_total_only, models("voyage-3")),
    "usage_inside_the_choice": (usage_inside_the_choice, models("kimi-k2.5")),
    "refusal_in_200_other_shape": (refusal_in_200_other_shape, models(*_NO_ANSWERS, "other")),
    "account_fault_told_by_400": (account_fault_told_by_400, models("claude-haiku-4-5", "gemini", "other")),
    "context_overflow_words": (context_overflow_words, models(*_TOO_LONG, "big")),
    "model_cannot_told_by_400": (model_cannot_told_by_400, models(*_CANNOT, "big")),
    "error_in_array": (error_in_array, models("gemini-2.5-flash", "gemini-tuned", "big")),
    "one_user_shuts_provider": (one_user_shuts_provider, models("llava", "other")),
    "complete_answer_called_broken": (complete_answer_called_broken, models("m")),
    "browser_origin": (_good, models("m")),
    "slashes": (_good, models("m")),
    "outbound_proxy": (_good, models("m")),
    "reported_cost_ignored": (reported_cost_ignored, models("glm")),
    "wrong_place_to_pay": (wrong_place_to_pay, models("deepseek-chat")),
    "usage_that_comes_anyway_hidden": (usage_that_comes_anyway_hidden, models("m")),
    "streams_without_an_answer": (streams_without_an_answer, models("done", "role", "failure", "other")),
    "wait_told_in_the_body": (wait_told_in_the_body, models("gemini-2.5-flash")),
}
"""What answers a POST, and the list of models, by the name of the case."""
