"""Assembly: opens every part in order and closes them in reverse; the only file that knows them all."""

import asyncio
import gc
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from aiohttp import web

from proxy.config.live import LiveConfig
from proxy.config.load import LoadedConfig
from proxy.config.schema import Settings
from proxy.core.clock import SystemClock
from proxy.core.errors import LedgerError, SetupError
from proxy.jobs.hold_watch import HoldWatch
from proxy.jobs.model_refresh import refresh_models
from proxy.jobs.part_watch import watch_parts
from proxy.jobs.retention import Retention
from proxy.jobs.runner import JobRunner
from proxy.jobs.settle_pending import SettlePending
from proxy.jobs.stream_comments import show_life
from proxy.pipeline.access_log import AccessLog, LineSink
from proxy.pipeline.admission.allowance import use_case_quotas
from proxy.pipeline.admission.limiter import MemoryLimiter
from proxy.pipeline.admission.missing_limits import MissingLimit, find_missing_limits
from proxy.pipeline.counters import Counters
from proxy.pipeline.identity.authenticate import Directory
from proxy.pipeline.identity.directory import build_directory
from proxy.pipeline.routing.presets import preset_rows, static_rows
from proxy.pipeline.services import Services, Snapshot, routing_of
from proxy.pipeline.upstream.key_limits import PastKeyUse
from proxy.pipeline.upstream.provider_health import Health
from proxy.policy.host import Hosts
from proxy.policy.origin import Origins
from proxy.policy.quota import QuotaBook, SettledRow, fine_rows, scopes_of, use_case_scope
from proxy.policy.trusted_clock import TrustedClock
from proxy.policy.window import window_at
from proxy.providers.build import build_providers
from proxy.providers.key import Key
from proxy.providers.model_lists import ModelLists
from proxy.providers.provider import ProviderRow
from proxy.storage.sqlite import users
from proxy.storage.sqlite.key_use import read_key_use
from proxy.storage.sqlite.ledger import SqliteLedger, open_ledger, read_unfinished, set_labels
from proxy.storage.sqlite.quota_totals import read_totals
from proxy.storage.sqlite.recent_attempts import PastAttempt, recent_attempts
from proxy.storage.sqlite.reports import open_reader
from proxy.storage.sqlite.retention import readable_rows
from proxy.storage.sqlite.writer import LedgerUnavailableError
from proxy.web.deps import Deps
from proxy.web.routes import answer, answer_socket
from proxy.web.server.aiohttp_server import UserServer, make_server
from proxy.web.server.sockets import bound_port, listen_tcp, listen_unix, socket_path

if TYPE_CHECKING:
    from proxy.web.server.fast_path import FastPathServer

log = logging.getLogger("tollkeeper.app")


class LogSink(LineSink, Protocol):
    """Where the log goes."""

    def set_level(self, level: str) -> None:
        """Log nothing less important than level."""
        ...


_GC_THRESHOLD = 50_000  # the start's objects are frozen; what a request makes dies by reference counts
_LATELY_MS = 3_600_000  # how far back attempts tell how a target does
_CUT_WAIT_S = 5.0  # after the drain: time for requests that were cut to reach the ledger


