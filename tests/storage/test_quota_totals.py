"""What quota totals are rebuilt from: every settled amount once, fine where a window may begin inside an hour."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.quota import FineRows, SettledRow
from proxy.storage.rows import HOUR_MS
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.startup_reads import read_totals
from tests.storage.made_rows import START_MS, fill, ledger

FIRST_HOUR_MS = START_MS - START_MS % HOUR_MS
HOURS = 12
SETTLED = """
SELECT started_ms, user, group_name, ifnull(cost_pusd, 0), ifnull(input_tokens, 0) + ifnull(output_tokens, 0), 1
FROM requests WHERE state IN ('settled', 'released')
"""


def _sums(rows: Iterable[SettledRow]) -> dict[tuple[str, str | None], Counter[str]]:
    sums: dict[tuple[str, str | None], Counter[str]] = {}
    for row in rows:
        held = sums.setdefault((row.user, row.group), Counter())
        held.update(cost_pusd=row.cost_pusd, tokens=row.tokens, requests=row.requests)
    return sums


def _settled(connection: sqlite3.Connection) -> list[SettledRow]:
    return [SettledRow(*row) for row in connection.execute(SETTLED)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    since=st.integers(0, HOURS + 1),
    fine_hours=st.frozensets(st.integers(0, HOURS), max_size=4),
)
def test_every_amount_comes_once(seed: int, since: int, fine_hours: frozenset[int]) -> None:
    fine = FineRows(FIRST_HOUR_MS + since * HOUR_MS, frozenset(FIRST_HOUR_MS + hour * HOUR_MS for hour in fine_hours))
    with TemporaryDirectory() as folder, ledger(Path(folder) / "ledger.db") as connection:
        fill(connection, 200, step_ms=HOURS * HOUR_MS // 200, seed=seed)
        totals = read_totals(connection, fine)
        settled = _settled(connection)
    assert _sums([*totals.hours, *totals.rows]) == _sums(settled)
    assert sorted(totals.rows, key=repr) == sorted((row for row in settled if fine.covers(row.at_ms)), key=repr)
    assert all(row.at_ms % HOUR_MS == 0 and not fine.covers(row.at_ms) for row in totals.hours)
    assert not any(row.group == "" for row in totals.hours)


def test_sums_beyond_64_bits_do_not_end_the_start(tmp_path: Path) -> None:
    """What a few absurd bills come to is more than SQLite can sum; limits still know it to the pico-dollar."""
    most = 2**63 - 1
    with closing(connect_owner(tmp_path / "ledger.db", 1.0)) as connection:
        for model in ("a", "b", "c"):
            connection.execute(
                "INSERT INTO usage_hourly (hour_ms, user, group_name, model, provider, use_case, requests, errors,"
                " input_tokens, output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd)"
                " VALUES (0, 'anna', '', ?, 'p', '', 1, 0, 1, 1, 0, 0, 0, ?)",
                (model, most),
            )
        (row,) = read_totals(connection, FineRows(1 << 40, frozenset())).hours
    assert (row.cost_pusd, row.requests) == (3 * most, 3)
