"""Explain a request where no proxy runs: the same steps on the configuration, the ledger and the last price list."""

from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from proxy.app.rebuild import rebuilt_book
from proxy.cli.stored_rows import database_rows
from proxy.config.overlay import lay_over, stored_user
from proxy.core.clock import Clock, SystemClock
from proxy.core.errors import CallerError
from proxy.pipeline.admission.allowance import limit_parts
from proxy.pipeline.admission.limiter import MemoryLimiter
from proxy.pipeline.identity.directory import Directory
from proxy.pipeline.in_flight import InFlight
from proxy.pipeline.routing.catalog import ModelCatalog
from proxy.pipeline.routing.preferences import default_model
from proxy.pipeline.routing.presets import preset_rows
from proxy.pipeline.snapshot import Snapshot, routing_of
from proxy.pipeline.stops import Stops
from proxy.pipeline.upstream.parameter_forms import ParameterForms
from proxy.pipeline.upstream.provider_health import Health
from proxy.pipeline.values.identity import Identity
from proxy.policy.host import Hosts
from proxy.policy.quota import QuotaBook
from proxy.policy.stop import Stop
from proxy.providers.build import build_providers
from proxy.providers.model_lists import ModelLists
from proxy.storage.sqlite.reports import open_reports
from proxy.storage.users import MissingError
from proxy.web.explain import body_in, explained, identity_of
from proxy.wire.endpoint import CHAT, Endpoint

if TYPE_CHECKING:
    from proxy.config.schema import Settings
    from proxy.pipeline.context import RequestContext
    from proxy.pipeline.services import Services
    from proxy.storage.ledger import Ledger


class _OfflineRequest(Struct):
    """All that a quote asks of a request."""

    id: int
    started_ms: int
    snapshot: Snapshot
    identity: Identity
    body: dict[str, Any]
    size_bytes: int
    endpoint: Endpoint = CHAT
    written_bytes: int = 0  # not known


class _Quoting(Struct, frozen=True):
    """The part of the services that a quote reads."""

    model_lists: ModelLists
    limiter: MemoryLimiter
    health: Health
    clock: Clock
    stops: Stops
    forms: ParameterForms = field(default_factory=ParameterForms)
    catalog: ModelCatalog = field(default_factory=ModelCatalog)


async def explain_offline(settings: "Settings", user: str | None, body: dict[str, Any]) -> dict[str, Any]:
    """Return what POST /admin/v1/explain returns, without the network; raises ApiError, LedgerError."""
    clock = SystemClock()
    settings = lay_over(settings, database_rows(settings).settings).settings
    zone = ZoneInfo(settings.timezone)
    book, row = _from_ledger(settings, user, zone, clock)
    providers = build_providers(settings, {})
    try:
        model_lists = ModelLists(settings.database.absolute().parent, settings.database.name, clock)
        await model_lists.load(providers)
        for name in providers:
            model_lists.listing(name).tried_s = clock.monotonic_s()  # a name that the list lacks is not looked for
        snapshot = Snapshot(
            settings, Directory([]), providers, preset_rows(settings), Hosts(), zone, routing_of(settings)
        )
        health = Health(clock)
        health.configure(providers.values())
        limiter = MemoryLimiter(book)
        stops = Stops(cast("Ledger", None), limiter, InFlight(), clock)  # it only reads
        stops.load(_stops_of(settings))
        identity, services = identity_of(user, row, snapshot), _Quoting(model_lists, limiter, health, clock, stops)
        model = default_model(identity.allowance.preferences, snapshot.settings.use_cases, None)
        parsed, size_bytes = body_in(body, CHAT, model)
        context = _OfflineRequest(0, clock.now_ms(), snapshot, identity, parsed, size_bytes)
        return await explained(cast("RequestContext", context), cast("Services", services))
    finally:
        for provider in providers.values():
            await provider.transport.close()


def _from_ledger(
    settings: "Settings", user: str | None, zone: ZoneInfo, clock: Clock
) -> tuple[QuotaBook, dict[str, Any] | None]:
    """Return the totals, and the user's row if the configuration does not have the user."""
    database = settings.database
    is_wanted = user is not None and user not in settings.users
    if not database.exists() or database.stat().st_size == 0:
        if is_wanted:
            raise _no_user(user)
        return QuotaBook(zone), None
    reports = open_reports(database)
    row = None
    if user is not None and is_wanted:
        try:
            row = reports.find_user(user)
        except MissingError:
            raise _no_user(user) from None
    parts = limit_parts(settings, () if row is None else (stored_user(row).limits,))
    return rebuilt_book(reports, zone, clock.now_ms(), parts), row


def _stops_of(settings: "Settings") -> list[Stop]:
    """Return what is stopped, nothing where there is no ledger yet."""
    database = settings.database
    return open_reports(database).list_stops() if database.exists() and database.stat().st_size else []


def _no_user(user: str | None) -> CallerError:
    return CallerError(404, "not_found", f"There is no user {user!r}. See: tollkeeper users list")
