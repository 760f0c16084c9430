"""reckoning: any usage object -> disjoint classes of tokens, whatever the provider calls and nests them. Pure.

Providers agree neither on names nor on whether cached and reasoning tokens are inside their whole or beside it. Names
are looked up among all that are known; what is inside is told by the total: the one reading that adds up to it holds.
Where several readings stay possible the dearer is taken, and its rule is named, which becomes a flag of the row.

Sources: the API references of OpenAI, Anthropic, OpenRouter, DeepSeek, Moonshot, xAI, Gemini (OpenAI endpoint), Groq,
Cohere, Mistral, Perplexity, Voyage, Jina, Amazon Bedrock, llama.cpp and Ollama.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, Final, NamedTuple

from proxy.core.counts import NO_COUNTS, Counts
from proxy.wire.usage_shape import MAX_TOKENS, UsageShape

# the rules for contradictions, in docs/ledger.md
PART: Final = "usage_part_above_whole"
TOTAL: Final = "usage_total_differs"
AMBIGUOUS: Final = "usage_ambiguous"  # two readings are possible
FELL: Final = "usage_fell"  # a later count was smaller than an earlier one
NONSENSE: Final = "usage_unreadable"  # something that is no count stands where one belongs

_MAX_LITERAL_CHARS: Final = 24

_INPUT: Final = ("prompt_tokens", "input_tokens", "inputTokens", "prompt_eval_count", "promptTokenCount")
_OUTPUT: Final = ("completion_tokens", "output_tokens", "outputTokens", "eval_count", "candidatesTokenCount")
_TOTAL: Final = ("total_tokens", "totalTokens", "totalTokenCount")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details", "input_token_details")
_OUTPUT_DETAILS: Final = (
    *("completion_tokens_details", "output_tokens_details"),
    *("completion_token_details", "output_token_details"),
)
_READ: Final = (
    *("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens"),
    *("cacheReadInputTokens", "cacheReadInputTokenCount", "cachedContentTokenCount", "cache_read_tokens"),
)
_READ_IN_DETAILS: Final = ("cached_tokens", "cache_read_tokens", "cache_read_input_tokens")
_WRITTEN: Final = (
    *("cache_creation_input_tokens", "cache_write_input_tokens", "cacheWriteInputTokens"),
    *("cacheWriteInputTokenCount", "cache_write_tokens", "cache_creation_tokens"),
)
_ANTHROPIC: Final = frozenset(
    {
        *("cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
        *("cacheReadInputTokenCount", "cacheWriteInputTokenCount"),
    }
)
_LIVES: Final = ("cache_creation", "cache_creation_token_details", "cache_creation_tokens_details")
_WRITTEN_5M: Final = ("ephemeral_5m_input_tokens", "cache_creation_5m_input_tokens")
_WRITTEN_1H: Final = ("ephemeral_1h_input_tokens", "cache_creation_1h_input_tokens")
_REASONING: Final = ("reasoning_tokens", "thinking_tokens", "thoughts_tokens", "thoughtsTokenCount")
_SEARCHES: Final = ("web_search_requests", "num_search_queries", "web_search_calls", "num_searches", "search_queries")
_SEARCHES_IN: Final = ("server_tool_use", "server_side_tool_usage_details", "server_tool_use_details")
_IMAGES: Final = ("num_images", "image_count", "generated_images", "images")
_CITED: Final = ("citation_tokens",)
_NESTED: Final = ("billed_units", "tokens")  # Cohere; what is billed goes before what was processed


class Reckoned(NamedTuple):
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
    for path in (("x_groq", "usage"), ("usageMetadata",), ("usage_metadata",)):
        found: Any = message.get(path[0])
        if len(path) > 1:
            found = found.get(path[1]) if found.__class__ is dict else None
        if found.__class__ is dict:
            return path, found
    choices = message.get("choices")
    if choices.__class__ is list and choices:
        told = [(n, choice["usage"]) for n, choice in enumerate(choices) if _has_usage(choice)]
        if told:
            usages = [usage for _, usage in told]
            return ("choices", str(told[0][0]), "usage"), usages[0] if len(told) == 1 else _all_choices(usages)
    timings = message.get("timings")
    if timings.__class__ is dict:
        return ("timings",), _of_timings(timings)
    if "eval_count" in message or "prompt_eval_count" in message:  # Ollama's own shape
        return (), dict(message)
    return None


def _has_usage(choice: Any) -> bool:
    return choice.__class__ is dict and choice.get("usage").__class__ is dict


def _all_choices(usages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one usage for several choices that tell their own: one prompt, the sum of what was written."""
    inputs = [_first_count(usage, _INPUT)[0] or 0 for usage in usages]
    outputs = [_first_count(usage, _OUTPUT)[0] or 0 for usage in usages]
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


