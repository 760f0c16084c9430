"""A ledger in dictionaries, without SQL, thread or file: what needs more of one than its protocol fails here.

A store outlives the ledgers that are opened on it, as a file does. All is written at once, so that what is awaited is
done already; sums are made anew from the requests whenever they are asked for.
"""

import asyncio
import fnmatch
import hashlib
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from msgspec.structs import replace

from proxy.core.counts import NO_COUNTS
from proxy.core.eager_task import InlineFuture
from proxy.core.secret import Secret
from proxy.core.user_token import new_token, token_hash
from proxy.policy.day_span import DaySpan, day_span
from proxy.policy.exchange_rates import RateStep, join_steps, local_amount, rate_at
from proxy.policy.idempotency import EarlierRequest
from proxy.policy.quota import FineRows, Quota, SettledRow, is_counted
from proxy.policy.quota.window import window_bounds
from proxy.policy.reconciliation.key_comparison import KeyBooks, KeyDay
from proxy.policy.reconciliation.sums_comparison import BookedSum
from proxy.policy.sealing.master_ring import MasterRing
from proxy.policy.sealing.place import Place
from proxy.policy.stop import Stop
from proxy.policy.time_segments import TIME_WORDS, label_order, time_label
from proxy.storage import adjustment
from proxy.storage.adjustment import AdjustmentRow
from proxy.storage.admin_operations import CHANGES
from proxy.storage.admin_posts import KEPT_MS, PostClaim, StoredPost
from proxy.storage.alert_changes import TABLE
from proxy.storage.alerts import AlertNotes, AlertRows, StoredDelivery
from proxy.storage.audit import (
    NO_HASH,
    Actor,
    AuditFilter,
    AuditHead,
    AuditRow,
    AuditVerification,
    audit_hash,
    audit_text,
    verify_chain,
)
from proxy.storage.export import Chunk, Selection, Slice, csv_encoder
from proxy.storage.focus import ChargeOwner, ChargeSlice, ChargeTokens, FocusCharge
from proxy.storage.groups import checked_group, group_exists, no_group
from proxy.storage.labels import Labels
from proxy.storage.late_lookup import LateLookup, LookupNote, may_be_told
from proxy.storage.ledger import Done, EndedTwiceError, LedgerUnavailableError
from proxy.storage.limits import LimitScope
from proxy.storage.master_key_store import ResealedBatch
from proxy.storage.models import changed_settings, check_model, check_provider, no_model
from proxy.storage.performance import (
    AnswerSums,
    Histograms,
    ModelPerformance,
    PerformanceFilter,
    sum_answers,
)
from proxy.storage.preferences import no_preferences, read_preferences
from proxy.storage.provider_keys import SealedHashes, place_of
from proxy.storage.reconciliation import (
    ComparedDay,
    DayQuestion,
    DayResult,
    HistorySum,
    KeyQuestion,
    LedgerDay,
    StoredEntry,
    day_of,
)
from proxy.storage.refusals import RefusalRow
from proxy.storage.removal import RemovalPlan, removable
from proxy.storage.reports import (
    EVERYTHING,
    BackupError,
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
from proxy.storage.rows import (
    HOUR_MS,
    AttemptEnd,
    AttemptRow,
    KeyHash,
    KeyHashes,
    OpenRow,
    RequestEnd,
    RequestIds,
    Reserved,
    RowState,
    StoredKey,
    UnfinishedAttempt,
    UnfinishedRequest,
    answer_of,
    id_floor,
    id_text,
)
from proxy.storage.sealed import MasterKeyState, Opened
from proxy.storage.sessions import StoredSessions
from proxy.storage.spending import (
    OTHERS,
    TAG,
    LateSum,
    PeriodSpending,
    SpendingRow,
    SpendingSums,
    UnsettledSum,
    UsageSelection,
)
from proxy.storage.stops import no_stop
from proxy.storage.users import (
    MissingError,
    TooManyUsersError,
    UserError,
    check_name,
    check_settings,
    check_token_changes,
    check_user_changes,
    no_token,
    no_user,
    user_exists,
)
from tests.contracts.memory_adjustments import MemoryAdjustments
from tests.contracts.memory_alerts import MemoryAlerts
from tests.contracts.memory_configurations import MemoryConfigurations
from tests.contracts.memory_operators import MemoryOperators
from tests.contracts.memory_reconciliations import MemoryReconciliations, ledger_sums
from tests.contracts.memory_requests import Booked as BookedRow
from tests.contracts.memory_requests import MemoryRequests
from tests.contracts.memory_sessions import MemorySessions

_DAY_MS = 24 * HOUR_MS


@dataclass
class Booked:
    """One request as it was written: its row, its attempts in order, its end."""

    row: OpenRow
    reserved: Reserved
    attempts: list[UnfinishedAttempt]
    key_ids: list[int | None]  # of the attempts
    end: RequestEnd | None = None
    late_pusd: int = 0  # the sum of its adjustments

    @property
    def state(self) -> str:
        return "open" if self.end is None else self.end.state

    @property
    def has_ended(self) -> bool:
        return self.state in ("settled", "released")

    @property
    def cost_pusd(self) -> int:
        return 0 if self.end is None else (self.end.cost_pusd or 0) + self.late_pusd

    def unfinished(self) -> UnfinishedRequest:
        row, end = self.row, self.end
        return UnfinishedRequest(
            id=row.id,
            state=self.state,
            started_ms=row.started_ms,
            user=row.user,
            group_name=row.group_name,
            use_case=row.use_case,
            requested_model=row.requested_model,
            reserved_pusd=self.reserved.cost_pusd,
            reserved_tokens=self.reserved.tokens,
            finished_ms=None if end is None else end.finished_ms,
            status=None if end is None else end.status,
            model=None if end is None else end.model,
            finish_reason=None if end is None else end.finish_reason,
            ttft_ms=None if end is None else end.ttft_ms,
            duration_ms=None if end is None else end.duration_ms,
            error=None if end is None else end.error,
            flags=None if end is None else end.flags,
            groups_above=row.groups_above,
            streamed=row.streamed,
            attempts=tuple(self.attempts),
            pieces=row.pieces,
        )

    def is_in(self, part: LimitPart) -> bool:
        """Return whether a request that has ended is in a part of the spending."""
        assert self.end is not None
        is_named = part.use_case in (None, self.row.use_case)
        return is_named and (not part.models or is_counted(part.models, self.end.answer))

    def settled(self) -> SettledRow:
        row, end = self.row, self.end
        assert end is not None
        return SettledRow(
            row.started_ms,
            row.user,
            row.group_name,
            self.cost_pusd,
            end.quota_tokens,
            1,
            tuple(end.pieces),
            row.groups_above,
        )


@dataclass
class Store:
    """What is left when a ledger goes: all that a file would hold."""

    requests: dict[int, Booked] = field(default_factory=dict)
    key_hashes: dict[int, KeyHash] = field(default_factory=dict)
    keys: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)  # hash -> hash of the body, request
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    provider_keys: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    sealed: dict[Place, Secret] = field(default_factory=dict)
    posts: dict[bytes, StoredPost] = field(default_factory=dict)
    configurations: list[dict[str, Any]] = field(default_factory=list)
    operators: dict[str, dict[str, Any]] = field(default_factory=dict)
    operator_hashes: dict[str, str] = field(default_factory=dict)
    stops: dict[str, Stop] = field(default_factory=dict)
    sessions: MemorySessions = field(default_factory=MemorySessions)
    audit: list[AuditRow] = field(default_factory=list)
    labels: Labels = field(default_factory=lambda: Labels("UTC", "USD", "1"))
    rates: dict[str, tuple[RateStep, ...]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    limits: dict[LimitScope, dict[str, Any]] = field(default_factory=dict)
    users_changed_ms: int | None = None
    refusals: dict[int, RefusalRow] = field(default_factory=dict)
    newest_id: int = 0
    preferences: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    alerts: MemoryAlerts = field(default_factory=MemoryAlerts)
    lookups: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)  # tries, next_ms
    adjustments: MemoryAdjustments = field(default_factory=MemoryAdjustments)
    reconciliations: MemoryReconciliations = field(default_factory=MemoryReconciliations)


