"""reckoning: any usage object -> disjoint classes of tokens, however the provider names and nests them. Pure.

Providers agree neither on names nor on whether cached and reasoning tokens are inside their whole or beside it. Names
are looked up among all that are known; what is inside is told by the total: the one reading that adds up to it holds.
Where several readings stay possible the dearer is taken, and its rule is named, which becomes a flag of the row.

Sources: the API references of OpenAI, Anthropic, OpenRouter, DeepSeek, Moonshot, xAI, Gemini (OpenAI endpoint), Groq,
Cohere, Mistral, Perplexity, Voyage, Jina, Amazon Bedrock, llama.cpp and Ollama.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final, NamedTuple

from msgspec import Struct

from proxy.core.counts import NO_COUNTS, Counts
from proxy.wire.usage_shape import MAX_TOKENS, UsageShape

# the rules for contradictions, in docs/concepts/ledger.md
PART: Final = "usage_part_above_whole"
TOTAL: Final = "usage_total_differs"
AMBIGUOUS: Final = "usage_ambiguous"  # two readings are possible
FELL: Final = "usage_fell"  # a later count was smaller than an earlier one
NONSENSE: Final = "usage_unreadable"  # something other than a count is in the place of one

_MAX_LITERAL_CHARS: Final = 24
_DEPTH_MAX: Final = 4  # of details within details

_INPUT: Final = ("prompt_tokens", "input_tokens", "inputTokens", "prompt_eval_count", "promptTokenCount")
_OUTPUT: Final = ("completion_tokens", "output_tokens", "outputTokens", "eval_count", "candidatesTokenCount")
_FAMILIES: Final = (
    ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
    ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"),
)
"""Names that stand together, those of the wholes first."""
_TOTAL: Final = ("total_tokens", "totalTokens", "totalTokenCount")
_ANTHROPIC: Final = frozenset(
    {
        *("cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
        *("cacheReadInputTokenCount", "cacheWriteInputTokenCount"),
    }
)
"""The names of those who count what a cache reads and writes beside the input."""
_XAI: Final = frozenset({"num_sources_used", "cost_in_usd_ticks"})
"""The names of xAI, which counts thoughts beside the output, and what a cache reads inside the input."""


def _table(**names: tuple[str, ...]) -> Mapping[str, str]:
    return {name: part for part, all_names in names.items() for name in all_names}


_LIVES: Final = _table(
    short=("ephemeral_5m_input_tokens", "cache_creation_5m_input_tokens"),
    long=("ephemeral_1h_input_tokens", "cache_creation_1h_input_tokens"),
)
_WRITTEN: Final = (
    *("cache_creation_input_tokens", "cache_write_input_tokens", "cacheWriteInputTokens"),
    *("cacheWriteInputTokenCount", "cache_write_tokens", "cache_creation_tokens"),
)
_REASONING: Final = ("reasoning_tokens", "thinking_tokens", "thoughts_tokens", "thoughtsTokenCount")
_SEARCHES: Final = _table(
    searches=("web_search_requests", "num_search_queries", "web_search_calls", "num_searches", "search_queries")
)
_COUNTS: Final = {
    **_table(
        input=_INPUT,
        output=_OUTPUT,
        total=_TOTAL,
        read=(
            *("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens"),
            *("cacheReadInputTokens", "cacheReadInputTokenCount", "cachedContentTokenCount", "cache_read_tokens"),
        ),
        written=_WRITTEN,
        reasoning=_REASONING,
        images=("num_images", "image_count", "generated_images", "images"),
        cited=("citation_tokens",),
        missed=("prompt_cache_miss_tokens",),
    ),
    **_LIVES,
    **_SEARCHES,
}
_IN_INPUT: Final = {
    **_table(
        read=("cached_tokens", "cache_read_tokens", "cache_read_input_tokens"),
        written=_WRITTEN,
        audio_in=("audio_tokens",),
        image_in=("image_tokens",),
    ),
    **_LIVES,
}
_IN_OUTPUT: Final = _table(reasoning=_REASONING, audio_out=("audio_tokens",), image_out=("image_tokens",))
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details", "input_token_details")
_OUTPUT_DETAILS: Final = (
    *("completion_tokens_details", "output_tokens_details"),
    *("completion_token_details", "output_token_details"),
)
_LIFE_DETAILS: Final = ("cache_creation", "cache_creation_token_details", "cache_creation_tokens_details")
_OBJECTS: Final[Mapping[str, Mapping[str, str]]] = {
    **dict.fromkeys(_INPUT_DETAILS, _IN_INPUT),
    **dict.fromkeys(_OUTPUT_DETAILS, _IN_OUTPUT),
    **dict.fromkeys(_LIFE_DETAILS, _LIVES),
    **dict.fromkeys(("server_tool_use", "server_side_tool_usage_details", "server_tool_use_details"), _SEARCHES),
}
"""The names of the parts that stand in an object within the usage."""
_ELSEWHERE: Final = frozenset(
    {"x_groq", "usageMetadata", "usage_metadata", "timings", "eval_count", "prompt_eval_count"}
)
_WHOLES: Final = frozenset({"input", "output", "total"})
_NESTED: Final = ("billed_units", "tokens")  # Cohere; what is billed goes before what was processed


class TokenClasses(NamedTuple):
    """A usage in disjoint classes. The first four are as in Usage, the rest as in its extras."""

    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    counts: Counts
    unnamed_tokens: int
    untold_life_tokens: int
    doubts: frozenset[str]


def found_elsewhere(message: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    """Return a usage that stands where its endpoint has none, with the path to it; None if there is none.

    Moonshot writes it into the choice, Groq into x_groq, Gemini and llama.cpp under names of their own.
    """
    choices = message.get("choices")
    if choices.__class__ is list:
        for choice in choices:
            if _has_usage(choice):
                return _in_choices(choices)
    return None if _ELSEWHERE.isdisjoint(message) else _under_other_names(message)


def _under_other_names(message: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    for path in (("x_groq", "usage"), ("usageMetadata",), ("usage_metadata",)):
        found: Any = message.get(path[0])
        if len(path) > 1:
            found = found.get(path[1]) if found.__class__ is dict else None
        if found.__class__ is dict:
            return path, found
    timings = message.get("timings")
    if timings.__class__ is dict:
        return ("timings",), _of_timings(timings)
    if "eval_count" in message or "prompt_eval_count" in message:  # Ollama's own shape
        return (), dict(message)
    return None


def choice_of_usage(message: Mapping[str, Any]) -> int | None:
    """Return the index of the one choice that a message tells a usage of; None where it is one of the whole answer."""
    choices = message.get("choices")
    if choices.__class__ is not list or message.get("usage").__class__ is dict:
        return None
    told = [choice.get("index", 0) for choice in choices if _has_usage(choice)]
    return told[0] if len(told) == 1 and told[0].__class__ is int else None


def _in_choices(choices: list[Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    told = [(n, choice["usage"]) for n, choice in enumerate(choices) if _has_usage(choice)]
    usages = [usage for _, usage in told]
    return ("choices", str(told[0][0]), "usage"), usages[0] if len(told) == 1 else _all_choices(usages)


def _has_usage(choice: Any) -> bool:
    return choice.__class__ is dict and "usage" in choice and choice["usage"].__class__ is dict


def _all_choices(usages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one usage for several choices that tell their own: one prompt, the sum of what was written."""
    inputs = [max(whole(usage.get(name)) or 0 for name in _INPUT) for usage in usages]
    outputs = [max(whole(usage.get(name)) or 0 for name in _OUTPUT) for usage in usages]
    merged = {**usages[0], "prompt_tokens": max(inputs), "completion_tokens": sum(outputs)}
    return {key: value for key, value in merged.items() if key not in _TOTAL}


