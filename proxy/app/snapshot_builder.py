"""Make a snapshot of settings and of the users in the database: build it, then put it in force.

Building may refuse, and changes nothing that the snapshot in force needs. What a new configuration changes of parts
that outlive it, such as connections, health and the use of keys, is changed by commit() alone, which cannot fail.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from proxy.app.rebuild import past_of
from proxy.app.retire import RetiredProviders, close_all, is_kept
from proxy.app.storage import Storage
from proxy.config.overlay import Overlay, UnreadableRow, lay_over, stored_user
from proxy.config.schema import Settings
from proxy.core.clock import Clock
from proxy.jobs.exchange_rates import store_labels
from proxy.pipeline.admission.allowance import limit_parts, use_case_quotas
from proxy.pipeline.admission.limiter import Limiter
from proxy.pipeline.admission.missing_limits import MissingLimit, find_missing_limits
from proxy.pipeline.identity.directory import Directory, build_directory
from proxy.pipeline.identity.operator_directory import OperatorRow, operators_by_hash
from proxy.pipeline.identity.own_keys import OwnKeys
from proxy.pipeline.routing.presets import preset_rows, static_rows
from proxy.pipeline.snapshot import Snapshot, routing_of
from proxy.pipeline.upstream.key_limits import PastKeyUse
from proxy.pipeline.upstream.provider_health import Health
from proxy.policy.host import Hosts
from proxy.policy.origin import Origins
from proxy.policy.quota import SettledRow
from proxy.policy.quota.window import window_at
from proxy.providers.build import build_providers
from proxy.providers.key import Key
from proxy.providers.kinds import Dialects
from proxy.providers.provider import ProviderRow
from proxy.storage.reports import DirectoryRows, LimitPart, Reports
from proxy.storage.rows import KeyHash

log = logging.getLogger("tollkeeper.keys")


class _People(NamedTuple):
    """What a snapshot knows of users, and what grows with their number."""

    rows: DirectoryRows
    overlay: Overlay
    directory: Directory
    limit_parts: tuple[LimitPart, ...]  # of the spending: those that have limits
    missing_limits: tuple[MissingLimit, ...]
    own_keys: OwnKeys


class SnapshotBuilder:
    """Builds snapshots one after the other; missing_limits and limit_parts are those of the last."""

    def __init__(self, storage: Storage, health: Health, clock: Clock, dialects: Dialects) -> None:
        self._ledger, self._reports = storage.ledger, storage.reports
        self._health = health
        self._clock = clock
        self._dialects = dialects
        self._providers: Mapping[str, ProviderRow] = {}  # of the snapshot in force
        self._retired = RetiredProviders()
        self._pasts: list[tuple[Key, list[PastKeyUse]]] = []  # of keys, for the snapshot that is being built
        self.limiter: Limiter | None = None  # once the totals of quotas have been read at start
        self.missing_limits: tuple[MissingLimit, ...] = ()
        self._noted_keys: dict[int, KeyHash] = {}  # those that the ledger knows
        self._told_unreadable: tuple[UnreadableRow, ...] = ()  # likewise
        self._told_unopened: frozenset[tuple[str, str, str]] = frozenset()  # keys whose problem is in the log
        self.limit_parts: tuple[LimitPart, ...] = ()  # of the spending: those that have limits

    async def build(self, settings: Settings) -> Snapshot:
        """Return a whole snapshot of the file's settings and what the database lays over them; raises ConfigError."""
        people = await asyncio.to_thread(_read_people, self._reports, settings)
        rows, overlay = people.rows, people.overlay
        settings = overlay.settings
        providers = build_providers(settings, self._providers, self._dialects)
        is_built = False
        try:
            operators = operators_by_hash(rows.operators, rows.operator_hashes)
            snapshot = self._snapshot_of(
                overlay, people.directory, providers, operators
            )  # the last step that may refuse the settings
            pasts = await self._pasts_of_keys(providers.values(), snapshot.zone)
            await self._open_parts(people.limit_parts, snapshot.zone)
            await self._note_keys(providers.values(), people.own_keys)
            await store_labels(self._ledger, settings, self._clock)
            is_built = True
        finally:
            if not is_built:  # close the connections of rows that never were in force
                await close_all(row for row in providers.values() if not is_kept(row, self._providers))
        self._tell_unopened(rows.keys)
        self._tell_unreadable(overlay.unreadable)
        self._pasts, self.limit_parts = pasts, people.limit_parts
        self.missing_limits = people.missing_limits
        return snapshot

    async def _note_keys(self, providers: Iterable[ProviderRow], own_keys: OwnKeys) -> None:
        """Write the hashes of keys that are new to the ledger: rows name them by number alone."""
        keys = chain(own_keys.all(), ((row.name, key) for row in providers for key in row.keys))
        found = {
            key.id: KeyHash(key.id, key.hash, provider, key.name)
            for provider, key in keys
            if key.id is not None and key.hash is not None
        }
        fresh = [key for id_, key in found.items() if self._noted_keys.get(id_) != key]
        if fresh:
            await self._ledger.note_keys(fresh, self._clock.now_ms())
            self._noted_keys.update((key.id, key) for key in fresh)

    def _tell_unopened(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Log each key that does not open, once; all others are in use all the same."""
        found = frozenset((row["provider"], row["name"], row["problem"]) for row in rows if row["problem"] is not None)
        for provider, name, problem in sorted(found - self._told_unopened):
            log.error("key.unopened", extra={"provider": provider, "key": name, "problem": problem})
        self._told_unopened = found

    def _tell_unreadable(self, rows: tuple[UnreadableRow, ...]) -> None:
        """Log each row that cannot be read, once; all others hold all the same."""
        for row in rows:
            if row not in self._told_unreadable:
                told = {"kind": row.kind, "row": row.name, "problem": row.problem, "remove": row.command}
                log.error("row.unreadable", extra=told)
        self._told_unreadable = rows

    def _snapshot_of(
        self,
        overlay: Overlay,
        directory: Directory,
        providers: Mapping[str, ProviderRow],
        operators: Mapping[str, OperatorRow],
    ) -> Snapshot:
        settings = overlay.settings
        return Snapshot(
            settings=settings,
            directory=directory,
            providers=providers,
            presets=preset_rows(settings),
            hosts=Hosts(settings.server.host, settings.server.hosts),
            origins=Origins(settings.server.origins),
            zone=ZoneInfo(settings.timezone),
            routing=routing_of(settings),
            statics=static_rows(settings, lambda: self._clock.now_ms() // 1000),
            use_cases=settings.use_cases,
            use_case_quotas=use_case_quotas(settings),
            operators=operators,
            overlay=overlay,
        )

    def commit(self, snapshot: Snapshot) -> None:
        """Put a complete snapshot in force: from here on, what the old one needed may be changed."""
        before, self._providers = self._providers, snapshot.providers
        self._health.configure(snapshot.providers.values())
        use = self._health.use
        use.zone = snapshot.zone
        use.forget_others({key.quotas[0].scope for _, key in _limited_keys(snapshot.providers.values())})
        for key, past in self._pasts:
            use.load(key, past)
        self._pasts = []
        self._retired.add(row for row in before.values() if not is_kept(row, snapshot.providers))

    async def close_providers(self) -> None:
        """Close all connections to providers, those of earlier configurations too."""
        await close_all(self._providers.values())
        await self._retired.close()

    async def _pasts_of_keys(self, rows: Iterable[ProviderRow], zone: ZoneInfo) -> list[tuple[Key, list[PastKeyUse]]]:
        """Read the past of keys whose limits are new or changed in this configuration."""
        use, now_ms, found = self._health.use, self._clock.now_ms(), []
        for provider, key in _limited_keys(rows):
            if not use.knows(key):
                since_ms = min(window_at(quota.window, zone, now_ms).start_ms for quota in key.quotas)
                past = await asyncio.to_thread(self._reports.key_use, provider, key.name, since_ms)
                found.append((key, list(map(PastKeyUse._make, past))))
        return found

    async def _open_parts(self, parts: Iterable[LimitPart], zone: ZoneInfo) -> None:
        """Start totals for what gets its first limit by a reload: use cases, sets of models. A start does so for all.

        From the first moment every admitted request counts, whatever its configuration; then the past is read, without
        what has been counted meanwhile.
        """
        limiter, now_ms = self.limiter, self._clock.now_ms()
        if limiter is None:
            return

        async def read_past(part: LimitPart, counted: set[int]) -> tuple[list[SettledRow], list[SettledRow]]:
            await self._ledger.flush()  # what was let in before is read, so it has to be there
            return await asyncio.to_thread(past_of, self._reports, part, zone, now_ms, counted)

        for part in parts:
            if part.use_case is None:
                await limiter.follow_models(part.models, partial(read_past, part))
            else:
                await limiter.follow(part.use_case, partial(read_past, part), part.models)


def _read_people(reports: Reports, settings: Settings) -> _People:
    """Return what the database holds, and what grows with the number of users; raises ConfigError.

    It takes a thread of its own: with thousands of users it is long enough for requests to feel it.
    """
    rows = reports.directory()
    overlay = lay_over(settings, rows.settings)
    settings = overlay.settings
    end_users = [stored_user(row).limits for row in rows.users if row["made_by"] is not None]
    own_keys = OwnKeys(settings, rows.keys)
    return _People(
        rows,
        overlay,
        build_directory(settings, rows.users, rows.tokens, rows.hashes, own_keys),
        limit_parts(settings, end_users),
        find_missing_limits(overlay, rows.users, rows.tokens),
        own_keys,
    )


def _limited_keys(rows: Iterable[ProviderRow]) -> list[tuple[str, Key]]:
    """Return the keys that have limits, with the names of their providers."""
    return [(row.name, key) for row in rows for key in row.keys if key.quotas]