def _attempt(n: int, provider: str, key: str, model: str) -> UnfinishedAttempt:
    """Return an attempt under way."""
    nothing = dict.fromkeys(UnfinishedAttempt._fields)
    started = {"n": n, "provider": provider, "key": key, "model": model, "outcome": "open", "cost_source": "none"}
    return UnfinishedAttempt(**{**nothing, **started})  # type: ignore[arg-type]


def _ended(attempt: UnfinishedAttempt, end: AttemptEnd) -> UnfinishedAttempt:
    told = {name: value for name, value in end._asdict().items() if name in UnfinishedAttempt._fields}
    return attempt._replace(**{**told, "n": attempt.n})


class MemoryUsers:
    """Users and tokens of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_users(self) -> list[dict[str, Any]]:
        return [dict(self._store.users[name]) for name in sorted(self._store.users)]

    def find_user(self, name: str) -> dict[str, Any]:
        if name not in self._store.users:
            raise no_user(name)
        return dict(self._store.users[name])

    def list_tokens(self, user: str | None = None) -> list[dict[str, Any]]:
        found = [dict(token) for token in self._store.tokens.values() if user in (None, token["user"])]
        return sorted(found, key=lambda token: (token["user"], token["created_ms"]))

    def add_user(
        self, now_ms: int, actor: Actor, name: str, group: str | None, settings: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        assert actor
        check_name(name, "user")
        if group is not None:
            check_name(group, "group")
        if settings is not None:
            check_settings(settings)
        if name in self._store.users:
            raise user_exists(name)
        return self._put(now_ms, name, group=group, settings=dict(settings or {}))

    def _put(self, now_ms: int, name: str, **values: Any) -> dict[str, Any]:
        bare: dict[str, Any] = {"group": None, "settings": {}, "disabled": False, "made_by": None}
        self._store.users[name] = {"name": name, **bare, "created_ms": now_ms, "source": "database", **values}
        self._store.users_changed_ms = now_ms
        return self.find_user(name)

    def add_end_user(self, now_ms: int, name: str, token_id: str, users_max: int) -> dict[str, Any]:
        check_name(name, "user")
        if name in self._store.users:
            return self.find_user(name)
        count = sum(user["made_by"] is not None for user in self._store.users.values())
        if count >= users_max:
            raise TooManyUsersError(f"There are {count} end users already.")
        changed_ms = self._store.users_changed_ms
        made = self._put(now_ms, name, made_by=token_id)
        self._store.users_changed_ms = changed_ms  # no change of a limit
        return made

    def stop_user(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        self.take_up_user(now_ms, name)
        return self.set_user(now_ms, actor, name, {"disabled": True})

    def take_up_user(self, now_ms: int, name: str) -> None:
        check_name(name, "user")
        if name not in self._store.users:
            self._put(now_ms, name)

    def set_user(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        assert actor
        self.find_user(name)
        check_user_changes(changes)
        self._store.users[name].update(changes)
        self._store.users_changed_ms = now_ms
        return self.find_user(name)

    def remove_user(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        assert actor
        removed = self.find_user(name)
        for token in self.list_tokens(name):
            self._store.tokens.pop(token["id"])
        self._store.users.pop(name)
        self._store.preferences.pop(name, None)
        self._store.users_changed_ms = now_ms
        return removed

    def find_token(self, token_id: str) -> dict[str, Any]:
        if token_id not in self._store.tokens:
            raise no_token(token_id)
        return dict(self._store.tokens[token_id])

    def add_token(
        self,
        now_ms: int,
        actor: Actor,
        user: str,
        name: str | None,
        expires_ms: int | None,
        *,
        trusted: bool = False,
    ) -> dict[str, Any]:
        assert actor
        self.find_user(user)
        token, token_id = new_token(), "tok_" + secrets.token_hex(6)
        check_name(name or token_id, "token")
        self._store.hashes[token_id] = token_hash(token)
        self._store.tokens[token_id] = {
            "id": token_id,
            "user": user,
            "name": name or token_id,
            "hint": token[-4:],
            "created_ms": now_ms,
            "expires_ms": expires_ms,
            "disabled": False,
            "trusted": trusted,
            "source": "database",
        }
        return {**self.find_token(token_id), "token": token}

    def set_token(self, now_ms: int, actor: Actor, token_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        assert actor
        assert now_ms >= 0
        self.find_token(token_id)
        check_token_changes(changes)
        self._store.tokens[token_id].update(changes)
        return self.find_token(token_id)

    def rotate_token(self, now_ms: int, actor: Actor, token_id: str, overlap_ms: int) -> dict[str, Any]:
        old = self.find_token(token_id)
        fresh = self.add_token(now_ms, actor, old["user"], old["name"], None, trusted=old["trusted"])
        self.set_token(now_ms, actor, token_id, {"expires_ms": now_ms + overlap_ms})
        return fresh

    def remove_token(self, now_ms: int, actor: Actor, token_id: str) -> dict[str, Any]:
        assert actor
        assert now_ms >= 0
        removed = self.find_token(token_id)
        self._store.tokens.pop(token_id)
        self._store.hashes.pop(token_id)
        return removed


class MemorySealedValues:
    """A SealedStore whose values never leave the memory, and so need no seal."""

    def __init__(self, store: Store) -> None:
        self._values = store.sealed
        self.made_file: str | None = None

    def put(self, place: Place, value: Secret) -> None:
        self._values[place] = value

    def open(self, place: Place) -> Secret:
        if place not in self._values:
            raise MissingError(f"There is no {place}.")
        return self._values[place]

    def remove(self, table: str, row: str) -> None:
        for place in [place for place in self._values if place[:2] == (table, row)]:
            del self._values[place]

    def fingerprint(self, place: Place) -> str | None:
        return None if place not in self._values else hashlib.sha256(self._values[place].reveal().encode()).hexdigest()


class MemoryGroups:
    """Groups of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_groups(self) -> list[dict[str, Any]]:
        return [dict(self._store.groups[name]) for name in sorted(self._store.groups)]

    def add_group(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        checked_group(name, {}, settings)
        if name in self._store.groups:
            raise group_exists(name)
        return self.set_group(now_ms, actor, name, settings)

    def set_group(self, now_ms: int, actor: Actor, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        assert actor.name
        old = self._store.groups.get(name, {"name": name, "settings": {}, "created_ms": now_ms, "source": "database"})
        self._store.groups[name] = {**old, "settings": checked_group(name, old["settings"], patch)}
        self._store.users_changed_ms = now_ms
        return dict(self._store.groups[name])

    def remove_group(self, now_ms: int, actor: Actor, name: str, *, is_configured: bool) -> dict[str, Any]:
        if name not in self._store.groups:
            raise no_group(name)
        removed = self._store.groups.pop(name)
        self._store.users_changed_ms = now_ms
        if not is_configured:
            for user in self._store.users.values():
                user["group"] = None if user["group"] == name else user["group"]
            for child in [row["name"] for row in self.list_groups() if row["settings"].get("parent") == name]:
                self.set_group(now_ms, actor, child, {"parent": None})
        return removed


class MemoryLimits:
    """Limits of a store that belong to no user and no group."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_limits(self) -> list[dict[str, Any]]:
        return [
            {"scope": scope.what, "name": scope.name, "settings": dict(settings)}
            for scope, settings in sorted(self._store.limits.items())
        ]

    def find_limits(self, scope: LimitScope) -> dict[str, Any]:
        return dict(self._store.limits.get(scope, {}))

    def put_limits(self, now_ms: int, actor: Actor, scope: LimitScope, settings: Mapping[str, Any]) -> None:
        assert actor.name
        self._store.users_changed_ms = now_ms
        self._store.limits[scope] = dict(settings)
        if not settings:
            del self._store.limits[scope]


class MemoryAuditLog:
    """The audit trail of a store, of what is noted alone: other changes leave no entry here."""

    def __init__(self, rows: list[AuditRow]) -> None:
        self._rows = rows

    def note(
        self,
        now_ms: int,
        actor: Actor,
        action: str,
        subject: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        previous = self._rows[-1].hash if self._rows else NO_HASH
        texts = audit_text(before), audit_text(after)
        row = AuditRow(len(self._rows) + 1, now_ms, actor.name, actor.source, action, subject, *texts, previous, None)
        self._rows.append(row._replace(hash=audit_hash(row)))


class MemoryStops:
    """Stops of a store."""

    def __init__(self, stops: dict[str, Stop]) -> None:
        self._stops = stops

    def list_stops(self) -> list[Stop]:
        return sorted(self._stops.values(), key=lambda stop: (stop.created_ms, stop.id))

    def add_stop(self, now_ms: int, actor: Actor, stop: Stop) -> Stop:
        assert actor.name
        assert now_ms >= 0
        return self._stops.setdefault(stop.id, stop)

    def end_stop(self, now_ms: int, actor: Actor, id_: str) -> Stop:
        assert actor.name
        assert now_ms >= 0
        if id_ not in self._stops:
            raise no_stop(id_)
        return self._stops.pop(id_)


class MemoryMasterKey:
    """Nothing is sealed in memory, so there is no master key: whoever wants one is told so."""

    def make(self, now_ms: int, actor: Actor) -> None:
        raise UserError(f"no master key for {actor.name} at {now_ms}")

    def bring_back(self, now_ms: int, actor: Actor, ring: MasterRing, *, replace: bool) -> None:
        raise UserError(f"no master key for {actor.name} at {now_ms}: {ring} {replace}")

    def export(self, now_ms: int, actor: Actor) -> MasterRing:
        raise UserError(f"no master key for {actor.name} at {now_ms}")

    def begin_rotation(self, now_ms: int, actor: Actor, *, resume: bool, forget: bool) -> bool:
        raise UserError(f"no master key for {actor.name} at {now_ms}: {resume} {forget}")

    def reseal(self, after_id: int) -> ResealedBatch:
        raise UserError(f"no master key after {after_id}")

    def end_rotation(self, now_ms: int, actor: Actor, *, forget: bool) -> None:
        raise UserError(f"no master key for {actor.name} at {now_ms}: {forget}")


class MemoryProviderKeys:
    """The rows of keys of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_keys(self) -> list[dict[str, Any]]:
        return [dict(row) for _, row in sorted(self._store.provider_keys.items())]

    def find_key(self, provider: str, name: str) -> dict[str, Any] | None:
        row = self._store.provider_keys.get((provider, name))
        return None if row is None else dict(row)

    def put_key(self, now_ms: int, actor: Actor, action: str, row: Mapping[str, Any], hashes: SealedHashes) -> None:
        assert action.startswith("keys.")
        assert actor.name
        assert (hashes.after is None) == (row["hint"] is None)
        self._store.users_changed_ms = now_ms
        self._store.provider_keys[row["provider"], row["name"]] = dict(row)

    def remove_key(self, now_ms: int, actor: Actor, row: Mapping[str, Any]) -> None:
        assert actor.name
        self._store.users_changed_ms = now_ms
        del self._store.provider_keys[row["provider"], row["name"]]


class MemoryPreferences:
    """What users of a store have set for themselves."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def set_preferences(self, now_ms: int, actor: Actor, user: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        assert actor
        assert now_ms >= 0
        check_name(user, "user")
        read_preferences(settings)
        self._store.preferences[user] = dict(settings)
        return dict(settings)

    def remove_preferences(self, now_ms: int, actor: Actor, user: str) -> dict[str, Any]:
        assert actor
        assert now_ms >= 0
        if user not in self._store.preferences:
            raise no_preferences(user)
        return self._store.preferences.pop(user)


class MemoryModels:
    """What is said of the models and providers of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def set_model(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        check_model(name, changed_settings(self._store.models.get(name, {}), changes))
        return self._put(self._store.models, now_ms, actor, name, changes)

    def remove_model(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        assert actor
        assert now_ms >= 0
        if name not in self._store.models:
            raise no_model(name)
        return {"name": name, "settings": self._store.models.pop(name)}

    def set_provider(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        check_name(name, "provider")
        check_provider(changes)
        return self._put(self._store.providers, now_ms, actor, name, changes)

    def _put(
        self, rows: dict[str, dict[str, Any]], now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        assert actor
        assert now_ms >= 0
        settings = changed_settings(rows.get(name, {}), changes)
        if settings:
            rows[name] = settings
        else:
            rows.pop(name, None)
        return {"name": name, "settings": settings}


class MemoryStores:
    """Everything of a store that an operator changes, by noun."""

    def __init__(self, store: Store) -> None:
        self.users = MemoryUsers(store)
        self.groups = MemoryGroups(store)
        self.limits = MemoryLimits(store)
        self.sealed = MemorySealedValues(store)
        self.operators = MemoryOperators(store.operators, store.operator_hashes)
        self.configurations = MemoryConfigurations(store.configurations)
        self.stops = MemoryStops(store.stops)
        self.sessions = store.sessions
        self.audit = MemoryAuditLog(store.audit)
        self.keys = MemoryProviderKeys(store)
        self.preferences = MemoryPreferences(store)
        self.models = MemoryModels(store)
        self.alerts = store.alerts
        self.master_key = MemoryMasterKey()


class MemoryLedger:
    """A Ledger on a store. is_down: it refuses, as a full disk does."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self.store = store
        self.ids = RequestIds(max([store.newest_id, *store.refusals]))
        self.is_down = False
        self._loop = loop
        self._users = MemoryUsers(store)
        self._is_closed = False

    @property
    def problem(self) -> str | None:
        return "out of memory" if self.is_down else None

    @property
    def queued(self) -> int:
        return 0

    def is_alive(self) -> bool:
        return not self._is_closed

    def is_idle(self) -> bool:
        return True

    def _check(self) -> None:
        if self._is_closed:
            raise LedgerUnavailableError("the ledger is closed")
        if self.is_down:
            raise LedgerUnavailableError("out of memory")

    def _done(self, error: Exception | None = None) -> InlineFuture[None]:
        future: InlineFuture[None] = InlineFuture(self._loop)
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        return future

    def open(self, row: OpenRow) -> InlineFuture[None]:
        try:
            self._check()
        except LedgerUnavailableError as error:
            return self._done(error)
        first = _attempt(1, row.target_provider, row.key, row.target_model)
        self.store.requests[row.id] = Booked(
            row, Reserved(row.reserved_pusd, row.reserved_tokens), [first], [row.key_id]
        )
        self.store.newest_id = max(self.store.newest_id, row.id)
        return self._done()

    def add_attempt(
        self, attempt: AttemptRow, before: AttemptEnd, reserved: Reserved | None = None
    ) -> InlineFuture[None]:
        try:
            self._check()
        except LedgerUnavailableError as error:
            return self._done(error)
        booked = self.store.requests[attempt.request_id]
        booked.attempts[before.n - 1] = _ended(booked.attempts[before.n - 1], before)
        booked.attempts.append(_attempt(attempt.n, attempt.provider, attempt.key, attempt.model))
        booked.key_ids.append(attempt.key_id)
        if reserved is not None:
            booked.reserved = reserved
        return self._done()

    def note_generation(self, request_id: int, n: int, generation_id: str) -> None:
        attempts = self.store.requests[request_id].attempts
        attempts[n - 1] = attempts[n - 1]._replace(generation_id=generation_id)

    def end(
        self,
        end: RequestEnd,
        done: Done | None = None,
        waiter: InlineFuture[None] | None = None,  # noqa: ARG002 - it need not be used
        /,
    ) -> InlineFuture[None]:
        booked, error = self.store.requests.get(end.id), None
        if booked is None or booked.has_ended:
            error = EndedTwiceError(f"{id_text(end.id)} had ended already")
        else:
            booked.end = end
            for one in end.attempt_ends:
                if may_be_told(end, one):
                    self.store.lookups.setdefault((end.id, one.n), (0, end.started_ms))
                booked.attempts[one.n - 1] = _ended(booked.attempts[one.n - 1], one)
            if len(booked.attempts) == 1 and not end.attempt_ends:
                booked.attempts[0] = self._single(booked.attempts[0], end)
        if done is not None:
            done(error)
        return self._done(error)

    def _single(self, attempt: UnfinishedAttempt, end: RequestEnd) -> UnfinishedAttempt:
        names = {*UnfinishedAttempt._fields} & {*RequestEnd._fields} - {"model", "provider"}  # as it was asked for
        told = {name: getattr(end, name) for name in names}
        return attempt._replace(**{**told, "served_model": end.model, "status": end.upstream_status})

    async def unfinished(self, request_id: int | None = None) -> list[UnfinishedRequest]:
        self._check()
        return [
            booked.unfinished()
            for id_, booked in sorted(self.store.requests.items())
            if not booked.has_ended and request_id in (None, id_)
        ]

    async def state(self, request_id: int) -> RowState | None:
        self._check()
        booked = self.store.requests.get(request_id)
        if booked is None:
            return None
        end = booked.end
        if end is None:
            return RowState("open", None, 0)
        return RowState(end.state, end.cost_pusd, end.quota_tokens, tuple(end.pieces), end.answer)

    async def find_key(self, key_hash: bytes, since_id: int) -> StoredKey | None:
        self._check()
        body, id_ = self.store.keys.get(key_hash, (b"", -1))
        if id_ < since_id:
            return None
        booked = self.store.requests.get(id_)
        if booked is None:
            return StoredKey(body, EarlierRequest(id_, None, None, None, None))
        end = booked.end
        if end is None:
            return StoredKey(body, EarlierRequest(id_, "open", None, None, None))
        return StoredKey(body, EarlierRequest(id_, end.state, end.status, end.error, end.cost_pusd))

    async def claim_key(self, hashes: KeyHashes, request_id: int, since_id: int) -> None:
        self._check()
        for key in [key for key, (_, id_) in self.store.keys.items() if id_ < since_id]:
            self.store.keys.pop(key)
        self.store.keys[hashes.key] = hashes.body, request_id

    async def add_end_user(self, *, now_ms: int, name: str, token_id: str, users_max: int) -> dict[str, Any]:
        self._check()
        return self._users.add_end_user(now_ms, name, token_id, users_max)

    async def operate(
        self, operation: str, *, now_ms: int, actor: Actor, fields: Mapping[str, Any], claim: PostClaim | None = None
    ) -> Any:
        self._check()
        if claim is not None:
            self.store.posts[claim.key_hash] = StoredPost(claim.body_hash, now_ms, None, None)
        return CHANGES[operation](MemoryStores(self.store), now_ms, actor, fields)

    async def keep_answer(self, claim: PostClaim, now_ms: int, status: int | None, answer: bytes | None) -> None:
        self._check()
        self.store.posts[claim.key_hash] = StoredPost(claim.body_hash, now_ms, status, answer)

    async def note_keys(self, keys: Sequence[KeyHash], now_ms: int) -> None:
        self._check()
        assert now_ms >= 0
        self.store.key_hashes.update((key.id, key) for key in keys)

    async def set_labels(self, labels: Labels, now_ms: int) -> None:
        self._check()
        booked_ms = max(
            (booked.row.started_ms for booked in self.store.requests.values() if booked.has_ended), default=0
        )
        from_ms = (max(now_ms, booked_ms) // HOUR_MS + 1) * HOUR_MS
        code = labels.currency_code
        self.store.rates[code] = join_steps(self.store.rates.get(code, ()), labels.steps(), from_ms)
        self.store.labels = labels

    async def remove_rows(self, ids: Sequence[int]) -> int:
        self._check()
        gone = [id_ for id_ in ids if id_ in self.store.requests and self.store.requests[id_].has_ended]
        for id_ in gone:
            self.store.requests.pop(id_)
        return len(gone)

    async def add_refusals(self, rows: Sequence[RefusalRow]) -> None:
        self._check()
        for row in rows:
            self.store.refusals.setdefault(row.id, row)

    async def sum_days(self, days: Sequence[DaySpan], count: int) -> bool:
        self._check()
        del days, count  # sums are made anew from rows each time
        return False

    async def remove_refusals(self, upto_id: int, count: int) -> int:
        self._check()
        gone = [id_ for id_ in sorted(self.store.refusals) if id_ <= upto_id][:count]
        for id_ in gone:
            self.store.refusals.pop(id_)
        return len(gone)

    async def correct(
        self,
        corrections: Sequence[adjustment.Correction],
        now_ms: int,
        tell: adjustment.Tell | None = None,
        actor: Actor | None = None,
    ) -> tuple[adjustment.Booked, ...]:
        self._check()
        assert actor is None or actor.name
        kept, requests = self.store.adjustments, self.store.requests
        return self._told(tuple(kept.correct(requests.get(one.request_id), one, now_ms) for one in corrections), tell)

    async def book_unattached(
        self, costs: Sequence[adjustment.UnattachedCost], now_ms: int, tell: adjustment.Tell | None = None
    ) -> tuple[adjustment.Booked, ...]:
        self._check()
        return self._told(tuple(self.store.adjustments.book_unattached(one, now_ms) for one in costs), tell)

    def _told(
        self, booked: tuple[adjustment.Booked, ...], tell: adjustment.Tell | None
    ) -> tuple[adjustment.Booked, ...]:
        if tell is not None:
            tell(booked)
        return booked

    async def note_lookups(self, notes: Sequence[LookupNote]) -> None:
        self._check()
        for note in notes:
            tries, _ = self.store.lookups.pop(note[:2], (0, 0))
            if note.next_ms is not None:
                self.store.lookups[note[:2]] = tries + 1, note.next_ms

    async def note_sessions(self, seen: Mapping[str, int]) -> None:
        self.store.sessions.note(seen)

    async def note_reconciliation(self, result: DayResult) -> None:
        self.store.reconciliations.note(result)

    async def note_matched_calls(self, provider: str, pairs: Mapping[str, int]) -> None:
        self.store.reconciliations.match(provider, pairs)

    async def note_alerts(self, notes: AlertNotes, now_ms: int) -> None:
        self._check()
        self.store.alerts.write(notes, now_ms)

    async def flush(self) -> None:
        self._check()

    async def close(self) -> int:
        self._is_closed = True
        return 0


class MemoryReports(MemoryUsers, MemoryRequests):
    """The Reports on a store."""

    def ledger_day(self, question: DayQuestion) -> LedgerDay:
        store = self._store
        return store.reconciliations.ledger_day(store.requests.values(), store.adjustments.rows, question)

    def ledger_sums(self, provider: str, day_ms: int, own_key: str) -> list[BookedSum]:
        assert own_key
        return ledger_sums(self._store.requests.values(), provider, day_ms)

    def key_books(self, question: KeyQuestion) -> KeyBooks:
        """Return the sums of days: this ledger does not know which of them are doubtful."""
        sums = Counter[str]()
        for place in question.places:
            provider, _, key = place.partition("/")
            for started_ms, pusd in self.key_use(provider, key, question.since_ms):
                if started_ms < question.until_ms:
                    sums[day_of(started_ms)] += pusd
            for row in self._store.adjustments.rows:
                of_key = (row.charged_provider, row.charged_key) == (provider, key)
                if of_key and question.since_ms <= row.at_ms < question.until_ms:
                    sums[day_of(row.at_ms)] += row.amount_pusd
        return KeyBooks([KeyDay(day, pusd, 0) for day, pusd in sorted(sums.items())])

    def key_names(self, provider: str) -> dict[str, str]:
        assert provider
        return {}

    def keys_begun_ms(self, provider: str) -> dict[str, int]:
        assert provider
        return {}

    def first_request_ms(self) -> int | None:
        return min((one.row.started_ms for one in self._store.requests.values()), default=None)

    def compared_days(self, since_day: str, until_day: str, provider: str | None = None) -> list[ComparedDay]:
        rows = self._store.adjustments.rows
        return self._store.reconciliations.compared(since_day, until_day, provider, rows)

    def drift_entries(
        self, since_day: str, until_day: str, drift_class: str | None, after: tuple[str, str, int] | None, count: int
    ) -> list[StoredEntry]:
        return self._store.reconciliations.listed(since_day, until_day, drift_class, after, count)

    def provider_history(self, since_day: str | None, until_day: str | None) -> list[HistorySum]:  # noqa: ARG002
        """Return nothing: this ledger sums no history by model."""
        return []

    def activity_sums(self, provider: str, since_day: str) -> dict[str, int]:
        return self._store.reconciliations.sums(provider, since_day)

    def sessions(self) -> StoredSessions:
        return self._store.sessions.sessions()

    def list_stops(self) -> list[Stop]:
        return MemoryStops(self._store.stops).list_stops()

    def provider_keys(self) -> list[dict[str, Any]]:
        return self.directory().keys

    def master_key(self) -> MasterKeyState:
        return MasterKeyState("", (), None, None, (), (), (), 0)

    def audit_entries(self, wanted: AuditFilter, before_id: int | None, count: int) -> list[AuditRow]:
        rows = [row for row in self._store.audit if before_id is None or row.id < before_id]
        found = [
            row
            for row in reversed(rows)
            if (wanted.since_ms is None or row.ts_ms >= wanted.since_ms)
            and (wanted.until_ms is None or row.ts_ms < wanted.until_ms)
            and wanted.actor in (None, row.actor)
            and wanted.subject in (None, row.subject)
            and fnmatch.fnmatchcase(row.action, wanted.action or "*")
        ]
        return found[:count]

    def verify_audit(self, noted: AuditHead | None = None) -> AuditVerification:
        rows = self._store.audit
        last = rows[-1] if rows else None
        head = None if last is None or last.hash is None else AuditHead(last.id, last.hash)
        return verify_chain(rows, head, noted)

    def sealed_values(self, table: str) -> dict[Place, Opened]:
        return {place: value for place, value in self._store.sealed.items() if place.table == table}

    def __init__(self, store: Store) -> None:
        MemoryUsers.__init__(self, store)
        MemoryRequests.__init__(self, self._booked_rows, lambda: [row for _, row in sorted(store.refusals.items())])

    def _booked_rows(self) -> list[BookedRow]:
        return [
            (booked.row, booked.end, booked.reserved, booked.attempts, self._key_hashes(booked))
            for booked in self._rows()
        ]

    def _key_hashes(self, booked: Booked) -> list[str | None]:
        known = self._store.key_hashes
        return [known[id_].hash if id_ in known else None for id_ in booked.key_ids]

    def _rows(self, since_ms: int | None = None, until_ms: int | None = None, user: str | None = None) -> list[Booked]:
        return [
            booked
            for _, booked in sorted(self._store.requests.items())
            if (since_ms is None or booked.row.started_ms >= since_ms)
            and (until_ms is None or booked.row.started_ms < until_ms)
            and user in (None, booked.row.user)
        ]

    def labels(self) -> Labels:
        return self._store.labels

    def rates(self, code: str) -> tuple[RateStep, ...]:
        return self._store.rates.get(code, ())

    def alerts(self) -> AlertRows:
        return self._store.alerts.rows()

    def due_deliveries(self, count: int) -> list[StoredDelivery]:
        waiting = [each for each in self._store.alerts.deliveries.values() if each.state == "waiting"]
        return sorted(waiting, key=lambda each: (each.next_ms or 0, each.id))[:count]

    def alert_deliveries(self, state: str | None, before_id: int | None, count: int) -> list[StoredDelivery]:
        found = [each for each in self._store.alerts.deliveries.values() if state in (None, each.state)]
        return [each for each in reversed(found) if before_id is None or each.id < before_id][:count]

    def usage(
        self, wanted: UsageSelection, zone: ZoneInfo, step: Callable[[float], None] | None = None
    ) -> SpendingSums:
        groups: defaultdict[tuple[str, ...], list[Booked]] = defaultdict(list)
        ended = [
            each
            for each in self._rows(wanted.since_ms, wanted.until_ms, wanted.user)
            if each.has_ended and all(self._word(each, word, zone) == value for word, value in wanted.only)
        ]
        for booked in ended:
            texts = {word: self._word(booked, word, zone) for word in wanted.by}
            if wanted.kept is not None and texts[wanted.kept[0]] not in wanted.kept[1]:
                texts[wanted.kept[0]] = OTHERS
            groups[tuple(texts.values())].append(booked)
        rows = [_spending(key, group, wanted.rates) for key, group in groups.items()]
        times = [n for n, word in enumerate(wanted.by) if word in TIME_WORDS]
        rows.sort(key=lambda row: ([label_order(row.key[n]) for n in times], -row.cost_pusd, row.key))
        if step is not None:
            step(1.0)
        return SpendingSums(rows, _spending(("total",), ended, wanted.rates))

    def spending(
        self,
        wanted: UsageSelection,
        zone: ZoneInfo,
        step: Callable[[float], None] | None = None,
        tables: Sequence[tuple[str, ...]] = (),
    ) -> PeriodSpending:
        rest = self.unsettled(since_ms=wanted.since_ms, until_ms=wanted.until_ms, user=wanted.user)
        days = self.usage(replace(wanted, by=("day",)), zone)
        more = [self.usage(replace(wanted, by=words), zone) for words in tables]
        return PeriodSpending(self.usage(wanted, zone, step), days, self.late_sums(wanted), rest, more)

    def late_sums(self, wanted: UsageSelection) -> list[LateSum]:
        """Return none: this ledger does not sum the reasons of late costs."""
        assert wanted.since_ms is None or wanted.since_ms >= 0
        return []

    def _word(self, booked: Booked, word: str, zone: ZoneInfo) -> str:
        """Return what a request has for a word; of a key, and of all tags at once, this ledger does not know."""
        row, end = booked.row, booked.end
        assert end is not None
        if word in TIME_WORDS:
            first_ms, next_ms = window_bounds(word, zone, row.started_ms)
            assert next_ms is not None
            return time_label(word, zone, first_ms, next_ms)
        if word.startswith(TAG):
            return str(orjson.loads(row.tags or "{}").get(word.removeprefix(TAG), ""))
        person = self._store.users.get(row.user, {})
        return {
            "user": row.user,
            "group": row.group_name,
            "model": end.model,
            "provider": end.provider,
            "use_case": row.use_case,
            "end_user": row.user if person.get("made_by") is not None else None,
            "token": row.token_id,
            "endpoint": row.endpoint,
            "status": str(end.status),
            "requested_model": row.requested_model,
            "session": row.session_id,
        }[word] or ""

    def unsettled(
        self, *, since_ms: int | None = None, until_ms: int | None = None, user: str | None = None
    ) -> UnsettledSum:
        rows = self._rows(since_ms, until_ms, user)
        flagged = sum(row.has_ended and row.end is not None and row.end.flags is not None for row in rows)
        return UnsettledSum(
            sum(row.state == "open" for row in rows), sum(row.state == "pending" for row in rows), flagged
        )

    def usage_by_model(self, user: str, start_ms: int) -> list[ModelUsage]:
        found = []
        for row in self.usage(UsageSelection(("model",), start_ms, None, user), ZoneInfo("UTC")).rows:
            tokens = {name: getattr(row, name) for name in ("input_tokens", "output_tokens")}
            parts = {"cached_tokens": row.cached_tokens, "reasoning_tokens": row.reasoning_tokens}
            found.append(
                ModelUsage(row.key[0], row.requests, {**tokens, **parts, **row.counts._asdict()}, row.cost_pusd)
            )
        return found

    def spent_since(self, user: str, starts_ms: Sequence[int]) -> list[int]:
        return [
            sum(row.cost_pusd for row in self._rows(start_ms, None, user) if row.has_ended) for start_ms in starts_ms
        ]

    def spent_with(self, user: str, key: str, starts_ms: Sequence[int]) -> list[int]:
        return [
            sum(
                one.cost_pusd or 0
                for row in self._rows(at_ms, None, user)
                if row.has_ended
                for one in row.attempts
                if one.key == key
            )
            for at_ms in starts_ms
        ]

    def own_request(self, user: str, id_: str, now_ms: int) -> tuple[OwnRequest, tuple[OwnAttempt, ...]] | None:
        assert now_ms >= 0
        for booked in reversed(self._rows(user=user)):
            if id_ in (id_text(booked.row.id), booked.end.generation_id if booked.end else None):
                values = {**booked.row._asdict(), **(booked.end._asdict() if booked.end else {}), "state": booked.state}
                values["cost_pusd"] = None if values.get("cost_pusd") is None else booked.cost_pusd
                request = OwnRequest(**{name: values.get(name) for name in OwnRequest._fields})  # type: ignore[arg-type]
                return request, tuple(
                    OwnAttempt(*(getattr(one, name) for name in OwnAttempt._fields)) for one in booked.attempts
                )
        return None

    def key_use(self, provider: str, key: str, since_ms: int) -> list[tuple[int, int]]:
        return [
            (booked.row.started_ms, share.cost_pusd or 0 if one.cost_pusd is None else one.cost_pusd)
            for booked in self._rows(since_ms)
            for one, share in zip(booked.attempts, booked.unfinished().shares(), strict=True)
            if (one.provider, one.key) == (provider, key)
        ]

    def adjustments(
        self, wanted: adjustment.AdjustmentFilter, before_id: int | None, count: int
    ) -> list[adjustment.AdjustmentRow]:
        return self._store.adjustments.list_adjustments(wanted, before_id)[:count]

    def late_lookups(self, due_ms: int | None, after: tuple[int, int], count: int) -> list[LateLookup]:
        found = []
        for (id_, n), (tries, next_ms) in sorted(self._store.lookups.items()):
            booked = self._store.requests.get(id_)
            if booked is None or (id_, n) <= after or (due_ms is not None and next_ms > due_ms):
                continue
            row, one = booked.row, booked.attempts[n - 1]
            others = sum(each.cost_pusd or 0 for each in booked.attempts if each.n != n)
            late = [each for each in self._store.adjustments.rows if each.request_id == id_ and each.attempt != n]
            found.append(
                LateLookup(
                    id_,
                    n,
                    tries,
                    row.started_ms,
                    row.user,
                    row.group_name,
                    one.provider,
                    one.key or "",
                    one.model,
                    one.generation_id or "",
                    others + sum(each.amount_pusd for each in late),
                )
            )
        return found[:count]

    def recent_attempts(self, since_ms: int) -> list[PastAttempt]:
        return [
            PastAttempt(one.provider, one.model, one.outcome, one.status, one.ttft_ms)
            for booked in self._rows(since_ms)
            for one in booked.attempts
            if one.outcome != "open"
        ]

    def _totals(self, part: LimitPart, without: Collection[int] = ()) -> QuotaTotals:
        rows = [
            booked.settled()
            for booked in self._rows()
            if booked.has_ended and booked.is_in(part) and booked.row.id not in without
        ]
        return QuotaTotals([], rows)

    def quota_start(self, fine: FineRows, parts: Collection[LimitPart]) -> QuotaStart:
        assert fine.since_ms > 0
        unfinished = [booked.unfinished() for booked in self._rows() if not booked.has_ended]
        return QuotaStart(self._totals(EVERYTHING), {part: self._totals(part) for part in parts}, unfinished)

    def quota_past(
        self, fine: FineRows, part: LimitPart, known: set[int]
    ) -> tuple[QuotaTotals, list[UnfinishedRequest]]:
        assert fine.since_ms > 0
        left = [booked.unfinished() for booked in self._rows() if not booked.has_ended and booked.row.id not in known]
        return self._totals(part, known), [row for row in left if part.holds(row)]

    def directory(self) -> DirectoryRows:
        stores = MemoryStores(self._store)
        keys = [
            {**row, "secret": self._store.sealed.get(place_of(row)), "problem": None} for row in stores.keys.list_keys()
        ]
        return DirectoryRows(
            self.list_users(),
            self.list_tokens(),
            dict(self._store.hashes),
            stores.groups.list_groups(),
            stores.limits.list_limits(),
            stores.operators.list_operators(),
            dict(self._store.operator_hashes),
            keys,
            alert_rules=self._store.alerts.list_rules(),
            alert_destinations=[
                {
                    **row,
                    "opened": {name: self._store.sealed[Place(TABLE, row["name"], name)] for name in row["secrets"]},
                }
                | {"problem": None}
                for row in self._store.alerts.destinations.values()
            ],
            models=[{"name": name, "settings": one} for name, one in sorted(self._store.models.items())],
            providers=[{"name": name, "settings": one} for name, one in sorted(self._store.providers.items())],
            preferences=dict(self._store.preferences),
        )

    def unfinished(self) -> list[UnfinishedRequest]:
        return [booked.unfinished() for booked in self._rows() if not booked.has_ended]

    def list_configurations(self) -> list[dict[str, Any]]:
        return MemoryConfigurations(self._store.configurations).list_configurations()

    def find_post(self, key_hash: bytes, now_ms: int) -> StoredPost | None:
        found = self._store.posts.get(key_hash)
        return None if found is None or found.at_ms <= now_ms - KEPT_MS else found

    def list_operators(self) -> list[dict[str, Any]]:
        return MemoryStores(self._store).operators.list_operators()

    def has_user(self, name: str) -> bool:
        return name in self.known_users()

    def known_users(self) -> list[str]:
        return sorted({*self._store.users, *(booked.row.user for booked in self._store.requests.values())})

    def users_changed_ms(self) -> int | None:
        return self._store.users_changed_ms

    def export(self, selection: Selection) -> Iterator[Slice]:
        rows = [
            booked
            for booked in self._rows(selection.since_ms, selection.until_ms)
            if (not selection.users or booked.row.user in selection.users)
            and (not selection.models or any(_is_of(booked, glob) for glob in selection.models))
        ]
        for n, booked in enumerate(rows, 1):
            hashes = self._key_hashes(booked)
            cells = tuple(hashes[-1] if name == "key_hash" else _exported(booked, name) for name in selection.columns)
            yield Slice([cells], n / len(rows))

    def charges(self, selection: Selection) -> Iterator[ChargeSlice]:
        rows = self._rows(selection.since_ms, selection.until_ms)
        usage = [_charge(booked) for booked in rows if booked.has_ended]
        late = [_late_charge(row) for row in self._store.adjustments.rows]
        yield ChargeSlice([*usage, *late], 1.0)

    def export_csv(self, selection: Selection, processes: int = 1) -> Iterator[Chunk]:
        del processes
        head, encode = csv_encoder(selection.columns)
        yield Chunk(head, 0, 0.0)
        for piece in self.export(selection):
            yield Chunk(encode(piece.rows), len(piece.rows), piece.done)

    def past_days(self, zone: ZoneInfo, until_ms: int) -> list[DaySpan]:
        hours = {booked.row.started_ms // HOUR_MS * HOUR_MS for booked in self._rows() if booked.has_ended}
        days = {day for hour_ms in hours if (day := day_span(zone, hour_ms)).covers(hour_ms)}
        return sorted((day for day in days if day.end_ms <= until_ms), reverse=True)

    def plan_removal(self, age_ms: int, now_ms: int, zone: ZoneInfo, quotas: Collection[Quota]) -> RemovalPlan:
        newest = max(self._store.requests, default=None)
        if newest is not None:
            now_ms = min(now_ms, self._store.requests[newest].row.started_ms + _DAY_MS)
        return removable(age_ms, now_ms, zone, quotas)

    def removable(self, plan: RemovalPlan, after_id: int, count: int) -> list[int]:
        busy = {booked.row.started_ms // HOUR_MS for booked in self._rows() if not booked.has_ended}
        return [
            booked.row.id
            for booked in self._rows(None, plan.before_ms)
            if booked.has_ended
            and after_id < booked.row.id < self._store.newest_id
            and booked.row.started_ms // HOUR_MS not in busy
            and booked.row.started_ms - booked.row.started_ms % HOUR_MS not in plan.hours
            and booked.row.user not in plan.users
            and booked.row.group_name not in plan.groups
        ][:count]

    def surplus_refusal(self, before_ms: int, count_max: int) -> int | None:
        ids = sorted(self._store.refusals, reverse=True)
        return max([*ids[count_max : count_max + 1], *(id_ for id_ in ids if id_ < id_floor(before_ms))], default=None)

    def model_performance(self, wanted: PerformanceFilter) -> list[ModelPerformance]:
        since_ms = None if wanted.since_ms is None else wanted.since_ms - wanted.since_ms % HOUR_MS
        by_model: dict[tuple[str, str], list[Booked]] = defaultdict(list)
        for booked in self._rows(since_ms, wanted.until_ms):
            if booked.has_ended and booked.end is not None:
                provider, model = booked.end.provider or "", booked.end.model or ""
                names = (model, f"{provider}/{model}")
                if wanted.model is None or any(fnmatch.fnmatchcase(name, wanted.model) for name in names):
                    by_model[wanted.names(provider, model)].append(booked)
        found = []
        for key, those in sorted(by_model.items()):
            ends = [booked.end for booked in those if booked.end is not None]
            sums = sum_answers(map(answer_of, ends))
            tokens = sum(end.output_tokens or 0 for end in ends)
            histograms, cost_pusd = Histograms.of_counts([sums[-1]]), sum(booked.cost_pusd for booked in those)
            found.append(ModelPerformance(*key, len(ends), tokens, cost_pusd, AnswerSums(*sums[:-1]), histograms))
        return found

    def check(self) -> LedgerCheck:
        rows = self._rows()
        return LedgerCheck(None, len(rows), sum(not row.has_ended for row in rows))

    def copy_to(
        self, target: Path, *, force: bool = False, progress: Callable[[float], None] | None = None
    ) -> BackupResult:
        if target.exists() and not force:
            raise BackupError(f"{target} exists already. Choose another file, or replace it with --force.")
        rows = self._rows()
        target.write_bytes(orjson.dumps([[booked.row, booked.end] for booked in rows], default=list))
        if progress is not None:
            progress(1.0)
        return BackupResult(str(target), len(rows), sum(row.cost_pusd for row in rows), target.stat().st_size)


def _spending(key: tuple[str, ...], group: list[Booked], rates: Sequence[RateStep]) -> SpendingRow:
    ends = [booked.end for booked in group if booked.end is not None]
    counts = NO_COUNTS
    for end in ends:
        counts = counts if end.counts is None else counts.plus(end.counts)
    return SpendingRow(
        key=key,
        requests=len(ends),
        errors=sum(end.error is not None for end in ends),
        input_tokens=sum(end.input_tokens or 0 for end in ends),
        output_tokens=sum(end.output_tokens or 0 for end in ends),
        cost_pusd=sum(booked.cost_pusd for booked in group),
        cached_tokens=sum(end.cached_tokens or 0 for end in ends),
        reasoning_tokens=sum(end.reasoning_tokens or 0 for end in ends),
        counts=counts,
        cost_local=_local(group, rates),
    )


def _local(group: Sequence[Booked], rates: Sequence[RateStep]) -> Decimal | None:
    total = Decimal(0)
    for booked in group:
        rate = rate_at(rates, booked.row.started_ms)
        if rate is None:
            return None
        total += local_amount(booked.cost_pusd, rate)
    return total


def _is_of(booked: Booked, glob: str) -> bool:
    names = (booked.row.requested_model, booked.end.model if booked.end else None)
    return any(name is not None and fnmatch.fnmatchcase(name, glob) for name in names)


def _charge(booked: Booked) -> FocusCharge:
    row, end = booked.row, booked.end
    assert end is not None
    owner = ChargeOwner(row.user, row.group_name or "", end.model or "", end.provider or "", row.use_case or "")
    tokens = ChargeTokens(end.input_tokens or 0, end.output_tokens or 0)
    return FocusCharge(row.started_ms, row.started_ms + 1, row.started_ms, owner, end.cost_pusd or 0, 1, tokens)


def _late_charge(row: AdjustmentRow) -> FocusCharge:
    owner = ChargeOwner(row.user, row.group, row.model, row.provider, row.use_case)
    return FocusCharge(row.at_ms, row.at_ms + 1, row.ts_ms, owner, row.amount_pusd, None)


def _exported(booked: Booked, name: str) -> Any:
    values: dict[str, Any] = {**booked.row._asdict(), **(booked.end._asdict() if booked.end else {})}
    bill = None if booked.end is None else booked.end.billed
    values |= {} if bill is None else bill._asdict()
    values |= {"request_id": id_text(booked.row.id), "state": booked.state, "cost_usd": values.get("cost_pusd")}
    return values.get(name)
