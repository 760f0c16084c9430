"""Servers of one's own on a desk: llama.cpp, Ollama and LM Studio.

Sources: llama.cpp's server documentation and ggml-org/llama.cpp#15780 (a full context, with its figures);
Ollama's page on OpenAI compatibility, louisho5/picobot#6 (tools), ollama/ollama#15934 and
valentinfrlch/ha-llmvision#648 (busy), continuedev/continue#10984 (a runner that stopped); LM Studio's documentation
of its REST API and lmstudio-ai/lmstudio-bug-tracker#1492 (a model that does not load). Some of their errors are a
text and no object. They bill nobody; prices are those of one's own machine.
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


def _llama(status: int, kind: str, message: str, **more: int) -> ProfileFailure:
    return ProfileFailure(status, {"error": {"code": status, "message": message, "type": kind, **more}})


_LLAMA: dict[FailureKind, ProfileFailure] = {
    "bad_key": _llama(401, "authentication_error", "Invalid API Key"),
    "context_full": ProfileFailure(
        400,
        {
            "error": {
                "code": 400,
                "message": "request ({value} tokens) exceeds the available context size ({limit} tokens), try "
                "increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 1407,
                "n_ctx": 256,
            }
        },
    ),
    "unknown_model": _llama(404, "not_found_error", "model '{model}' not found"),
    "no_tools": _llama(500, "server_error", "tools param requires --jinja flag"),
    "no_pictures": _llama(
        500,
        "server_error",
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    ),
    "overloaded": _llama(503, "unavailable_error", "Loading model"),
    "broken": _llama(500, "server_error", "Compute error."),
}
LLAMACPP = Profile(
    name="llamacpp",
    title="llama.cpp",
    address="http://127.0.0.1:8080/v1",
    models=(ProfileModel("gpt-oss-20b", price("0.01", "0.05"), 32_768, 32_768, thinks=True),),
    more=frozenset(("completions", "embeddings")),
    failures=_LLAMA,
    told=ProfileUsage(details=False),
    stream=ProfileStream(broken=_llama(500, "server_error", "Compute error.")),
    listing=ProfileListing(
        context="meta.n_ctx_train", more={"object": "model", "owned_by": "llamacpp", "meta": {"vocab_type": 2}}
    ),
    needs_key=False,
    notes=("A model without tools or pictures is reported as 500.",),
)


def _ollama(status: int, message: str, kind: str = "api_error", code: str | None = None) -> ProfileFailure:
    return openai_error(status, message, kind, code)


_OLLAMA: dict[FailureKind, ProfileFailure] = {
    "bad_key": ProfileFailure(401, {"error": "unauthorized"}),
    "context_full": _ollama(400, "the input length exceeds the context length", "invalid_request_error"),
    "unknown_model": _ollama(404, "model '{model}' not found", "not_found_error"),
    "no_tools": _ollama(400, "registry.ollama.ai/library/{model} does not support tools"),
    "no_pictures": _ollama(500, "this model is missing data required for image input"),
    "no_thinking": _ollama(400, '"{model}" does not support thinking', "invalid_request_error"),
    "overloaded": _ollama(503, "server busy, please try again.  maximum pending requests exceeded"),
    "broken": _ollama(
        500,
        "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check "
        "ollama server logs for details",
    ),
}
OLLAMA = Profile(
    name="ollama",
    title="Ollama",
    address="http://127.0.0.1:11434/v1",
    models=(ProfileModel("gpt-oss:20b", price("0.01", "0.05"), 131_072, 131_072, thinks=True),),
    more=frozenset(("responses", "completions", "embeddings")),
    failures=_OLLAMA,
    told=ProfileUsage(details=False),
    stream=ProfileStream(
        thoughts="reasoning",
        empty_first=False,
        broken=ProfileFailure(
            500, {"error": {"message": "an error was encountered while running the model", "type": "api_error"}}
        ),
    ),
    listing=ProfileListing(more={"object": "model", "owned_by": "library"}),
    needs_key=False,
    notes=("A prompt above the context is cut in silence by most versions; others refuse it.",),
)


def _studio(status: int, text: str, *, in_stream: bool = True) -> ProfileFailure:
    return ProfileFailure(status, {"error": text}, in_stream=in_stream, event="error" if in_stream else None)


_STUDIO: dict[FailureKind, ProfileFailure] = {
    "bad_key": _studio(401, "Malformed LM Studio API token provided", in_stream=False),
    "context_full": _studio(
        400,
        "Trying to keep the first {value} tokens when context the overflows. However, the model is loaded with "
        "context length of only {limit} tokens, which is not enough. Try to load the model with a larger context "
        "length, or provide a shorter input",
    ),
    "unknown_model": ProfileFailure(
        404,
        {
            "error": {
                "message": 'Failed to load model "{model}". Error: Model not found.',
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }
        },
    ),
    "no_tools": _studio(400, "This model does not support tool use."),
    "no_pictures": _studio(400, "Model does not support images. Please use a model that does."),
    "overloaded": _studio(503, "Model is busy: too many requests are queued."),
    "broken": _studio(500, "The model has crashed without additional information. (Exit code: 18446744072635812000)"),
}
LMSTUDIO = Profile(
    name="lmstudio",
    title="LM Studio",
    address="http://127.0.0.1:1234/v1",
    models=(ProfileModel("qwen/qwen3-8b", price("0.01", "0.05"), 32_768, 32_768, thinks=True),),
    more=frozenset(("responses", "completions", "embeddings")),
    failures=_STUDIO,
    told=ProfileUsage(),
    stream=ProfileStream(broken=_studio(500, "The model has crashed without additional information.")),
    listing=ProfileListing(more={"object": "model", "owned_by": "organization_owner"}),
    needs_key=False,
    notes=("Its errors are texts; in a stream they come as an event named `error` after a 200.",),
)
PROFILES = (LLAMACPP, OLLAMA, LMSTUDIO)
