"""What was spent on a part of the requests: those with a given model, group, use case or any other word of usage."""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from proxy.core.glob import fits
from proxy.policy.time_segments import TIME_WORDS, label_order
from proxy.storage.reports import Reports
from proxy.storage.spending import ROLLED_WORDS, SpendingRow, SpendingSums, UsageSelection

_PATTERNS = ("model", "requested_model")


def read_usage_part(reports: Reports, wanted: UsageSelection, where: Mapping[str, str], zone: ZoneInfo) -> SpendingSums:
    """Return the sums of the requests that have the values of where, in the order of Reports.usage().

    where: a value for each word; of a model a pattern (* and ?). Without any it is all of the selection.
    """
    exact = {word: value for word, value in where.items() if _is_exact(word, value)}
    wanted = replace(wanted, only=tuple(exact.items()))
    where = {word: value for word, value in where.items() if word not in exact}
    if not where:
        return reports.usage(wanted, zone)
    return read_matching_usage(reports, wanted, tuple(where), lambda key: _has_values(key, where), zone)


def read_matching_usage(
    reports: Reports,
    wanted: UsageSelection,
    words: tuple[str, ...],
    is_wanted: Callable[[Mapping[str, str]], bool],
    zone: ZoneInfo,
) -> SpendingSums:
    """Return the sums of the requests whose values of words are wanted, in the order of Reports.usage()."""
    by = (*wanted.by, *(word for word in words if word not in wanted.by))
    rows = _matching(reports.usage(replace(wanted, by=by), zone), by, is_wanted)
    sums = _grouped(rows, wanted.by)
    if "tag" not in by:
        return sums
    # a request counts once in the total, and under each of its tags
    once = _matching(reports.usage(replace(wanted, by=words), zone), words, is_wanted)
    return SpendingSums(sums.rows, SpendingRow.total(once))


def _is_exact(word: str, value: str) -> bool:
    """Return whether the roll-up itself can tell who has the value: it reads these alone."""
    return word in ROLLED_WORDS and not (word in _PATTERNS and any(sign in value for sign in "*?["))


def _has_values(key: Mapping[str, str], where: Mapping[str, str]) -> bool:
    return all(fits(key[word], value) if word in _PATTERNS else key[word] == value for word, value in where.items())


def _matching(
    sums: SpendingSums, words: tuple[str, ...], is_wanted: Callable[[Mapping[str, str]], bool]
) -> list[SpendingRow]:
    return [row for row in sums.rows if is_wanted(dict(zip(words, row.key, strict=True)))]


def _grouped(rows: list[SpendingRow], by: tuple[str, ...]) -> SpendingSums:
    """Return sums by the first words of rows."""
    groups: dict[tuple[str, ...], list[SpendingRow]] = {}
    for row in rows:
        groups.setdefault(row.key[: len(by)], []).append(row)
    found = [SpendingRow.total(group).under(key) for key, group in groups.items()]
    times = [n for n, word in enumerate(by) if word in TIME_WORDS]
    found.sort(key=lambda row: ([label_order(row.key[n]) for n in times], -row.cost_pusd, row.key))
    return SpendingSums(found, SpendingRow.total(rows))
