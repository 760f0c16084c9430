"""What finance reads of a month: what was spent by whom and on what, what it will come to, and the bill beside it.

All tables are made of the same sums, so that each adds up to the same total, to the pico-dollar.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from proxy.policy.exchange_rates import RateStep
from proxy.policy.forecast import forecast, weigh_window
from proxy.policy.projection import BreakEven, Projection
from proxy.policy.reconciliation.drift_class import DRIFT_CLASSES
from proxy.storage.reconciliation import ClassSum, ComparedDay, HistorySum
from proxy.storage.reports import Reports
from proxy.storage.spending import TAG, LateSum, SpendingRow, UnsettledSum, UsageSelection, is_of_rows, is_usage_word
from proxy.storage.spent_days import SpentDays, spent_by_day

USE_CASE: Final = "use_case"
TOO_YOUNG: Final = "the month is too young, and nothing is projected from it"
_OVER: Final = "None: the month is over, and its total is what it came to."


class MonthQuestion(Struct, frozen=True):
    """Which month is wanted, [start_ms, end_ms) of a zone, and how it is looked at.

    project: the word of usage that says what a project is, use_case or tag:NAME. growth: of a month, as a factor.
    revenue_pusd: of a month, beside the cost of the part whose word has a value; without a part beside all of it.
    """

    name: str
    start_ms: int
    end_ms: int
    zone: ZoneInfo
    rates: Sequence[RateStep] = ()
    project: str = USE_CASE
    growth: Decimal = Decimal(1)
    revenue_pusd: int | None = None
    part: tuple[str, str] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of its tables: two of people, that of projects, two of models."""
        return ("user", "group", self.project, "provider", "model")

    @property
    def days(self) -> tuple[str, str]:
        """Return the first and the last date."""
        first = datetime.fromtimestamp(self.start_ms / 1000, self.zone).date()
        last = datetime.fromtimestamp(self.end_ms / 1000, self.zone).date() - timedelta(days=1)
        return first.isoformat(), last.isoformat()


class SpendingOutlook(Struct, frozen=True):
    """What a month comes to, and the months after it.

    forecast_pusd: of the whole month; None: it is over, or too young to tell. rate_pusd: what the last rate_days whole
    days of it, or before it, cost together. projection: None of a month that is too young; break_even: None too, or
    without a revenue.
    """

    forecast_pusd: int | None
    rate_pusd: int
    rate_days: int
    projection: Projection | None
    break_even: BreakEven | None

    @property
    def day_pusd(self) -> int | None:
        """Return the run-rate: the mean of a day."""
        return None if not self.rate_days else self.rate_pusd // self.rate_days

    @property
    def forecast_note(self) -> str | None:
        """Return why there is no forecast; None where there is one."""
        if self.forecast_pusd is not None:
            return None
        return f"None yet: {TOO_YOUNG}." if self.projection is None else _OVER


class BillSummary(Struct, frozen=True):
    """The days of UTC of a month that were compared with what providers charged, and how they differ.

    broken: days that could not be compared whole. classes: the differences, by their names; adjusted_pusd of each was
    booked since.
    """

    days: int
    broken: int
    booked_pusd: int
    billed_pusd: int
    classes: list[ClassSum]

    @classmethod
    def of_days(cls, days: Sequence[ComparedDay]) -> "BillSummary | None":
        """Add days up; None where none was compared. What was before the first request is compared with nothing."""
        compared = [day for day in days if day.level != "history"]
        if not compared:
            return None
        classes: dict[str, ClassSum] = {}
        for each in (each for day in compared for each in day.classes):
            known = classes.get(each.drift_class, ClassSum(each.drift_class, 0, 0))
            sums = map(int.__add__, known[1:], each[1:])
            classes[each.drift_class] = ClassSum(each.drift_class, *sums)
        return cls(
            len({day.day for day in compared}),
            sum(day.problem is not None for day in compared),
            sum(day.booked_pusd for day in compared),
            sum(day.billed_pusd for day in compared),
            [classes[each.name] for each in DRIFT_CLASSES if each.name in classes],
        )


class MonthReport(Struct, frozen=True):
    """One month. Rows have the key of their table: people (user, group), models (provider, model), the others one word.

    late: costs that became known late; they are in all sums. rest: requests that are in no sum yet, or in doubt.
    bill: the ledger beside it, None where no day was compared. history: what was charged before the first request.
    """

    question: MonthQuestion
    made_ms: int
    total: SpendingRow
    people: list[SpendingRow]
    groups: list[SpendingRow]
    projects: list[SpendingRow]
    models: list[SpendingRow]
    days: Mapping[str, int]
    late: list[LateSum]
    rest: UnsettledSum
    outlook: SpendingOutlook
    bill: BillSummary | None
    history: list[HistorySum]

    @property
    def is_over(self) -> bool:
        return self.made_ms >= self.question.end_ms


