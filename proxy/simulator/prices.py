"""The demo catalogue: models, what a token costs, and what a request therefore costs. Pure.

Prices are strings in USD per token as ``/models`` sends them and integers of atto-USD (1e-18) per token
inside. They were read from public price lists in August to November 2026 and are a demo: what counts is what
this table says, because the simulator charges by it.
"""

from decimal import Decimal

from msgspec import Struct, field

AUSD_PER_PUSD = 10**6


def per_million(usd: str) -> int:
    """Return atto-USD per token for a price in USD per million tokens."""
    return int(Decimal(usd).scaleb(12))


def price_text(ausd: int) -> str:
    """Return the exact decimal text in USD for atto-USD, without exponent."""
    whole, rest = divmod(ausd, 10**18)
    fraction = f"{rest:018d}".rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)


class DemoPrice(Struct, frozen=True):
    """Atto-USD per token; cache prices None = not listed, the input price holds; request is per request."""

    prompt: int
    completion: int
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    request: int = 0
    above_prompt_tokens: int | None = None  # strictly more prompt tokens than this: ``above`` holds for all of them
    above: "DemoPrice | None" = None
    dynamic: bool = False  # a router: listed as "-1", charged as the model that it picks

    def at(self, prompt_tokens: int) -> "DemoPrice":
        if self.above is not None and self.above_prompt_tokens is not None and prompt_tokens > self.above_prompt_tokens:
            return self.above
        return self


class Model(Struct, frozen=True):
    """One row of the catalogue; ``slug`` is the dated permanent name.

    ``provider`` who serves it by default.
    """

    id: str
    price: DemoPrice
    provider: str
    context: int | None = 128_000
    max_output: int | None = 16_384
    slug: str = ""
    inputs: tuple[str, ...] = ("text",)
    outputs: tuple[str, ...] = ("text",)
    moderated: bool = False
    picks: str | None = None  # routers and aliases: the model that answers
    aliases: tuple[str, ...] = field(default=())

    @property
    def permaslug(self) -> str:
        return self.slug or self.id


class Tokens(Struct, frozen=True):
    """What was counted. cached and cache_write are parts of prompt, reasoning is a part of completion."""

    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


def input_ausd(price: DemoPrice, tokens: Tokens) -> int:
    price = price.at(tokens.prompt)
    read = price.prompt if price.cache_read is None else price.cache_read
    write = price.prompt if price.cache_write is None else price.cache_write
    fresh = tokens.prompt - tokens.cached - tokens.cache_write
    return fresh * price.prompt + tokens.cached * read + tokens.cache_write * write + price.request


def output_ausd(price: DemoPrice, tokens: Tokens) -> int:
    return tokens.completion * price.at(tokens.prompt).completion


def _price(
    prompt: str,
    completion: str,
    read: str | None = None,
    write: str | None = None,
    write_1h: str | None = None,
) -> DemoPrice:
    return DemoPrice(
        per_million(prompt),
        per_million(completion),
        None if read is None else per_million(read),
        None if write is None else per_million(write),
        None if write_1h is None else per_million(write_1h),
    )


def _tiered(base: DemoPrice, above_prompt_tokens: int, above: DemoPrice) -> DemoPrice:
    return DemoPrice(
        base.prompt,
        base.completion,
        base.cache_read,
        base.cache_write,
        base.cache_write_1h,
        base.request,
        above_prompt_tokens,
        above,
    )


_FREE = DemoPrice(0, 0)
_ROUTER = DemoPrice(0, 0, dynamic=True)
_SEES = ("text", "image")
_CLAUDE_SONNET = _tiered(_price("3", "15", "0.30", "3.75", "6"), 200_000, _price("6", "22.5", "0.60", "7.5", "12"))

