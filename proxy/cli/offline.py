"""Explain a request where no proxy runs: the same steps on the configuration, the ledger and the last price list."""

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from proxy.app import rebuilt_book
from proxy.core.clock import Clock, SystemClock
from proxy.core.errors import CallerError
from proxy.pipeline.authenticate import Directory
from proxy.pipeline.desk import Desk
from proxy.pipeline.forms import Forms
from proxy.pipeline.health import Health
from proxy.pipeline.parts import Snapshot, routing_of
from proxy.pipeline.presets import preset_rows
from proxy.policy.host import Hosts
from proxy.policy.quota import QuotaBook
from proxy.providers.build import build_providers
from proxy.providers.catalogue import Catalogue
from proxy.storage.reports import open_reader
from proxy.storage.users import Missing, find_user
from proxy.web.explain import body_in, explained, identity_of
from proxy.wire.endpoint import CHAT, Endpoint

if TYPE_CHECKING:
    from proxy.config.schema import Settings
    from proxy.pipeline.call import Call
    from proxy.pipeline.parts import Parts


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that a quote asks of a call."""

    id: int
    started_ms: int
    endpoint: Endpoint = CHAT


@dataclass(frozen=True, slots=True)
class _Quoting:
    """All that a quote asks of the parts."""

    catalogue: Catalogue
    desk: Desk
    health: Health
    clock: Clock
    forms: Forms = field(default_factory=Forms)


async def explain_offline(settings: "Settings", user: str | None, body: dict[str, Any]) -> dict[str, Any]:
    """Return what POST /admin/v1/explain returns, without the network; raises ApiError, LedgerError."""
    clock = SystemClock()
    zone = ZoneInfo(settings.timezone)
    book, row = _from_ledger(settings, user, zone, clock)
    providers = build_providers(settings.providers, {})
    try:
        catalogue = Catalogue(settings.database.absolute().parent, settings.database.name, clock)
        await catalogue.load(providers)
        for name in providers:
            catalogue.listing(name).tried_s = clock.monotonic_s()  # a name that the list lacks is not looked for
        snapshot = Snapshot(
            settings, Directory([]), providers, preset_rows(settings), Hosts(), zone, routing_of(settings)
        )
        health = Health(clock)
        health.configure(providers.values())
        parsed, size_bytes = body_in(body)
        call, parts = _Asked(0, clock.now_ms()), _Quoting(catalogue, Desk(book), health, clock)
        identity = identity_of(user, row, snapshot)
        return await explained(cast("Call", call), identity, parsed, size_bytes, cast("Parts", parts), snapshot)
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
    with closing(open_reader(database)) as connection:
        book = rebuilt_book(connection, zone, clock.now_ms())
        if user is None or not is_wanted:
            return book, None
        try:
            return book, find_user(connection, user)
        except Missing:
            raise _no_user(user) from None


def _no_user(user: str | None) -> CallerError:
    return CallerError(404, "not_found", f"There is no user {user!r}. See: tollkeeper users list")
