"""The statements that sum what was spent: whole days and hours from the roll-up, anything else from single rows.

Bound in all of them: user; over the roll-up times, a JSON list of days or hours; over rows since, until, and first and
last, the ids between which they lie. A statement has the words of its selection in order, but for those of time, then
the figures of SpendingRow up to its counts: in the place of the cost the sum of its high bits, and behind all figures
that of its low bits. Where rows have to be read, statements over them have their time first, in multiples of quantum
(milliseconds).
"""

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.core.counts import Counts
from proxy.policy.time_segments import TIME_WORDS
from proxy.storage.spending import OTHERS, TAG, UsageSelection, is_of_rows
from proxy.storage.sqlite.exact_sum import sum_of_high, sum_of_low
from proxy.storage.sqlite.usage_daily import facet_of

_PARTS = ("cached_tokens", "reasoning_tokens", *Counts._fields)
FIGURES = 5 + len(_PARTS)
COST = 4  # its place among them

# an end user is one whom a service named first
_END_USER = "CASE WHEN {0} IN (SELECT name FROM users WHERE made_by IS NOT NULL) THEN {0} ELSE '' END"
_ROLLED = {
    "user": "user",
    "group": "group_name",
    "model": "model",
    "provider": "provider",
    "use_case": "use_case",
    "end_user": _END_USER.format("user"),
}
_NAMES = {"group": "group_name", "end_user": "user"}  # of the roll-up, where the word is another one
_TIMES = "SELECT value FROM json_each(:times)"
_OF_ROW = {
    "user": "r.user",
    "group": "ifnull(r.group_name, '')",
    "model": "ifnull(r.model, '')",
    "provider": "ifnull(r.provider, '')",
    "use_case": "ifnull(r.use_case, '')",
    "end_user": _END_USER.format("r.user"),
    "token": "r.token_id",
    "endpoint": "r.endpoint",
    "status": "ifnull(CAST(r.status AS TEXT), '')",
    "requested_model": "r.requested_model",
    "session": "ifnull(r.session_id, '')",
    "key": "ifnull(ifnull(w.provider, r.target_provider) || '/' || ifnull(w.key, r.key), '')",
    "tag": "ifnull(t.key || '=' || t.value, '')",
}
_TAG_OF_ROW = "ifnull((SELECT CAST(value AS TEXT) FROM json_each(r.tags) WHERE key = :tag{}), '')"
# By key each attempt's cost goes to its key. All else that the request has goes to the last one's: its tokens, and the
# request itself.
_IS_LAST = "(w.n IS NULL OR w.n = (SELECT max(n) FROM attempt_rows WHERE request_id = r.id))"
_COST_OF_KEY = (
    "CASE WHEN w.n IS NULL THEN ifnull(r.cost_pusd, 0) ELSE ifnull(w.cost_pusd, 0) + CASE WHEN"  # noqa: S608 - constants
    f" {_IS_LAST} THEN ifnull(r.cost_pusd, 0) - (SELECT sum(ifnull(cost_pusd, 0)) FROM attempt_rows"
    " WHERE request_id = r.id) ELSE 0 END END"
)
# an adjustment knows by itself what the roll-up knows, and which key was charged
_OF_ADJUSTMENT = {
    "user": "a.user",
    "group": "a.group_name",
    "model": "a.model",
    "provider": "a.provider",
    "use_case": "a.use_case",
    "end_user": _END_USER.format("a.user"),
    "key": "ifnull(a.charged_provider || '/' || a.charged_key, '')",
}


_OTHERS = f"CAST(x'{OTHERS.encode().hex()}' AS TEXT)"
_OF_ROW_IF_KEPT = {word: f"ifnull({column}, '')" for word, column in _OF_ROW.items()}


class UsageQueries:
    """The statements of one selection."""

    def __init__(self, wanted: UsageSelection) -> None:
        words = [word for word in wanted.by if word not in TIME_WORDS]
        self.rolled = [word for word in words if not is_of_rows(word)]
        self._places = [n for n, word in enumerate(words) if not is_of_rows(word)]
        self._count = len(words)
        self.needs_rows = wanted.needs_rows
        self.is_repeated = "tag" in words  # a request counts under each of its tags
        kept, kept_names = wanted.kept or (None, ())
        only = [word for word, _ in wanted.only]
        self.days, self.hours = _rolled(self.rolled, kept, only, is_of_user=wanted.user is not None)
        tags = [word for word in words if word.startswith(TAG)]
        of_tags = {word: _TAG_OF_ROW.format(n) for n, word in enumerate(tags)}
        columns: list[dict[str, str]] = [_OF_ROW | of_tags, _OF_ROW_IF_KEPT | _OF_ADJUSTMENT | of_tags]
        conditions = [_only(only, each) for each in columns]
        if kept is not None:
            columns = [{**each, kept: _kept(each[kept])} for each in columns]
        self.single, self.plain = (
            (
                _requests(names, columns[0], conditions[0], is_timed=wanted.needs_rows),
                _adjustments(names, columns[1], conditions[1], is_timed=wanted.needs_rows),
            )
            for names in (words, self.rolled)
        )
        self.values: dict[str, Any] = {"user": wanted.user, "kept": orjson.dumps(kept_names).decode()}
        self.values |= {f"only{n}": value for n, (_, value) in enumerate(wanted.only)}
        self.tags = {f"tag{n}": word.removeprefix(TAG) for n, word in enumerate(tags)}

    def rolled_part(self, key: tuple[str, ...]) -> tuple[str, ...]:
        """Return what the roll-up knows of a key."""
        return tuple(key[n] for n in self._places)

    def whole_key(self, rolled: tuple[str, ...]) -> tuple[str, ...]:
        """Return the key of what only the roll-up knows of: empty texts for all that rows would tell."""
        key = [""] * self._count
        for n, text in zip(self._places, rolled, strict=True):
            key[n] = text
        return tuple(key)