CATALOGUE: tuple[Model, ...] = (
    Model("openai/gpt-4o", _price("2.50", "10", "1.25"), "OpenAI", slug="openai/gpt-4o-2024-11-20", inputs=_SEES),
    Model(
        "openai/gpt-4o-mini",
        _price("0.15", "0.60", "0.075"),
        "OpenAI",
        slug="openai/gpt-4o-mini-2024-07-18",
        inputs=_SEES,
        moderated=True,
    ),
    Model("openai/gpt-4.1-mini", _price("0.40", "1.60", "0.10"), "OpenAI", 1_047_576, 32_768, inputs=_SEES),
    Model("openai/gpt-4.1-nano", _price("0.10", "0.40", "0.03"), "OpenAI", 1_047_576, 32_768, inputs=_SEES),
    Model("openai/gpt-5", _price("1.25", "10", "0.125"), "OpenAI", 400_000, 128_000, inputs=_SEES),
    Model(
        "openai/gpt-5-mini",
        _price("0.25", "2", "0.025"),
        "OpenAI",
        400_000,
        128_000,
        "openai/gpt-5-mini-2025-08-07",
        _SEES,
        aliases=("~openai/gpt-mini-latest",),
    ),
    Model("openai/gpt-5-nano", _price("0.05", "0.40", "0.005"), "OpenAI", 400_000, 128_000, inputs=_SEES),
    Model("openai/gpt-5.4-mini", _price("0.75", "4.50", "0.075"), "OpenAI", 400_000, 128_000, inputs=_SEES),
    Model(
        "anthropic/claude-haiku-4.5",
        _price("1", "5", "0.10", "1.25"),
        "Anthropic",
        200_000,
        64_000,
        inputs=_SEES,
    ),
    Model("anthropic/claude-sonnet-4", _CLAUDE_SONNET, "Amazon Bedrock", 1_000_000, 64_000, inputs=_SEES),
    Model(
        "anthropic/claude-sonnet-4.5",
        _CLAUDE_SONNET,
        "Anthropic",
        1_000_000,
        64_000,
        "anthropic/claude-4.5-sonnet-20250929",
        _SEES,
    ),
    Model("anthropic/claude-sonnet-5", _price("2", "10", "0.20", "2.50"), "Anthropic", 1_000_000, 128_000),
    Model("anthropic/claude-opus-5", _price("5", "25", "0.50", "6.25"), "Anthropic", 1_000_000, 128_000),
    Model(
        "google/gemini-2.5-flash",
        _price("0.30", "2.50", "0.03", "0.0833"),
        "Google",
        1_048_576,
        65_535,
        inputs=("text", "image", "file", "audio"),
    ),
    Model("google/gemini-2.5-flash-lite", _price("0.10", "0.40", "0.01", "0.0833"), "Google", 1_048_576, 65_535),
    Model(
        "google/gemini-2.5-pro",
        _tiered(_price("1.25", "10", "0.125", "0.375"), 200_000, _price("2.5", "15", "0.25")),
        "Google AI Studio",
        1_048_576,
        65_536,
        inputs=_SEES,
    ),
    Model("deepseek/deepseek-v3.2", _price("0.26", "0.38", "0.13"), "DeepSeek", 163_840, 65_536),
    Model("meta-llama/llama-3.3-70b-instruct", _price("0.59", "0.79", "0.295"), "Groq", 131_072, 32_768),
    Model("mistralai/mistral-small-3.2-24b-instruct", _price("0.10", "0.30", "0.01"), "Mistral", 131_072, None),
    Model(
        "x-ai/grok-4.7",
        _tiered(_price("2", "6", "0.50"), 200_000, _price("4", "12", "1")),
        "xAI",
        500_000,
        None,
    ),
    Model("openai/gpt-oss-120b", _price("0.10", "0.50"), "Fireworks", 131_072, None),
    Model("openai/gpt-oss-20b", _price("0.03", "0.14", "0.009"), "Groq", 131_072, None),
    Model("qwen/qwen3-32b", _price("0.14", "0.40", "0.09"), "Nebius", 40_960, None),
    Model("moonshotai/kimi-k2.5", _price("0.532", "3.325", "0.209"), "Novita", 262_144, None),
    Model("meta-llama/llama-3.3-70b-instruct:free", _FREE, "Chutes", 65_536, None),
    Model("deepseek/deepseek-v3.2:free", _FREE, "Chutes", 163_840, None),
    Model("openai/gpt-oss-20b:free", _FREE, "Chutes", 131_072, None),
    # As a server on one's own machine calls it (Ollama); nobody sends a bill for that.
    Model("openai/gpt-oss:20b", _FREE, "Ollama", 131_072, None),
    Model("openrouter/auto", _ROUTER, "OpenRouter", 2_000_000, None, picks="openai/gpt-4o-mini"),
    Model("openrouter/free", _FREE, "OpenRouter", None, None, picks="openai/gpt-oss-20b:free"),
    Model("openrouter/pareto-code", _ROUTER, "OpenRouter", None, None, picks="openai/gpt-5-mini"),
    Model("openai/text-embedding-3-small", _price("0.02", "0"), "OpenAI", 8_192, None, outputs=("embeddings",)),
    Model("openai/text-embedding-3-large", _price("0.13", "0"), "OpenAI", 8_192, None, outputs=("embeddings",)),
    Model("openai/text-embedding-ada-002", _price("0.10", "0"), "OpenAI", 8_192, None, outputs=("embeddings",)),
)
SCRIPTED_MODEL = "openai/gpt-4o-mini"  # ids of the form sim/<behaviour> cost what this one costs
CREATED_S = 1_721_260_800  # one release day for all: nothing reads it


