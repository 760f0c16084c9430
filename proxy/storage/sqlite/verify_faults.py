"""What is wrong with a row, in SQL: conditions, and what to say where one of them holds.

Each table of faults is for one query, whose columns it names; the first condition that holds is told.
"""

from proxy.core.counts import Counts
from proxy.storage.limit_sums import RESERVED_PIECES, UNCOUNTED_PIECES

ENDED = "state IN ('settled', 'released')"


def flagged(word: str, table: str = "") -> str:
    return f"({table}flags IS NOT NULL AND instr(' ' || {table}flags || ' ', ' {word} ') > 0)"


_UNBELIEVED = ("usage_not_final", "usage_zero", "usage_too_small")
_DOUBTED = " OR ".join(flagged(word) for word in _UNBELIEVED)
# why nobody told a cost: flags that go where one is found, and those of a proxy that could not ask
_INEXACT = " OR ".join(flagged(word) for word in (*_UNBELIEVED, "usage_missing", "cost_missing", "cost_doubtful"))
_UNTOLD = f"{_INEXACT} OR {flagged('crash')} OR {flagged('settlement_failed')}"
_DOUBTED_THERE = " OR ".join(flagged(word, "r.") for word in _UNBELIEVED)


def _rank(column: str) -> str:
    """Return how uncertain a source is, in the order of docs/concepts/ledger.md."""
    sources = ("provider", "generation", "price", "estimate", "reservation")
    return f"CASE {column} " + " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(sources, 1)) + " ELSE 0 END"


ROW_FAULTS = (
    (
        (
            "min(ifnull(input_tokens, 0), ifnull(output_tokens, 0), ifnull(cached_tokens, 0),"
            " ifnull(reasoning_tokens, 0), ifnull(cost_pusd, 0), ifnull(reserved_pusd, 0),"
            f" {', '.join(f'ifnull({name}, 0)' for name in (*Counts._fields, *RESERVED_PIECES, *UNCOUNTED_PIECES))},"
            " ifnull(reserved_tokens, 0), ifnull(uncounted_tokens, 0), ifnull(ttft_ms, 0), ifnull(duration_ms, 0),"
            " attempts, started_ms) < 0"
        ),
        "an amount is below 0",
    ),
    ("id >> 21 < started_ms", "its id is older than the time at which it began"),
    (
        # the date's midnight in UTC is at most 14 hours after the start (east) and 37 before it (west, a long day)
        "ifnull(started_ms / 86400000.0 + 2440587.5 - julianday(day), 9) NOT BETWEEN -0.6 AND 1.6",
        "its day is not the date on which it began, in any time zone",
    ),
    (
        (
            "state = 'open' AND (finished_ms IS NOT NULL OR cost_pusd IS NOT NULL OR cost_source <> 'none'"
            " OR status IS NOT NULL OR model IS NOT NULL)"
        ),
        "it is open, but has columns of an end",
    ),
    ("state <> 'open' AND (finished_ms IS NULL OR status IS NULL)", "it has ended, but at no time or with no status"),
    (
        "state = 'pending' AND (cost_pusd IS NOT NULL OR cost_source <> 'none')",
        "it waits for a cost, but has one",
    ),
    (
        "state = 'released' AND (cost_pusd IS NOT 0 OR cost_source <> 'none')",
        "it was released (not billed), but cost something or names a source",
    ),
    (
        # of several attempts one may have a cost and another none
        (
            f"(state = 'settled' AND cost_pusd IS NULL) <> {flagged('cost_unknown')}"
            f" AND (attempts <= 1 OR cost_pusd IS NULL) AND NOT {flagged('request_price')}"
        ),
        "flag cost_unknown and its cost contradict each other",
    ),
    (
        "state = 'settled' AND (cost_pusd IS NULL) <> (cost_source = 'none')",
        "it is settled with a cost that comes from nowhere, or with a source of no cost",
    ),
    (
        # an estimate without any flag: its tokens were counted, and had no price any more
        (
            f"(cost_source = 'reservation' AND NOT ({_UNTOLD}))"
            f" OR (cost_source = 'estimate' AND flags IS NOT NULL AND NOT ({_UNTOLD}))"
        ),
        "it was charged at its reservation, and no flag says why",
    ),
    (
        (
            f"attempts <= 1 AND NOT {flagged('request_price')} AND ((cost_source IN ('provider', 'generation', 'price')"
            f" AND {flagged('usage_missing')}) OR (cost_source = 'generation' AND ({_INEXACT})))"
        ),
        "its source is one that tells the cost, but a flag says that nobody told it",
    ),
    (
        # what it is known to have cost at least may be more than was held, or stand where nothing could be held
        (
            "cost_source IN ('reservation', 'estimate') AND attempts <= 1 AND cost_pusd IS NOT reserved_pusd"
            f" AND NOT ifnull(cost_pusd > reserved_pusd, cost_pusd IS NOT NULL AND ({_DOUBTED}))"
        ),
        "it was charged at its reservation, but the amounts differ",
    ),
    (
        f"(state = 'settled' AND ifnull(cost_pusd > reserved_pusd, 0)) <> {flagged('over_reservation')}",
        "flag over_reservation and the amounts contradict each other",
    ),
)


