"""Read charges for FOCUS, a UTC day at a time: rows while they are kept, and the roll-up for what is beyond them.

What the roll-up has more than its rows and their adjustments is a charge too, so that all charges of all time are what
the ledger holds, to the pico-dollar, whatever retention has removed.
"""

import sqlite3
from collections.abc import Iterator, Sequence

from proxy.storage.export import Selection
from proxy.storage.focus import ChargeOwner, ChargeSlice, ChargeTokens, FocusCharge
from proxy.storage.sqlite.exact_sum import exact_sum, join_sums
from proxy.storage.sqlite.export import models_value, of_models
from proxy.storage.sqlite.usage import id_range

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_WHOSE = "user, ifnull(group_name, ''), ifnull(model, ''), ifnull(provider, ''), ifnull(use_case, '')"
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens")
_SUMS = ", ".join([exact_sum("ifnull(cost_pusd, 0)"), *(f"sum(ifnull({name}, 0))" for name in _TOKENS)])

# of several attempts the last one's key and host; the row itself knows those of the first, and who served the last
_ROWS = f"""
SELECT {_WHOSE}, token_id, endpoint,
    ifnull(CASE WHEN attempts > 1 THEN (SELECT key FROM attempt_rows WHERE request_id = r.id AND n = r.attempts)
        ELSE key END, '') AS paid_key,
    CASE WHEN attempts > 1 THEN (SELECT key_id FROM attempt_rows WHERE request_id = r.id AND n = r.attempts)
        ELSE key_id END AS paid_key_id,
    ifnull(CASE WHEN attempts > 1 THEN (SELECT served_by FROM attempt_rows WHERE request_id = r.id AND n = r.attempts)
        ELSE served_by END, '') AS host,
    is_byok, {{is_chosen}}, {exact_sum("upstream_cost_pusd")}, count(*), {_SUMS}
FROM requests r
WHERE id >= :first AND id <= :last AND started_ms >= :start AND started_ms < :end AND state IN ('settled', 'released')
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
"""  # noqa: S608 - constants of this file
_HOURS = f"""
SELECT user, group_name, model, provider, use_case, {{is_chosen}}, sum(requests), {_SUMS} FROM usage_hourly
WHERE hour_ms >= :start AND hour_ms < :end GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""  # noqa: S608 - as above
_LATE = f"""
SELECT user, group_name, model, provider, use_case, {exact_sum("amount_pusd")} FROM adjustments
WHERE at_ms >= ? AND at_ms < ? GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608 - as above
_CORRECTIONS = f"""
SELECT at_ms / {_DAY_MS}, strftime('%Y-%m', ts_ms / 1000, 'unixepoch') AS month, a.user, a.group_name, a.model,
    a.provider, a.use_case, ifnull(charged_key, ''), reason, source, min(ts_ms), {exact_sum("amount_pusd")}
FROM adjustments a LEFT JOIN requests r ON r.id = a.request_id
WHERE ts_ms >= :start AND ts_ms < :end AND {{is_chosen}}
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
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
            charges = list(_day(connection, selection, at_ms, next_ms, names))
        finally:
            connection.execute("COMMIT")
        at_ms = next_ms
        yield ChargeSlice(_of_users(charges, selection), (at_ms - start_ms) / (end_ms - start_ms))
    yield ChargeSlice(_of_users(list(_corrections(connection, selection)), selection), 1.0)


def _of_users(charges: list[FocusCharge], selection: Selection) -> list[FocusCharge]:
    return [charge for charge in charges if not selection.users or charge.whose.user in selection.users]


def _of_models(query: str, selection: Selection, *columns: str) -> str:
    """Return a statement that tells whether one of the columns is a model of the selection; without any all are."""
    return query.format(is_chosen=of_models(*columns) if selection.models else "1")


def _day(
    connection: sqlite3.Connection, selection: Selection, start_ms: int, end_ms: int, names: dict[int, str]
) -> Iterator[FocusCharge]:
    known: dict[ChargeOwner, list[int]] = {}  # requests, cost and tokens that rows and adjustments account for
    first, last = id_range(connection, start_ms, end_ms)
    values = {"start": start_ms, "end": end_ms, "models": models_value(selection)}
    query = _of_models(_ROWS, selection, "r.model", "r.requested_model")
    for row in connection.execute(query, {**values, "first": first, "last": last}):
        whose, figures = ChargeOwner(*row[:5]), _figures(row[14:])
        token, endpoint, key, key_id, host, is_byok, is_chosen, *upstream = row[5:14]
        found = known.setdefault(whose, [0] * len(figures))
        for n, figure in enumerate(figures):
            found[n] += figure
        if not is_chosen:
            continue
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
            upstream_pusd=None if upstream[0] is None else join_sums(*upstream),
        )
    for *late, high, low in connection.execute(_LATE, (start_ms, end_ms)):
        known.setdefault(ChargeOwner(*late), [0] * (2 + len(_TOKENS)))[1] += join_sums(high, low)
    hours = connection.execute(_of_models(_HOURS, selection, "model"), values)
    yield from _beyond_rows(hours, start_ms, end_ms, known)


def _figures(row: Sequence[int]) -> list[int]:
    """Return requests, cost and tokens from the columns of requests and _SUMS."""
    requests, high, low, *tokens = row
    return [requests, join_sums(high, low), *tokens]


def _beyond_rows(
    hours: sqlite3.Cursor, start_ms: int, end_ms: int, known: dict[ChargeOwner, list[int]]
) -> Iterator[FocusCharge]:
    """Yield what the roll-up has more than its rows and adjustments: requests whose rows retention has removed."""
    for row in hours:
        whose, is_chosen, figures = ChargeOwner(*row[:5]), row[5], _figures(row[6:])
        missing = [figure - of for figure, of in zip(figures, known.get(whose, [0] * len(figures)), strict=True)]
        if is_chosen and any(missing):
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
    end_ms = 1 << 62 if selection.until_ms is None else selection.until_ms
    values = {"start": selection.since_ms or 0, "end": end_ms, "models": models_value(selection)}
    query = _of_models(_CORRECTIONS, selection, "a.model", "r.requested_model")
    for day, _, *whose, key, reason, source, ts_ms, high, low in connection.execute(query, values):
        amount_pusd = join_sums(high, low)
        if not amount_pusd:
            continue
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