class DemoModels:
    """Looks a model up as OpenRouter does: id, permanent name, alias, with or without a ``:variant``."""

    def __init__(self, models: tuple[Model, ...] = CATALOGUE) -> None:
        self.models = models
        self._by_name: dict[str, Model] = {}
        for model in models:
            for name in (model.id, model.permaslug, *model.aliases):
                self._by_name.setdefault(name, model)

    def find(self, name: str) -> Model | None:
        """Return the model with this name (routers resolved already), or None."""
        model = self._by_name.get(name)
        if model is None and ":" in name:
            model = self._by_name.get(name.rpartition(":")[0])
        if model is None and name.startswith("sim/"):
            model = self._by_name[SCRIPTED_MODEL]
        if model is not None and model.picks is not None:
            model = self._by_name[model.picks]
        return model

    def find_openai(self, name: str) -> Model | None:
        """Return the model for a name without author, as OpenAI knows it."""
        return self.find(name) if name.startswith("sim/") else self._by_name.get(f"openai/{name}")


def pricing_body(price: DemoPrice) -> dict[str, object]:
    """Write a price as /models does: decimal strings, optional keys only where there is such a price."""
    if price.dynamic:
        return {"prompt": "-1", "completion": "-1"}
    body: dict[str, object] = {"prompt": price_text(price.prompt), "completion": price_text(price.completion)}
    for key, ausd in (
        ("input_cache_read", price.cache_read),
        ("input_cache_write", price.cache_write),
        ("input_cache_write_1h", price.cache_write_1h),
    ):
        if ausd is not None:
            body[key] = price_text(ausd)
    if price.request:
        body["request"] = price_text(price.request)
    if price.above is not None:
        body["overrides"] = [{"min_prompt_tokens": price.above_prompt_tokens, **pricing_body(price.above)}]
    return body


_PARAMETERS = [
    *("max_tokens", "temperature", "top_p", "seed", "stop", "tools", "tool_choice", "response_format"),
    *("structured_outputs", "reasoning", "include_reasoning", "frequency_penalty", "presence_penalty"),
]


def _architecture(model: Model) -> dict[str, object]:
    modality = f"{'+'.join(model.inputs)}->{'+'.join(model.outputs)}"
    return {
        "modality": modality,
        "input_modalities": list(model.inputs),
        "output_modalities": list(model.outputs),
        "tokenizer": "GPT" if model.id.startswith("openai/") else "Other",
        "instruct_type": None,
    }


def model_body(model: Model) -> dict[str, object]:
    """Write one item of ``GET /models``."""
    return {
        "id": model.id,
        "canonical_slug": model.permaslug,
        "hugging_face_id": "",
        "name": model.id.replace("/", ": ", 1),
        "created": CREATED_S,
        "description": "A model of the simulator's demo catalogue.",
        "context_length": model.context,
        "architecture": _architecture(model),
        "pricing": pricing_body(model.price),
        "top_provider": {
            "context_length": model.context,
            "max_completion_tokens": model.max_output,
            "is_moderated": model.moderated,
        },
        "per_request_limits": None,
        "supported_parameters": _PARAMETERS,
        "default_parameters": {},
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }


def models_body(models: tuple[Model, ...], outputs: str | None) -> dict[str, object]:
    """Write ``GET /models``: text models unless outputs is "all" or names another modality."""
    shown = [m for m in models if outputs == "all" or (outputs or "text") in m.outputs]
    return {"data": [model_body(m) for m in shown], "total_count": len(shown), "links": {"next": None}}


def endpoints_body(model: Model) -> dict[str, object]:
    """Write ``GET /models/{author}/{slug}/endpoints`` with the one provider that serves the model here."""
    endpoint = {
        "name": f"{model.provider} | {model.permaslug}",
        "model_id": model.id,
        "model_name": model.id.replace("/", ": ", 1),
        "context_length": model.context or 0,
        "pricing": pricing_body(model.price) | {"discount": 0},
        "provider_name": model.provider,
        "tag": model.provider.lower().replace(" ", "-"),
        "quantization": None,
        "max_completion_tokens": model.max_output,
        "max_prompt_tokens": None,
        "supported_parameters": _PARAMETERS,
        "status": 0,
        "uptime_last_30m": 100,
        "uptime_last_5m": 100,
        "uptime_last_1d": 100,
        "latency_last_30m": None,
        "throughput_last_30m": None,
        "supports_implicit_caching": model.price.cache_read is not None,
        "supports_diarization": False,
        "supports_tool_choice": {"auto": True, "function": True, "none": True, "required": True},
        "native_tools": {},
        "service_tier": None,
    }
    return {
        "data": {
            "id": model.id,
            "name": model.id.replace("/", ": ", 1),
            "created": CREATED_S,
            "description": "A model of the simulator's demo catalogue.",
            "architecture": _architecture(model),
            "endpoints": [endpoint],
        }
    }
