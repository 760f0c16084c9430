"""/healthz: the loop is alive. /readyz: may traffic be sent here."""

from urllib.parse import parse_qs

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.providers.provider import ProviderRow
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply
from proxy.web.provider_status import provider_json

_FLAWS_MAX = 20


def is_verbose(context: RequestContext) -> bool:
    """Return whether providers, keys and lists are wanted too: ?verbose, with or without a value."""
    query = context.downstream.path.partition("?")[2]
    return bool(query) and "verbose" in parse_qs(query, keep_blank_values=True)


def _proxy_of(row: ProviderRow | None) -> str | None:
    return None if row is None or row.network.proxy is None else row.network.proxy.url


async def healthz(context: RequestContext, _deps: Deps) -> Reply:
    return json_reply(context, {"status": "ok"})


async def readyz(context: RequestContext, deps: Deps) -> Reply:
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
            if (listing := deps.services.model_lists.listing(name))
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
        body["stops"] = [
            {
                "id": stop.id,
                "what": stop.what,
                "effect": stop.outcome.text,
                "reason": stop.reason,
                "until_ms": stop.until_ms,
            }
            for stop in deps.services.stops.in_force()
        ]
    return json_reply(context, body, 200 if ready else 503)
