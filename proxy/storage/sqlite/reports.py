"""Reports read from the ledger's file beside its writer, each on a connection of its own that cannot write."""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from proxy.core.errors import LedgerError
from proxy.policy.day_span import DaySpan
from proxy.policy.exchange_rates import RateStep
from proxy.policy.quota import FineRows, Quota
from proxy.policy.reconciliation.key_comparison import KeyBooks
from proxy.policy.reconciliation.sums_comparison import BookedSum
from proxy.policy.sealing.place import Place
from proxy.policy.stop import Stop
from proxy.storage.adjustment import AdjustmentFilter, AdjustmentRow
from proxy.storage.admin_posts import StoredPost
from proxy.storage.alerts import AlertRows, StoredDelivery
from proxy.storage.audit import AuditFilter, AuditHead, AuditRow, AuditVerification
from proxy.storage.export import Chunk, Selection, Slice
from proxy.storage.focus import ChargeSlice
from proxy.storage.labels import Labels
from proxy.storage.late_lookup import LateLookup
from proxy.storage.master_keys import MasterKeys, keys_beside
from proxy.storage.performance import ModelPerformance, PerformanceFilter
from proxy.storage.reconciliation import ComparedDay, DayQuestion, HistorySum, KeyQuestion, LedgerDay, StoredEntry
from proxy.storage.refusals import RefusalSelection, RefusalSum
from proxy.storage.removal import RemovalPlan
from proxy.storage.reports import (
    BackupResult,
    DirectoryRows,
    LedgerCheck,
    LimitPart,
    ModelUsage,
    OwnAttempt,
    OwnRequest,
    PastAttempt,
    QuotaStart,
    QuotaTotals,
)
from proxy.storage.request_reports import (
    AttemptEntry,
    AttemptFilter,
    AttemptPage,
    KeptSince,
    RefusalCount,
    RequestEntry,
    RequestFilter,
    RequestPage,
)
from proxy.storage.rows import UnfinishedRequest
from proxy.storage.sealed import MasterKeyState, Opened
from proxy.storage.sessions import StoredSessions
from proxy.storage.spending import LateSum, PeriodSpending, SpendingSums, UnsettledSum, UsageSelection
from proxy.storage.sqlite import audit_log, own_usage, reconciliation, requests, startup_reads, usage
from proxy.storage.sqlite.adjustments import list_adjustments
from proxy.storage.sqlite.admin_posts import find_post
from proxy.storage.sqlite.alerts import (
    due_deliveries,
    list_alert_rules,
    list_deliveries,
    read_alert_rows,
    read_opened_destinations,
)
from proxy.storage.sqlite.configurations import SqliteConfigurations
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.groups import SqliteGroups
from proxy.storage.sqlite.labels import read_labels, read_rates
from proxy.storage.sqlite.late_lookups import read_lookups
from proxy.storage.sqlite.limits import SqliteLimits
from proxy.storage.sqlite.models import SqliteModels
from proxy.storage.sqlite.operators import SqliteOperators
from proxy.storage.sqlite.performance import read_performance
from proxy.storage.sqlite.preferences import SqlitePreferences
from proxy.storage.sqlite.provider_keys import read_opened_keys
from proxy.storage.sqlite.refusals import sum_refusals, surplus_refusal
from proxy.storage.sqlite.retention import find_removable, plan_removal, readable_rows
from proxy.storage.sqlite.sealed_values import read_master_key_state, read_sealed_values
from proxy.storage.sqlite.sessions import SqliteSessions
from proxy.storage.sqlite.stops import SqliteStops
from proxy.storage.sqlite.unfinished import read_unfinished
from proxy.storage.sqlite.usage_daily import past_days
from proxy.storage.sqlite.users import SqliteUsers

if TYPE_CHECKING:
    from proxy.storage.sqlite.backup import Progress

_TOO_LARGE = (
    "A sum of the ledger is more than 9.2 million USD, the most that can be told here; its file is whole."
    " Ask for a shorter time, or read single requests: tollkeeper export."
)