def cases(faults: tuple[tuple[str, str], ...]) -> str:
    return "CASE " + " ".join(f"WHEN {condition} THEN '{text}'" for condition, text in faults) + " END"


ATTEMPT_FAULTS = (
    ("r.id IS NULL", "attempts without a request"),
    ("a.count <> a.last OR a.below > 0", "its attempts are not numbered 1, 2, 3 ..."),
    ("a.negative > 0", "an amount of an attempt is below 0"),
    ("a.first_ms <> r.started_ms", "its first attempt did not start at the same time as itself"),
    ("r.state <> 'open' AND a.open > 0", "it has ended, but an attempt has not"),
    (
        (
            "r.state <> 'open' AND r.attempts <> a.count"
            " AND NOT (r.attempts = 0 AND a.count = 1 AND a.outcome = 'not_sent')"
        ),
        "its number of attempts is not that of its rows",
    ),
    (
        "r.attempts = 1 AND a.count = 1 AND a.outcome = 'not_sent'",
        "it counts an attempt that was not sent",
    ),
    (
        "r.state IN ('settled', 'released') AND a.cost <> ifnull(r.cost_pusd, 0)",
        "its cost is not the sum over its attempts",
    ),
    ("r.state = 'pending' AND NOT a.unknown", "it waits for a cost, but none of its attempts does"),
    (
        f"r.state IN ('settled', 'released') AND a.unknown > 0 AND NOT {flagged('cost_unknown', 'r.')}",
        "it has ended, but an attempt has no cost",
    ),
    (
        f"r.state = 'settled' AND a.count > 1 AND a.unknown = 0 AND {flagged('cost_unknown', 'r.')}",
        "the cost of each attempt is known, but a flag says that one is not",
    ),
    (
        f"r.state IN ('settled', 'released') AND r.cost_pusd > 0 AND a.sources >> {_rank('r.cost_source')} <> 1",
        "its source is not that of its least certain attempt",
    ),
    (
        (
            "r.state <> 'open' AND (a.input_tokens IS NOT r.input_tokens OR a.output_tokens IS NOT r.output_tokens"
            " OR a.cached_tokens IS NOT r.cached_tokens OR a.reasoning_tokens IS NOT r.reasoning_tokens"
            f" OR {' OR '.join(f'a.{name} IS NOT r.{name}' for name in Counts._fields)})"
        ),
        "its tokens are not those of its attempts",
    ),
    (
        (
            "r.state <> 'open' AND (a.generation_id IS NOT r.generation_id OR a.provider <> r.provider)"
            " AND a.outcome <> 'not_sent'"
        ),
        "its generation or provider is not that of its last attempt",
    ),
    ("a.held > ifnull(r.reserved_pusd, 0)", "its attempts have more reserved than itself"),
    (
        (
            "r.state IN ('settled', 'released') AND a.count > 1 AND (a.charged > 0 OR (a.cost_source IN"
            " ('reservation', 'estimate') AND a.cost_pusd IS NOT r.reserved_pusd - a.held"
            f" AND NOT ifnull(a.cost_pusd > r.reserved_pusd - a.held, {_DOUBTED_THERE})))"
        ),
        "an attempt was charged at its share of the reservation, but the amounts differ",
    ),
)

