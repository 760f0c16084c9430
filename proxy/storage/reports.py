"""What is read of a ledger beside those who write to it: usage, a user's own figures, and what a start needs.

Every call blocks and is one consistent look: in the event loop it is made in a thread. What is committed when the call
begins is in it. Raises LedgerError where the ledger cannot be read.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from proxy.config.overlay import StoredSettings
from proxy.core.counts import Counts
from proxy.core.errors import SetupError
from proxy.core.money import pusd_to_usd
from proxy.policy.day_span import DaySpan
from proxy.policy.exchange_rates import RateStep
from proxy.policy.quota import FineRows, Models, Quota, SettledRow, is_counted
from proxy.storage.adjustment import AdjustmentFilter, AdjustmentRow
from proxy.storage.admin_posts import StoredPost
from proxy.storage.alerts import AlertRows, StoredDelivery
from proxy.storage.audit import AuditReader
from proxy.storage.configurations import ConfigurationReader
from proxy.storage.export import Chunk, Selection, Slice
from proxy.storage.focus import ChargeSlice
from proxy.storage.labels import Labels
from proxy.storage.late_lookup import LateLookup
from proxy.storage.operators import OperatorReader
from proxy.storage.performance import ModelPerformance, PerformanceFilter
from proxy.storage.reconciliation import ReconciliationReader
from proxy.storage.removal import RemovalPlan
from proxy.storage.request_reports import RequestReports
from proxy.storage.rows import UnfinishedRequest
from proxy.storage.sealed import SealedReader
from proxy.storage.sessions import SessionReader
from proxy.storage.spending import LateSum, PeriodSpending, SpendingSums, UnsettledSum, UsageSelection
from proxy.storage.stops import StopReader
from proxy.storage.users import UserReader

TOKEN_CLASSES = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", *Counts._fields)


class BackupError(SetupError):
    """The copy cannot be made where it was wanted; nothing was changed there."""


class BackupResult(Struct, frozen=True):
    """What a copy holds: rows, and the sum of their cost with adjustments."""

    path: str
    requests: int
    cost_pusd: int
    size_bytes: int


class ModelUsage(Struct, frozen=True):
    """What a user's requests to one model came to; tokens by the names of TOKEN_CLASSES."""

    model: str
    requests: int
    tokens: Mapping[str, int]
    cost_pusd: int

    def as_json(self) -> dict[str, object]:
        """Return the figures as /v1/me/usage shows them."""
        return {
            "model": self.model,
            "requests": self.requests,
            **self.tokens,
            "cost": pusd_to_usd(self.cost_pusd),
            "cost_pusd": self.cost_pusd,
        }


class OwnAttempt(NamedTuple):
    """One upstream call; served_by is the provider behind the provider, key the name of the key it went with."""

    n: int
    provider: str
    served_by: str | None
    model: str
    served_model: str | None
    status: int | None
    ttft_ms: int | None
    duration_ms: int | None
    key: str | None


class OwnRequest(NamedTuple):
    """One request; cost_pusd with its late corrections, None where nobody could tell."""

    id: int
    started_ms: int
    user: str
    endpoint: str
    requested_model: str
    model: str | None
    provider: str | None
    session_id: str | None
    status: int | None
    state: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    streamed: int
    generation_id: str | None
    ttft_ms: int | None
    duration_ms: int | None


class PastAttempt(NamedTuple):
    """One attempt that has ended. outcome is ``ok`` or a code of docs/reference/errors.md.

    status is the provider's, None where none came; ttft_ms None: no content came.
    """

    provider: str
    model: str
    outcome: str
    status: int | None
    ttft_ms: int | None


class QuotaTotals(Struct, frozen=True):
    """All that was settled, each amount once: as an hour of the roll-up, or as a row."""

    hours: list[SettledRow]
    rows: list[SettledRow]


class LimitPart(Struct, frozen=True):
    """A part of what is spent that has totals of its own: under a use case, on a set of models, or both."""

    use_case: str | None = None
    models: Models = ()

    def holds(self, row: UnfinishedRequest) -> bool:
        """Return whether an open request is part of it."""
        if self.use_case is not None and row.use_case != self.use_case:
            return False
        return not self.models or is_counted(self.models, row.answer)


EVERYTHING = LimitPart()


