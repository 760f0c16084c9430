"""What limits count, in SQL: by kind, of a row of requests and of an hour of the roll-up."""

from proxy.core.limit_kinds import COST, COUNTED, PIECES, LimitKind

# what token limits count beside the tokens that were counted
UNCOUNTED_TOKENS = (
    "ifnull(uncounted_tokens, CASE WHEN state = 'settled' AND input_tokens IS NULL AND output_tokens IS NULL"
    " THEN ifnull(reserved_tokens, 0) ELSE 0 END)"
)

RESERVED_PIECES = tuple(kind.reserved for kind in PIECES if kind.reserved is not None)  # columns of requests
UNCOUNTED_PIECES = tuple(kind.uncounted for kind in PIECES if kind.uncounted is not None)  # and of usage_hourly


def settled_by_row(kind: LimitKind) -> str:
    """Return what a row of requests that has ended counts."""
    if not kind.settled:
        return "1"
    columns = [f"ifnull({name}, 0)" for name in kind.settled]
    if kind.uncounted is not None:
        columns.append(UNCOUNTED_TOKENS if kind.uncounted == "uncounted_tokens" else f"ifnull({kind.uncounted}, 0)")
    return " + ".join(columns)


def settled_by_hour(kind: LimitKind) -> str:
    """Return what a row of the roll-up counts."""
    columns = (*kind.settled, *(() if kind.uncounted is None else (kind.uncounted,)))
    return " + ".join(columns) or kind.name  # the roll-up has a column of requests


def reserved_by_row(kind: LimitKind) -> str:
    """Return what a row of requests holds until it has ended; NULL where nothing was held, for want of such a limit."""
    return kind.reserved or "1"


SETTLED_BY_ROW = tuple(map(settled_by_row, COUNTED))
SETTLED_BY_HOUR = tuple(map(settled_by_hour, COUNTED))
RESERVED_BY_ROW = tuple(map(reserved_by_row, COUNTED))
COUNTS_BY_ROW = ", ".join(SETTLED_BY_ROW[COST + 1 :])
COUNTS_BY_HOUR = ", ".join(f"sum({sql})" for sql in SETTLED_BY_HOUR[COST + 1 :])