def _of_timings(timings: dict[str, Any]) -> dict[str, Any]:
    """Return llama.cpp's own figures under usual names; prompt_n leaves out what its cache had."""
    found: dict[str, Any] = {"prompt_tokens": timings.get("prompt_n"), "completion_tokens": timings.get("predicted_n")}
    cached = timings.get("cache_n")
    if type(cached) is int and type(found["prompt_tokens"]) is int and cached >= 0:
        found["prompt_tokens"] += cached
        found["prompt_tokens_details"] = {"cached_tokens": cached}
    if None not in found.values():
        found["total_tokens"] = (whole(found["prompt_tokens"]) or 0) + (whole(found["completion_tokens"]) or 0)
    return found


def whole(value: Any) -> int | None:
    """Return a count that is a whole number in any spelling: 12, 12.0, "12", "1.2e1"; None for all else."""
    if value.__class__ is int:
        return value if 0 <= value <= MAX_TOKENS else None
    if isinstance(value, str):
        return _whole_text(value)
    if isinstance(value, float) and value.is_integer() and 0 <= value <= MAX_TOKENS:
        return int(value)
    return None


def _whole_text(text: str) -> int | None:
    if len(text) > _MAX_LITERAL_CHARS or not text.isascii():
        return None
    if text.isdigit():
        return whole(int(text))
    try:
        value = float(text)
    except ValueError:
        return None
    return whole(value)