def _rolled(words: list[str], kept: str | None, only: list[str], *, is_of_user: bool) -> tuple[str, str]:
    """Return the statements over days and over hours."""
    keys = [_kept(_ROLLED[word]) if word == kept else _ROLLED[word] for word in words]
    # nearly all are 0: to compare takes half as long as to add
    parts = ", ".join(f"ifnull(sum({name}) FILTER (WHERE {name} <> 0), 0)" for name in _PARTS)
    figures = (
        f"SELECT {''.join(f'{key}, ' for key in keys)}"
        f" sum(requests), sum(errors), sum(input_tokens), sum(output_tokens), {sum_of_high('cost_pusd')}, {parts},"
        f" {sum_of_low('cost_pusd')}"
    )
    facet = facet_of([*(_NAMES.get(word, word) for word in (*words, *only)), *(["user"] if is_of_user else [])])
    # a list of times with a user is a list of places in the key: nobody else's rows are read
    rest = f"IN ({_TIMES}){' AND user = :user' if is_of_user else ''}{_only(only, _ROLLED)}{_group(len(keys))}"
    days = f"{figures} FROM usage_daily WHERE facet = {facet.number} AND day_ms {rest}"
    return days, f"{figures} FROM usage_hourly WHERE hour_ms {rest}"


def _only(words: list[str], columns: Mapping[str, str]) -> str:
    """Return the conditions that words have the values of the selection."""
    return "".join(f" AND {columns[word]} = :only{n}" for n, word in enumerate(words))


def _kept(column: str) -> str:
    """Return a column whose values are kept apart only where they are among those of the selection."""
    return f"CASE WHEN {column} IN (SELECT value FROM json_each(:kept)) THEN {column} ELSE {_OTHERS} END"  # noqa: S608 - constants


def _requests(words: list[str], columns: Mapping[str, str], condition: str, *, is_timed: bool) -> str:
    by_key = "key" in words
    keys = [*(["r.started_ms / :quantum"] if is_timed else []), *(columns[word] for word in words)]
    figures = ["1", "r.error IS NOT NULL", "ifnull(r.input_tokens, 0)", "ifnull(r.output_tokens, 0)"]
    figures += [_COST_OF_KEY if by_key else "ifnull(r.cost_pusd, 0)"]
    figures += [f"ifnull(r.{name}, 0)" for name in _PARTS]
    if by_key:
        figures = [
            figure if n == COST else f"CASE WHEN {_IS_LAST} THEN {figure} ELSE 0 END"
            for n, figure in enumerate(figures)
        ]
    return (
        f"SELECT {''.join(f'{key}, ' for key in keys)} {_sums(figures)}"  # noqa: S608 - constants of this file
        f" FROM requests r{' LEFT JOIN attempt_rows w ON w.request_id = r.id' if by_key else ''}{_tags(words)}"
        " WHERE r.id >= :first AND r.id <= :last AND r.started_ms >= :since AND r.started_ms < :until"
        " AND (:user IS NULL OR r.user = :user) AND r.state IN ('settled', 'released')"
        f"{condition}{_group(len(keys))}"
    )


def _adjustments(words: list[str], columns: Mapping[str, str], condition: str, *, is_timed: bool) -> str:
    keys = [*(["a.at_ms / :quantum"] if is_timed else []), *(columns[word] for word in words)]
    figures = ["a.amount_pusd" if n == COST else "0" for n in range(FIGURES)]
    return (
        f"SELECT {''.join(f'{key}, ' for key in keys)} {_sums(figures)}"  # noqa: S608 - constants of this file
        f" FROM adjustments a LEFT JOIN requests r ON r.id = a.request_id{_tags(words)}"
        " WHERE a.at_ms >= :since AND a.at_ms < :until AND (:user IS NULL OR a.user = :user)"
        f"{condition}{_group(len(keys))}"
    )


def _sums(figures: list[str]) -> str:
    sums = [sum_of_high(figure) if n == COST else f"sum({figure})" for n, figure in enumerate(figures)]
    return ", ".join([*sums, sum_of_low(figures[COST])])


def _tags(words: list[str]) -> str:
    return " LEFT JOIN json_each(r.tags) t" if "tag" in words else ""


def _group(count: int) -> str:
    return f" GROUP BY {', '.join(str(n + 1) for n in range(count))}" if count else ""
