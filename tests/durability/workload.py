"""Random groups of operations as requests make them, with a model of what each commit leaves. (Pure.)"""

from dataclasses import dataclass, replace
from random import Random

from proxy.storage.rows import HOUR_MS, AttemptEnd, AttemptRow, OpenRow, RequestEnd, RequestIds
from proxy.storage.writer import Operation

START_MS = 1_790_000_000_000  # in September 2026
_USERS = ("anna", "bob", "carl")


@dataclass(frozen=True, slots=True)
class Request:
    """What must be found of a request: all that anybody was told is on disk."""

    started_ms: int
    user: str
    state: str
    reserved_pusd: int
    cost_pusd: int | None
    cost_source: str
    attempts: tuple[tuple[str, str | None], ...]  # outcome and generation id of each


State = dict[int, Request]


class Workload:
    """Draws operations; rows is what the ledger holds when all that were drawn have been written."""

    def __init__(self, rng: Random, rows: State) -> None:
        self._rng = rng
        self._ids = RequestIds(max(rows, default=0))
        self.rows = dict(rows)
        self._unfinished = [id_ for id_, row in rows.items() if row.state in ("open", "pending")]

    def group(self) -> list[Operation]:
        """Give what one transaction writes: at most one operation of a request that began before it."""
        rng = self._rng
        touched = rng.sample(self._unfinished, min(len(self._unfinished), rng.choice((0, 1, 1, 2, 5))))
        operations = [self._go_on(id_) for id_ in touched]
        operations += [self._open() for _ in range(rng.choice((0, 1, 1, 2, 6)) or not touched)]
        return operations

    def _open(self) -> Operation:
        rng = self._rng
        started_ms = START_MS + rng.randrange(4) * HOUR_MS
        id_, user, reserved = self._ids.next(started_ms), rng.choice(_USERS), rng.randrange(10**12)
        row = OpenRow(
            id=id_,
            started_ms=started_ms,
            day="2026-09-21",
            user=user,
            group_name=None,
            token_id="t",
            endpoint="chat/completions",
            requested_model="m",
            use_case=None,
            session_id="s" * rng.randrange(300),  # so that rows reach over pages in many ways
            tags=None,
            reserved_pusd=reserved,
            reserved_tokens=None,
            streamed=0,
        )
        self.rows[id_] = Request(started_ms, user, "open", reserved, None, "none", (("open", None),))
        self._unfinished.append(id_)
        return Operation(None, opened=row, attempt=AttemptRow(id_, 1, started_ms, "p", "k", "m"))

    def _go_on(self, id_: int) -> Operation:
        row, rng = self.rows[id_], self._rng
        n = len(row.attempts)
        kind = rng.choice(("end", "end", "end", "pending", "generation", "attempt", "attempt_end"))
        if row.state == "pending" or kind == "end":
            return self._end(id_, "released" if row.state == "open" and rng.random() < 0.2 else "settled")
        if kind == "pending":
            return self._end(id_, "pending")
        if kind == "generation":
            generation_id = f"gen-{rng.randrange(10**9)}"
            self._change_last(id_, row, row.attempts[-1][0], generation_id)
            return Operation(None, generation=(id_, n, generation_id))
        if kind == "attempt":
            reserved = row.reserved_pusd + rng.randrange(10**9)
            self.rows[id_] = replace(row, reserved_pusd=reserved, attempts=(*row.attempts, ("open", None)))
            return Operation(None, attempt=AttemptRow(id_, n + 1, START_MS, "p", "k", "m"), extend=(id_, reserved))
        self._change_last(id_, row, "upstream_error", None)
        return Operation(None, attempt_end=_attempt_end(id_, n, "upstream_error", 0, "none"))

    def _change_last(self, id_: int, row: Request, outcome: str, generation_id: str | None) -> None:
        self.rows[id_] = replace(row, attempts=(*row.attempts[:-1], (outcome, generation_id)))

    def _end(self, id_: int, state: str) -> Operation:
        row = self.rows[id_]
        cost = {"settled": self._rng.randrange(10**12), "released": 0, "pending": None}[state]
        source = "provider" if state == "settled" else "none"
        self._change_last(id_, replace(row, state=state, cost_pusd=cost, cost_source=source), "ok", None)
        if state != "pending":
            self._unfinished.remove(id_)
        return Operation(None, end=_end(id_, row, state, cost, source))


def _attempt_end(id_: int, n: int, outcome: str, cost_pusd: int | None, source: str) -> AttemptEnd:
    return AttemptEnd(
        request_id=id_,
        n=n,
        outcome=outcome,
        status=200,
        served_model="m",
        served_by=None,
        generation_id=None,
        input_tokens=3,
        output_tokens=5,
        cached_tokens=None,
        reasoning_tokens=None,
        cost_pusd=cost_pusd,
        cost_source=source,
        ttft_ms=1,
        duration_ms=2,
    )


def _end(id_: int, row: Request, state: str, cost_pusd: int | None, source: str) -> RequestEnd:
    return RequestEnd(
        id=id_,
        finished_ms=row.started_ms + 2,
        model="m",
        provider="p",
        status=200,
        finish_reason="stop",
        input_tokens=3,
        output_tokens=5,
        cached_tokens=None,
        reasoning_tokens=None,
        cost_pusd=cost_pusd,
        cost_source=source,
        state=state,
        ttft_ms=1,
        duration_ms=2,
        attempts=len(row.attempts),
        generation_id=None,
        error=None,
        flags=None,
        started_ms=row.started_ms,
        user=row.user,
        group_name=None,
        use_case=None,
        uncounted_tokens=0,
        last_attempt=_attempt_end(id_, len(row.attempts), "ok", cost_pusd, source),
    )