class _CountedTokens:
    """The counts of one usage object under whichever names, and what is odd about them so far."""

    __slots__ = (
        "_found",
        "_usage",
        "doubts",
        "input",
        "is_beside",
        "may_think_unsaid",
        "read_is_inside",
        "untold_life",
        "written",
    )

    def __init__(self, usage: Mapping[str, Any], shape: UsageShape) -> None:
        self.doubts: set[str] = set()
        self._found: dict[str, int] = {}
        usage = _flat(usage)
        self._usage = usage
        self._gather(usage, _COUNTS)
        found = self._found
        self.input = found.get("input")
        self._write(found.get("written"), found.get("short", 0), found.get("long", 0))
        is_anthropic = not _ANTHROPIC.isdisjoint(usage)
        is_anthropic = is_anthropic and not any(name in usage for name in _INPUT_DETAILS)
        self.is_beside = shape.is_beside or (is_anthropic and "prompt_tokens" not in usage)
        # what a total has above may be thoughts rather than cached tokens, but where the parts of the output have none,
        # or the cache's are counted by the names of those who count them beside
        has_none = self.reasoning == 0 and any(name in usage for name in _OUTPUT_DETAILS)
        self.may_think_unsaid = not (has_none or is_anthropic)
        self.read_is_inside = "missed" in found and "read" in found
        if self.read_is_inside:  # hits and misses are the prompt
            self.input = max(self.input or 0, found["missed"] + found["read"])
            self.is_beside = False

    @property
    def output(self) -> int | None:
        return self._found.get("output")

    @property
    def total(self) -> int | None:
        return self._found.get("total")

    @property
    def read(self) -> int | None:
        return self._found.get("read")

    @property
    def reasoning(self) -> int | None:
        return self._found.get("reasoning")

    @property
    def cache(self) -> int:
        """Return what a cache read and wrote."""
        return (self.read or 0) + self.written

    @property
    def may_cache_beside(self) -> bool:
        """Return whether only the total shows that cache reads are inside the input."""
        return not (self.read_is_inside or self.is_xai)

    @property
    def is_xai(self) -> bool:
        return not _XAI.isdisjoint(self._usage)

    @property
    def counts_output_parts(self) -> bool:
        return self.reasoning is not None or any(name in self._usage for name in _OUTPUT_DETAILS)

    @property
    def is_mixed(self) -> bool:
        """Return whether the names are of two families, and neither has both of its totals."""
        usage = self._usage
        is_whole = any(None not in (whole(usage.get(family[0])), whole(usage.get(family[1]))) for family in _FAMILIES)
        return not is_whole and all(any(name in usage for name in family) for family in _FAMILIES)

    def count(self, part: str) -> int:
        return self._found.get(part, 0)

    def _gather(self, usage: Mapping[str, Any], table: Mapping[str, str], depth: int = 0) -> None:
        for name, value in usage.items():
            part = table.get(name)
            if part is not None:
                self._note(part, value)
            elif value.__class__ is dict and depth < _DEPTH_MAX and (inner := _OBJECTS.get(name)) is not None:
                self._gather(value, inner, depth + 1)

    def _note(self, part: str, value: Any) -> None:
        """Record a count; of two for the same class the greater one is kept."""
        count = value if value.__class__ is int and 0 <= value <= MAX_TOKENS else whole(value)
        if count is None:
            if value is not None and not isinstance(value, dict | list):
                self.doubts.add(NONSENSE)
            return
        old = self._found.get(part)
        if old is not None and old != count:
            if (old and count) or part in _WHOLES:
                self.doubts.add(AMBIGUOUS)
            count = max(old, count)
        self._found[part] = count

    def _write(self, told: int | None, short: int, long: int) -> None:
        """Record what was written to a cache, and how much of it was reported without a lifetime."""
        named = short + long
        if told is not None and named > told:
            self.doubts.add(PART)
        self.written = max(told or 0, named)
        self.untold_life = self.written - named


