"""Single requests of a store in memory, found without SQL."""

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from proxy.policy.quota.window import window_bounds
from proxy.policy.time_segments import TIME_WORDS, label_order, time_label
from proxy.storage.refusals import RefusalRow, RefusalSelection, RefusalSum
from proxy.storage.request_reports import (
    REFUSED,
    AttemptEntry,
    AttemptFilter,
    AttemptPage,
    KeptSince,
    RefusalCount,
    RequestEntry,
    RequestFilter,
    RequestPage,
)
from proxy.storage.rows import BilledEndpoint, OpenRow, RequestEnd, Reserved, UnfinishedAttempt, id_text

# its row, its end, what it holds, its attempts, and the hashes of their keys
Booked = tuple[OpenRow, RequestEnd | None, Reserved, Sequence[UnfinishedAttempt], Sequence[str | None]]

_NOTHING: Mapping[str, Any] = dict.fromkeys(RequestEntry._fields)


def _entry(booked: Booked) -> RequestEntry:
    row, end, reserved, *_ = booked
    ended = {} if end is None else end._asdict()
    bare = {"state": "open", "cost_source": "none", "attempts": 0, "more": 0}
    told = {**_NOTHING, **bare, **row._asdict(), **ended, "reserved_pusd": reserved.cost_pusd}
    return RequestEntry(**{name: told[name] for name in RequestEntry._fields})


def _refused(row: RefusalRow) -> RequestEntry:
    bare = {"state": REFUSED, "cost_pusd": 0, "cost_source": "none", "streamed": 0, "attempts": 0}
    finished = {"finished_ms": row.started_ms + row.duration_ms}
    return RequestEntry(**{**_NOTHING, **bare, **finished, **row._asdict()})


def _attempts(booked: Booked) -> list[AttemptEntry]:
    row, _, reserved, attempts, hashes = booked
    found = []
    for one, key_hash in zip(attempts, hashes, strict=True):
        bill = (one.billed or BilledEndpoint(None, None))._asdict()
        told = {**one._asdict(), **bill, "request_id": row.id, "started_ms": row.started_ms, "key_hash": key_hash}
        if len(attempts) == 1:
            told["reserved_pusd"] = reserved.cost_pusd
        found.append(AttemptEntry(**{name: told[name] for name in AttemptEntry._fields}))
    return found


def _is_like(pattern: str | None, *names: str | None) -> bool:
    return pattern is None or any(name is not None and fnmatch.fnmatchcase(name, pattern) for name in names)


def _is_wanted(wanted: RequestFilter, entry: RequestEntry, providers: Iterable[str | None], ids: set[Any]) -> bool:
    same = {"user": entry.user, "group": entry.group_name, "token_id": entry.token_id, "state": entry.state}
    same |= {
        "error": entry.error,
        "use_case": entry.use_case,
        "session_id": entry.session_id,
        "endpoint": entry.endpoint,
    }
    status = -1 if entry.status is None else entry.status
    return (
        all(getattr(wanted, name) in (None, value) for name, value in same.items())
        and _is_like(wanted.model, entry.requested_model, entry.model)
        and (wanted.text is None or wanted.text.lower() in f"{entry.error or ''} {entry.reason or ''}".lower())
        and (wanted.provider is None or wanted.provider in providers)
        and (wanted.status_from is None or wanted.status_from <= status)
        and (wanted.status_below is None or -1 < status < wanted.status_below)
        and (wanted.since_ms is None or entry.started_ms >= wanted.since_ms)
        and (wanted.until_ms is None or entry.started_ms < wanted.until_ms)
        and (wanted.after_id is None or entry.id > wanted.after_id)
        and (wanted.generation_id is None or wanted.generation_id in ids)
        and (wanted.cost_min_pusd is None or (entry.state != REFUSED and _costs(entry, wanted.cost_min_pusd)))
    )


def _costs(entry: RequestEntry, least_pusd: int) -> bool:
    return entry.cost_pusd is not None and entry.cost_pusd >= least_pusd


