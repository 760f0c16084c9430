"""What is logged to stderr while serving: an event's name and its fields; text for people, JSON lines for machines.

Fields are an allow-list by construction: events name what they log, and no body or header is ever among it.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Protocol, TextIO

import orjson

from proxy.core.money import pusd_to_usd
from proxy.pipeline.access_log import REFUSED, REQUEST, Ended, Line, request_line
from proxy.storage.rows import ID_PREFIX, OpenRow, of_end

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NAMES = ("tollkeeper", "proxy")  # our own loggers
DETAILS = "details"  # the field that may hold several lines: a text of our own, with the place in a file
_COLOURS = {"debug": "2", "warning": "33", "error": "31", "critical": "31"}  # ECMA-48
_EVENT_WIDTH = 16


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class TextFormatter(logging.Formatter):
    """Lines for people. colours: the terminal knows them."""

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        details = fields.pop(DETAILS, None)
        level = record.levelname.lower()
        line = f"{_clock(int(record.created))} {self._painted(level)} {record.getMessage()} {_pairs(fields)}".rstrip()
        if details is not None:
            line = f"{line}\n{details}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def lines(self, entries: Iterable[Ended | Line]) -> Iterator[str]:
        """Write lines of the access log."""
        return map(self._line, entries)

    def _line(self, entry: Ended | Line) -> str:
        """Write a line of the access log: what people look for stands in columns, and the rest behind it."""
        fields = dict(entry) if isinstance(entry, dict) else request_line(*entry)
        ms, level, event = fields.pop("ts"), fields.pop("level"), fields.pop("event")
        head = f"{_clock(ms // 1000)} {self._painted(level)} {event:<{_EVENT_WIDTH}}"
        if event not in (REQUEST, REFUSED):
            return f"{head} {_pairs(fields)}"
        status = str(fields.pop("status"))
        if self._colours and not status.startswith("2"):
            status = f"\x1b[33m{status}\x1b[0m"
        user = _shown(fields.pop("user") or "-")
        return f"{head} {status} {user:<10} {_told(fields)}".rstrip()

    def _painted(self, level: str) -> str:
        text = f"{level:7}"
        return f"\x1b[{_COLOURS[level]}m{text}\x1b[0m" if self._colours and level in _COLOURS else text


_NULL = "null"
_ROW_NAMES = itemgetter(*map(OpenRow._fields.index, ("endpoint", "requested_model", "streamed")))
_END_NAMES = of_end(
    *("user", "group_name", "model", "provider", "status", "cost_source", "state", "attempts"),
    *("finish_reason", "error", "flags"),
)
_END_OWN = of_end("finished_ms", "id", "input_tokens", "output_tokens", "cost_pusd", "duration_ms", "ttft_ms")
_OWN: Mapping[str, str | None] = {  # what differs in each line, and its prefix
    "ts": "",
    "request_id": ID_PREFIX,
    **dict.fromkeys(("input_tokens", "output_tokens", "cost_usd", "duration_ms", "ttft_ms")),
}
_MILLISECONDS = tuple(f".{n:03d}Z" for n in range(1000))
_KEPT_MAX = 1024  # names of models come from callers


class JsonFormatter(logging.Formatter):
    """Lines for machines.

    What many requests have in common is made JSON once and kept: a line then costs a quarter of what it would.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[tuple[Any, Any], tuple[str, ...]] = {}  # of the access log's thread

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "ts": _iso(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        more = {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps({**head, **_fields(record), **more}, default=str)

    def lines(self, entries: Iterable[Ended | Line]) -> Iterator[str]:
        """Write lines of the access log; of a request what _dumped() makes of request_line()."""
        kept, at_s, second = self._kept, -1, ""
        for entry in entries:
            if isinstance(entry, dict):
                yield _dumped({**entry, "ts": _iso(entry["ts"])})
                continue
            row, end = entry
            key = (_ROW_NAMES(row), _END_NAMES(end))
            parts = kept.get(key) or self._keep(key, request_line(row, end))
            ms, id_, sent, got, cost_pusd, took_ms, first_ms = _END_OWN(end)
            if ms // 1000 != at_s:
                at_s = ms // 1000
                second = _second(at_s)
            cost = _NULL if cost_pusd is None else f'"{pusd_to_usd(cost_pusd)}"'
            a, b, c, d, e, f, g, h = parts
            yield (
                f"{a}{second}{_MILLISECONDS[ms % 1000]}{b}{id_:016x}{c}{_NULL if sent is None else sent}{d}"
                f"{_NULL if got is None else got}{e}{cost}{f}{_NULL if took_ms is None else took_ms}{g}"
                f"{_NULL if first_ms is None else first_ms}{h}"
            )

    def _keep(self, key: tuple[Any, Any], line: Line) -> tuple[str, ...]:
        if len(self._kept) >= _KEPT_MAX:
            self._kept.clear()
        parts = self._kept[key] = _shared(line)
        return parts


class _Formatter(Protocol):
    def lines(self, entries: Iterable[Ended | Line]) -> Iterator[str]: ...


class Output:
    """Where the log goes: our events one by one, and the lines of the access log many at once."""

    def __init__(self, stream: TextIO, form: str) -> None:
        """Set the form: auto, text or json; auto is text on a terminal."""
        is_terminal = stream.isatty()
        colours = is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        text = TextFormatter(colours=colours)
        formatter = text if form == "text" or (form == "auto" and is_terminal) else JsonFormatter()
        self._formatter: _Formatter = formatter
        self._stream = stream
        self.handler = logging.StreamHandler(stream)
        self.handler.setFormatter(formatter)

    def set_level(self, level: str) -> None:
        """Log nothing less important than level."""
        for name in _NAMES:
            logging.getLogger(name).setLevel(level.upper())

    def write(self, entries: Sequence[Ended | Line]) -> None:
        """Write lines of the access log together. A stream that cannot be written to loses them, as it does others."""
        text = "\n".join([*self._formatter.lines(entries), ""])
        self.handler.acquire()
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, a closed pipe: serving goes on
            return
        finally:
            self.handler.release()


def set_up_logs(level: str, form: str) -> Output:
    """Send our events to stderr, and return where that is."""
    output = Output(sys.stderr, form)
    root = logging.getLogger()
    root.handlers[:] = [output.handler]
    root.setLevel(logging.WARNING)
    output.set_level(level)
    # aiohttp's own lines can quote requests; we report what matters in them
    for name in ("aiohttp.server", "aiohttp.access", "aiohttp.client", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return output


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(maxsize=4)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _iso(ms: int) -> str:
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


def _dumped(line: Line) -> str:
    """Write JSON.

    orjson does it in a tenth of the time, but takes no lone surrogates and leaves U+2028 as it is.
    """
    try:
        text = orjson.dumps(line).decode()
    except TypeError:
        return json.dumps(line)
    return text if text.isascii() or text.isprintable() else json.dumps(line)


def _shared(line: Line) -> tuple[str, ...]:
    """Return the JSON of a request's line without its own values: what stands before, between and behind them."""
    rest = _dumped({name: _OWN.get(name, value) for name, value in line.items()})
    parts: list[str] = []
    for name, own in _OWN.items():
        before, place, rest = rest.partition(f'"{name}":')  # no text can hold that: its quotes are escaped
        begun = "" if own is None else f'"{own}'
        parts.append(f"{before}{place}{begun}")
        rest = rest.lstrip().removeprefix(begun or _NULL)
    return (*parts, rest)


def _told(fields: dict[str, Any]) -> str:
    """Return the rest of a request's line as a person says it: model, tokens, cost, time; then what is left."""
    parts = [_models(fields), _tokens(fields), _cost(fields), _time(fields)]
    if fields.get("attempts") == 1:
        del fields["attempts"]
    for name, usual in _USUAL.items():
        if fields.get(name) == usual:
            del fields[name]
    return "  ".join(part for part in (*parts, _pairs(fields)) if part)


_USUAL: Mapping[str, object] = {
    "state": "settled",
    "cost_source": "provider",
    "streamed": False,
    "endpoint": "chat/completions",
}


def _models(fields: dict[str, Any]) -> str:
    model, served, provider = fields.pop("model", None), fields.pop("served_model", None), fields.pop("provider", None)
    if model is None:
        return _shown(fields.pop("path", None) or "")
    if fields.get("path") in ("/v1/chat/completions", "/chat/completions"):
        del fields["path"]
    text = _shown(model)
    if served is not None and served != model:
        text += f" → {_shown(served)}"
    return text if provider is None else f"{text} at {_shown(provider)}"


def _tokens(fields: dict[str, Any]) -> str:
    sent, got = fields.pop("input_tokens", None), fields.pop("output_tokens", None)
    return "" if sent is None and got is None else f"{_count(sent)}+{_count(got)} tokens"


def _count(value: object) -> str:
    return "?" if value is None else str(value)


def _cost(fields: dict[str, Any]) -> str:
    cost = fields.pop("cost_usd", None)
    return "" if cost is None else f"${cost}"


def _time(fields: dict[str, Any]) -> str:
    took, first = fields.pop("duration_ms", None), fields.pop("ttft_ms", None)
    if not isinstance(took, int):
        return ""
    return _seconds(took) if not isinstance(first, int) else f"{_seconds(took)} (first {_seconds(first)})"


def _seconds(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


def _pairs(fields: Mapping[str, object]) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in fields.items() if value is not None)


def _shown(value: object) -> str:
    """Return a value whose end can be told, and which cannot look like another line or command the terminal."""
    text = str(value)
    if not text.isprintable():
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text or "=" in text else text