class QuotaStart(Struct, frozen=True):
    """What the totals of quotas are rebuilt from: of everything, of parts of it, and what holds a reservation."""

    totals: QuotaTotals
    parts: Mapping[LimitPart, QuotaTotals]
    unfinished: list[UnfinishedRequest]


class DirectoryRows(Struct, frozen=True):
    """All that people and operators are known by, and keys of providers, with all secrets: for the proxy only."""

    users: list[dict[str, Any]]
    tokens: list[dict[str, Any]]
    hashes: dict[str, str]
    groups: list[dict[str, Any]] = field(default_factory=list)
    limits: list[dict[str, Any]] = field(default_factory=list)
    operators: list[dict[str, Any]] = field(default_factory=list)
    operator_hashes: dict[str, str] = field(default_factory=dict)  # by name
    keys: list[dict[str, Any]] = field(default_factory=list)  # each with its secret
    models: list[dict[str, Any]] = field(default_factory=list)
    providers: list[dict[str, Any]] = field(default_factory=list)
    preferences: dict[str, dict[str, Any]] = field(default_factory=dict)  # what users have set for themselves
    alert_rules: list[dict[str, Any]] = field(default_factory=list)
    alert_destinations: list[dict[str, Any]] = field(default_factory=list)  # each with its secrets

    @property
    def settings(self) -> StoredSettings:
        """Return what lies over the settings of the file."""
        return StoredSettings(
            self.users,
            self.groups,
            self.limits,
            self.keys,
            self.models,
            self.providers,
            self.preferences,
            self.alert_rules,
            self.alert_destinations,
        )


class LedgerCheck(Struct, frozen=True):
    """What a look over the whole ledger found; problem None: nothing is damaged."""

    problem: str | None
    requests: int
    unsettled: int