class MemoryRequests:
    """The RequestReports of a store: booked and refused return what is in it."""

    def __init__(self, booked: Callable[[], list[Booked]], refused: Callable[[], list[RefusalRow]]) -> None:
        self._booked = booked
        self._refused = refused

    def requests(self, wanted: RequestFilter, before_id: int | None, count: int) -> RequestPage:
        found = [_refused(row) for row in self._refused()]
        found = [entry for entry in found if _is_wanted(wanted, entry, (), set())]
        for booked in self._booked():
            entry, attempts = _entry(booked), booked[3]
            ids = {entry.generation_id, *(one.generation_id for one in attempts)}
            if _is_wanted(wanted, entry, (entry.provider, booked[0].target_provider), ids):
                found.append(entry)
        page = sorted((one for one in found if before_id is None or one.id < before_id), reverse=True)[:count]
        return RequestPage(page, page[-1].id if len(page) == count else None)

    def request(self, id_: str, now_ms: int) -> tuple[RequestEntry, Sequence[AttemptEntry]] | None:
        assert now_ms >= 0
        for booked in self._booked():
            attempts = _attempts(booked)
            entry = _entry(booked)
            if id_ in (id_text(entry.id), entry.generation_id, *(one.generation_id for one in attempts)):
                return entry, attempts
        return next(((_refused(row), ()) for row in self._refused() if id_text(row.id) == id_), None)

    def attempts(self, wanted: AttemptFilter, before: tuple[int, int] | None, count: int) -> AttemptPage:
        found = [
            one
            for booked in self._booked()
            for one in _attempts(booked)
            if (before is None or (one.request_id, one.n) < before)
            and all(getattr(wanted, name) in (None, getattr(one, name)) for name in ("request_id", "provider", "key"))
            and wanted.outcome in (None, one.outcome)
            and _is_like(wanted.model, one.model)
            and (wanted.since_ms is None or one.started_ms >= wanted.since_ms)
            and (wanted.until_ms is None or one.started_ms < wanted.until_ms)
        ]
        page = sorted(found, reverse=True)[:count]
        return AttemptPage(page, (page[-1].request_id, page[-1].n) if len(page) == count else None)

    def refusal_counts(self, since_ms: int) -> list[RefusalCount]:
        counts: dict[tuple[int, str], int] = {}
        for row in self._refused():
            if row.started_ms >= since_ms:
                counts[row.status, row.error] = counts.get((row.status, row.error), 0) + 1 + row.more
        found = [RefusalCount(*key, count) for key, count in counts.items()]
        return sorted(found, key=lambda one: (-one.requests, one.status, one.error))

    def refusal_sums(self, wanted: RefusalSelection, zone: ZoneInfo) -> list[RefusalSum]:
        counts: Counter[tuple[str, ...]] = Counter()
        for row in self._refused():
            if (
                (wanted.since_ms is None or row.started_ms >= wanted.since_ms)
                and (wanted.until_ms is None or row.started_ms < wanted.until_ms)
                and wanted.user in (None, row.user)
                and wanted.error in (None, row.error)
            ):
                counts[tuple(_refusal_word(row, word, zone) for word in wanted.by)] += 1 + row.more
        times = [n for n, word in enumerate(wanted.by) if word in TIME_WORDS]
        found = [RefusalSum(key, number) for key, number in counts.items()]
        return sorted(found, key=lambda one: ([label_order(one.key[n]) for n in times], -one.requests, one.key))

    def kept_since(self) -> KeptSince:
        requests = [row.started_ms for row, *_ in self._booked()]
        return KeptSince(min(requests, default=None), min((row.started_ms for row in self._refused()), default=None))

    def size_bytes(self) -> int:
        return len(orjson.dumps([row for row, *_ in self._booked()], default=list))


def _refusal_word(row: RefusalRow, word: str, zone: ZoneInfo) -> str:
    if word in TIME_WORDS:
        first_ms, next_ms = window_bounds(word, zone, row.started_ms)
        assert next_ms is not None
        return time_label(word, zone, first_ms, next_ms)
    named = {"group": row.group_name, "token": row.token_id, "session": row.session_id, "status": str(row.status)}
    return (named[word] if word in named else getattr(row, word)) or ""
