"""Make a live part of a page: once for all who see the same."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from proxy.web.dashboard.fragments import MadeFragment, Stamp
from proxy.web.dashboard.table import views_of
from proxy.web.dashboard.templates import render
from proxy.web.dashboard.view import DashboardRequest, Fragment, View, address_of


async def read_part(request: DashboardRequest, view: View, stamp: Stamp = ()) -> MadeFragment:
    """Return the part that a view makes. request: for it, with its address; stamp: as in FragmentCache.read."""
    session, clock = request.session, request.context.clock
    seen_by = session.role.name if session.user is None else f"user {session.user}"
    place = address_of(view.path, {**request.query, **request.path})
    key = (place, seen_by)

    async def make() -> str:
        asked = replace(request, now_ms=clock.now_ms())
        shown = await view.handler(asked)
        assert isinstance(shown, Fragment), view.path
        return await render(shown.template, lambda: _values(asked, shown))

    return await request.deps.dashboard.fragments.read(key, clock, make, stamp)


def _values(request: DashboardRequest, shown: Fragment) -> Mapping[str, Any]:
    frame = {"request": request, "zone": request.zone, "period": request.period}
    return {**frame, "tables": views_of(shown.tables, request.query), **shown.values}
