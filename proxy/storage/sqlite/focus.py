"""Read charges for FOCUS, a UTC day at a time: rows while they are kept, and the roll-up for what is beyond them.

What the roll-up has more than its rows and their adjustments is a charge too, so that all charges of all time are what
the ledger holds, to the pico-dollar, whatever retention has removed.
"""

import sqlite3
from collections.abc import Iterator
from fnmatch import fnmatchcase

from proxy.storage.export import Selection
from proxy.storage.focus import ChargeOwner, ChargeSlice, ChargeTokens, FocusCharge
from proxy.storage.sqlite.usage import id_range

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_WHOSE = "user, ifnull(group_name, ''), ifnull(model, ''), ifnull(provider, ''), ifnull(use_case, '')"
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens")
_SUMS = ", ".join(f"sum(ifnull({name}, 0))" for name in ("cost_pusd", *_TOKENS))

# of several attempts the last one's key and host; the row itself knows those of the first, and who served the last
_ROWS = f"""
SELECT {_WHOSE}, token_id, endpoint,
    ifnull(CASE WHEN attempts > 1 THEN (SELECT key FROM attempt_rows WHERE request_id = r.id AND n = r.attempts)
        ELSE key END, '') AS paid_key,
    CASE WHEN attempts > 1 THEN (SELECT key_id FROM attempt_rows WHERE request_id = r.id AND n = r.attempts)
        ELSE key_id END AS paid_key_id,
    ifnull(CASE WHEN attempts > 1 THEN (SELECT served_by FROM attempt_rows WHERE request_id = r.id AND n = r.attempts)
        ELSE served_by END, '') AS host,
    is_byok, sum(upstream_cost_pusd), count(*), {_SUMS}
FROM requests r
WHERE id >= ? AND id <= ? AND started_ms >= ? AND started_ms < ? AND state IN ('settled', 'released')
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
"""  # noqa: S608 - constants of this file
_HOURS = f"""
SELECT user, group_name, model, provider, use_case, sum(requests), {_SUMS} FROM usage_hourly
WHERE hour_ms >= ? AND hour_ms < ? GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""  # noqa: S608 - as above
_LATE = """
SELECT user, group_name, model, provider, use_case, sum(amount_pusd) FROM adjustments
WHERE at_ms >= ? AND at_ms < ? GROUP BY 1, 2, 3, 4, 5
"""
_CORRECTIONS = f"""
SELECT at_ms / {_DAY_MS}, strftime('%Y-%m', ts_ms / 1000, 'unixepoch') AS month, user, group_name, model, provider,
    use_case, ifnull(charged_key, ''), reason, source, min(ts_ms), sum(amount_pusd)
FROM adjustments WHERE ts_ms >= ? AND ts_ms < ?
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 HAVING sum(amount_pusd) <> 0 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
"""  # noqa: S608 - as above


def charge_slices(connection: sqlite3.Connection, selection: Selection) -> Iterator[ChargeSlice]:
    """Read the charges of requests that began in the selection's time, then corrections that became known in it.

    The time begins and ends with full hours. connection: of open_reader.
    """
    first, last = connection.execute("SELECT min(hour_ms), max(hour_ms) FROM usage_hourly").fetchone()
    start_ms = first or 0 if selection.since_ms is None else max(selection.since_ms, first or 0)
    end_ms = (last or 0) + _HOUR_MS if selection.until_ms is None else min(selection.until_ms, (last or 0) + _HOUR_MS)
    names = dict(connection.execute("SELECT id, hash FROM key_hashes"))
    at_ms = start_ms if first is not None else end_ms
    while at_ms < end_ms:
        next_ms = min((at_ms // _DAY_MS + 1) * _DAY_MS, end_ms)
        connection.execute("BEGIN")  # rows, roll-up and adjustments of one moment
        try:
            charges = list(_day(connection, at_ms, next_ms, names))
        finally:
            connection.execute("COMMIT")
        at_ms = next_ms
        yield ChargeSlice(_selected(charges, selection), (at_ms - start_ms) / (end_ms - start_ms))
    yield ChargeSlice(_selected(list(_corrections(connection, selection)), selection), 1.0)


def _selected(charges: list[FocusCharge], selection: Selection) -> list[FocusCharge]:
    return [
        charge
        for charge in charges
        if (not selection.users or charge.whose.user in selection.users)
        and (not selection.models or any(fnmatchcase(charge.whose.model, glob) for glob in selection.models))
    ]


def _day(connection: sqlite3.Connection, start_ms: int, end_ms: int, names: dict[int, str]) -> Iterator[FocusCharge]:
    known: dict[ChargeOwner, list[int]] = {}  # requests, cost and tokens that rows and adjustments account for
    ids = id_range(connection, start_ms, end_ms)
    for row in connection.execute(_ROWS, (*ids, start_ms, end_ms)):
        whose, figures = ChargeOwner(*row[:5]), row[12:]
        token, endpoint, key, key_id, host, is_byok, upstream_pusd = row[5:12]
        found = known.setdefault(whose, [0] * len(figures))
        for n, figure in enumerate(figures):
            found[n] += figure
        requests, cost_pusd, *tokens = figures
        yield FocusCharge(
            start_ms,
            end_ms,
            start_ms,
            whose,
            cost_pusd=cost_pusd,
            requests=requests,
            tokens=ChargeTokens(*tokens),
            token=token,
            endpoint=endpoint,
            key=key,
            key_hash=names.get(key_id, ""),
            host=host,
            is_byok=None if is_byok is None else bool(is_byok),
            upstream_pusd=upstream_pusd,
        )
    for *late, amount_pusd in connection.execute(_LATE, (start_ms, end_ms)):
        known.setdefault(ChargeOwner(*late), [0] * (2 + len(_TOKENS)))[1] += amount_pusd
    yield from _beyond_rows(connection, start_ms, end_ms, known)


def _beyond_rows(
    connection: sqlite3.Connection, start_ms: int, end_ms: int, known: dict[ChargeOwner, list[int]]
) -> Iterator[FocusCharge]:
    """Yield what the roll-up has more than its rows and adjustments: requests whose rows retention has removed."""
    for row in connection.execute(_HOURS, (start_ms, end_ms)):
        whose, figures = ChargeOwner(*row[:5]), row[5:]
        missing = [figure - of for figure, of in zip(figures, known.get(whose, [0] * len(figures)), strict=True)]
        if any(missing):
            requests, cost_pusd, *tokens = missing
            yield FocusCharge(
                start_ms,
                end_ms,
                start_ms,
                whose,
                cost_pusd=cost_pusd,
                requests=requests,
                tokens=ChargeTokens(*tokens),
            )


def _corrections(connection: sqlite3.Connection, selection: Selection) -> Iterator[FocusCharge]:
    span = (selection.since_ms or 0, 1 << 62 if selection.until_ms is None else selection.until_ms)
    for day, _, *whose, key, reason, source, ts_ms, amount_pusd in connection.execute(_CORRECTIONS, span):
        yield FocusCharge(
            day * _DAY_MS,
            (day + 1) * _DAY_MS,
            ts_ms,
            ChargeOwner(*whose),
            cost_pusd=amount_pusd,
            requests=None,
            key=key,
            reason=reason,
            source=source,
        )