class App:
    """A running proxy: start(), then drain() and close()."""

    def __init__(self, load: Callable[[], LoadedConfig], output: LogSink | None = None) -> None:
        """Keep what reads the configuration, and where the access log goes; None: nowhere."""
        self._output = output
        self._access: AccessLog | None = None
        self._gaps: tuple[MissingLimit, ...] = ()
        self._told_gaps: tuple[MissingLimit, ...] = ()
        self._clock = TrustedClock(SystemClock())
        self._stack = AsyncExitStack()
        self._providers: Mapping[str, ProviderRow] = {}
        self._pasts: list[tuple[Key, list[PastKeyUse]]] = []  # of keys, for the snapshot that is being built
        self._closing: set[asyncio.Task[None]] = set()
        self._replaced: list[ProviderRow] = []  # no longer configured, perhaps still in use
        self._servers: list[web.Server | FastPathServer] = []
        self._sockets: list[asyncio.Server] = []
        self._runner = JobRunner()
        self.broken = asyncio.Event()  # a part has ended that nothing starts anew
        self.unwritten = 0  # requests whose end was not on disk when the ledger was closed
        self.health = Health(self._clock)
        self.live: LiveConfig[Snapshot] = LiveConfig(load, self._build, commit=self._commit, swapped=self._log_as)
        self.ledger: SqliteLedger
        self.catalogue: ModelLists
        self.services: Services
        self.pending: SettlePending
        self.holds: HoldWatch
        self.port = 0
        self.taken_up = 0  # requests that the last run left open

    async def start(self, loaded: LoadedConfig) -> None:
        """Open everything; raises SetupError, with all that was opened closed again. Never waits for the network."""
        is_started = False
        try:
            await self._start(loaded)
            is_started = True
        except LedgerUnavailableError as error:
            raise LedgerError(
                f"{loaded.settings.database} cannot be written: {error}. Free space on its disk, or look whether it"
                " fails, then start again."
            ) from None
        finally:
            if not is_started:
                await self.close()

    async def _start(self, loaded: LoadedConfig) -> None:
        settings = loaded.settings
        loop = asyncio.get_running_loop()
        self._stack.callback(self._close_access_log)
        database = settings.database
        self.ledger = open_ledger(
            database,
            loop,
            purpose="tollkeeper serve",
            busy_timeout_s=float(settings.ledger.busy_timeout_s),
            queue_max=settings.ledger.queue_max,
        )
        self._stack.push_async_callback(self._close_ledger)
        self.catalogue = ModelLists(database.absolute().parent, database.name, self._clock, self._clock.hear_date)
        await self.live.start()
        self._stack.push_async_callback(self._close_providers)
        await self.catalogue.load(self.live.current.providers)
        desk = await self._open_desk(settings)
        self.health.seed(await asyncio.to_thread(_past, database, self._clock.now_ms() - _LATELY_MS))
        tally = Counters()
        self.pending = SettlePending(self.ledger, self.live, self._clock, desk, tally)
        self._stack.push_async_callback(self.pending.close)
        self.services = Services(
            ledger=self.ledger,
            clock=self._clock,
            live=self.live,
            catalogue=self.catalogue,
            desk=desk,
            health=self.health,
            look_up_later=self.pending.look_up_later,
            tally=tally,
        )
        self._log_as(settings)
        self.taken_up = await self.pending.start()
        self.holds = HoldWatch(self.services, self.pending)
        await self._listen(settings)
        self._runner.start(
            "refresh_models", lambda: refresh_models(self.catalogue, self.live, lambda: self._clock.problem)
        )
        self._runner.start("watch_config", self.live.run)
        self._runner.start("show_life", lambda: show_life(self.services.in_flight, self.live, self._clock))
        self._runner.start("watch_holds", self.holds.run)
        self._runner.start("watch_parts", lambda: watch_parts(self._vital(), self._break))
        retention = Retention(self.ledger, self.live, self._clock, lambda: self._clock.problem)
        self._runner.start("retention", retention.run)
        self._stack.push_async_callback(self._runner.close)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD)

    def _vital(self) -> Mapping[str, Callable[[], bool]]:
        """Return the parts without which no promise holds."""
        sockets = {f"listening socket {n}": self._is_open(each) for n, each in enumerate(self._sockets, 1)}
        return {"the ledger's writer": self.ledger.is_alive, **sockets}

    def _is_open(self, each: asyncio.Server) -> Callable[[], bool]:
        return lambda: each.is_serving() or self.services.draining

    def _break(self, what: str) -> None:
        """Stop accepting requests: a part has died that nothing restarts."""
        if not self.broken.is_set():
            log.error("proxy.broken", extra={"problem": what})
            self.broken.set()

    def _tell_gaps(self) -> None:
        """Warn of what is missing in the configuration, of each thing once."""
        for gap in self._gaps:
            if gap not in self._told_gaps:
                log.warning("config.gap", extra={"kind": gap.kind, "problem": gap.text, "fix": gap.fix})
        self._told_gaps = self._gaps

    def _log_as(self, settings: Settings) -> None:
        """Log from the settings' level on; a line for each request is information."""
        self._tell_gaps()
        if self._output is None:
            return
        level = settings.log.level
        self._output.set_level(level)
        is_wanted = level in ("debug", "info")
        if is_wanted and self._access is None:
            self._access = AccessLog(self._output)
        self.services.access = self._access if is_wanted else None

    def _close_access_log(self) -> None:
        if self._access is not None:
            self._access.close()

    async def _open_desk(self, settings: Settings) -> MemoryLimiter:
        """Rebuild all totals from the ledger; what is open there counts in full from the first moment."""
        zone, now_ms = ZoneInfo(settings.timezone), self._clock.now_ms()
        quotas = self.live.current.use_case_quotas
        return MemoryLimiter(await self.ledger.change(lambda db: rebuilt_book(db, zone, now_ms, quotas)))

    async def _listen(self, settings: Settings) -> None:
        deps = Deps(
            services=self.services,
            change=self.change,
            reload=self.live.reload,
            config_problem=lambda: self.live.problem,
            clock_problem=lambda: self._clock.problem,
            pending=lambda: self.pending.waiting,
            ownerless=lambda: self.holds.count,
            jobs=lambda: self._runner.problems,
        )
        head_timeout_s = float(settings.server.head_timeout_s)
        users_server = make_server(
            deps, answer, self.ledger.ids, self._clock, gated=True, head_timeout_s=head_timeout_s
        )
        socket_server = make_server(
            deps, answer_socket, self.ledger.ids, self._clock, gated=False, head_timeout_s=head_timeout_s
        )
        self._servers = [users_server, socket_server]
        lane = self._lane(settings, deps, users_server) if settings.server.lane else None
        if lane is not None:
            self._servers.insert(0, lane)
        tcp = await listen_tcp(lane or users_server, settings.server.host, settings.server.port)
        self._sockets.append(tcp)
        self.port = bound_port(tcp)
        path = socket_path(settings.database)
        if path is not None:
            self._sockets.append(await listen_unix(socket_server, path))
            self._stack.callback(path.unlink, missing_ok=True)

    def _lane(self, settings: Settings, deps: Deps, users_server: UserServer) -> "FastPathServer | None":
        try:
            from proxy.web.server.fast_path import FastPathServer  # noqa: PLC0415 - httptools may be missing
        except ModuleNotFoundError as error:
            if error.name != "httptools":
                raise
            return None
        return FastPathServer(
            deps,
            self.ledger.ids,
            self._clock,
            users_server,
            head_timeout_s=float(settings.server.head_timeout_s),
            loop=asyncio.get_running_loop(),
        )

    async def _build(self, settings: Settings) -> Snapshot:
        """Build a whole snapshot from settings and the users in the database."""
        rows, tokens, hashes = await self.ledger.change(_directory_rows)
        directory = build_directory(settings, rows, tokens, hashes)
        providers = build_providers(settings.providers, self._providers)
        is_built = False
        try:
            snapshot = self._snapshot_of(settings, directory, providers)  # the last that may refuse the settings
            pasts = await self._pasts_of_keys(providers.values(), snapshot.zone)
            await self._open_use_cases(snapshot.use_case_quotas, snapshot.zone)
            await self.ledger.change(lambda db: _label(db, settings, self._clock.now_ms()))
            is_built = True
        finally:
            if not is_built:
                await self._close_new(providers)
        self._pasts = pasts
        self._gaps = find_missing_limits(settings, rows, tokens)
        return snapshot

    def _snapshot_of(self, settings: Settings, directory: Directory, providers: Mapping[str, ProviderRow]) -> Snapshot:
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
        )

    def _commit(self, snapshot: Snapshot) -> None:
        """Put a complete snapshot in force: from here on, what the old one needed may be changed."""
        before, self._providers = self._providers, snapshot.providers
        self.health.configure(snapshot.providers.values())
        use = self.health.use
        use.zone = snapshot.zone
        use.forget_others({key.quotas[0].scope for _, key in _limited_keys(snapshot.providers.values())})
        for key, past in self._pasts:
            use.load(key, past)
        self._pasts = []
        self._close_later([row for row in before.values() if not _is_kept(row, snapshot.providers)])

    async def _close_new(self, providers: Mapping[str, ProviderRow]) -> None:
        """Close the connections of rows that never came into force."""
        for row in providers.values():
            if not _is_kept(row, self._providers):
                await row.transport.close()

    async def _pasts_of_keys(self, rows: Iterable[ProviderRow], zone: ZoneInfo) -> list[tuple[Key, list[PastKeyUse]]]:
        """Read the past of keys whose limits are new or changed in this configuration."""
        use, now_ms, found = self.health.use, self._clock.now_ms(), []
        for provider, key in _limited_keys(rows):
            if not use.knows(key):
                since_ms = min(window_at(quota.window, zone, now_ms).start_ms for quota in key.quotas)
                read = partial(read_key_use, provider=provider, key=key.name, since_ms=since_ms)
                found.append((key, list(map(PastKeyUse._make, await self.ledger.change(read)))))
        return found

    async def _open_use_cases(self, quotas: Iterable[str], zone: ZoneInfo) -> None:
        """Start totals for use cases whose first limit comes with a reload; a start does so for all that have limits.

        From the first moment what is let in counts, whichever configuration it came under; then the past is read, and
        what has been counted meanwhile is left out of it.
        """
        if not hasattr(self, "services"):
            return
        book, now_ms = self.services.desk.book, self._clock.now_ms()
        for use_case in quotas:
            scope = use_case_scope(use_case)
            if book.keeps(scope):
                continue
            counted, is_read = book.open_scope(scope), False
            try:
                read = partial(past_of, use_case=use_case, zone=zone, now_ms=now_ms, counted=counted)
                book.load_past(scope, *await self.ledger.change(read))
                is_read = True
            finally:
                if not is_read:
                    book.close_scope(scope)

    def _close_later(self, replaced: list[ProviderRow]) -> None:
        """Close the connections of rows that are gone once the requests that began with them have ended."""
        loop = asyncio.get_running_loop()
        for row in replaced:
            self._replaced.append(row)
            loop.call_later(row.deadlines.total_s, self._close_now, row)

    def _close_now(self, row: ProviderRow) -> None:
        self._replaced.remove(row)
        task = asyncio.ensure_future(row.transport.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def change(self, call: Callable[[sqlite3.Connection], Any]) -> Any:
        """Change users or tokens, then rebuild what is in force."""
        result = await self.ledger.change(call)
        await self.live.rebuild()
        self._tell_gaps()
        return result

    async def drain(self) -> int:
        """Stop taking requests, wait for those that run; give how many were left when time was up."""
        self.services.draining = True
        for socket_server in self._sockets:
            socket_server.close()
        for server in self._servers:
            server.pre_shutdown()
        return await self.services.in_flight.wait_empty(float(self.live.settings.server.shutdown_timeout_s))

    async def close(self) -> None:
        """Abort the requests still under way, settle them and close every part."""
        for socket_server in self._sockets:
            socket_server.close()
        for server in self._servers:
            await server.shutdown(_CUT_WAIT_S)
        if hasattr(self, "services"):
            await self.services.in_flight.wait_empty(_CUT_WAIT_S)
        await self._stack.aclose()

    async def _close_ledger(self) -> None:
        self.unwritten = await self.ledger.close()
        if self.unwritten:
            log.error("ledger.unwritten", extra={"requests": self.unwritten})

    async def _close_providers(self) -> None:
        for row in (*self._providers.values(), *self._replaced):
            await row.transport.close()


def _limited_keys(rows: Iterable[ProviderRow]) -> list[tuple[str, Key]]:
    """Return the keys that have limits, with the names of their providers."""
    return [(row.name, key) for row in rows for key in row.keys if key.quotas]


def _is_kept(row: ProviderRow, others: Mapping[str, ProviderRow]) -> bool:
    """Return whether the row's connections are those of the row of the same name among others."""
    other = others.get(row.name)
    return other is not None and other.transport is row.transport


def _past(database: Path, since_ms: int) -> list[PastAttempt]:
    with closing(open_reader(database)) as connection:
        return recent_attempts(connection, since_ms)


def rebuilt_book(
    connection: sqlite3.Connection, zone: ZoneInfo, now_ms: int, use_cases: Collection[str] = ()
) -> QuotaBook:
    """Return the quota totals of a ledger's rows and roll-up; use_cases: those that have limits."""
    totals = read_totals(connection, readable_rows(connection, fine_rows(now_ms, zone)))
    book = QuotaBook(zone)
    book.load_hours(totals.hours)
    book.load_rows(totals.rows)
    for use_case in use_cases:
        found = read_totals(connection, readable_rows(connection, fine_rows(now_ms, zone)), use_case)
        book.load_scope(use_case_scope(use_case), found.hours, found.rows)
    for row in read_unfinished(connection):
        scopes = scopes_of(row.user, row.group_name, row.use_case if row.use_case in use_cases else None)
        book.load_open(row.id, scopes, row.started_ms, row.held_pusd, row.reserved_tokens or 0)
    return book


def past_of(
    connection: sqlite3.Connection, *, use_case: str, zone: ZoneInfo, now_ms: int, counted: set[int]
) -> tuple[list[SettledRow], list[SettledRow]]:
    """Return what was booked under a use case, by hours and by rows; counted: requests to be left out.

    What is open now counts at what it holds, for good: on the limit's side.
    """
    known = frozenset(counted.copy())  # in one step, for the event loop goes on adding; a row of it is there already
    totals = read_totals(connection, readable_rows(connection, fine_rows(now_ms, zone)), use_case, known)
    held = [
        SettledRow(row.started_ms, row.user, row.group_name, row.held_pusd, row.reserved_tokens or 0, 1)
        for row in read_unfinished(connection)
        if row.use_case == use_case and row.id not in known
    ]
    return totals.hours, [*totals.rows, *held]


def _directory_rows(
    connection: sqlite3.Connection,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    return users.list_users(connection), users.list_tokens(connection), users.token_hashes(connection)


def _label(connection: sqlite3.Connection, settings: Settings, now_ms: int) -> None:
    set_labels(
        connection,
        currency_code=settings.currency.code,
        currency_usd_rate=str(settings.currency.usd_rate),
        timezone=str(settings.timezone),
        now_ms=now_ms,
    )


__all__ = ["App", "SetupError"]