class SqliteReports:
    """The reports of one file. Any thread may ask; nothing stays open between two questions."""

    def __init__(self, path: Path, master: MasterKeys | None = None) -> None:
        """Keep the file, and what opens its sealed values (None: the master key in the file beside it)."""
        self._path = path
        self._master = master or keys_beside(path)

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Open a reader; what the file's damage raises becomes a LedgerError."""
        try:
            with closing(open_reader(self._path)) as connection:
                yield connection
        except sqlite3.DatabaseError as error:
            if str(error) == "integer overflow":  # the file is whole: what single sums cannot hold is no damage
                raise LedgerError(_TOO_LARGE) from None
            raise LedgerError(f"{self._path} cannot be read: {error}. tollkeeper check tells more.") from None

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """Open a reader in one transaction: all that it reads is of one moment."""
        with self._reader() as connection:
            connection.execute("BEGIN")
            yield connection

    def labels(self) -> Labels:
        with self._reader() as connection:
            return read_labels(connection)

    def sealed_values(self, table: str) -> dict[Place, Opened]:
        with self._snapshot() as connection:
            return read_sealed_values(connection, table, self._master)

    def provider_keys(self) -> list[dict[str, Any]]:
        with self._snapshot() as connection:
            return read_opened_keys(connection, self._master)

    def master_key(self) -> MasterKeyState:
        with self._snapshot() as connection:
            return read_master_key_state(connection, self._master)

    def rates(self, code: str) -> tuple[RateStep, ...]:
        with self._reader() as connection:
            return read_rates(connection, code)

    def usage(
        self, wanted: UsageSelection, zone: ZoneInfo, step: Callable[[float], None] | None = None
    ) -> SpendingSums:
        with self._snapshot() as connection:
            return usage.sum_usage(connection, wanted, zone, step)

    def spending(
        self,
        wanted: UsageSelection,
        zone: ZoneInfo,
        step: Callable[[float], None] | None = None,
        tables: Sequence[tuple[str, ...]] = (),
    ) -> PeriodSpending:
        since_ms, until_ms, user = wanted.since_ms, wanted.until_ms, wanted.user
        with self._snapshot() as connection:
            return PeriodSpending(
                usage.sum_usage(connection, wanted, zone, step),
                usage.sum_usage(connection, replace(wanted, by=("day",)), zone),
                usage.sum_late(connection, wanted),
                usage.unsettled(connection, since_ms=since_ms, until_ms=until_ms, user=user),
                [usage.sum_usage(connection, replace(wanted, by=words), zone) for words in tables],
            )

    def late_sums(self, wanted: UsageSelection) -> list[LateSum]:
        with self._snapshot() as connection:
            return usage.sum_late(connection, wanted)

    def unsettled(
        self, *, since_ms: int | None = None, until_ms: int | None = None, user: str | None = None
    ) -> UnsettledSum:
        with self._snapshot() as connection:
            return usage.unsettled(connection, since_ms=since_ms, until_ms=until_ms, user=user)

    def usage_by_model(self, user: str, start_ms: int) -> list[ModelUsage]:
        with self._snapshot() as connection:
            return own_usage.usage_by_model(connection, user, start_ms)

    def spent_since(self, user: str, starts_ms: Sequence[int]) -> list[int]:
        with self._snapshot() as connection:
            return own_usage.spent_since(connection, user, starts_ms)

    def spent_with(self, user: str, key: str, starts_ms: Sequence[int]) -> list[int]:
        with self._reader() as connection:
            return own_usage.spent_with(connection, user, key, starts_ms)

    def own_request(self, user: str, id_: str, now_ms: int) -> tuple[OwnRequest, tuple[OwnAttempt, ...]] | None:
        with self._snapshot() as connection:
            return own_usage.find_own(connection, user, id_, now_ms)

    def key_use(self, provider: str, key: str, since_ms: int) -> list[tuple[int, int]]:
        with self._snapshot() as connection:
            return startup_reads.read_key_use(connection, provider, key, since_ms)

    def adjustments(self, wanted: AdjustmentFilter, before_id: int | None, count: int) -> list[AdjustmentRow]:
        with self._snapshot() as connection:
            return list_adjustments(connection, wanted, before_id, count)

    def late_lookups(self, due_ms: int | None, after: tuple[int, int], count: int) -> list[LateLookup]:
        with self._snapshot() as connection:
            return read_lookups(connection, due_ms, after, count)

    def recent_attempts(self, since_ms: int) -> list[PastAttempt]:
        with self._snapshot() as connection:
            return startup_reads.recent_attempts(connection, since_ms)

    def quota_start(self, fine: FineRows, parts: Collection[LimitPart]) -> QuotaStart:
        with self._snapshot() as connection:
            readable = readable_rows(connection, fine)
            return QuotaStart(
                startup_reads.read_totals(connection, readable),
                {part: startup_reads.read_totals(connection, readable, part) for part in parts},
                read_unfinished(connection),
            )

    def quota_past(
        self, fine: FineRows, part: LimitPart, known: set[int]
    ) -> tuple[QuotaTotals, list[UnfinishedRequest]]:
        with self._snapshot() as connection:
            readable = readable_rows(connection, fine)  # the first read: from here on no newer row is seen
            without = frozenset(known.copy())  # in one step, for the event loop goes on adding
            totals = startup_reads.read_totals(connection, readable, part, without)
            rows = [row for row in read_unfinished(connection) if part.holds(row) and row.id not in without]
            return totals, rows

    def directory(self) -> DirectoryRows:
        with self._snapshot() as connection:
            users, operators = SqliteUsers(connection), SqliteOperators(connection)
            return DirectoryRows(
                users.list_users(),
                users.list_tokens(),
                users.token_hashes(),
                SqliteGroups(connection).list_groups(),
                SqliteLimits(connection).list_limits(),
                operators.list_operators(),
                operators.operator_hashes(),
                read_opened_keys(connection, self._master),
                models=SqliteModels(connection).list_models(),
                providers=SqliteModels(connection).list_providers(),
                preferences=SqlitePreferences(connection).all_preferences(),
                alert_rules=list_alert_rules(connection),
                alert_destinations=read_opened_destinations(connection, self._master),
            )

    def unfinished(self) -> list[UnfinishedRequest]:
        with self._snapshot() as connection:
            return read_unfinished(connection)

    def list_configurations(self) -> list[dict[str, Any]]:
        with self._reader() as connection:
            return SqliteConfigurations(connection).list_configurations()

    def find_post(self, key_hash: bytes, now_ms: int) -> StoredPost | None:
        with self._reader() as connection:
            return find_post(connection, key_hash, now_ms)

    def list_operators(self) -> list[dict[str, Any]]:
        with self._reader() as connection:
            return SqliteOperators(connection).list_operators()

    def audit_entries(self, wanted: AuditFilter, before_id: int | None, count: int) -> list[AuditRow]:
        with self._reader() as connection:
            return audit_log.list_entries(connection, wanted, before_id, count)

    def verify_audit(self, noted: AuditHead | None = None) -> AuditVerification:
        with self._snapshot() as connection:
            return audit_log.verify(connection, noted)

    def sessions(self) -> StoredSessions:
        with self._snapshot() as connection:
            return SqliteSessions(connection).sessions()

    def list_stops(self) -> list[Stop]:
        with self._reader() as connection:
            return SqliteStops(connection).list_stops()

    def list_users(self) -> list[dict[str, Any]]:
        with self._reader() as connection:
            return SqliteUsers(connection).list_users()

    def find_user(self, name: str) -> dict[str, Any]:
        with self._reader() as connection:
            return SqliteUsers(connection).find_user(name)

    def list_tokens(self, user: str | None = None) -> list[dict[str, Any]]:
        with self._reader() as connection:
            return SqliteUsers(connection).list_tokens(user)

    def has_user(self, name: str) -> bool:
        with self._snapshot() as connection:
            return usage.has_user(connection, name)

    def known_users(self) -> list[str]:
        with self._snapshot() as connection:
            return usage.known_users(connection)

    def users_changed_ms(self) -> int | None:
        with self._reader() as connection:
            return usage.users_changed_ms(connection)

    def export(self, selection: Selection) -> Iterator[Slice]:
        from proxy.storage.sqlite.export import slices  # noqa: PLC0415 - a start needs no export

        with self._reader() as connection:
            yield from slices(connection, selection)

    def export_csv(self, selection: Selection, processes: int = 1) -> Iterator[Chunk]:
        from proxy.storage.sqlite.csv_lines import csv_chunks  # noqa: PLC0415 - as export()
        from proxy.storage.sqlite.csv_processes import shared_csv_chunks  # noqa: PLC0415 - as export()

        with self._reader() as connection:
            if processes > 1:
                yield from shared_csv_chunks(connection, self._path, selection, processes)
            else:
                yield from csv_chunks(connection, selection)

    def charges(self, selection: Selection) -> Iterator[ChargeSlice]:
        from proxy.storage.sqlite.focus import charge_slices  # noqa: PLC0415 - as export()

        with self._reader() as connection:
            yield from charge_slices(connection, selection)

    def alerts(self) -> AlertRows:
        with self._snapshot() as connection:
            return read_alert_rows(connection)

    def due_deliveries(self, count: int) -> list[StoredDelivery]:
        with self._snapshot() as connection:
            return due_deliveries(connection, count)

    def alert_deliveries(self, state: str | None, before_id: int | None, count: int) -> list[StoredDelivery]:
        with self._snapshot() as connection:
            return list_deliveries(connection, state, before_id, count)

    def past_days(self, zone: ZoneInfo, until_ms: int) -> list[DaySpan]:
        with self._snapshot() as connection:
            return past_days(connection, zone, until_ms)

    def plan_removal(self, age_ms: int, now_ms: int, zone: ZoneInfo, quotas: Collection[Quota]) -> RemovalPlan:
        with self._snapshot() as connection:
            return plan_removal(connection, age_ms, now_ms, zone, quotas)

    def removable(self, plan: RemovalPlan, after_id: int, count: int) -> list[int]:
        with self._reader() as connection:
            return find_removable(connection, plan, after_id, count)

    def requests(self, wanted: RequestFilter, before_id: int | None, count: int) -> RequestPage:
        with self._snapshot() as connection:
            return requests.find_requests(connection, wanted, before_id, count)

    def request(self, id_: str, now_ms: int) -> tuple[RequestEntry, Sequence[AttemptEntry]] | None:
        with self._snapshot() as connection:
            return requests.find_request(connection, id_, now_ms)

    def attempts(self, wanted: AttemptFilter, before: tuple[int, int] | None, count: int) -> AttemptPage:
        with self._snapshot() as connection:
            return requests.find_attempts(connection, wanted, before, count)

    def refusal_counts(self, since_ms: int) -> list[RefusalCount]:
        with self._reader() as connection:
            return requests.count_refusals(connection, since_ms)

    def refusal_sums(self, wanted: RefusalSelection, zone: ZoneInfo) -> list[RefusalSum]:
        with self._reader() as connection:
            return sum_refusals(connection, wanted, zone)

    def kept_since(self) -> KeptSince:
        with self._snapshot() as connection:
            return requests.kept_since(connection)

    def size_bytes(self) -> int:
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def surplus_refusal(self, before_ms: int, count_max: int) -> int | None:
        with self._snapshot() as connection:
            return surplus_refusal(connection, before_ms, count_max)

    def ledger_day(self, question: DayQuestion) -> LedgerDay:
        from proxy.storage.sqlite.ledger_day import read_ledger_day  # noqa: PLC0415 - a start compares nothing

        with self._snapshot() as connection:
            # it makes temporary tables; the ledger's file is open for reading only
            connection.execute("PRAGMA query_only = OFF")
            connection.execute("PRAGMA temp_store = MEMORY")  # in a file they would share the disk with requests
            return read_ledger_day(connection, question)

    def ledger_sums(self, provider: str, day_ms: int, own_key: str) -> list[BookedSum]:
        from proxy.storage.sqlite.ledger_day import read_ledger_sums  # noqa: PLC0415 - as ledger_day()

        with self._snapshot() as connection:
            return read_ledger_sums(connection, provider, day_ms, own_key)

    def key_books(self, question: KeyQuestion) -> KeyBooks:
        from proxy.storage.sqlite.key_books import read_key_books  # noqa: PLC0415 - as ledger_day()

        with self._snapshot() as connection:
            return read_key_books(connection, question)

    def key_names(self, provider: str) -> dict[str, str]:
        with self._reader() as connection:
            return reconciliation.key_names(connection, provider)

    def keys_begun_ms(self, provider: str) -> dict[str, int]:
        with self._snapshot() as connection:
            return reconciliation.keys_begun_ms(connection, provider)

    def first_request_ms(self) -> int | None:
        with self._snapshot() as connection:
            return reconciliation.first_request_ms(connection)

    def compared_days(self, since_day: str, until_day: str, provider: str | None = None) -> list[ComparedDay]:
        with self._snapshot() as connection:
            return reconciliation.compared_days(connection, since_day, until_day, provider)

    def provider_history(self, since_day: str | None, until_day: str | None) -> list[HistorySum]:
        with self._reader() as connection:
            return reconciliation.provider_history(connection, since_day, until_day)

    def drift_entries(
        self, since_day: str, until_day: str, drift_class: str | None, after: tuple[str, str, int] | None, count: int
    ) -> list[StoredEntry]:
        with self._reader() as connection:
            return reconciliation.drift_entries(connection, since_day, until_day, drift_class, after, count)

    def activity_sums(self, provider: str, since_day: str) -> dict[str, int]:
        with self._reader() as connection:
            return reconciliation.activity_sums(connection, provider, since_day)

    def model_performance(self, wanted: PerformanceFilter) -> list[ModelPerformance]:
        with self._snapshot() as connection:
            return read_performance(connection, wanted)

    def check(self) -> LedgerCheck:
        with closing(open_reader(self._path)) as connection:
            return usage.check(connection)

    def copy_to(self, target: Path, *, force: bool = False, progress: "Progress | None" = None) -> BackupResult:
        from proxy.storage.sqlite.backup import copy_ledger  # noqa: PLC0415 - a start makes no copy

        return copy_ledger(self._path, target, force=force, progress=progress)


def open_reports(path: Path, master: MasterKeys | None = None) -> SqliteReports:
    """Return the reports of a file; raises LedgerError where there is no ledger, or one of another version."""
    open_reader(path).close()
    return SqliteReports(path, master)
