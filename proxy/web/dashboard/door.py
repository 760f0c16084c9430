"""What a request for a page must be before anything else is looked at: from our own pages, or typed by a person.

The Host header was held against server.hosts before (server/host_check.py), so that no name of somebody else's leads
here. Browsers say of each request whose page makes it; a program that says nothing has no cookie of a person either.
"""

from typing import Final

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.policy.origin import is_same
from proxy.web.deps import Deps
from proxy.web.server.aiohttp_downstream import aiohttp_request

_SAFE: Final = frozenset({"GET", "HEAD"})
_OWN: Final = frozenset({"same-origin", "none"})  # none: typed, or of a bookmark


def check_door(context: RequestContext, deps: Deps) -> None:
    """Raise CallerError for a request that another site's page makes, and where there is no dashboard."""
    request_headers = context.downstream.request_headers
    request_headers.cors = None  # server.origins lets pages call the API, never this
    headers, request = request_headers.headers, aiohttp_request(context)
    if not deps.services.live.current.settings.server.dashboard:
        raise CallerError(
            404, "dashboard_off", "The dashboard is turned off here (server.dashboard: false in the configuration)."
        )
    sites, host = headers.getall("Sec-Fetch-Site", ()), headers.get("Host", "")
    is_foreign = any(site not in _OWN for site in sites)
    if is_foreign and request.method in _SAFE and is_arrival(context):
        return
    if is_foreign or any(not is_same(origin, host) for origin in headers.getall("Origin", ())):
        raise CallerError(
            403,
            "origin_not_allowed",
            "A page of another site has made this request, so nothing was done. Open the dashboard itself.",
            type_="permission_error",
        )


def is_arrival(context: RequestContext) -> bool:
    """Return whether somebody follows a link of another site's page to a page here.

    Their browser sends no cookie of ours then (SameSite=Strict), whether they are logged in or not.
    """
    headers = context.downstream.request_headers.headers
    told = (headers.get("Sec-Fetch-Mode", ""), headers.get("Sec-Fetch-Dest", ""), headers.get("Sec-Fetch-Site", ""))
    return told in (("navigate", "document", "cross-site"), ("navigate", "document", "same-site"))


def is_tls(context: RequestContext) -> bool:
    """Return whether the browser speaks TLS, which a server in front of this one ends."""
    return context.downstream.request_headers.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
