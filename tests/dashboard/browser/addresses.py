"""Addresses of all pages: those of the table of views, with names of the demo where they take one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from proxy.web.dashboard.view import View
from proxy.web.dashboard.views import VIEWS
from tests.dashboard.browser.demo_proxy import DemoProxy

# what stands in the place of a parameter, by the path of a view; ids of the demo are looked up
NAMES: Final[Mapping[str, Sequence[Mapping[str, str]]]] = {
    "/dashboard/people/{name}": [{"name": "lena"}, {"name": "demo"}],
    "/dashboard/models/{name}": [{"name": "anthropic/claude-sonnet-4.5"}],
}


def pages() -> Iterator[View]:
    """Yield the views that answer with a whole page to somebody who is logged in, or to everybody."""
    for view in VIEWS.views:
        if view.method == "GET" and not view.is_fragment and not view.path.endswith("/events"):
            yield view


async def addresses(proxy: DemoProxy) -> dict[str, View]:
    """Return each address that is to be looked at, with its view."""
    found = {}
    ids = await _ids(proxy)
    for view in pages():
        for names in ids.get(view.path) or NAMES.get(view.path, [{}]):
            found[written(view.path, names)] = view
    return found


def written(path: str, names: Mapping[str, str]) -> str:
    """Return a path with names in the place of its parameters; raises KeyError for one that is not known."""
    return "/".join(quote(names[part[1:-1]], safe="") if part.startswith("{") else part for part in path.split("/"))


async def _ids(proxy: DemoProxy) -> dict[str, list[dict[str, str]]]:
    """Return ids of requests of all kinds: answered, answered elsewhere, failed, refused."""
    rows = await proxy.admin("GET", "/requests?limit=200")
    picked: dict[tuple[object, ...], str] = {}
    for row in rows:
        picked.setdefault((row.get("kind"), row["status"] // 100, (row.get("attempts") or 1) > 1), row["id"])
    return {"/dashboard/requests/{id}": [{"id": id_} for id_ in [*picked.values()][:4]]}
