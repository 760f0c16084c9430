"""The access log: one entry for each request, recorded on the event loop and formatted by a thread of its own.

What a request pays is one tuple at the end of a queue. An entry holds names, counts and amounts: never a text that a
client or a provider wrote, so that no prompt, answer or secret can stand in a line.
"""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from proxy.core.batch_thread import BatchThread
from proxy.core.money import pusd_to_usd
from proxy.pipeline.context import RequestContext
from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from proxy.storage.rows import OpenRow, RequestEnd, id_text

REQUEST = "request"
REFUSED = "request.refused"
JOINED = "request.joined"
LINES_LOST = "log.lines_lost"

log = logging.getLogger("tollkeeper.access_log")

_ENTRIES_MAX = 50_000  # some seconds of a busy proxy whose log cannot be written; about a kilobyte each
_NAME_CHARS_MAX = 100  # of a model's name, which comes from the client
_REASON_CHARS_MAX = 400


Line = dict[str, Any]
"""One line of the access log: ts (epoch ms), level and event first, then its fields (docs/reference/logging.md)."""


Ended = tuple[OpenRow, RequestEnd]
"""A request that has a row; request_line() makes it a line, for those who need one."""


class LineSink(Protocol):
    """Where lines go."""

    def write(self, entries: Sequence[Ended | Line]) -> None:
        """Write them together, one line each, in order; called on the access log's thread.

        Raises whatever an entry makes impossible to format, and has then written none of them.
        """
        ...


class AccessLog:
    """A subscriber that hands one entry for each request to a thread. What finds no room is dropped, and told."""

    def __init__(self, lines: LineSink) -> None:
        self._lines = lines
        self._unwritable = 0  # since the last batch
        self._thread: BatchThread[Ended | Line] = BatchThread("access-log", self._write, _ENTRIES_MAX)
        self._put = self._thread.put
        self.close = self._thread.close

    def finished(self, event: RequestFinished) -> None:
        """Log the end of a request that has a row in the ledger."""
        self._put(event[:2])

    def refused(self, event: RequestRefused) -> None:
        """Log a request that was answered with an error and has no row."""
        self._put(refused_line(event))

    def served(self, context: RequestContext, path: str, status: int) -> None:
        """Log a request that has no row because it could cost nothing."""
        fields = {"request_id": context.request_id, "user": context.user, "path": path, "status": status}
        self._put({**_head(context.clock.now_ms(), REQUEST), **fields})

    def joined(self, context: RequestContext) -> None:
        """Log a request that got the answer of another one with the same Idempotency-Key."""
        fields = {"request_id": context.request_id, "user": context.user, "model": shown_name(context.asked)}
        self._put({**_head(context.clock.now_ms(), JOINED), **fields})

    @property
    def is_alive(self) -> bool:
        """Return whether lines are written; also true once it was closed."""
        return self._thread.is_alive

    def _write(self, entries: list[Ended | Line], dropped: int) -> None:
        lost, self._unwritable = dropped + self._unwritable, 0
        if lost:
            last_ms = _written_ms(entries[-1]) if entries else 0
            entries.append({**_head(last_ms, LINES_LOST), "lines": lost})
        self._write_all(entries)

    def _write_all(self, entries: Sequence[Ended | Line]) -> None:
        """Write entries, each alone where they cannot be written together; one that cannot be is lost, and told."""
        try:
            self._lines.write(entries)
        except Exception:
            if len(entries) == 1:
                self._unwritable += 1
                log.exception("log.line_unwritable")
                return
            for entry in entries:
                self._write_all([entry])


def _written_ms(entry: Ended | Line) -> int:
    ms: int = entry["ts"] if isinstance(entry, dict) else entry[1].finished_ms
    return ms


def request_line(row: OpenRow, end: RequestEnd) -> Line:
    """Return the line of a request that has a row; what is not known is None."""
    cost_pusd = end.cost_pusd
    return {
        "ts": end.finished_ms,
        "level": "info",
        "event": REQUEST,
        "request_id": id_text(end.id),
        "user": end.user,
        "group": end.group_name,
        "endpoint": row.endpoint,
        "model": shown_name(row.requested_model),
        "served_model": shown_name(end.model),
        "provider": end.provider,
        "status": end.status,
        "streamed": row.streamed == 1,
        "input_tokens": end.input_tokens,
        "output_tokens": end.output_tokens,
        "cost_usd": None if cost_pusd is None else pusd_to_usd(cost_pusd),
        "cost_source": end.cost_source,
        "state": end.state,
        "duration_ms": end.duration_ms,
        "ttft_ms": end.ttft_ms,
        "attempts": end.attempts,
        "finish_reason": end.finish_reason,
        "error": end.error,
        "flags": end.flags,
    }


def refused_line(event: RequestRefused) -> Line:
    """Return the line of a request without a row."""
    return {
        **_head(event.at_ms, REFUSED),
        "request_id": event.request_id,
        "user": event.user,
        "path": event.path,
        "model": shown_name(event.model),
        "status": event.status,
        "error": event.code,
        "param": event.param,
        "duration_ms": event.duration_ms,
        "reason": None if event.reason is None else event.reason[:_REASON_CHARS_MAX],
    }


def _head(ms: int, event: str) -> Line:
    return {"ts": ms, "level": "info", "event": event}


def shown_name(name: str | None) -> str | None:
    """Return a model's name as a line holds it, cut short: it comes from the client."""
    return name if name is None or len(name) <= _NAME_CHARS_MAX else f"{name[:_NAME_CHARS_MAX]}…"
