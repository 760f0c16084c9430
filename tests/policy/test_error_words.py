"""What providers say, in every shape and place: which row of the table it comes to, and which step follows.

The words are quoted from public documentation and threads; the shapes are those of wire/error.py.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.failure import Failure
from proxy.policy.failure_table import TABLE, decide
from proxy.wire.error import error_of_body, error_of_message
from proxy.wire.parsed_answer import read_answer
from proxy.wire.retry_after import read_retry_after
from proxy.wire.stream_meter import StreamMeter

NOW_MS = 1_795_219_200_000
STEPS = {row.case: (*row.steps, "stop") for row in TABLE}

# provider, status, words: what row
SAID: list[tuple[str, int, str, str]] = [
    ("OpenAI", 401, "Incorrect API key provided: sk-1.", "bad_key"),
    ("xAI", 400, "Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai.", "bad_key"),
    ("Gemini", 400, "API key not valid. Please pass a valid API key.", "bad_key"),
    ("Gemini", 400, "API key expired. Please renew the API key.", "bad_key"),
    ("Gemini", 403, "Your API key was reported as leaked. Please use another API key.", "bad_key"),
    ("Anthropic", 400, "This organization has been disabled.", "bad_key"),
    ("DeepSeek", 401, "Authentication Fails (no such user)", "bad_key"),
    ("Cohere", 403, "invalid api token", "bad_key"),
    ("Qwen", 400, "Invalid API-key provided.", "bad_key"),
    ("Bedrock", 403, "The security token included in the request is invalid.", "bad_key"),
    (
        "OpenRouter",
        503,
        "There is no available model provider that meets your routing requirements",
        "overloaded",
    ),
    ("Anthropic", 400, "Your credit balance is too low to access the Anthropic API.", "no_credits"),
    ("DeepSeek", 402, "Insufficient Balance", "no_credits"),
    ("OpenAI", 400, "Billing hard limit has been reached", "no_credits"),
    ("OpenAI", 429, "You exceeded your current quota, please check your plan and billing details.", "no_credits"),
    ("Perplexity", 401, "You exceeded your current quota, please check your plan and billing details.", "no_credits"),
    ("xAI", 403, "Your newly created team doesn't have any credits yet.", "no_credits"),
    ("Fireworks", 412, "Account a is suspended, possibly due to failure to pay past invoices", "no_credits"),
    ("Qwen", 400, "Access denied, please make sure your account is in good standing.", "no_credits"),
    ("Moonshot", 429, "Your account a is suspended, please check your plan and billing details", "no_credits"),
    ("Together", 402, "Credit limit exceeded, please add funds.", "no_credits"),
    ("Hugging Face", 402, "You have exceeded your monthly included credits for Inference Providers.", "no_credits"),
    ("LiteLLM", 400, "Budget has been exceeded! Current cost: 10.1, Max budget: 10.0", "no_credits"),
    ("Z.ai", 429, "Insufficient balance or no resource package. Please recharge.", "no_credits"),
    ("Anthropic", 400, "You have reached your specified API usage limits.", "key_limit"),
    ("OpenRouter", 403, "Key limit exceeded (monthly limit).", "key_limit"),
    ("Z.ai", 429, "Usage limit reached for 5 hour. Your limit will reset at 2026-12-01 10:00:00", "key_limit"),
    ("Groq", 413, "Request too large for model `m` on tokens per minute (TPM): Limit 6000", "asks_too_much"),
    ("OpenAI", 429, "Rate limit reached for m on tokens per min (TPM): Limit 10000.", "rate_limited"),
    ("MiMo", 400, "Detected high-frequency non-compliant requests from you.", "rate_limited"),
    ("Google", 403, "Quota exceeded for quota metric 'Generate requests' and limit 'per minute'.", "rate_limited"),
    ("Bedrock", 400, "Too many requests, please wait before trying again.", "rate_limited"),
    ("Azure", 429, "Requests to the operation have exceeded call rate limit of your pricing tier.", "rate_limited"),
    ("Groq", 503, "Rate limit reached, please try again", "rate_limited"),
    ("Anthropic", 529, "Overloaded", "overloaded"),
    ("Z.ai", 429, "The service may be temporarily overloaded, please try again later", "overloaded"),
    ("OpenAI", 429, "The engine is currently overloaded, please try again later.", "overloaded"),
    ("Gemini", 503, "The model is overloaded. Please try again later.", "overloaded"),
    ("DeepSeek", 503, "Service is too busy. We advise users to temporarily switch to other providers.", "overloaded"),
    ("Mistral", 429, "Service tier capacity exceeded for this model.", "overloaded"),
    ("Cerebras", 429, "We're experiencing high traffic right now! Please try again soon.", "overloaded"),
    ("Groq", 498, "m is currently over capacity. Please try again and back off exponentially.", "overloaded"),
    ("Bedrock", 424, "Bedrock is unable to process your request.", "overloaded"),
    ("Hugging Face", 503, "Model m is currently loading", "overloaded"),
    ("Ollama", 503, "server busy, please try again. maximum pending requests exceeded", "overloaded"),
    ("someone", 400, "The server is overloaded", "overloaded"),
    ("OpenAI", 400, "This model's maximum context length is 8192 tokens.", "too_long"),
    ("OpenAI", 400, "Your input exceeds the context window of this model.", "too_long"),
    ("Anthropic", 400, "prompt is too long: 208310 tokens > 200000 maximum", "too_long"),
    ("Anthropic", 400, "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000", "too_long"),
    ("Gemini", 400, "The input token count (12) exceeds the maximum number of tokens allowed (10).", "too_long"),
    ("xAI", 400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens.", "too_long"),
    ("TGI", 422, "Input validation error: `inputs` must have less than 4096 tokens. Given: 5005", "too_long"),
    ("LM Studio", 400, "Trying to keep the first 8000 tokens when context the overflows.", "too_long"),
    ("Bedrock", 400, "Input is too long for requested model.", "too_long"),
    ("llama.cpp", 400, "the request exceeds the available context size, try increasing it", "too_long"),
    ("llama.cpp", 500, "the request exceeds the available context size", "too_long"),
    ("Poolside", 400, "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.", "too_long"),
    ("Cohere", 400, "too many tokens: total number of tokens in the prompt cannot exceed 4081", "too_long"),
    ("Qwen", 400, "Range of input length should be [1, 129024]", "too_long"),
    ("Moonshot", 400, "Your request exceeded model token limit: 262144", "too_long"),
    ("Z.ai", 400, "Prompt exceeds max length", "too_long"),
    ("SGLang", 400, "The input (12 tokens) is longer than the model's context length (10 tokens).", "too_long"),
    ("vLLM", 400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096.", "too_long"),
    ("GitHub", 413, "Request body too large for m model. Max size: 8000 tokens.", "too_long"),
    ("Groq", 400, "Please reduce the length of the messages or completion.", "too_long"),
    ("OpenAI", 404, "The model `m` does not exist or you do not have access to it.", "no_model"),
    ("Groq", 400, "The model `m` has been decommissioned and is no longer supported.", "no_model"),
    ("DeepSeek", 400, "Model Not Exist", "no_model"),
    ("Mistral", 400, "Invalid model: m", "no_model"),
    ("Perplexity", 400, "Invalid model 'm'. Permitted models can be found in the documentation", "no_model"),
    ("Gemini", 404, "models/m is not found for API version v1main", "no_model"),
    ("Bedrock", 400, "The provided model identifier is invalid.", "no_model"),
    ("Azure", 404, "The API deployment for this resource does not exist.", "no_model"),
    ("LiteLLM", 400, "Invalid model name passed in model=m. Call `/v1/models` to view available models", "no_model"),
    ("Ollama", 404, "model 'm' not found", "no_model"),
    ("Together", 400, "Unable to access model m. Please visit the list of supported models.", "no_model"),
    ("NVIDIA", 410, "The model has reached its end of life", "no_model"),
    ("one-api", 503, "No available channel for model m under the current group", "no_model"),
    ("Ollama", 400, "registry.ollama.ai/library/gemma3:4b does not support tools", "cannot"),
    ("OpenAI", 400, "Unsupported value: 'temperature' does not support 0.2 with this model.", "cannot"),
    ("OpenAI", 400, "Unrecognized request argument supplied: stream_options", "cannot"),
    ("Mistral", 422, "body.stream_options: Extra inputs are not permitted", "cannot"),
    ("Gemini", 400, "Function calling is not enabled for models/gemma-3-27b-it", "cannot"),
    ("Gemini", 400, "Function call is missing a thought_signature in functionCall parts.", "cannot"),
    ("Gemini", 400, 'Invalid JSON payload received. Unknown name "web_search_options": Cannot find field.', "cannot"),
    ("DeepSeek", 400, "The `reasoning_content` in the thinking mode must be passed back to the API.", "cannot"),
    ("DeepSeek", 400, "Failed to deserialize: messages[0]: unknown variant `image_url`, expected `text`", "cannot"),
    ("Anthropic", 400, "Expected `thinking` or `redacted_thinking`, but found `text`", "cannot"),
    ("vLLM", 400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', "cannot"),
    ("vLLM", 400, "m is not a multimodal model", "cannot"),
    ("llama.cpp", 500, "image input is not supported - hint: you may need to provide the mmproj", "cannot"),
    ("Bedrock", 400, "This model doesn't support tool use in streaming mode.", "cannot"),
    ("Perplexity", 400, "user or tool message(s) should alternate with assistant message(s)", "cannot"),
    ("Mistral", 400, "Expected last role User or Tool for serving but got assistant", "cannot"),
    ("Groq", 400, "Failed to call a function. Please adjust your prompt.", "cannot"),
    ("OpenAI", 400, "max_tokens is too large: 20000. This model supports at most 16384 completion tokens", "cannot"),
    ("Azure", 400, "The response was filtered by Azure OpenAI's content management policy.", "moderated"),
    ("OpenAI", 400, "Your request was rejected as a result of our safety system.", "moderated"),
    ("Anthropic", 400, "Output blocked by content filtering policy", "moderated"),
    ("DeepSeek", 400, "Content Exists Risk", "moderated"),
    ("Qwen", 400, "Output data may contain inappropriate content.", "moderated"),
    ("Moonshot", 400, "The request was rejected because it was considered high risk", "moderated"),
    ("xAI", 403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", "moderated"),
    ("MiniMax", 400, "input new_sensitive", "moderated"),
    ("Anthropic", 413, "Request exceeds the maximum size", "too_large"),
    ("Gemini", 400, "Request payload size exceeds the limit: 20971520 bytes.", "too_large"),
    ("OpenAI", 403, "Country, region, or territory not supported", "forbidden"),
    ("Gemini", 400, "User location is not supported for the API use.", "forbidden"),
    ("LM Studio", 400, "The model has crashed without additional information. (Exit code: 6)", "crashed"),
    ("TGI", 424, "Request failed during generation: Server error: CUDA out of memory", "crashed"),
    ("OpenAI", 400, "We could not parse the JSON body of your request.", "bad_request"),
    ("OpenAI", 400, "Missing required parameter: 'messages'.", "bad_request"),
    ("OpenAI", 400, "Invalid schema for response_format 'answer': schema must be a JSON Schema", "bad_request"),
    ("OpenAI", 400, "Invalid type for 'messages': expected an array, but got an integer", "bad_request"),
    ("OpenAI", 400, "An assistant message with 'tool_calls' must be followed by tool messages", "bad_request"),
    ("someone", 400, "Something is wrong.", "unclear"),
]  # fmt: skip

SHAPES: dict[str, Callable[[str], Any]] = {
    "error object": lambda words: {"error": {"message": words, "type": "invalid_request_error", "code": None}},
    "error text": lambda words: {"error": words},
    "error text with a code beside": lambda words: {"code": "invalid-argument", "error": words},
    "list of one": lambda words: [{"error": {"message": words, "status": "INVALID_ARGUMENT"}}],
    "object error": lambda words: {"object": "error", "message": words, "type": "BadRequestError", "param": None},
    "message at the top": lambda words: {"message": words, "type": "invalid_request_error", "code": "1"},
    "message object": lambda words: {"object": "error", "message": {"detail": [{"loc": ["body"], "msg": words}]}},
    "detail": lambda words: {"detail": words},
    "list of details": lambda words: {"detail": [{"loc": ["body", "x"], "msg": words, "type": "value_error"}]},
    "list of errors": lambda words: {"errors": [{"message": words, "code": 1}], "success": False, "result": None},
    "code and msg": lambda words: {"code": 500, "msg": words, "success": False},
    "anthropic": lambda words: {"type": "error", "error": {"type": "invalid_request_error", "message": words}},
    "behind a router": lambda words: {
        "error": {"message": "Bad request", "metadata": {"raw": json.dumps({"error": {"message": words}})}}
    },
    "JSON in a text": lambda words: {"error": {"message": json.dumps({"error": {"message": words, "code": 1}})}},
    "inner error": lambda words: {"error": {"message": "Bad request", "innererror": {"message": words}}},
    "details": lambda words: {"error": {"message": "Bad request", "details": [{"message": words}]}},
    "base_resp": lambda words: {"base_resp": {"status_code": 9999, "status_msg": words}, "choices": None},
    "error within an error": lambda words: {"error": {"error": {"message": words}}},
}


@pytest.mark.parametrize(("provider", "status", "words", "case"), SAID, ids=[f"{p}: {w[:40]}" for p, _, w, _ in SAID])
def test_words_by_status(provider: str, status: int, words: str, case: str) -> None:
    for name, shape in SHAPES.items():
        error = error_of_body(json.dumps(shape(words)).encode())
        decision = decide(Failure("status", status, error=error), NOW_MS)
        assert (decision.case, decision.steps) == (case, STEPS[case]), (provider, name)
    text = decide(Failure("status", status, error=error_of_body(words.encode()), is_page=True), NOW_MS)
    assert text.case == case, "as plain text"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_words_in_a_200(shape: Callable[[str], Any]) -> None:
    """Plain, and as the first event of a stream."""
    for _, status, words, case in SAID:
        if status == 401 or case in ("bad_request", "unclear"):  # these rows need a status of 4xx
            continue
        message = shape(words)
        body = json.dumps(message).encode()
        answer = read_answer(body)
        assert answer is not None
        assert answer.error_seen
        held = message[0] if isinstance(message, list) else message
        error = error_of_message(held)
        found = decide(Failure("answer", 200, error=error), NOW_MS)
        if case == "crashed":
            assert "next_target" in found.steps
        else:
            assert found.case == case, words
        for stream in (b"data: " + body + b"\n\n", b"event: error\ndata: " + body + b"\n\n", body):
            meter = StreamMeter()
            meter.feed(stream)
            meter.finish()
            assert meter.error == error


@pytest.mark.parametrize(
    "message",
    [
        {"id": "1", "choices": [{"message": {"content": "An API key not valid."}}], "base_resp": {"status_code": 0}},
        {"id": "1", "choices": [], "usage": {"prompt_tokens": 1}},
        {"object": "list", "data": [{"embedding": [0.1]}]},
        {"id": "1", "choices": None, "base_resp": {"status_code": 0, "status_msg": "success"}},
        {"type": "ping"},
        {"type": "message_start", "message": {"content": []}},
        {"type": "response.created", "response": {"status": "in_progress", "error": None}},
        {"choices": [{"delta": {"content": "x"}}], "error": None},
    ],
)
def test_what_is_no_error(message: dict[str, Any]) -> None:
    assert error_of_message(message) is None


def test_an_event_that_calls_itself_an_error_needs_no_json() -> None:
    meter = StreamMeter()
    meter.feed(b"event: error\ndata: the model is overloaded\n\n")
    assert meter.error == {"message": "the model is overloaded"}


@pytest.mark.parametrize("body", [b"", b"  ", b"<html>403</html>", b"<!DOCTYPE html><p>rate limit</p>"])
def test_a_page_holds_no_error(body: bytes) -> None:
    assert error_of_body(body) is None


_NAMES = (
    *("error", "errors", "message", "msg", "detail", "code", "type", "status", "base_resp", "status_code"),
    *("status_msg", "choices", "response", "metadata", "raw", "details", "retryDelay", "retry_after", "object"),
    *("usage", "headers", "previous_errors", "loc"),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(_NAMES) | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(_JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_any_body_can_be_read(body: bytes) -> None:
    error = error_of_body(body)
    wait_s = read_retry_after(lambda _: None, error, NOW_MS)
    assert decide(Failure("status", 400, error=error, retry_after_s=wait_s), NOW_MS).steps[-1] == "stop"
    read_answer(body)
    meter = StreamMeter()
    meter.feed(b"event: error\ndata: " + body + b"\n\ndata: " + body + b"\n\n")
    meter.finish()