def _first_count(usage: Mapping[str, Any], names: Iterable[str]) -> tuple[int | None, bool, bool]:
    """Return the greatest count under any of the names, whether they differ, and whether something there is none."""
    counts, is_odd = set[int](), False
    for name in names:
        value = usage.get(name)
        if value is None:
            continue
        count = whole(value)
        if count is None:
            is_odd = is_odd or not isinstance(value, dict | list)
        else:
            counts.add(count)
    return max(counts, default=None), len(counts) > 1, is_odd


class _Told:
    """The counts of one usage object under whichever names, and what is odd about them so far."""

    def __init__(self, usage: Mapping[str, Any], shape: UsageShape) -> None:
        self._doubts: set[str] = set()
        usage = _flat(usage)
        self._usage = usage
        own_input = (shape.input_tokens, *_INPUT)
        self.input = self._count(usage, own_input)
        self.output = self._count(usage, (*([shape.output_tokens] if shape.output_tokens else []), *_OUTPUT))
        self.total = self._count(usage, _TOTAL)
        inside, outside = _objects(usage, _INPUT_DETAILS), _objects(usage, _OUTPUT_DETAILS)
        self.read = self._greatest((usage, _READ), *((part, _READ_IN_DETAILS) for part in inside))
        self._write(inside)
        self.reasoning = self._greatest((usage, _REASONING), *((part, _REASONING) for part in outside))
        self.audio = self._pair(inside, outside, ("audio_tokens",))
        self.image = self._pair(inside, outside, ("image_tokens",))
        self.cited = self._greatest((usage, _CITED)) or 0
        searched = [(part, _SEARCHES) for part in (usage, *_objects(usage, _SEARCHES_IN))]
        self.searches = self._greatest(*searched) or 0
        self.images = self._greatest((usage, _IMAGES)) or 0
        self.is_beside = shape.is_beside or (
            "prompt_tokens" not in usage and not _ANTHROPIC.isdisjoint(usage.keys()) and not inside
        )
        # what a total has above may be thoughts rather than cached tokens, but where there are none, or the cache's are
        # counted by the names of those who count them beside
        self.may_think_unsaid = self.reasoning != 0 and _ANTHROPIC.isdisjoint(usage.keys())
        self.read_is_inside = False
        missed = whole(usage.get("prompt_cache_miss_tokens"))
        if missed is not None and self.read is not None:
            self._note_missed(missed)

    @property
    def doubts(self) -> frozenset[str]:
        return frozenset(self._doubts)

    def doubt(self, rule: str) -> None:
        self._doubts.add(rule)

    def _count(self, usage: Mapping[str, Any], names: Iterable[str]) -> int | None:
        found, differ, is_odd = _first_count(usage, names)
        if differ:
            self._doubts.add(AMBIGUOUS)
        if is_odd:
            self._doubts.add(NONSENSE)
        return found

    def _greatest(self, *places: tuple[Mapping[str, Any], Iterable[str]]) -> int | None:
        """Return the greatest of one count that is told in several places."""
        counts = []
        for usage, names in places:
            found, _, is_odd = _first_count(usage, names)
            if is_odd:
                self._doubts.add(NONSENSE)
            if found is not None:
                counts.append(found)
        positive = {count for count in counts if count}
        if len(positive) > 1:
            self._doubts.add(AMBIGUOUS)
        return max(counts, default=None)

    def _pair(
        self, inside: list[Mapping[str, Any]], outside: list[Mapping[str, Any]], names: tuple[str, ...]
    ) -> tuple[int, int]:
        into = self._greatest(*((part, names) for part in inside)) or 0
        out = self._greatest(*((part, names) for part in outside)) or 0
        return into, out

    def _write(self, inside: list[Mapping[str, Any]]) -> None:
        """Note what was written to a cache, and for how long it is kept."""
        usage = self._usage
        lives = [*_objects(usage, _LIVES), *(life for part in inside for life in _objects(part, _LIVES))]
        short = self._greatest(*((part, _WRITTEN_5M) for part in (usage, *inside, *lives))) or 0
        self.written_1h = self._greatest(*((part, _WRITTEN_1H) for part in (usage, *inside, *lives))) or 0
        told = self._greatest((usage, _WRITTEN), *((part, _WRITTEN) for part in inside))
        named = short + self.written_1h
        if told is not None and named > told:
            self._doubts.add(PART)
        self.written = max(told or 0, named)
        self.untold_life = self.written - named

    def _note_missed(self, missed: int) -> None:
        """Set the prompt to hits and misses, where they tell that it holds less or was not told."""
        both = missed + (self.read or 0)
        if self.input is None or self.input < both:
            self.input = both
        self.read_is_inside, self.is_beside = True, False