# SQLite takes the bare columns of a group from the row that holds its only max(): the last attempt. Its share is the
# rest. sources: a bit for each, so that the highest is the least sure.
SUMMED_ATTEMPTS = f"""
SELECT request_id, max(n) AS last, count(*) AS count, sum(n < 1) AS below, sum(outcome = 'open') AS open,
    sum(cost_pusd IS NULL AND outcome <> 'open') AS unknown,
    sum(ifnull(cost_pusd, 0)) AS cost, sum(CASE n WHEN 1 THEN started_ms ELSE 0 END) AS first_ms,
    sum(min(ifnull(input_tokens, 0), ifnull(output_tokens, 0), ifnull(cached_tokens, 0), ifnull(reasoning_tokens, 0),
        ifnull(cost_pusd, 0), ifnull(ttft_ms, 0), ifnull(duration_ms, 0), ifnull(reserved_pusd, 0),
        ifnull(reserved_tokens, 0)) < 0) AS negative,
    sum(DISTINCT CASE WHEN cost_pusd > 0 THEN 1 << ({_rank("cost_source")}) ELSE 0 END) AS sources,
    sum(CASE WHEN is_single THEN 0 ELSE ifnull(reserved_pusd, 0) END) AS held,
    sum(NOT is_single AND reserved_pusd IS NOT NULL AND cost_source IN ('reservation', 'estimate')
        AND cost_pusd IS NOT reserved_pusd AND NOT ifnull(cost_pusd > reserved_pusd, 0)) AS charged,
    sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(cached_tokens) AS cached_tokens,
    sum(reasoning_tokens) AS reasoning_tokens, {", ".join(f"sum({name}) AS {name}" for name in Counts._fields)},
    outcome, provider, cost_pusd, cost_source, generation_id
FROM (SELECT *, n = 1 AND NOT EXISTS (SELECT 1 FROM attempt_rows WHERE attempt_rows.request_id = attempts.request_id)
    AS is_single FROM attempts) GROUP BY request_id
"""  # noqa: S608 - constants of this file

# of an adjustment a, the request r that it corrects (NULL: gone, or none), and what was booked by those before it
ADJUSTMENT_FAULTS = (
    ("(a.request_id IS NULL) = (a.reference IS NULL)", "it belongs to a request as well as to none, or to neither"),
    ("a.request_id IS NOT NULL AND r.id IS NULL AND a.at_ms >= ?1", "it corrects a request that does not exist"),
    ("r.state NOT IN ('settled', 'released')", "it corrects a request that has not ended"),
    ("a.booked_pusd < 0 OR a.booked_pusd + a.amount_pusd < 0", "it takes more than was booked"),
    (
        (
            "a.booked_pusd <> ifnull(a.before_pusd, CASE WHEN a.request_id IS NULL THEN 0"
            " WHEN r.id IS NULL THEN a.booked_pusd ELSE ifnull(r.cost_pusd, 0) END)"
        ),
        "what it says was booked before is not what was",
    ),
    (
        (
            "r.id IS NOT NULL AND (a.at_ms <> r.started_ms OR a.day <> r.day OR a.user <> r.user"
            " OR a.group_name <> ifnull(r.group_name, '') OR a.model <> ifnull(r.model, '')"
            " OR a.provider <> ifnull(r.provider, '') OR a.use_case <> ifnull(r.use_case, '')"
            " OR a.groups_above <> ifnull(r.groups_above, '') OR a.other_models <> ifnull(r.other_models, ''))"
        ),
        "it counts at another time, or for others, than its request",
    ),
)
