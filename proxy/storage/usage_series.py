"""What was spent over time on the few that cost the most, and on all others together: what a chart draws."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from proxy.policy.time_segments import TIME_WORDS
from proxy.storage.reports import Reports
from proxy.storage.spending import OTHERS, SpendingRow, SpendingSums, UsageSelection


class UsageSeries(NamedTuple):
    """The rows of the dearest values of a word, those of all others together (OTHERS), and the sum of everything."""

    rows: list[SpendingRow]
    others: list[SpendingRow]
    total: SpendingRow


def series_word(by: tuple[str, ...]) -> str | None:
    """Return the word of by that series are of: the only one that is none of time, and not tag; None without one."""
    words = [word for word in by if word not in TIME_WORDS]
    return words[0] if len(words) == 1 and words[0] != "tag" else None


def read_usage_series(reports: Reports, wanted: UsageSelection, count: int, zone: ZoneInfo) -> UsageSeries:
    """Read the sums of a selection whose words have a series_word(): of its count dearest values, and of the others.

    Thousands of names in each of many days are summed where they are kept; only what is drawn is read.
    """
    word = series_word(wanted.by)
    assert word is not None, "the caller asks for one word"
    names = reports.usage(replace(wanted, by=(word,)), zone).sorted_by("cost").rows
    kept = tuple(row.key[0] for row in names[:count])
    sums: SpendingSums = reports.usage(replace(wanted, kept=(word, kept)), zone)
    place = wanted.by.index(word)
    rows, others = [], dict[tuple[str, ...], list[SpendingRow]]()
    for row in sums.rows:
        if row.key[place] in kept:
            rows.append(row)
        else:  # among them what retention has removed, which no word of single rows has a value for
            others.setdefault((*row.key[:place], OTHERS, *row.key[place + 1 :]), []).append(row)
    return UsageSeries(rows, [SpendingRow.total(group).under(key) for key, group in others.items()], sums.total)