def _objects(usage: Mapping[str, Any], names: Iterable[str]) -> list[Mapping[str, Any]]:
    found = [usage.get(name) for name in names]
    return [value for value in found if isinstance(value, dict)]


def _flat(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Lay the counts of nested objects under those of the usage itself."""
    for name in _NESTED:
        nested = usage.get(name)
        if isinstance(nested, dict):
            usage = {**nested, **usage}
    return usage


class _Reading(NamedTuple):
    """One way to understand the counts: all of the prompt, and all that was written."""

    input_tokens: int
    output_tokens: int

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens


def reckon(usage: Mapping[str, Any], shape: UsageShape) -> Reckoned | None:
    """Return what a usage object says, in disjoint classes; None where it counts nothing at all."""
    told = _Told(usage, shape)
    if told.input is None and told.output is None and not told.total:
        if told.total is None or told.doubts:
            return Reckoned(None, None, None, None, NO_COUNTS, 0, 0, told.doubts) if told.doubts else None
        return Reckoned(0, 0, None, None, NO_COUNTS, 0, 0, frozenset())
    if not shape.generates:
        return _of_prompt(told)
    derived = _derive(told)
    reading, unnamed = derived if derived is not None else _read(told)
    if reading is None:
        return _result(told, told.input, told.output, 0)
    return _result(told, reading.input_tokens + told.cited, reading.output_tokens, unnamed)


def _of_prompt(told: _Told) -> Reckoned:
    """Reckon where nothing is generated: the total is the prompt."""
    parts = [count for count in (told.input, told.total) if count is not None]
    tokens = max(parts, default=0) if told.output is None else max([*parts, (told.input or 0) + told.output])
    if any(count != tokens for count in parts if count or len(parts) == 1):
        told.doubt(TOTAL)
    if (told.read or 0) + told.written > tokens:
        told.doubt(PART)
        tokens += (told.read or 0) + told.written
    return _result(told, tokens, 0, 0)


def _derive(told: _Told) -> tuple[_Reading | None, int] | None:
    """Work out a whole that was not told from the total; None where both were told."""
    if told.input is not None and told.output is not None:
        return None
    if told.total is None:
        return None, 0
    if told.input is None and told.output is None:
        told.doubt(AMBIGUOUS)  # it may all have been written
        return _Reading(0, told.total), told.total
    known = told.input if told.input is not None else told.output
    assert known is not None
    if told.total < known:
        told.doubt(TOTAL)
        return None, 0
    rest = told.total - known
    if told.input is None:
        told.doubt(AMBIGUOUS)  # prompt, or thoughts that stand in the total alone
        return _Reading(0, told.total), rest
    return _Reading(known, rest), max(0, rest - (told.reasoning or 0))


def _read(told: _Told) -> tuple[_Reading, int]:
    """Choose among the readings by the total; also give how much of the output stands in the total alone."""
    readings = list(_readings(told))
    usual = _usual(told, readings)
    total = told.total
    if total is None or (total == 0 and usual.total):
        if total is not None:
            told.doubt(TOTAL)
        return (usual if told.is_beside else _dearest(told, readings)), 0
    fitting = [reading for reading in readings if reading.total == total]
    above = total - usual.total
    is_cache = bool(fitting) and all(reading.input_tokens > usual.input_tokens for reading in fitting)
    if fitting and not (is_cache and told.may_think_unsaid):
        return _dearest(told, fitting), 0
    if above > 0:
        if fitting:  # as much as was cached: it may be that, or thoughts of which nobody speaks
            told.doubt(AMBIGUOUS)
        elif told.reasoning:
            told.doubt(TOTAL)
        elif not told.is_beside and (told.read or 0) + told.written > (told.input or 0):
            told.doubt(PART)
        dearest = _Reading(usual.input_tokens, usual.output_tokens + above)
        return dearest, above
    told.doubt(TOTAL)
    return max(readings, key=lambda reading: (reading.total, reading.output_tokens)), 0


def _readings(told: _Told) -> Iterator[_Reading]:
    """Give every way in which the parts can be inside or beside, but for parts that are above their whole."""
    assert told.input is not None
    assert told.output is not None
    read, reasoning = told.read or 0, told.reasoning or 0
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


def _usual(told: _Told, readings: list[_Reading]) -> _Reading:
    """Return the reading that the names stand for: what comes first has everything inside, the last all beside."""
    if not told.is_beside:
        return readings[0]
    assert told.input is not None
    least = min(readings, key=lambda reading: reading.output_tokens)
    return _Reading(told.input + (told.read or 0) + told.written, least.output_tokens)


def _dearest(told: _Told, readings: list[_Reading]) -> _Reading:
    """Return the reading that costs most: output is dearer than input. More than one is a doubt."""
    if told.total is None and (told.reasoning or 0) > (told.output or 0):
        told.doubt(PART)
    if len(readings) > 1:
        told.doubt(AMBIGUOUS)
        return max(readings, key=lambda reading: (reading.output_tokens, reading.input_tokens))
    return readings[0]


def _result(told: _Told, input_tokens: int | None, output_tokens: int | None, unnamed: int) -> Reckoned:
    audio_in, audio_out = told.audio
    image_in, image_out = told.image
    if input_tokens is not None:
        most = max(told.read or 0, told.written, audio_in, image_in)
        if most > input_tokens:
            told.doubt(PART)
            input_tokens = most
    if output_tokens is not None:
        most = max(told.reasoning or 0, audio_out, image_out)
        if most > output_tokens:
            told.doubt(PART)
            output_tokens = most
    counts = Counts(told.written, told.written_1h, audio_in, audio_out, image_in, image_out, told.images, told.searches)
    return Reckoned(
        None if input_tokens is None else min(input_tokens, MAX_TOKENS),
        None if output_tokens is None else min(output_tokens, MAX_TOKENS),
        told.read,
        told.reasoning,
        counts,
        min(unnamed, MAX_TOKENS),
        told.untold_life,
        told.doubts,
    )
