"""The access log: one entry for each request, recorded on the event loop and formatted by a thread of its own.

What a request pays is one tuple at the end of a queue. An entry holds names, counts and amounts: never a text that a
client or a provider wrote, so that no prompt, answer or secret can stand in a line.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.core.money import pusd_to_usd
from proxy.pipeline.context import RequestContext
from proxy.storage.rows import OpenRow, RequestEnd, id_text

REQUEST = "request"
REFUSED = "request.refused"
JOINED = "request.joined"
LINES_LOST = "log.lines_lost"

log = logging.getLogger("tollkeeper.access_log")

_ENTRIES_MAX = 50_000  # some seconds of a busy proxy whose log cannot be written; about a kilobyte each
_GATHER_S = 0.2  # lines are written together: a wake-up for each would cost more than the line
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
    """A queue with a bound and the thread that empties it. What finds no room is dropped and counted, and told."""

    def __init__(self, lines: LineSink) -> None:
        self._lines = lines
        self._entries: deque[Ended | Line] = deque()
        self._lost = 0
        self._is_idle = True  # the thread waits to be woken
        self._wake = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def ended(self, row: OpenRow, end: RequestEnd) -> None:
        """Note the end of a request that has a row in the ledger."""
        entries = self._entries  # as _add() does, which takes longer to call
        if len(entries) >= _ENTRIES_MAX:
            self._lost += 1
            return
        entries.append((row, end))
        if self._is_idle:
            self._is_idle = False
            self._wake.set()

    def refused(self, context: RequestContext, path: str, error: ApiError) -> None:
        """Note a request that was answered with an error and has no row. path: without what a client made up."""
        self._add(refused_line(context, path, error))

    def served(self, context: RequestContext, path: str, status: int) -> None:
        """Note a request that has no row because it could cost nothing."""
        fields = {"request_id": context.request_id, "user": context.user, "path": path, "status": status}
        self._add({**_head(context.clock.now_ms(), REQUEST), **fields})

    def joined(self, context: RequestContext) -> None:
        """Note a request that got the answer of another one with the same Idempotency-Key."""
        fields = {"request_id": context.request_id, "user": context.user, "model": shown_name(context.asked)}
        self._add({**_head(context.clock.now_ms(), JOINED), **fields})

    @property
    def is_alive(self) -> bool:
        """Tell whether lines are written; also true once it was closed."""
        return self._is_closed or self._thread.is_alive()

    def close(self) -> None:
        """Write what is queued and end the thread."""
        self._is_closed = True
        self._wake.set()
        self._thread.join()

    def _add(self, entry: Line) -> None:
        if len(self._entries) >= _ENTRIES_MAX:
            self._lost += 1
            return
        self._entries.append(entry)
        if self._is_idle:
            self._is_idle = False
            self._wake.set()

    def _run(self) -> None:
        pause = threading.Event()  # never set: a wait that another thread cannot mistake for a wake-up
        while not self._is_closed:
            self._wake.wait()
            self._wake.clear()
            if not self._is_closed:
                pause.wait(_GATHER_S)
            self._is_idle = True  # before the queue is emptied: what comes meanwhile wakes the thread again
            self._write()
        self._write()

    def _write(self) -> None:
        entries = self._taken()
        lost, self._lost = self._lost, 0
        if lost:
            last_ms = _written_ms(entries[-1]) if entries else 0
            entries.append({**_head(last_ms, LINES_LOST), "lines": lost})
        if entries:
            self._write_all(entries)

    def _write_all(self, entries: Sequence[Ended | Line]) -> None:
        """Write entries, each alone where they cannot be written together; one that cannot be is lost, and told."""
        try:
            self._lines.write(entries)
        except Exception:
            if len(entries) == 1:
                self._lost += 1
                log.exception("log.line_unwritable")
                return
            for entry in entries:
                self._write_all([entry])

    def _taken(self) -> list[Ended | Line]:
        take = self._entries.popleft
        return [take() for _ in range(len(self._entries))]


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


def refused_line(context: RequestContext, path: str, error: ApiError) -> Line:
    """Return the line of a request without a row; the reason is told where every word of it is ours."""
    is_ours = isinstance(error, CallerError | OwnError) and error.code != "model_not_found"
    return {
        **_head(context.clock.now_ms(), REFUSED),
        "request_id": context.request_id,
        "user": context.user,
        "path": path,
        "model": shown_name(context.asked),
        "status": error.status,
        "error": error.code,
        "param": error.param,
        "duration_ms": int((context.clock.monotonic_s() - context.started_s) * 1000),
        "reason": error.message[:_REASON_CHARS_MAX] if is_ours else None,
    }


def _head(ms: int, event: str) -> Line:
    return {"ts": ms, "level": "info", "event": event}


def shown_name(name: str | None) -> str | None:
    """Return a model's name as a line holds it, cut short: it comes from the client."""
    return name if name is None or len(name) <= _NAME_CHARS_MAX else f"{name[:_NAME_CHARS_MAX]}…"
