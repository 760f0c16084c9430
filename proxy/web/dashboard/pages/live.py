"""GET /dashboard/events: a stream of what changes on a page that is open."""

from proxy.web.dashboard.view import DashboardRequest, Events, View


async def _events(request: DashboardRequest) -> Events:
    """Stream a live part whenever it changes, or ticks where none is named."""
    return Events(request.query.get("part") or None)


VIEWS = (View("GET", "/dashboard/events", _events, "Live"),)
