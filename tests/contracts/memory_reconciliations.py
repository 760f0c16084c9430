"""Comparisons with the bill in dictionaries, and a day of a store in memory as plainly as can be."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from proxy.policy.reconciliation.day_comparison import BookedApart, BookedRequest, DriftEntry
from proxy.policy.reconciliation.sums_comparison import BookedSum
from proxy.storage.adjustment import AdjustmentRow
from proxy.storage.reconciliation import (
    ENTRIES_KEPT_DAYS,
    ENTRIES_MAX,
    SOURCE,
    WHOLE_ACCOUNT,
    ActivitySum,
    ClassSum,
    ComparedDay,
    DayQuestion,
    DayResult,
    LedgerDay,
    StoredEntry,
    class_sums,
)
from proxy.storage.rows import OpenRow, RequestEnd, UnfinishedAttempt

_DAY_MS = 86_400_000
_NEAR_MS = 2 * 3_600_000


class BookedRow(Protocol):
    """A request as it was written."""

    row: OpenRow
    end: RequestEnd | None
    attempts: list[UnfinishedAttempt]
    late_pusd: int

    @property
    def state(self) -> str:
        """Return open, or how it ended."""
        ...


class MemoryReconciliations:
    """What comparisons of a store found."""

    def __init__(self) -> None:
        self.days: dict[tuple[str, str], ComparedDay] = {}
        self.entries: dict[tuple[str, str], list[DriftEntry]] = {}
        self.activity: dict[tuple[str, str, str], list[ActivitySum]] = {}
        self.pairs: dict[tuple[str, str], int] = {}

    def note(self, result: DayResult) -> None:
        day = result.day
        place = day.provider, day.day
        self.days[place] = day
        kept: list[DriftEntry] = []
        for name in dict.fromkeys(
            entry.drift_class for entry in sorted(result.entries, key=lambda one: -abs(one.amount_pusd))
        ):
            own = [entry for entry in result.entries if entry.drift_class == name]
            kept += sorted(own, key=lambda one: -abs(one.amount_pusd))[:ENTRIES_MAX]
        self.entries[place] = kept
        first = (date.fromisoformat(day.day) - timedelta(days=ENTRIES_KEPT_DAYS)).isoformat()
        old = [other for other in self.entries if other[0] == day.provider and other[1] < first]
        for other in old:
            del self.entries[other]
        self.days[place] = _with_classes(day, class_sums(result.entries))
        for key_hash, sums in result.activity.items():
            self.activity[(*place, key_hash)] = list(sums)
        self.match(day.provider, result.pairs)

    def match(self, provider: str, pairs: Mapping[str, int]) -> None:
        self.pairs.update({(provider, id_): request_id for id_, request_id in pairs.items()})

    def compared(
        self, since_day: str, until_day: str, provider: str | None, adjustments: Iterable[AdjustmentRow]
    ) -> list[ComparedDay]:
        wanted = [place for place in self.days if since_day <= place[1] <= until_day and provider in (None, place[0])]
        rows = [row for row in adjustments if row.source.startswith(SOURCE) and ":" in row.reason]
        found = []
        for place in sorted(wanted, key=lambda one: (one[1], one[0])):
            classes = {each.drift_class: each for each in self.days[place].classes}
            for row in rows:
                if (row.source.removeprefix(SOURCE), _day_text(row.at_ms)) == place:
                    name = row.reason.partition(":")[0]
                    known = classes.get(name, ClassSum(name, 0, 0))
                    more = known.adjusted_pusd + row.amount_pusd
                    classes[name] = known._replace(adjusted_pusd=more, adjusted=known.adjusted + 1)
            found.append(_with_classes(self.days[place], classes.values()))
        return found

    def listed(
        self, since_day: str, until_day: str, drift_class: str | None, after: tuple[str, str, int] | None, count: int
    ) -> list[StoredEntry]:
        found = [
            StoredEntry(provider, day, n, entry)
            for (provider, day), entries in self.entries.items()
            if since_day <= day <= until_day
            for n, entry in enumerate(entries)
            if drift_class in (None, entry.drift_class)
        ]
        found.sort(key=lambda one: (one.day, one.provider, one.n))
        return [one for one in found if (one.day, one.provider, one.n) > (after or ("", "", -1))][:count]

    def sums(self, provider: str, since_day: str) -> dict[str, int]:
        return {
            day: sum(row.usage_pusd for row in rows)
            for (name, day, key_hash), rows in self.activity.items()
            if name == provider and day >= since_day and key_hash == WHOLE_ACCOUNT
        }

    def ledger_day(
        self, requests: Iterable[BookedRow], adjustments: Iterable[AdjustmentRow], question: DayQuestion
    ) -> LedgerDay:
        """Return every request of the day: nothing is agreed on at sight."""
        day_ms = question.day_ms
        names = {id_ for one in requests for attempt in one.attempts if (id_ := attempt.generation_id) is not None}
        own, earlier = list[BookedRequest](), set[str]()
        for one in requests:
            if day_ms <= one.row.started_ms < day_ms + _DAY_MS:
                own += self._booked(one, question)
            elif day_ms - _NEAR_MS <= one.row.started_ms < day_ms:
                earlier.update(attempt.generation_id for attempt in one.attempts if attempt.generation_id)
        matched = {id_ for provider, id_ in self.pairs if provider == question.provider}
        strangers = {call.generation_id for call in question.calls} - names - matched
        apart: dict[tuple[str, str], int] = {}
        for row in adjustments:
            is_here = day_ms <= row.at_ms < day_ms + _DAY_MS and row.charged_provider == question.provider
            if row.request_id is None and is_here:
                place = row.reference or "", question.keys.get(row.charged_key or "", "")
                apart[place] = apart.get(place, 0) + row.amount_pusd
        entries = [BookedApart(*place, pusd) for place, pusd in apart.items() if pusd]
        named = {id_ for request in own for id_ in request.generation_ids}
        billed = {call.generation_id for call in question.calls}
        return LedgerDay(own, frozenset(earlier & billed | matched - named), frozenset(strangers), entries, 0)

    def _booked(self, one: BookedRow, question: DayQuestion) -> list[BookedRequest]:
        attempts = [attempt for attempt in one.attempts if attempt.provider == question.provider]
        if not attempts:
            return []
        alone = len(one.attempts) == 1
        end = one.end
        costs = [(end.cost_pusd if alone and end is not None else attempt.cost_pusd) or 0 for attempt in attempts]
        whole_pusd = 0 if end is None else (end.cost_pusd or 0)
        ids = [attempt.generation_id for attempt in attempts if attempt.generation_id is not None]
        unnamed = sum(
            attempt.generation_id is None
            and one.state != "released"
            and (alone or bool(cost) or attempt.cost_pusd is None)
            for attempt, cost in zip(attempts, costs, strict=True)
        )
        for (provider, id_), request_id in self.pairs.items():
            if request_id == one.row.id and provider == question.provider and unnamed:
                ids, unnamed = [*ids, id_], unnamed - 1
        last = attempts[-1]
        return [
            BookedRequest(
                one.row.id,
                one.row.started_ms,
                None if end is None else end.finished_ms,
                one.row.user,
                question.keys.get(last.key or "", ""),
                last.model,
                tuple(ids),
                unnamed,
                sum(costs) + one.late_pusd,
                max(0, whole_pusd - sum(costs)),
                0,
                "none" if end is None else end.cost_source,
                one.state,
                last.key == question.own_key,
                session=one.row.session_id or "",
            )
        ]


def ledger_sums(requests: Iterable[BookedRow], provider: str, day_ms: int) -> list[BookedSum]:
    """Return what requests of a day came to, by model."""
    found: dict[str, int] = {}
    for one in requests:
        end = one.end
        if end is not None and end.provider == provider and day_ms <= one.row.started_ms < day_ms + _DAY_MS:
            found[end.model or ""] = found.get(end.model or "", 0) + (end.cost_pusd or 0) + one.late_pusd
    return [BookedSum(model, pusd, requests=1) for model, pusd in found.items()]


def _with_classes(day: ComparedDay, classes: Iterable[ClassSum]) -> ComparedDay:
    fields: dict[str, Any] = {name: getattr(day, name) for name in ComparedDay.__struct_fields__}
    return ComparedDay(**{**fields, "classes": tuple(classes)})


def _day_text(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
