"""One address of the dashboard: who may open it, and what its handler is given and returns."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.admin.route import Role
from proxy.web.dashboard.admin_calls import AdminCalls
from proxy.web.dashboard.period import Period, read_period
from proxy.web.dashboard.session import Session
from proxy.web.dashboard.table import Table
from proxy.web.deps import Deps

Audience = Literal["operator", "user"]


class Page(Struct, frozen=True):
    """A whole page: its template below templates/, what that is given, and the tables in it."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    status: int = 200
    title: str | None = None  # None for that of the view


class Fragment(Struct, frozen=True):
    """A part of a page that is read again while people look at it; the same for all who may open it."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[Table] = ()


class Redirect(Struct, frozen=True):
    """The way on after a change; the note is shown once on the next page."""

    path: str
    note: str = ""
    cookie: str | None = None  # the value of a Set-Cookie header


class Whole(Struct, frozen=True):
    """An answer that a handler has begun or made itself, such as a stream of events."""

    reply: Reply


class Events(Struct, frozen=True):
    """A stream of what changes. part: the address of a live part that is sent whenever it does; None for ticks."""

    part: str | None


Shown = Page | Fragment | Redirect | Whole | Events


class Look(Struct, frozen=True):
    """What a page's figures depend on: who asks the operator's API, when, and of which period.

    api asks as the session of the page. On a user's own page it asks as a viewer, who may read of everybody: there
    every call names session.user.
    """

    query: Mapping[str, str]  # of a parameter that comes twice the last
    api: AdminCalls
    now_ms: int
    deps: Deps

    @property
    def zone(self) -> ZoneInfo:
        """Return the zone of the configuration, in which every figure is."""
        return ZoneInfo(self.deps.services.live.current.settings.timezone)

    @property
    def period(self) -> Period:
        """Return the period that the address names; the usual one where it names none that is known."""
        try:
            return read_period(self.query.get("period"), self.zone, self.now_ms)
        except ValueError:
            return read_period(None, self.zone, self.now_ms)


class DashboardRequest(Look, frozen=True):
    """A request for a page after all checks."""

    path: Mapping[str, str]  # the parameters in the path, decoded
    form: Mapping[str, str]  # of a POST
    form_lists: Mapping[str, Sequence[str]]  # the same, with every value
    session: Session
    address_path: str  # as it was asked for, without the query
    context: RequestContext

    @property
    def wants_csv(self) -> str | None:
        """Return the name of the table that is asked for as CSV, all of its rows; None for a page."""
        return self.query.get("csv")

    def address(self, **changes: str | int | None) -> str:
        """Return this page's address with parameters changed; those that are None are left out.

        Of names that are no Python names pass a dictionary: address(**{"users.page": 2}).
        """
        return address_of(self.address_path, {**self.query, "csv": None, **changes})


def address_of(path: str, query: Mapping[str, str | int | None]) -> str:
    """Return a path with a query of the parameters that are there."""
    given = {name: str(value) for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(given)}" if given else path


def is_own(address: str) -> bool:
    """Return whether an address is one of the dashboard: no browser reads another host, or a header, into it."""
    if not all("!" <= char <= "~" and char != "\\" for char in address):
        return False
    path = address.partition("?")[0]
    return path in ("/dashboard", "/me") or path.startswith(("/dashboard/", "/me/"))


def below(*parts: str) -> str:
    """Return an address below /dashboard of names, which may hold anything.

    For ("people", "a/b") that is /dashboard/people/a%2Fb.
    """
    return "/".join(("/dashboard", *(quote(part, safe="") for part in parts)))


class View(Struct, frozen=True):
    """A method and a path, such as "/dashboard/people/{name}".

    role: None lets viewers look, and admins do everything else; a user's own pages ask for none.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[[DashboardRequest], Awaitable[Shown]]
    title: str
    role: Role | None = None
    audience: Audience = "operator"
    has_period: bool = False  # it is about the period of the address, which its head lets people choose
    is_open: bool = False  # it needs no login: the session is NOBODY where there is none, and forms have no key
    page: str | None = None  # the one that a part, or a form, stands on; of a form None for that at or above it
    is_fragment: bool = False  # it is read again and again: made once for all who see the same

    @property
    def required_role(self) -> Role:
        """Return who may open it."""
        return self.role or (Role.VIEWER if self.method == "GET" else Role.ADMIN)

    @property
    def segments(self) -> tuple[str, ...]:
        """Return the parts of its path."""
        return tuple(self.path.strip("/").split("/"))
