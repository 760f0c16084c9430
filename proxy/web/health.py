"""/healthz: the loop is alive. /readyz: may traffic be sent here."""

import orjson
from aiohttp import web

from proxy.pipeline.context import RequestContext
from proxy.providers.provider import ProviderRow
from proxy.web.deps import Deps
from proxy.web.provider_status import provider_json

_FLAWS_MAX = 20


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def is_verbose(context: RequestContext) -> bool:
    """Return whether providers, keys and lists are wanted too: ?verbose, with or without a value."""
    return "verbose" in context.request.query


def _proxy_of(row: ProviderRow | None) -> str | None:
    return None if row is None or row.network.proxy is None else row.network.proxy.url


async def healthz(_context: RequestContext, _deps: Deps) -> web.StreamResponse:
    return _json(200, {"status": "ok"})


async def readyz(context: RequestContext, deps: Deps) -> web.StreamResponse:
    """Answer 200 only if the ledger takes writes, the configuration in force is the one on disk, and nothing drains."""
    checks = {
        "ledger": deps.services.ledger.problem or "ok",
        "config": "ok" if deps.config_problem() is None else f"stale: {deps.config_problem()}",
        "draining": "yes" if deps.services.draining else "no",
    }
    ready = checks["ledger"] == "ok" and checks["config"] == "ok" and not deps.services.draining
    body: dict[str, object] = {"status": "ready" if ready else "not ready", **checks}
    if is_verbose(context):
        body["catalogue"] = {
            name: {
                "models": len(listing.models),
                "fetched_ms": listing.fetched_ms,
                "problem": listing.problem,
                "flaws": list(listing.flaws[:_FLAWS_MAX]),
            }
            for name in deps.services.live.current.providers
            if (listing := deps.services.catalogue.listing(name))
        }
        rows = deps.services.live.current.providers
        body["providers"] = {
            name: {**provider_json(view), "proxy": _proxy_of(rows.get(name))}
            for name, view in deps.services.health.views().items()
        }
        body["clock"] = deps.clock_problem() or "ok"
        body["pending"] = deps.pending()
        body["jobs"] = {name: problem[:300] for name, problem in deps.jobs().items()}
        body["holds_without_owner"] = deps.ownerless()
    return _json(200 if ready else 503, body)
