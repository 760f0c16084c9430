"""Which fields that the proxy wrote a refusal objects to, read from the provider's words. Pure.

Servers name a field by ``param``, by the place that a validator found it at, in quotes, or bare; some know it under
another name. What they say of a bound on the answer has the figures of what they would take. The phrases are those of
public documentation and threads: OpenAI and Azure, Anthropic, Gemini and Vertex, Mistral, DeepSeek, Groq, Together,
Fireworks, Moonshot, Qwen (DashScope), Cohere, vLLM, SGLang, llama.cpp, LM Studio, TGI, OpenRouter, Bedrock.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import orjson

BOUNDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
PROMPTS: Final = ("messages", "system", "instructions")
_TEXT_MAX_CHARS: Final = 20_000
_DEPTH_MAX: Final = 8
_FIGURE_MAX: Final = 2**31


class Objection(NamedTuple):
    """What is refused of what was written.

    fields: their names in the body. most and least: tokens, what a bound on the answer may be there. context: what the
    prompt and it may come to together, with room the tokens that the prompt leaves. says_schema: it is the schema, and
    not response_format as such. is_lasting: the figures hold for other requests too. is_vague: nothing was named at
    all, neither of ours nor of the client's.
    """

    fields: tuple[str, ...] = ()
    most: int | None = None
    least: int | None = None
    context: int | None = None
    room: int | None = None
    says_schema: bool = False
    is_lasting: bool = True
    is_vague: bool = False


def read_objection(refusal: bytes, written: Mapping[str, Any], own: Collection[str]) -> Objection | None:
    """Return what a refusal objects to; None: to nothing that we wrote, or not in words that are known.

    refusal: the body of the answer, of any shape. written: the fields that only the proxy wrote, with their values.
    own: the names of those that the client sent.
    """
    text = _plain(refusal)
    places = _places(refusal)
    placed = [name for name in written if name in places]
    if not placed and any(name in places for name in own if name not in PROMPTS):
        return None
    named = placed or [name for name in written if _names(name).search(text) is not None]
    if not named:
        told = _told(refusal)
        # every server's models accept these: only a text that could mean anything blames them
        is_common = _COMMON.issuperset(written) and _compiled(_ANYTHING).search(told) is None
        is_vague = written and not places and not is_common and not _compiled(_SAYS_WHAT).search(told)
        return Objection(is_vague=True) if is_vague and not any(_names(name).search(text) for name in own) else None
    if {"temperature", "top_p"} <= set(named) and _compiled(_ONE_OF_BOTH).search(text) is not None:
        named.remove("temperature")
    bounds = [written[name] for name in BOUNDS if name in named and type(written[name]) is int]
    figures = _figures(text, max(bounds)) if bounds else Objection()
    return figures._replace(
        fields=tuple(named),
        says_schema=_compiled(_SCHEMA).search(text) is not None,
        is_lasting=_compiled(_PASSING).search(text) is None,
    )


# --- the text ----------------------------------------------------------------------------------------------------


def _plain(refusal: bytes) -> str:
    """Return the text in lower case, its escapes taken out: JSON within JSON quotes its quotes."""
    text = refusal[:_TEXT_MAX_CHARS].decode("utf-8", "replace").lower()
    return (
        text.replace("\\u003e", ">")
        .replace("\\u003c", "<")
        .replace("\\u0027", "'")
        .replace("\\n", " ")
        .replace("\\", "")
    )


def _told(refusal: bytes) -> str:
    """Return the texts alone, in lower case, without the names that JSON puts them under."""
    try:
        found = orjson.loads(refusal)
    except orjson.JSONDecodeError:
        return _plain(refusal)
    return " ".join(_each_text(found, 0)).lower()


def _each_text(value: Any, depth: int) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif depth <= _DEPTH_MAX and isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _each_text(inner, depth + 1)


def _places(refusal: bytes) -> frozenset[str]:
    """Return the names by which a refusal in JSON says where the fault is."""
    try:
        found = orjson.loads(refusal)
    except orjson.JSONDecodeError:
        return frozenset()
    return frozenset(_each_place(found, 0))


def _each_place(value: Any, depth: int) -> Iterable[str]:
    if depth > _DEPTH_MAX:
        return
    if isinstance(value, list):
        for inner in value[:100]:
            yield from _each_place(inner, depth + 1)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key in ("param", "loc", "field", "path", "location"):
            yield from _steps(inner)
        elif key == "raw" and isinstance(inner, str):  # OpenRouter: the answer of the provider behind it
            yield from _places(inner.encode()) if depth == 0 or len(inner) < _TEXT_MAX_CHARS else ()
        elif key != "input":  # a validator may repeat the whole request there
            yield from _each_place(inner, depth + 1)


_STEP: Final = re.compile(r"[\w-]+")


def _steps(place: Any) -> Iterable[str]:
    if isinstance(place, str):
        yield from _STEP.findall(place.lower())
    elif isinstance(place, list):
        for step in place:
            if isinstance(step, str):
                yield step.lower()


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def compile_phrases() -> None:
    """Compile the patterns, for some milliseconds: neither a start need wait for them, nor the first refusal."""
    for pattern in (
        _ANYTHING,
        _ONE_OF_BOTH,
        _PASSING,
        _SCHEMA,
        _SAYS_WHAT,
        _BELOW,
        _LEAST,
        *_CONTEXT,
        *_PROMPT,
        *_MOST,
    ):
        _compiled(pattern)


# --- the names of fields -------------------------------------------------------------------------------------------

_BOUND_WORDS: Final = (
    r"max(?:imum)?[ _]?(?:new|output|completion|generated?)?[ _]?tokens",
    r"max_completion_tokens",
    r"max(?:imum)? number of (?:output |completion )?tokens",
    r"(?:completion|output) tokens",
    r"maximum context length",
    r"context (?:length|window|size|limit)",
    r"tokens in the output",
    r"max_seq_len",
    r"can only afford",
)
_PROMPT_WORDS: Final = (
    r"system(?:[' \"]{1,3}| )(?:role|message|prompt|instruction)",
    r"system_instruction|systeminstruction",
    r"(?:role|roles)[^a-z]{1,6}system|role[^.]{0,30}['\"`](?:system|developer)['\"`]",
    r"developer instruction",
    r"does not support ['\"]?system",
    r"roles? must alternate",
    r"first message must be|should start with (?:a )?user|must start with (?:a )?user",
    r"unsupported role|unexpected role|unknown role|invalid role|only user,? (?:and|tool)",
)
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(BOUNDS, _BOUND_WORDS),
    **dict.fromkeys(PROMPTS, _PROMPT_WORDS),
    "stream_options": (r"include_usage", r"stream[ _]?options"),
    "usage": (r"usage[.\[/]+[\"']?include",),
    "temperature": (r"temperature",),
    "top_p": (r"top[ _-]?p\b",),
    "top_k": (r"top[ _-]?k\b",),
    "min_p": (r"min[ _-]?p\b",),
    "stop": (r"stop[ _]?(?:sequences?|words?|strings?)",),
    "stop_sequences": (r"stop[ _]?sequences?",),
    "seed": (r"random[ _]seed",),
    "logprobs": (r"log[ _]?prob(?:s|abilities)?\b",),
    "top_logprobs": (r"top[ _]?logprobs", r"log[ _]?probs"),
    "logit_bias": (r"logit[ _]?bias",),
    "presence_penalty": (r"presence[ _]?penalty", r"\bpenalty is not"),
    "frequency_penalty": (r"frequency[ _]?penalty", r"\bpenalty is not"),
    "response_format": (
        r"response[ _]?(?:format|schema|mime[ _]?type)",
        r"json[ _](?:schema|object|mode)",
        r"structured[ _]outputs?",
        r"guided[ _](?:json|decoding)",
        r"the word 'json'",
    ),
    "text": (r"text\.format", r"json[ _]schema", r"structured[ _]outputs?"),
    "output_config": (r"output[ _](?:config|format)", r"json[ _]schema", r"structured[ _]outputs?"),
    "reasoning_effort": (r"reasoning[ _.]?effort", r"thinking[ _]level", r"(?:support|with|for)\s+reasoning"),
    "reasoning": (r"reasoning\.\w+", r"reasoning[ _](?:effort|tokens)", r"(?:support|with|for)\s+reasoning"),
    "thinking": (r"thinking\.\w+", r"(?:support|with|for)\s+thinking", r"budget_tokens"),
    "parallel_tool_calls": (r"parallel[ _]tool", r"parallel function"),
    "tools": (r"tool[ _](?:use|calls?|calling)\b", r"function[ _]call(?:s|ing)?", r"support tools"),
    "tool_choice": (r"tool[ _]choice", r"function[ _]call(?:s|ing)"),
    "service_tier": (r"service[ _]?tier",),
    "n": (r"(?:multiple|number of) (?:choices|completions)", r"candidate[ _]?count", r"\bn\s*(?:>|=|must|should)"),
    "verbosity": (r"verbosity",),
}
_KINDS_OF_PLACE: Final = "parameters?|arguments?|fields?|propert(?:y|ies)|options?|names?|keys?|supplied|inputs?"
_WRONG: Final = "unsupported|unknown|unrecognized|unexpected|invalid|extraneous"
_VERDICTS: Final = (
    r"is(?:n't| not)|are(?:n't| not)|not (?:supported|allowed|permitted)|must|should|cannot|can't|may only"
    r"|does(?:n't| not)|only|extra (?:inputs|fields)|unsupported|unknown|invalid|forbidden|: "
)


@lru_cache(maxsize=1024)
def _names(name: str) -> re.Pattern[str]:
    """Return what finds a field in a text. A name that is a word of its own must be marked as a field."""
    words = _WORDS.get(name, ())
    plain = re.escape(name.lower())
    found = [rf"(?<!\w)(?:{word})" for word in words]
    if name in PROMPTS:
        found += [rf"\b{plain}\[0\]", rf"\b{plain}\.\[?0", r"['\"`]system['\"`]"] if name == "messages" else []
    if name == "messages":
        return re.compile("|".join(found))
    if "_" in name:
        found.append(rf"(?<![\w])['\"`]?{plain}(?!\w)")
        camel = plain.replace("_", "")
        found.append(rf"(?<!\w){camel}(?!\w)")
    found += [
        rf"['\"`]{plain}['\"`.\[]",
        rf"[#/.]{plain}(?![\w/])",
        rf"(?:{_KINDS_OF_PLACE}|{_WRONG})[\s:=(]+['\"`]?{plain}(?!\w)",
        rf"(?<![\w.]){plain}['\"`]?\s*:?\s*(?:{_VERDICTS})",
        rf"not (?:supported|permitted|allowed)[\w ]{{0,30}}:\s*['\"`]?{plain}(?!\w)",
    ]
    return re.compile("|".join(found))


_COMMON: Final = frozenset(("usage", "stream_options"))
_ANYTHING: Final = (
    r"^\W*$|bad[ _]?request|(?:invalid|malformed) (?:request|parameter|argument|input|body|payload)|invalid_argument"
    r"|validation (?:error|failed)"
)
_ONE_OF_BOTH: Final = r"\bboth\b|only one|either|at the same time|simultaneous|mutually"
_PASSING: Final = r"afford|credits|stream"  # a bound for what is left, or for answers in one piece
_SCHEMA: Final = r"json_schema|schema|structured|type is unavailable|response_format\.type|response_format type"
# A refusal that says what is wrong, in whatever words, is not caused by a field of ours.
_SAYS_WHAT: Final = (
    r"content|safety|policy|exceed|\blimit|moderat|prompt|token|context|image|audio|picture|vision|multimodal|\bfile|url|tool|schema"
    r"|api.?key|credential|auth|permission|billing|balance|credit|quota|rate.?limit|overload|capacity|timed? ?out"
    r"|model|message|role|endpoint|not found|unavailable|region|country|terms of|length|too (?:long|large|many)"
)


# --- the figures of a bound ----------------------------------------------------------------------------------------

_N: Final = r"[`'\"]?(\d[\d,_]*)"
# what the prompt came to, and what both may come to
_CONTEXT: Final = (
    rf"\d+ \+ \d+ > {_N}",
    rf"(?:maximum )?context (?:length|window|size|limit)(?: of this model)?(?: is| of|:)?(?: only)?\s*{_N}",
    rf"inputs?[`'\"]? tokens \+ [`'\"]?max_new_tokens[`'\"]? must be <=\s*{_N}",
    rf"max_seq_len[^\d]{{0,20}}{_N}",
)
_PROMPT: Final = (
    rf"{_N}(?: tokens)? (?:in|from|of) (?:the |your )?(?:input )?(?:messages|text input|prompt|input)",
    rf"{_N} (?:in|from|of) (?:the )?tool input",
    rf"(?:your request has|you passed|passed|given:?|prompt (?:contains|has))\s*(?:at least )?{_N}",
    rf"{_N} \+ \d+ > \d+",
    rf"\d+ > \d+ - {_N}",
)
_MOST: Final = (
    rf"at most {_N}",
    rf"(?:<=|≤|less than or equal to|not? (?:be )?(?:greater|larger|more) than)\s*{_N}",
    rf"(?:not|cannot|can't|may not) exceed(?:s)?(?: the limit of)?\D{{0,12}}{_N}",
    rf"> {_N}, which is the maximum",
    rf"[\[(]\s*[01]\s*,\s*{_N}\s*[\])]",
    rf"(?:between|from)\s*[01]\D{{0,20}}(?:and|to|-)\s*{_N}",
    rf"(?:maximum|max|limit|up to)(?: allowed| value| number| output| completion| of| is| tokens|[:=])*\s*{_N}",
    rf"can only afford {_N}",
    rf"max_tokens > {_N} must",
)
_BELOW: Final = rf"(?:less than|below|<)\s*{_N}|{_N} \(exclusive\)"
_LEAST: Final = (
    rf"(?:>=|≥|at least|greater than or equal to|not? (?:be )?less than|minimum(?: value)?(?: of| is)?)\D{{0,12}}{_N}"
)


def _figures(text: str, value: int) -> Objection:
    """Return the figures of what would be taken in place of value; the fields are left to the caller."""
    context = _first(_CONTEXT, text)
    if context is not None:
        prompt = sum(_each(_PROMPT[:2], text)) or _first(_PROMPT[2:], text)
        if prompt is not None:
            room = context - prompt
            return Objection(context=context, room=room if 0 < room < value else None)
    for below in _each((_BELOW,), text):
        if 1 < below <= value:
            return Objection(most=below - 1)
    for most in _each(_MOST, text):
        if 0 < most < value:
            return Objection(most=most)
    for least in _each((_LEAST,), text):
        if least > value:
            return Objection(least=least)
    return Objection(context=context)


def _first(patterns: Iterable[str], text: str) -> int | None:
    return next(iter(_each(patterns, text)), None)


def _each(patterns: Iterable[str], text: str) -> Iterable[int]:
    """Return every figure that the patterns find, in their order."""
    for pattern in patterns:
        for match in _compiled(pattern).finditer(text):
            digits = next((group for group in match.groups() if group), "")
            number = int(digits.replace(",", "").replace("_", "")[:12])
            if number < _FIGURE_MAX:
                yield number
