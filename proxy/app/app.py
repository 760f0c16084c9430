"""Assembly: opens every part in order and closes them in reverse; the only file that knows them all."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from proxy import __version__
from proxy.app.rebuild import rebuilt_book
from proxy.app.snapshot_builder import SnapshotBuilder
from proxy.app.storage import OpenStorage, open_sqlite
from proxy.config.live import ConfigChange, LiveConfig
from proxy.config.load import LoadedConfig
from proxy.config.schema import Settings
from proxy.config.values import listen_at
from proxy.core.clock import Clock, SystemClock, TrustedClock
from proxy.core.errors import LedgerError, SetupError
from proxy.core.uid import user_name
from proxy.jobs.alerts.limit_readings import LimitReadings, every_limit
from proxy.jobs.alerts.outbox import AlertOutbox
from proxy.jobs.alerts.watch import AlertWatch
from proxy.jobs.daily_usage import DailyUsage
from proxy.jobs.exchange_rates import ExchangeRates
from proxy.jobs.hold_watch import HoldWatch
from proxy.jobs.keep_refusals import KeepRefusals
from proxy.jobs.late_lookups import LateLookups
from proxy.jobs.late_truths import LateTruths
from proxy.jobs.model_refresh import refresh_models
from proxy.jobs.part_watch import watch_parts
from proxy.jobs.reconciliation.account_sync import AccountSync
from proxy.jobs.reconciliation.bill_corrections import BillCorrections
from proxy.jobs.reconciliation.sync_job import SyncJob
from proxy.jobs.retention import Retention
from proxy.jobs.runner import JobRunner
from proxy.jobs.settle_pending import SettlePending
from proxy.jobs.stream_comments import show_life
from proxy.pipeline.access_log import AccessLog, LineSink
from proxy.pipeline.admission.limiter import Limiter, MemoryLimiter
from proxy.pipeline.admission.missing_limits import MissingLimit
from proxy.pipeline.counters import Counters
from proxy.pipeline.events import Publisher, Subscriber
from proxy.pipeline.in_flight import InFlight
from proxy.pipeline.recent_requests import RecentRequests
from proxy.pipeline.refusal_log import RefusalLog
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.stops import Stops
from proxy.pipeline.upstream.provider_health import Health
from proxy.policy.error_words import compile_words
from proxy.policy.objection import compile_phrases
from proxy.policy.quota import QuotaBook
from proxy.providers.account.accounts import Accounts
from proxy.providers.kinds import DIALECTS, Dialects
from proxy.providers.model_lists import ModelLists
from proxy.storage.admin_posts import PostClaim
from proxy.storage.audit import PROXY, Actor
from proxy.storage.ledger import Ledger, LedgerUnavailableError
from proxy.storage.report_process import LongLooks
from proxy.storage.reports import Reports
from proxy.web.admin.people_cache import PeopleCache
from proxy.web.dashboard.early_pages import ready_pages
from proxy.web.dashboard.open_sessions import OpenSessions
from proxy.web.deps import Deps
from proxy.web.http_servers import HttpServers
from proxy.web.metrics.figures import shown_limits
from proxy.web.server.on_demand_server import OnDemandServer
from proxy.web.server.sockets import bound_port, listen_tcp, listen_unix, socket_path

if TYPE_CHECKING:
    from proxy.web.server.fast_path import FastPathServer

log = logging.getLogger("tollkeeper.app")


class LogSink(LineSink, Protocol):
    """Where the log goes."""

    def set_level(self, level: str) -> None:
        """Log nothing less important than level."""
        ...


_LATELY_MS = 3_600_000  # how far back attempts show how a target performs
_CUT_WAIT_S = 5.0  # after the drain: time for aborted requests to reach the ledger


class App:
    """A running proxy: start(), then drain() and close()."""

    def __init__(
        self,
        load: Callable[[], LoadedConfig],
        output: LogSink | None = None,
        *,
        dialects: Dialects = DIALECTS,
        open_storage: OpenStorage = open_sqlite,
        limiter_over: Callable[[QuotaBook], Limiter] = MemoryLimiter,
        open_outbox: Callable[[Services], AlertOutbox] = AlertOutbox,
        clock: Clock | None = None,
    ) -> None:
        """Keep what reads the configuration, where the access log goes (None: nowhere), and parts that may be replaced.

        dialects say how providers speak, open_storage opens the ledger, and limiter_over makes the limiter over the
        totals that the ledger's rows give, open_outbox what delivers alerts. clock: this machine's, unless given.
        """
        self._dialects, self._open_storage, self._limiter_over = dialects, open_storage, limiter_over
        self._open_outbox = open_outbox
        self._output = output
        self._access: AccessLog | None = None
        self._told_gaps: tuple[MissingLimit, ...] = ()
        self._clock = TrustedClock(clock or SystemClock())
        self._stack = AsyncExitStack()
        self._servers: list[OnDemandServer | FastPathServer] = []
        self._sockets: list[asyncio.Server] = []
        self._runner = JobRunner()
        self.broken = asyncio.Event()  # a part has died that nothing restarts
        self.unwritten = 0  # requests whose end was not on disk when the ledger was closed
        self.health = Health(self._clock)
        self._load = load
        self._snapshots: SnapshotBuilder
        self._services: Services | None = None  # once every part that answers requests is there
        self.live: LiveConfig[Snapshot]
        self.ledger: Ledger
        self.reports: Reports
        self.model_lists: ModelLists
        self.pending: SettlePending
        self.late: LateTruths
        self.lookups: LateLookups
        self.sync: AccountSync
        self.holds: HoldWatch
        self.sessions: OpenSessions
        self.deps: Deps  # of the handlers
        self.refusals: KeepRefusals
        self.outbox: AlertOutbox
        self.alerts: AlertWatch
        self.port = 0
        self.admin_port = 0  # of admin.listen
        self.taken_up = 0  # requests that the last run left open

    @property
    def services(self) -> Services:
        """Return the parts that requests are answered with; only from start() on."""
        assert self._services is not None, "start() was not awaited"
        return self._services

    async def start(self, loaded: LoadedConfig) -> None:
        """Open everything; raises SetupError, with all that was opened closed again. Never waits for the network."""
        await self._opened(loaded.settings, self._serve)

    async def open_parts(self, loaded: LoadedConfig) -> Deps:
        """Open what answers the operator's requests, without a listener and without jobs; raises as start() does."""
        await self._opened(loaded.settings, self._be_quiet)
        return self.deps

    async def _be_quiet(self, settings: Settings) -> None:
        """Begin nothing that runs by itself."""

    async def _opened(self, settings: Settings, begin: Callable[[Settings], Awaitable[None]]) -> None:
        is_started = False
        try:
            await self._open(settings)
            await begin(settings)
            is_started = True
        except LedgerUnavailableError as error:
            raise LedgerError(
                f"{settings.database} cannot be written: {error}. Free space on its disk, or look whether it"
                " fails, then start again."
            ) from None
        finally:
            if not is_started:
                await self.close()

    async def _open(self, settings: Settings) -> None:
        self._stack.callback(self._close_access_log)
        database = settings.database
        storage = self._open_storage(settings, asyncio.get_running_loop())
        self.ledger, self.reports = storage.ledger, storage.reports
        self._stack.push_async_callback(self._close_ledger)
        self._snapshots = snapshots = SnapshotBuilder(storage, self.health, self._clock, self._dialects)
        self.live = LiveConfig(
            self._load, snapshots.build, commit=snapshots.commit, swapped=self._follow, changed=self._note_change
        )
        self.model_lists = ModelLists(database.absolute().parent, database.name, self._clock, self._clock.hear_date)
        await self.live.start()
        self._stack.push_async_callback(snapshots.close_providers)
        await self.model_lists.load(self.live.current.providers)
        limiter = snapshots.limiter = await self._open_limiter(settings)
        lately_ms = self._clock.now_ms() - _LATELY_MS
        self.health.seed(await asyncio.to_thread(self.reports.recent_attempts, lately_ms))
        counters, refusal_log = Counters(self.model_lists.has), RefusalLog()
        self.pending = SettlePending(self.ledger, self.live, self._clock, limiter, counters)
        events = Publisher(counters)
        events.adjustment_subscribers = (counters,)
        self.late = LateTruths(self.ledger, limiter, self.health.use, self._clock, events, self.pending)
        self._stack.push_async_callback(self.late.close)
        self.lookups = LateLookups(
            self.ledger, self.reports, self.live, self._clock, self.late, lambda: self._clock.problem
        )
        self._stack.push_async_callback(self.pending.close)
        accounts = Accounts(self._clock)
        self._stack.push_async_callback(accounts.close)
        in_flight = InFlight()
        stops = Stops(self.ledger, limiter, in_flight, self._clock)
        stops.load(await asyncio.to_thread(self.reports.list_stops))
        self._services = Services(
            ledger=self.ledger,
            reports=self.reports,
            clock=self._clock,
            live=self.live,
            model_lists=self.model_lists,
            limiter=limiter,
            health=self.health,
            look_up_later=self.pending.look_up_later,
            stops=stops,
            accounts=accounts,
            in_flight=in_flight,
            counters=counters,
            events=events,
        )
        self.refusals = KeepRefusals(
            refusal_log, self.ledger, self.reports, self.live, self._clock, lambda: self._clock.problem
        )
        self._stack.push_async_callback(self.refusals.close)
        self._refusal_log = refusal_log
        self._hear_requests(None)
        self.holds = HoldWatch(self.services, self.pending)
        self.outbox = self._open_outbox(self.services)
        self.alerts = AlertWatch(self.services, database, self.outbox.wake, self._hear_requests)
        self.sync = AccountSync(self.services, BillCorrections(self.late, self.live), place=storage.place)
        self._stack.push_async_callback(self.sync.close)
        self.sessions = OpenSessions(self.ledger, self.live, self._clock)
        self.sessions.load(await asyncio.to_thread(self.reports.sessions))
        self._place = storage.place
        self.deps = self._make_deps()
        self._stack.push_async_callback(self.deps.dashboard.close)

    async def _serve(self, settings: Settings) -> None:
        self._follow(settings)
        self.deps.long_looks = LongLooks(self.reports, self._place)
        self._stack.push_async_callback(self.deps.long_looks.close)
        user = "" if sys.platform == "win32" else user_name(os.getuid())
        await self.note(Actor(user or "proxy", "proxy"), "proxy.start", "proxy", None, self._state())
        self._stack.push_async_callback(self._note_end)
        await self._keep_configuration(Actor("file", "file"), ())
        self.taken_up = await self.pending.start()
        await self._listen(settings)
        self._runner.start(
            "refresh_models", lambda: refresh_models(self.model_lists, self.live, lambda: self._clock.problem)
        )
        self._runner.start("watch_config", self.live.run)
        self._runner.start("show_life", lambda: show_life(self.services.in_flight, self.live, self._clock))
        self._runner.start("tend_stops", self.services.stops.run)
        self._runner.start("watch_holds", self.holds.run)
        self._runner.start("watch_alerts", self.alerts.run)
        self._runner.start("deliver_alerts", self.outbox.run)
        self._runner.start("watch_parts", lambda: watch_parts(self._vital(), self._break))
        self._runner.start("watch_access_log", lambda: watch_parts(self._lines(), self._renew_access_log))
        retention = Retention(self.ledger, self.reports, self.live, self._clock, lambda: self._clock.problem)
        self._runner.start("retention", retention.run)
        days = DailyUsage(self.ledger, self.reports, self.live, self._clock, lambda: self._clock.problem)
        self._runner.start("sum_days", days.run)
        self._runner.start("keep_refusals", self.refusals.run)
        self._runner.start("late_lookups", self.lookups.run)
        self._runner.start("sync_account", SyncJob(self.services, self.sync, lambda: self._clock.problem).run)
        self._runner.start("tend_sessions", self.sessions.run)
        self._runner.start("exchange_rates", ExchangeRates(self.ledger, self.live, self._clock).run)
        self._stack.push_async_callback(self._runner.close)
        for compile_patterns in (compile_words, compile_phrases):  # nobody waits for them
            asyncio.get_running_loop().run_in_executor(None, compile_patterns)

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
        for gap in self._snapshots.missing_limits:
            if gap not in self._told_gaps:
                log.warning("config.gap", extra={"kind": gap.kind, "problem": gap.text, "fix": gap.fix})
        self._told_gaps = self._snapshots.missing_limits

    def _follow(self, settings: Settings) -> None:
        """Log and count as the settings in force say."""
        self._log_as(settings)
        self.services.counters.bound(settings.metrics.labels_max, names_users=settings.metrics.users)

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
        self._subscribe()

    def _hear_requests(self, recent: RecentRequests | None) -> None:
        """Let alert rules hear of requests, while there are any that ask."""
        self.services.counters.ended()  # those who ended before are not among what it hears of
        self.services.counters.listener = None if recent is None else recent.count
        log = self._refusal_log
        self.services.events.refusal_subscribers = (log,) if recent is None else (log, recent)

    def _subscribe(self) -> None:
        """Let everybody who is there hear of requests, in their order."""
        parts: tuple[Subscriber | None, ...] = (self.services.counters, self.services.access)
        self.services.events.subscribers = tuple(part for part in parts if part is not None)

    def _lines(self) -> Mapping[str, Callable[[], bool]]:
        return {"the access log's thread": lambda: self._access is None or self._access.is_alive}

    def _renew_access_log(self, what: str) -> None:
        """Say that lines of requests were lost, and begin a log of its own anew: no request needs it."""
        log.error("log.ended", extra={"problem": what})
        self._access = None
        self._log_as(self.live.current.settings)

    def _close_access_log(self) -> None:
        if self._access is not None:
            self._access.close()

    async def _open_limiter(self, settings: Settings) -> Limiter:
        """Rebuild all totals from the ledger; what is open there counts in full from the first moment."""
        zone, now_ms = ZoneInfo(settings.timezone), self._clock.now_ms()
        parts = self._snapshots.limit_parts
        return self._limiter_over(await asyncio.to_thread(rebuilt_book, self.reports, zone, now_ms, parts))

    def _make_deps(self) -> Deps:
        return Deps(
            services=self.services,
            change=self.change,
            reload=self.live.reload,
            loaded=lambda: self.live.loaded,
            config_problem=lambda: self.live.problem,
            clock_problem=lambda: self._clock.problem,
            missing_limits=lambda: self._snapshots.missing_limits,
            pending=lambda: self.pending.waiting,
            late=self.late,
            lookups=self.lookups,
            sync=self.sync,
            ownerless=lambda: self.holds.count,
            alerts=self.alerts,
            outbox=self.outbox,
            sessions=self.sessions,
            people=PeopleCache(self.reports, self.services.live),
            long_looks=LongLooks(self.reports, None),
            limits=LimitReadings(self.services, shown_limits),
            every_limit=LimitReadings(self.services, every_limit),
            write_refusals=self.refusals.flush,
            jobs=lambda: self._runner.problems,
        )

    async def _listen(self, settings: Settings) -> None:
        deps = self.deps
        deps.started_ms = self._clock.now_ms()
        servers = HttpServers(deps, self.ledger.ids, self._clock, float(settings.server.head_timeout_s))
        users_server, socket_server = servers.for_users(), servers.for_socket()
        self._servers = [users_server, socket_server]
        lane = self._lane(settings, deps, users_server) if settings.server.fast_path else None
        if lane is None:
            await users_server.load()  # it answers all requests
        else:
            self._servers.insert(0, lane)
        tcp = await listen_tcp(lane or users_server, settings.server.host, settings.server.port)
        self._sockets.append(tcp)
        self.port = bound_port(tcp)
        operators_server = None if settings.admin.listen is None else servers.for_operators()
        if settings.admin.listen is not None and operators_server is not None:
            await self._listen_for_operators(settings.admin.listen, operators_server)
        deps.pages_at = _pages_at(settings, self.admin_port or self.port)
        pages_server = users_server if operators_server is None else operators_server
        deps.dashboard.early = asyncio.ensure_future(ready_pages(deps, pages_server.load))
        path = socket_path(settings.database)
        if path is not None:
            self._sockets.append(await listen_unix(socket_server, path))
            self._stack.callback(path.unlink, missing_ok=True)

    async def _listen_for_operators(self, address: str, server: OnDemandServer) -> None:
        """Open the listener of admin.listen."""
        host, port = listen_at(address)
        self._servers.append(server)
        opened = await listen_tcp(server, host, port, f"set admin.listen to {host} and port")
        self._sockets.append(opened)
        self.admin_port = bound_port(opened)

    def _lane(self, settings: Settings, deps: Deps, users_server: OnDemandServer) -> "FastPathServer | None":
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

    async def change(
        self, operation: str, *, now_ms: int, actor: Actor, fields: Mapping[str, Any], claim: PostClaim | None = None
    ) -> Any:
        """Change users or tokens, then rebuild what is in force; operation: one of admin_operations.CHANGES."""
        result = await self.ledger.operate(operation, now_ms=now_ms, actor=actor, fields=fields, claim=claim)
        await self.live.rebuild()
        self._tell_gaps()
        return result

    async def _note_change(self, change: ConfigChange) -> None:
        """Record in the audit trail what a reload has changed; the new settings are in force already."""
        actor = change.by if isinstance(change.by, Actor) else Actor("file", "file")
        after = {"fingerprint": change.after, "changes": change.changes}
        try:
            await self.note(actor, "configuration.reload", "configuration", {"fingerprint": change.before}, after)
            await self._keep_configuration(actor, change.changes)
        except LedgerUnavailableError as error:
            log.error("config.not_recorded", extra={"fingerprint": change.after, "problem": str(error)})

    async def _keep_configuration(self, actor: Actor, told: Sequence[str]) -> None:
        """Keep the configuration in force for people to compare; told: what it changes. Raises as note()."""
        loaded = self.live.loaded
        file = None if loaded.path is None else str(loaded.path)
        fields = {"fingerprint": loaded.fingerprint, "file": file, "changes": list(told), "text": loaded.text}
        await self.ledger.operate("configuration.keep", now_ms=self._clock.now_ms(), actor=actor, fields=fields)

    async def note(
        self,
        actor: Actor,
        action: str,
        subject: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        """Record in the audit trail what is no change of a row; raises LedgerUnavailableError."""
        fields = {"action": action, "subject": subject, "before": before, "after": after}
        await self.ledger.operate("audit.note", now_ms=self._clock.now_ms(), actor=actor, fields=fields)

    def _state(self) -> Mapping[str, Any]:
        return {"version": __version__, "configuration": self.live.loaded.fingerprint}

    async def _note_end(self) -> None:
        """Record that the proxy ends: the last entry of a run, or a crash."""
        try:
            await self.note(PROXY, "proxy.stop", "proxy", self._state(), None)
        except LedgerUnavailableError as error:
            log.error("proxy.end_not_recorded", extra={"problem": str(error)})

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
        if self._services is not None:
            self._services.draining = True  # a socket that is closed here has not died
        for socket_server in self._sockets:
            socket_server.close()
        for server in self._servers:
            await server.shutdown(_CUT_WAIT_S)
        if self._services is not None:
            await self._services.in_flight.wait_empty(_CUT_WAIT_S)
        await self._stack.aclose()

    async def _close_ledger(self) -> None:
        self.unwritten = await self.ledger.close()
        if self.unwritten:
            log.error("ledger.unwritten", extra={"requests": self.unwritten})


def _pages_at(settings: Settings, port: int) -> str:
    """Return where a browser on this machine finds the dashboard: at the operators' own listener, or at everybody's."""
    listen = settings.admin.listen
    host = settings.server.host if listen is None else listen_at(listen)[0]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what to ask where it listens everywhere
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


__all__ = ["App", "SetupError"]
