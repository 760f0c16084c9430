"""How long and how often a run measures: full for figures to quote, short for CI."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RatePlan:
    """An open loop: so many requests a second over so many connections, each lane by itself or all in one load.

    Where requests are rare, all lanes share one load: they do not meet, and the machine is the same for all of them.
    """

    rate: int
    seconds: int
    rounds: int
    connections: int
    together: bool = False


@dataclass(frozen=True)
class StreamPlan:
    """So many streams at once, each with so many events, some of them in one write, the writes so far apart."""

    rounds: int
    streams: int
    events: int
    together: int
    interval_ms: int


@dataclass(frozen=True)
class Plan:
    """What a run measures; what has no rounds is left out."""

    short: bool
    json_rounds: int
    json_s: int
    json_connections: int
    paced: StreamPlan
    fast: StreamPlan  # several events in one read
    crowd: StreamPlan  # many people at once; measured once all have begun and before one has ended
    crowd_s: float
    alone: StreamPlan  # one stream, nothing beside it
    rates: tuple[RatePlan, ...]
    mixed: RatePlan  # of model and route together
    idle_s: int
    starts: int
    grown_rows: int  # requests in the ledger of the second start
    ledger_rounds: int
    ledger_rate: int
    ledger_rate_s: int
    ledger_flat_s: int
    wide: bool  # all systems and kinds of users; else nginx and a user without limits alone
    counted_requests: int  # a connection, for the count of instructions

    @property
    def stream_plans(self) -> tuple[StreamPlan, ...]:
        return (self.paced, self.fast, self.crowd, self.alone)


SHORT = Plan(
    short=True,
    json_rounds=1,
    json_s=2,
    json_connections=16,
    paced=StreamPlan(rounds=1, streams=100, events=75, together=1, interval_ms=20),
    fast=StreamPlan(rounds=1, streams=16, events=2000, together=4, interval_ms=2),
    crowd=StreamPlan(rounds=0, streams=1000, events=35, together=1, interval_ms=200),
    crowd_s=2.0,
    alone=StreamPlan(rounds=0, streams=1, events=100, together=1, interval_ms=20),
    rates=(RatePlan(rate=100, seconds=2, rounds=1, connections=64),),
    mixed=RatePlan(rate=500, seconds=2, rounds=0, connections=64),
    idle_s=1,
    starts=2,
    grown_rows=100_000,
    ledger_rounds=0,
    ledger_rate=500,
    ledger_rate_s=2,
    ledger_flat_s=1,
    wide=False,
    counted_requests=10,
)
FULL = Plan(
    short=False,
    json_rounds=3,
    json_s=3,
    json_connections=16,
    paced=StreamPlan(rounds=2, streams=100, events=100, together=1, interval_ms=20),
    fast=StreamPlan(rounds=3, streams=16, events=2000, together=4, interval_ms=2),
    crowd=StreamPlan(rounds=2, streams=1000, events=35, together=1, interval_ms=200),
    crowd_s=2.0,
    alone=StreamPlan(rounds=2, streams=1, events=75, together=1, interval_ms=20),
    rates=(
        RatePlan(rate=1, seconds=8, rounds=2, connections=1, together=True),
        RatePlan(rate=10, seconds=5, rounds=2, connections=4, together=True),
        RatePlan(rate=100, seconds=3, rounds=3, connections=64),
        RatePlan(rate=500, seconds=2, rounds=2, connections=64),
    ),
    mixed=RatePlan(rate=500, seconds=3, rounds=3, connections=64),
    idle_s=5,
    starts=5,
    grown_rows=1_000_000,
    ledger_rounds=2,
    ledger_rate=500,
    ledger_rate_s=5,
    ledger_flat_s=1,
    wide=True,
    counted_requests=60,
)