def read_month_report(
    reports: Reports, question: MonthQuestion, now_ms: int, step: Callable[[float], None] | None = None
) -> MonthReport:
    """Read a month, up to now where it is not over."""
    tables = [question.words[:2], question.words[2:3], question.words[3:]]
    # where rows are read they are read once; the roll-up by the day is quicker by few words than by all of them
    words = question.words if is_of_rows(question.project) else ()
    wanted = UsageSelection(words, question.start_ms, question.end_ms, rates=question.rates)
    found = reports.spending(wanted, question.zone, step, () if words else tables)
    rows, total = found.sums.rows, found.sums.total
    people, projects, models = (
        (_by(rows, 0, 1), _by(rows, 2), _by(rows, 3, 4)) if words else [sums.rows for sums in found.tables]
    )
    until_ms = min(max(now_ms, question.start_ms), question.end_ms)
    days = spent_by_day(reports, question.zone, until_ms)
    of_part = [total]
    if question.part is not None:
        word, value = question.part
        table, named = next(pair for pair in zip((people, projects, models), tables, strict=True) if word in pair[1])
        of_part = [row for row in table if row.key[named.index(word)] == value]
    return MonthReport(
        question,
        now_ms,
        total,
        people,
        _by(people, 1),
        projects,
        models,
        {row.key[0]: row.cost_pusd for row in found.days.rows},
        found.late,
        found.rest,
        _outlook(question, SpendingRow.total(of_part), total, days, until_ms),
        BillSummary.of_days(reports.compared_days(*question.days)),
        reports.provider_history(*question.days),
    )


def read_outlook(reports: Reports, question: MonthQuestion, now_ms: int) -> tuple[int, SpendingOutlook]:
    """Read what a month has cost up to now, and what it comes to; much less than a report reads."""
    part = question.part
    by = () if part is None else (part[0],)
    rows = reports.usage(UsageSelection(by, question.start_ms, question.end_ms), question.zone).rows
    until_ms = min(max(now_ms, question.start_ms), question.end_ms)
    days = spent_by_day(reports, question.zone, until_ms)
    total = SpendingRow.total(rows)
    of_part = rows if part is None else [row for row in rows if row.key[0] == part[1]]
    return total.cost_pusd, _outlook(question, SpendingRow.total(of_part), total, days, until_ms)


def _by(rows: Sequence[SpendingRow], *places: int) -> list[SpendingRow]:
    """Return sums by some of the words, the dearest first."""
    grouped: dict[tuple[str, ...], list[SpendingRow]] = {}
    for row in rows:
        grouped.setdefault(tuple(row.key[place] for place in places), []).append(row)
    sums = [SpendingRow.total(group).under(key) for key, group in grouped.items()]
    return sorted(sums, key=lambda row: (-row.cost_pusd, row.key))


def _outlook(
    question: MonthQuestion, part: SpendingRow, total: SpendingRow, days: SpentDays, until_ms: int
) -> SpendingOutlook:
    is_over = until_ms >= question.end_ms
    expected = None if is_over else _forecast(question, total.cost_pusd, days, until_ms)
    month_pusd = total.cost_pusd if is_over else expected
    if month_pusd is None:  # what a few hours came to is no month: nothing follows from it
        return SpendingOutlook(None, days.rate_pusd, days.rate_days, None, None)
    break_even = None
    if question.revenue_pusd is not None:
        cost_pusd, requests = part.cost_pusd, part.requests
        if total.cost_pusd > 0:  # the part grows as all of it is expected to
            cost_pusd = cost_pusd * month_pusd // total.cost_pusd
            requests = requests * month_pusd // total.cost_pusd
        break_even = BreakEven.of_month(question.revenue_pusd, cost_pusd, requests, question.growth)
    projection = Projection.of_month(month_pusd, question.growth)
    return SpendingOutlook(expected, days.rate_pusd, days.rate_days, projection, break_even)


def _forecast(question: MonthQuestion, used_pusd: int, days: SpentDays, now_ms: int) -> int | None:
    """Return what the month comes to; in its first days it goes on as the run-rate says."""
    zone, weekdays = question.zone, days.weekdays
    weights = weigh_window(weekdays, zone, question.start_ms, question.end_ms, now_ms)
    if days.rate_days:
        weights = weights._replace(before=weekdays.weigh(zone, *days.rate_span_ms(zone)))
    return forecast(used_pusd, weights, days.rate_pusd)


def read_project(text: str) -> str:
    """Return the word that says what a project is; raises ValueError that says what may be written."""
    if text != USE_CASE and not (text.startswith(TAG) and is_usage_word(text)):
        raise ValueError(f"{text!r}: write use_case, or tag: and a name.")
    return text


def read_part(text: str, words: Sequence[str]) -> tuple[str, str]:
    """Return the word and the value of ``user=anna``; raises ValueError that says what may be written."""
    word, equals, value = text.partition("=")
    if not equals or word not in words:
        raise ValueError(f"{text!r}: write one of {', '.join(words)}, = and its value.")
    return word, value


def month_name(start_ms: int, zone: ZoneInfo) -> str:
    """Return a month as 2026-11, by its first instant."""
    return f"{datetime.fromtimestamp(start_ms / 1000, zone):%Y-%m}"


def month_title(name: str) -> str:
    """Return a month for people: November 2026."""
    return f"{date.fromisoformat(f'{name}-01'):%B %Y}"
