"""What a request body says about its cost: read once, before any price is known."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from proxy.core.endpoint_kind import LEAST_TOKENS, MAXIMUM, Endpoint
from proxy.core.limit_kinds import NONE_ASKED, Pieces, pieces_of


class BodyFacts(Struct, gc=False):
    """The facts that a bound on the cost rests on.

    size_bytes is the JSON body as it is sent; data_url_bytes is the part of it that is encoded media, not text.
    writes_cache: the body asks a provider to keep what it read (cache_control). whole_context is a reason why the
    prompt may be as long as the context (a file, audio, something not in the body), or empty. unpriced names what the
    body asks for that costs money by no price of a token.
    """

    size_bytes: int
    max_output_tokens: int | None = None
    choices: int = 1
    generates: bool = True  # False: embeddings have no output tokens
    data_url_bytes: int = 0
    images: int = 0
    images_out: int = 0  # that the answer is asked for
    whole_context: str = ""
    has_tools: bool = False
    has_prediction: bool = False
    wants_image_output: bool = False
    min_output_tokens: int = 1  # a thinking budget needs a greater maximum, else the provider refuses the request
    thinks: bool = False  # without saying for how long: the maximum must have room for thoughts and answer
    models: tuple[str, ...] = ()
    service_tier: str | None = None
    unpriced: tuple[str, ...] = ()
    writes_cache: bool = False
    has_audio: bool = False
    has_files: bool = False
    pieces: Pieces = NONE_ASKED  # what limits count of what few requests take


_RARE_KEYS = frozenset(
    {
        *("n", "best_of", "prompt", "input", "models", "tools", "functions", "deferred_tools", "prediction"),
        *("plugins", "service_tier", "web_search_options", "search_parameters", "modalities", "preset"),
        *("previous_response_id", "conversation", "mcp_servers", "container", "speed", "inference_geo"),
        *("thinking", "reasoning", "fallbacks", "background", "context_management"),
        *("reasoning_effort", "thinking_budget", "enable_thinking", "thinking_config", "reasoning_budget"),
        *("extra_body", "google", "chat_template_kwargs", "output_config", "cache_control"),
    }
)
NOT_PLAIN: Final = -1
_TURNS = frozenset({"chat", "messages"})  # the endpoints whose messages are checked to be turns

# Tools that the client runs itself. All other types run at the provider, at a price of their own.
_CLIENT_TOOLS = frozenset({None, "function", "custom", "local_shell", "apply_patch"})
_CLIENT_TOOL_PREFIXES = ("bash_", "text_editor_", "computer_", "memory_")  # Anthropic's, with a date behind
_PLAIN_TIERS = frozenset({"auto", "default", "flex", "standard", "standard_only"})  # flex is below the list price
_FREE_PLUGINS = frozenset({"context-compression"})  # on by default at OpenRouter for short contexts
_FEE_FIELDS = {  # fields that by their presence add a charge
    "web_search_options": "web search (web_search_options)",
    "search_parameters": "web search (search_parameters)",
    "mcp_servers": "remote tools (mcp_servers)",
    "container": "a code container (container)",
    "preset": "a preset of the provider (preset)",
    "previous_response_id": "earlier turns that the provider keeps (previous_response_id)",
    "conversation": "earlier turns that the provider keeps (conversation)",
}
_TEXT_PARTS = frozenset(
    {
        *("text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal", "thinking"),
        *("redacted_thinking", "tool_use", "function_call", "custom_tool_call", "reasoning", "message"),
    }
)
_FILES = frozenset({"input_file", "document"})
_MAX_DEPTH = 8
_WORD_CHARS_MAX = 64
_TOOL_KEYS = ("tools", "functions", "deferred_tools")
_LIST_KEYS = (*_TOOL_KEYS, "plugins", "fallbacks")


class _Media:
    """What reading the content parts finds."""

    __slots__ = ("audio", "file", "files", "images", "url_bytes", "whole_context", "writes_cache")

    def __init__(self) -> None:
        self.audio = False
        self.file = False
        self.files = ""
        self.images = 0
        self.url_bytes = 0
        self.whole_context = ""
        self.writes_cache = False


def plain_maximum(body: Mapping[str, Any], endpoint: Endpoint) -> int | None:
    """Return the one maximum that a plain chat names, None where it names none; NOT_PLAIN: it is not that plain.

    What a plain chat may cost depends on that and on its length alone. Types are already checked.
    """
    if endpoint != "chat" or not _RARE_KEYS.isdisjoint(body):
        return NOT_PLAIN
    for message in body.get("messages") or ():
        content = message.get("content")
        if content.__class__ is str and len(message) == 2 and "role" in message:  # nearly always
            continue
        is_plain = content.__class__ is str or content is None
        if not is_plain or "audio" in message or "images" in message or "cache_control" in message:
            return NOT_PLAIN
    model = body.get("model")
    if model is not None and (":" in model or "@" in model):
        return NOT_PLAIN
    most, other = body.get("max_tokens"), body.get("max_completion_tokens")
    if other is not None:
        if most is not None:
            return NOT_PLAIN
        most = other
    return most if most is None or most.__class__ is int else NOT_PLAIN


def _named_maximum(body: Mapping[str, Any], endpoint: Endpoint) -> int | None:
    """Return the greatest maximum that the body names: if two names disagree the provider may obey either."""
    found = None
    for key in MAXIMUM[endpoint]:
        value = body.get(key)
        if value.__class__ is int and (found is None or value > found):
            found = value
    return found


def read_facts(body: Mapping[str, Any], size_bytes: int, endpoint: Endpoint = "chat") -> BodyFacts:
    """Read the facts from a parsed body whose JSON as sent has size_bytes. Types are already checked.

    Content is looked at only where it is a list of parts; text is never read. The length of encoded media is
    the length of its string, which is at most its bytes in the JSON.
    """
    asked = plain_maximum(body, endpoint)
    if asked != NOT_PLAIN:
        return BodyFacts(size_bytes, asked)
    media = _Media()
    messages = body.get("messages")
    if messages and endpoint in _TURNS:
        for message in messages:
            content = message.get("content")
            is_plain = content.__class__ is str or content is None
            if not is_plain or "audio" in message or "images" in message or "cache_control" in message:
                _walk_item(message, media, 0)
    return _rare_facts(body, size_bytes, endpoint, _named_maximum(body, endpoint), media)


def _rare_facts(
    body: Mapping[str, Any], size_bytes: int, endpoint: Endpoint, asked: int | None, media: _Media
) -> BodyFacts:
    _walk_input(body, endpoint, media)
    fallbacks = [fallback.get("model") for fallback in _listed(body.get("fallbacks")) if isinstance(fallback, dict)]
    named = (body.get("model"), *_listed(body.get("models")), *fallbacks)
    models = tuple(name for name in named if isinstance(name, str))
    tools = [tool for key in _TOOL_KEYS for tool in _listed(body.get(key))]
    tier = body.get("service_tier")
    budget = thinking_budget(body)
    names = _unpriced(body, models, tools)
    choices = _choices(body, endpoint)
    wants_images = "image" in _listed(body.get("modalities"))
    if media.files:
        names.append(f"a file, whose parsing may have a price of its own ({media.files})")
    if budget and asked is not None and budget >= asked:
        names.append(f"a thinking budget of {budget} tokens, which is not below the maximum of the answer")
    found = BodyFacts(
        size_bytes=size_bytes,
        max_output_tokens=asked,
        choices=choices,
        generates=endpoint != "embeddings",
        data_url_bytes=min(media.url_bytes, size_bytes),
        images=media.images,
        images_out=choices if wants_images or any(map(_makes_images, tools)) else 0,
        whole_context=media.whole_context,
        has_tools=bool(tools),
        has_prediction=body.get("prediction") is not None,
        wants_image_output=wants_images,
        min_output_tokens=max(budget + 1, LEAST_TOKENS.get(endpoint, 1)),
        thinks=_thinks(body),
        writes_cache=media.writes_cache or any(_writes_cache(part) for part in (body, *tools)),
        has_audio=media.audio,
        has_files=media.file,
        models=models,
        service_tier=tier if isinstance(tier, str) else None,
        unpriced=tuple(names),
    )
    found.pieces = pieces_of(found)
    return found


def _listed(value: Any) -> list[Any]:
    """Return a list, [] for anything else: in a field that we do not check the provider refuses a wrong type."""
    return value if isinstance(value, list) else []


# Where a budget of thinking is named: Anthropic, OpenRouter, Gemini (also under extra_body, as its SDKs send it), Qwen,
# and templates of vLLM and SGLang.
_THINKING_PARTS = frozenset(
    {
        *("thinking", "reasoning", "extra_body", "google", "thinking_config", "thinkingConfig", "generationConfig"),
        *("chat_template_kwargs", "generation_config"),
    }
)
_BUDGETS = frozenset({"budget_tokens", "thinking_budget", "thinkingBudget", "reasoning_budget"})
_NO_EFFORT = frozenset({"none", "off", "disabled"})


def thinking_budget(body: Mapping[str, Any]) -> int:
    """Return the tokens of thinking asked for, in whatever form; they are inside the maximum of the answer."""
    return max((budget for budget, _ in _thinking(body, 0)), default=0)


def _thinks(body: Mapping[str, Any]) -> bool:
    """Return whether thinking is asked for, by an effort or a switch."""
    return any(asked for _, asked in _thinking(body, 0))


def _thinking(part: Mapping[str, Any], depth: int) -> Iterator[tuple[int, bool]]:
    """Return (budget, whether thinking is asked for) for each field that says something of it."""
    for name, value in part.items():
        if name in _THINKING_PARTS and isinstance(value, dict) and depth < _MAX_DEPTH:
            if name == "reasoning" and type(value.get("max_tokens")) is int:
                yield max(value["max_tokens"], 0), True
            is_on = value.get("type") in ("enabled", "adaptive") or value.get("enabled") is True
            yield 0, is_on or _is_effort(value.get("effort"))
            yield from _thinking(value, depth + 1)
        elif name in _BUDGETS and type(value) is int:
            yield max(value, 0), value != 0  # -1: as long as the model likes
        elif name == "reasoning_effort":
            yield 0, _is_effort(value)
        elif name in ("enable_thinking", "thinking"):
            yield 0, value is True
        elif name == "output_config" and isinstance(value, dict):
            yield 0, _is_effort(value.get("effort"))


def _is_effort(value: Any) -> bool:
    return isinstance(value, str) and value.lower() not in _NO_EFFORT


def _writes_cache(part: Any) -> bool:
    return isinstance(part, dict) and part.get("cache_control") is not None


def _choices(body: Mapping[str, Any], endpoint: Endpoint) -> int:
    counts = [value for key in ("n", "best_of") if type(value := body.get(key)) is int]
    choices = max(1, *counts) if counts else 1
    prompt = body.get("prompt")
    if endpoint == "completions" and isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        return choices * len(prompt)  # each prompt of a list gets n answers
    return choices


def _walk_input(body: Mapping[str, Any], endpoint: Endpoint, media: _Media) -> None:
    if body.get("previous_response_id") is not None or body.get("conversation") is not None:
        media.whole_context = "earlier turns that the provider keeps"
    if isinstance(body.get("prompt"), dict):
        media.whole_context = "a prompt that the provider keeps"
    items = body.get("input")
    if endpoint in ("responses", "embeddings", "chat") and isinstance(items, list):
        for item in items:
            if isinstance(item, dict):
                _walk_item(item, media, 0)
    if endpoint == "messages" and isinstance(body.get("system"), list):
        _walk_parts(body["system"], media, 0)


def _walk_item(item: Mapping[str, Any], media: _Media, depth: int) -> None:
    """Read a message, or an item of the Responses API: a message, a tool call, or its output."""
    if "role" not in item and "content" not in item:
        _walk_part(item, media, depth)
        return
    media.writes_cache |= _writes_cache(item)
    if item.get("audio") is not None:
        media.whole_context = "audio"
        media.audio = True
    for image in _listed(item.get("images")):
        _walk_part(image, media, depth)
    content = item.get("content")
    if isinstance(content, list):
        _walk_parts(content, media, depth)
    elif content is not None and not isinstance(content, str):
        media.whole_context = "content of an unknown shape"


def _walk_parts(parts: list[Any], media: _Media, depth: int) -> None:
    for part in parts:
        if part.__class__ is not str:
            _walk_part(part, media, depth)


def _walk_part(part: Any, media: _Media, depth: int) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    media.writes_cache |= _writes_cache(part)
    if _is_one_of(kind, _TEXT_PARTS):
        return
    if kind in ("image_url", "input_image", "image", "computer_screenshot"):
        media.images += 1
        media.url_bytes += _encoded_bytes(part)
    elif kind in ("tool_result", "function_call_output", "custom_tool_call_output") and depth < _MAX_DEPTH:
        inner = part.get("content", part.get("output"))
        if isinstance(inner, list):
            _walk_parts(inner, media, depth + 1)
    elif kind == "document" and _has_text_source(part):
        return
    else:
        if _is_one_of(kind, _FILES):
            media.files = str(kind)
        media.audio |= kind in ("input_audio", "audio")
        media.file |= kind == "file" or bool(media.files)
        # Audio, video, files, and every part of a kind not known here: only the context bounds them.
        media.whole_context = f"a part of type {_word(kind)}"
        media.url_bytes += _encoded_bytes(part) if isinstance(part, dict) else 0


def _has_text_source(part: Mapping[str, Any]) -> bool:
    source = part.get("source")
    return isinstance(source, dict) and source.get("type") == "text"


def _encoded_bytes(part: Mapping[str, Any]) -> int:
    """Return the number of base64 characters in a part: a data URL, or the data of audio, files and sources."""
    total = 0
    for key in ("image_url", "video_url", "input_audio", "file", "source"):
        inner = part.get(key)
        if isinstance(inner, str):
            total += len(inner) if inner.startswith("data:") else 0
        elif isinstance(inner, dict):
            total += _encoded_chars(inner)
    return total + _encoded_chars(part)


def _encoded_chars(part: Mapping[str, Any]) -> int:
    total = 0
    for key in ("url", "data", "file_data"):
        text = part.get(key)
        is_text_source = key == "data" and part.get("type") == "text"
        if isinstance(text, str) and not is_text_source and (key != "url" or text.startswith("data:")):
            total += len(text)
    return total


def _unpriced(body: Mapping[str, Any], models: tuple[str, ...], tools: list[Any]) -> list[str]:
    names = [text for key, text in _FEE_FIELDS.items() if body.get(key) is not None]
    names += [f"{key} of an unknown shape" for key in _LIST_KEYS if not isinstance(body.get(key) or [], list)]
    for plugin in _listed(body.get("plugins")):
        name = plugin.get("id") if isinstance(plugin, dict) else plugin
        enabled = not isinstance(plugin, dict) or plugin.get("enabled") is not False
        if enabled and not _is_one_of(name, _FREE_PLUGINS):
            names.append(f"plugin {_word(name)}")
    for tool in tools:
        names += _server_tools(tool, 0)
    tier = body.get("service_tier")
    if tier is not None and not _is_one_of(tier, _PLAIN_TIERS):
        names.append(f"service tier {_word(tier)}")
    if body.get("speed") not in (None, "standard"):
        names.append(f"speed {_word(body['speed'])}")
    if body.get("inference_geo") not in (None, "global"):
        names.append(f"inference_geo {_word(body['inference_geo'])}")
    names += _kept_elsewhere(body)
    for model in models:
        if "@preset/" in model:
            names.append(f"a preset of the provider ({model})")
        if model.endswith(":online"):
            names.append(f"web search ({model})")
    return names


def _server_tools(tool: Any, depth: int) -> list[str]:
    """Return the names of what runs at the provider in a tool, which may be a group of tools (namespace)."""
    if not isinstance(tool, dict):
        return ["server tool ?"]
    kind = tool.get("type")
    if kind == "namespace" and depth < _MAX_DEPTH and isinstance(tool.get("tools"), list):
        return [name for inner in tool["tools"] for name in _server_tools(inner, depth + 1)]
    if kind is None or _is_one_of(kind, _CLIENT_TOOLS) or str(kind).startswith(_CLIENT_TOOL_PREFIXES):
        return []
    return [f"server tool {_word(kind)}"]


def _makes_images(tool: Any) -> bool:
    """Return whether a tool of the provider makes images."""
    return isinstance(tool, dict) and tool.get("type") == "image_generation"


def _kept_elsewhere(body: Mapping[str, Any]) -> list[str]:
    """Return the names of what is done outside the answer, or added to the prompt at the provider."""
    names = []
    if isinstance(body.get("prompt"), dict):  # it may hold tools as well as text
        names.append("a prompt that the provider keeps (prompt)")
    if body.get("background") is True:
        names.append("an answer made in the background, whose usage comes later (background)")
    management = body.get("context_management")
    edits = management.get("edits") if isinstance(management, dict) else management
    for edit in _listed(edits):
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not str(kind).startswith("clear_"):  # clearing only removes
            names.append(f"context management {_word(kind)}")
    for fallback in _listed(body.get("fallbacks")):
        if not isinstance(fallback, dict) or set(fallback) != {"model"}:
            names.append("fallbacks that change more than the model")
            break
    return names


def _is_one_of(value: Any, words: frozenset[Any]) -> bool:
    return isinstance(value, str) and value in words


def _word(value: Any) -> str:
    """Return a value for an error's text; anything but a short word is only described."""
    return value if isinstance(value, str) and len(value) <= _WORD_CHARS_MAX and value.isprintable() else "?"