class Reports(
    UserReader,
    OperatorReader,
    ConfigurationReader,
    RequestReports,
    SessionReader,
    StopReader,
    SealedReader,
    AuditReader,
    ReconciliationReader,
    Protocol,
):
    """What is asked of a ledger by those who do not write to it."""

    def unfinished(self) -> list[UnfinishedRequest]:
        """Return the requests that are open or pending, oldest first."""
        ...

    def find_post(self, key_hash: bytes, now_ms: int) -> StoredPost | None:
        """Return the POST to the operator's API of the last day that had an Idempotency-Key."""
        ...

    def labels(self) -> Labels:
        """Return what the last owner of the ledger had configured for reports."""
        ...

    def rates(self, code: str) -> tuple[RateStep, ...]:
        """Return what 1 USD cost in a currency over time; empty where it never was the currency of reports."""
        ...

    def usage(
        self, wanted: UsageSelection, zone: ZoneInfo, step: Callable[[float], None] | None = None
    ) -> SpendingSums:
        """Return sums of settled and released requests: times of the zone in order, then the most expensive first.

        step gets the progress from 0 to 1, where single rows have to be read.
        """
        ...

    def spending(
        self,
        wanted: UsageSelection,
        zone: ZoneInfo,
        step: Callable[[float], None] | None = None,
        tables: Sequence[tuple[str, ...]] = (),
    ) -> PeriodSpending:
        """Return what usage() returns, with what else a report of the same time shows, all as of one moment.

        tables: words by which the same requests are summed too.
        """
        ...

    def late_sums(self, wanted: UsageSelection) -> list[LateSum]:
        """Return the costs of a selection that became known late, by reason and source, the largest amounts first."""
        ...

    def unsettled(
        self, *, since_ms: int | None = None, until_ms: int | None = None, user: str | None = None
    ) -> UnsettledSum:
        """Count what is open, pending, or settled with a flag, of the requests that began in [since_ms, until_ms)."""
        ...

    def usage_by_model(self, user: str, start_ms: int) -> list[ModelUsage]:
        """Return what a user's requests since start_ms cost, most expensive model first."""
        ...

    def spent_since(self, user: str, starts_ms: Sequence[int]) -> list[int]:
        """Return what a user has spent since each of these instants, in pico-USD; each is the start of a UTC hour.

        Counts what is settled; what is still open or looked up is in none of them.
        """
        ...

    def spent_with(self, user: str, key: str, starts_ms: Sequence[int]) -> list[int]:
        """Return what attempts with a key of this name have cost a user since each of these instants, in pico-USD.

        Counts single rows: what retention has removed is not in it.
        """
        ...

    def own_request(self, user: str, id_: str, now_ms: int) -> tuple[OwnRequest, tuple[OwnAttempt, ...]] | None:
        """Find a user's request by its own id (req_...) or its generation's; None where the user has none such."""
        ...

    def key_use(self, provider: str, key: str, since_ms: int) -> list[tuple[int, int]]:
        """Return start and cost (pico-USD) of each attempt with a key; without a figure the most it may cost."""
        ...

    def adjustments(self, wanted: AdjustmentFilter, before_id: int | None, count: int) -> list[AdjustmentRow]:
        """Return up to count costs that became known late and were booked before an id, the last first."""
        ...

    def late_lookups(self, due_ms: int | None, after: tuple[int, int], count: int) -> list[LateLookup]:
        """Return attempts whose cost may be told later: those due by then, or all; from (request, attempt) on."""
        ...

    def recent_attempts(self, since_ms: int) -> list[PastAttempt]:
        """Return attempts of the last requests since a time, oldest first."""
        ...

    def quota_start(self, fine: FineRows, parts: Collection[LimitPart]) -> QuotaStart:
        """Return what totals are rebuilt from. fine: what is wanted row by row; parts: those that have limits."""
        ...

    def quota_past(
        self, fine: FineRows, part: LimitPart, known: set[int]
    ) -> tuple[QuotaTotals, list[UnfinishedRequest]]:
        """Return what was booked in a part of the spending, and what is open there, without the requests in known.

        The event loop may go on adding to known: it is copied once it is settled which rows are seen.
        """
        ...

    def directory(self) -> DirectoryRows:
        """Return all that tokens are checked against."""
        ...

    def has_user(self, name: str) -> bool:
        """Return whether there is such a user, or anything was ever booked or reserved for one."""
        ...

    def known_users(self) -> list[str]:
        """Return all such names."""
        ...

    def users_changed_ms(self) -> int | None:
        """Return when a user, a group or a limit was last changed; None: never."""
        ...

    def export(self, selection: Selection) -> Iterator[Slice]:
        """Yield the rows of a selection in the order of their ids, in slices that are looks of their own."""
        ...

    def export_csv(self, selection: Selection, processes: int = 1) -> Iterator[Chunk]:
        """Yield the same rows as CSV: the header, then chunks that are looks of their own.

        processes: how many may work on it at once, where there is much of it.
        """
        ...

    def charges(self, selection: Selection) -> Iterator[ChargeSlice]:
        """Yield what was booked for requests that began in the selection's time, and corrections that came in it.

        The time begins and ends with full UTC hours. Over all time it is what the ledger holds.
        """
        ...

    def alerts(self) -> AlertRows:
        """Return where alert rules stand, and what is silenced, disabled and compared."""
        ...

    def due_deliveries(self, count: int) -> list[StoredDelivery]:
        """Return what waits to be delivered, the one that is due first first."""
        ...

    def alert_deliveries(self, state: str | None, before_id: int | None, count: int) -> list[StoredDelivery]:
        """Return deliveries in a state (None: all), the newest first, those before an id."""
        ...

    def past_days(self, zone: ZoneInfo, until_ms: int) -> list[DaySpan]:
        """Return the days of a zone that were over at an instant and that have any usage, the last first."""
        ...

    def plan_removal(self, age_ms: int, now_ms: int, zone: ZoneInfo, quotas: Collection[Quota]) -> RemovalPlan:
        """Return what may be removed: older than age_ms, in no window of a limit that is open now."""
        ...

    def removable(self, plan: RemovalPlan, after_id: int, count: int) -> list[int]:
        """Return the ids of up to count rows that may go, from after_id on."""
        ...

    def surplus_refusal(self, before_ms: int, count_max: int) -> int | None:
        """Return the newest refusal older than before_ms or behind count_max newer ones; None: there is none."""
        ...

    def model_performance(self, wanted: PerformanceFilter) -> Sequence[ModelPerformance]:
        """Return how models answered, by provider and model in order."""
        ...

    def check(self) -> LedgerCheck:
        """Look over the whole ledger for damage."""
        ...

    def copy_to(
        self, target: Path, *, force: bool = False, progress: Callable[[float], None] | None = None
    ) -> BackupResult:
        """Write a consistent copy to a file; force replaces one. Raises BackupError where it cannot be written."""
        ...