def _flat(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the counts of the usage itself, with those of nested objects where it has none."""
    for name in _NESTED:
        nested = usage.get(name)
        if isinstance(nested, dict):
            usage = {**nested, **usage}
    return usage


class _Reading(Struct, frozen=True):
    """One way to understand the counts: all of the prompt, and all that was written."""

    input_tokens: int
    output_tokens: int

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens


def read_token_classes(usage: Mapping[str, Any], shape: UsageShape) -> TokenClasses | None:
    """Return what a usage object says, in disjoint classes; None where it counts nothing at all."""
    told = _CountedTokens(usage, shape)
    if told.input is None and told.output is None and not told.total:
        if told.total is None or told.doubts:
            doubts = frozenset(told.doubts)
            return TokenClasses(None, None, None, None, NO_COUNTS, 0, 0, doubts) if doubts else None
        return TokenClasses(0, 0, None, None, NO_COUNTS, 0, 0, frozenset())
    if not shape.generates:
        return _of_prompt(told)
    derived = _derive(told)
    reading, unnamed = derived if derived is not None else _read(told)
    if reading is None:
        return _result(told, told.input, told.output, 0)
    return _result(told, reading.input_tokens + told.count("cited"), reading.output_tokens, unnamed)


def _of_prompt(told: _CountedTokens) -> TokenClasses:
    """Return the figures of an endpoint that generates nothing: the total is the prompt."""
    parts = [count for count in (told.input, told.total) if count is not None]
    tokens = max(parts, default=0) if told.output is None else max([*parts, (told.input or 0) + told.output])
    if any(count != tokens for count in parts if count or len(parts) == 1):
        told.doubts.add(TOTAL)
    if (told.read or 0) + told.written > tokens:
        told.doubts.add(PART)
        tokens += (told.read or 0) + told.written
    return _result(told, tokens, 0, 0)


def _derive(told: _CountedTokens) -> tuple[_Reading | None, int] | None:
    """Derive a missing whole from the total; None if both were reported."""
    if told.input is not None and told.output is not None:
        return None
    if told.total is None:
        return None, 0
    if told.input is None and told.output is None:
        told.doubts.add(AMBIGUOUS)  # it may all have been written
        return _Reading(0, told.total), told.total
    known = told.input if told.input is not None else told.output
    assert known is not None
    if told.total < known:
        told.doubts.add(TOTAL)
        return None, 0
    rest = told.total - known
    if told.is_mixed:
        told.doubts.add(AMBIGUOUS)
    if told.input is None:
        told.doubts.add(AMBIGUOUS)  # prompt, or thoughts that stand in the total alone
        return _Reading(0, told.total), rest
    if rest < told.cache and told.may_cache_beside:  # a total without what was cached, or it is inside the prompt
        told.doubts.add(AMBIGUOUS)
        known += told.cache
    return _Reading(known, rest), max(0, rest - (told.reasoning or 0))


def _read(told: _CountedTokens) -> tuple[_Reading, int]:
    """Choose among the readings by the total; also give how much of the output stands in the total alone."""
    total = told.total
    if total is None and told.is_beside:
        return _beside(told), 0
    readings = list(_readings(told))
    usual = _beside(told) if told.is_beside else readings[0]
    if total is None or (total == 0 and usual.total):
        if total is not None:
            told.doubts.add(TOTAL)
        return (usual if told.is_beside else _dearest(told, readings)), 0
    fitting = [reading for reading in readings if reading.total == total]
    above = total - usual.total
    is_cache = bool(fitting) and all(reading.input_tokens > usual.input_tokens for reading in fitting)
    if fitting and not (is_cache and told.may_think_unsaid):
        return _sure(told, _dearest(told, fitting)), 0
    if above > 0:
        if fitting or told.is_mixed:  # as much as was cached: it may be that, or thoughts of which nobody speaks
            told.doubts.add(AMBIGUOUS)
        elif told.counts_output_parts:  # thoughts are told where there are any, and the total is not the sum with them
            told.doubts.add(TOTAL)
        elif not told.is_beside and (told.read or 0) + told.written > (told.input or 0):
            told.doubts.add(PART)
        dearest = _Reading(usual.input_tokens, usual.output_tokens + above)
        return dearest, above
    told.doubts.add(TOTAL)
    return max(readings, key=lambda reading: (reading.total, reading.output_tokens)), 0


def _readings(told: _CountedTokens) -> Iterator[_Reading]:
    """Yield every reading of the parts as inside or beside their whole, except those with parts above their whole."""
    assert told.input is not None
    assert told.output is not None
    read, reasoning = told.read or 0, told.reasoning or 0
    if not (read or reasoning or told.written):
        yield _Reading(told.input, told.output)
        return
    seen = set[_Reading]()
    for read_in, written_in, reasoning_in in product((True, False), repeat=3):
        inside = (read if read_in else 0) + (told.written if written_in else 0)
        if inside > told.input or (reasoning_in and reasoning > told.output):
            continue
        if told.read_is_inside and not read_in:
            continue
        beside = (0 if read_in else read) + (0 if written_in else told.written)
        reading = _Reading(told.input + beside, told.output + (0 if reasoning_in else reasoning))
        if reading not in seen:
            seen.add(reading)
            yield reading


def _beside(told: _CountedTokens) -> _Reading:
    """Return the reading of those who count what a cache reads and writes beside the input, and thoughts inside."""
    assert told.input is not None
    assert told.output is not None
    output_tokens, reasoning = told.output, told.reasoning or 0
    if reasoning > output_tokens:
        told.doubts.add(PART)
        output_tokens += reasoning
    return _Reading(told.input + (told.read or 0) + told.written, output_tokens)


def _dearest(told: _CountedTokens, readings: list[_Reading]) -> _Reading:
    """Return the reading that costs most: output is dearer than input. More than one is a doubt."""
    if told.total is None and (told.reasoning or 0) > (told.output or 0):
        told.doubts.add(PART)
    if len(readings) > 1:
        told.doubts.add(AMBIGUOUS)
        return max(readings, key=lambda reading: (reading.output_tokens, reading.input_tokens))
    return readings[0]


def _sure(told: _CountedTokens, fitting: _Reading) -> _Reading:
    """Return the reading that adds up to the total, or one that is dearer, where it may add up by chance.

    A total that is the plain sum of both wholes is nobody's chance, nor is one that counts all that was cached beside
    the prompt. But one that has thoughts beside, or half of what was cached, and the rest inside, may as well be the
    wrong total of somebody who counts all that was cached beside: that is then paid for as well. So it is too where
    the names are of those who count so. What the thoughts alone cost more covers as many tokens of the prompt.
    """
    assert told.input is not None
    assert told.output is not None
    if not (told.cache or told.reasoning):
        return fitting
    if told.is_mixed:
        told.doubts.add(AMBIGUOUS)
    if fitting.input_tokens > told.input and (told.is_xai or fitting.output_tokens > told.output):
        told.doubts.add(AMBIGUOUS)  # nobody counts so: the rest of the total may be thoughts
        return _Reading(told.input + told.cache, told.output + fitting.total - told.input - told.output)
    more = told.input + told.cache - fitting.input_tokens
    is_inside = fitting.input_tokens == told.input
    if more <= 0 or (is_inside and not told.may_cache_beside):
        return fitting
    is_plain = is_inside and fitting.output_tokens == told.output
    if (is_plain and not told.is_beside) or fitting.output_tokens - told.output >= more:
        return fitting
    told.doubts.add(AMBIGUOUS)
    return _Reading(told.input + told.cache, fitting.output_tokens)


def _result(told: _CountedTokens, input_tokens: int | None, output_tokens: int | None, unnamed: int) -> TokenClasses:
    audio_in, audio_out = told.count("audio_in"), told.count("audio_out")
    image_in, image_out = told.count("image_in"), told.count("image_out")
    if input_tokens is not None:
        most = max(told.read or 0, told.written, audio_in, image_in)
        if most > input_tokens:
            told.doubts.add(PART)
            input_tokens = most
    if output_tokens is not None:
        most = max(told.reasoning or 0, audio_out, image_out)
        if most > output_tokens:
            told.doubts.add(PART)
            output_tokens = most
    counts = Counts(
        told.written,
        told.count("long"),
        audio_in,
        audio_out,
        image_in,
        image_out,
        told.count("images"),
        told.count("searches"),
    )
    return TokenClasses(
        None if input_tokens is None else min(input_tokens, MAX_TOKENS),
        None if output_tokens is None else min(output_tokens, MAX_TOKENS),
        told.read,
        told.reasoning,
        counts,
        min(unnamed, MAX_TOKENS),
        told.untold_life,
        frozenset(told.doubts),
    )
