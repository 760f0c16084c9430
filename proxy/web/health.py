"""/healthz: the loop is alive. /readyz: may traffic be sent here."""

import orjson
from aiohttp import web

from proxy.pipeline.call import Call
from proxy.providers.rows import ProviderRow
from proxy.web.condition import provider_json
from proxy.web.state import State

_FLAWS_MAX = 20


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def is_verbose(call: Call) -> bool:
    """Return whether providers, keys and lists are wanted too: ?verbose, with or without a value."""
    return "verbose" in call.request.query


def _proxy_of(row: ProviderRow | None) -> str | None:
    return None if row is None or row.network.proxy is None else row.network.proxy.url


async def healthz(_call: Call, _state: State) -> web.StreamResponse:
    return _json(200, {"status": "ok"})


async def readyz(call: Call, state: State) -> web.StreamResponse:
    """Answer 200 only if the ledger takes writes, the configuration in force is the one on disk, and nothing drains."""
    checks = {
        "ledger": state.parts.ledger.problem or "ok",
        "config": "ok" if state.config_problem() is None else f"stale: {state.config_problem()}",
        "draining": "yes" if state.parts.draining else "no",
    }
    ready = checks["ledger"] == "ok" and checks["config"] == "ok" and not state.parts.draining
    body: dict[str, object] = {"status": "ready" if ready else "not ready", **checks}
    if is_verbose(call):
        body["catalogue"] = {
            name: {
                "models": len(listing.models),
                "fetched_ms": listing.fetched_ms,
                "problem": listing.problem,
                "flaws": list(listing.flaws[:_FLAWS_MAX]),
            }
            for name in state.parts.live.current.providers
            if (listing := state.parts.catalogue.listing(name))
        }
        rows = state.parts.live.current.providers
        body["providers"] = {
            name: {**provider_json(view), "proxy": _proxy_of(rows.get(name))}
            for name, view in state.parts.health.views().items()
        }
        body["clock"] = state.clock_problem() or "ok"
        body["pending"] = state.pending()
        body["jobs"] = {name: problem[:300] for name, problem in state.jobs().items()}
        body["holds_without_owner"] = state.ownerless()
    return _json(200 if ready else 503, body)
