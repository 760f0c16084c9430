"""One table of all paths. Authentication belongs to the handlers, never to a list of paths.

The raw path is matched first, then the path as server/request_path.py reads it:
percent-encoding is never undone.
"""

from collections.abc import Mapping

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.policy.nearest import nearest
from proxy.web.admin.credentials import check_operator, check_origin, socket_operator
from proxy.web.admin.documents import DOCUMENTS
from proxy.web.admin.route import PREFIX
from proxy.web.admin.routes import admin
from proxy.web.dashboard.page_address import answer_at, is_page
from proxy.web.deps import Deps
from proxy.web.explain import explain
from proxy.web.exposure import check_reader
from proxy.web.front_page import front_page
from proxy.web.health import healthz, is_verbose, readyz
from proxy.web.inference import completions_of, count_tokens, refuse_upgrade
from proxy.web.json_reply import own_reply
from proxy.web.metrics.page import metrics
from proxy.web.models import list_models, show_model
from proxy.web.own.generation import show_generation
from proxy.web.own.key import show_credits, show_key
from proxy.web.own.preferences import (
    change_preferences,
    remove_preferences,
    replace_preferences,
    show_preferences,
)
from proxy.web.own.recommendation import recommend_models
from proxy.web.own.usage import my_limits, my_usage
from proxy.web.server.aiohttp_downstream import aiohttp_request
from proxy.web.server.cors import is_preflight, preflight_headers
from proxy.web.server.request_path import canonical_path
from proxy.web.server.serve_one import Handler
from proxy.wire.endpoint import COUNT_TOKENS, ENDPOINTS, as_openrouter

_V1: Mapping[tuple[str, str], Handler] = {
    **{("POST", endpoint.path): completions_of(endpoint) for endpoint in ENDPOINTS if not endpoint.is_free},
    ("POST", COUNT_TOKENS.path): count_tokens,
    ("POST", "/explain"): explain,
    ("GET", "/me/limits"): my_limits,
    ("GET", "/me/usage"): my_usage,
    ("GET", "/me/preferences"): show_preferences,
    ("PUT", "/me/preferences"): replace_preferences,
    ("PATCH", "/me/preferences"): change_preferences,
    ("DELETE", "/me/preferences"): remove_preferences,
    ("GET", "/models"): list_models,
    ("GET", "/models/recommend"): recommend_models,
    ("POST", "/models/recommend"): recommend_models,
    ("GET", "/key"): show_key,
    ("GET", "/auth/key"): show_key,
    ("GET", "/credits"): show_credits,
    ("GET", "/generation"): show_generation,
    ("GET", "/responses"): refuse_upgrade,
}


async def _readyz(context: RequestContext, deps: Deps) -> Reply:
    if is_verbose(context):
        check_reader(context, deps)
    return await readyz(context, deps)


async def _metrics(context: RequestContext, deps: Deps) -> Reply:
    check_reader(context, deps)
    return await metrics(context, deps)


# For the owner of the ledger's socket; others use the two functions above.
_OTHERS: Mapping[tuple[str, str], Handler] = {
    ("GET", "/healthz"): healthz,
    ("GET", "/readyz"): readyz,
    ("GET", "/metrics"): metrics,
}

_PROBES = frozenset(path for _, path in _OTHERS)
_UNSERVED = tuple(
    f"/v1/{name}"
    for name in ("audio/", "images/", "files", "batches", "moderations", "assistants", "threads", "videos")
)
_PREFIXES = ("/v1", "/api/v1", "")  # for base URLs where only the host was replaced, or /v1 was forgotten

ROUTES: Mapping[tuple[str, str], Handler] = {
    **{(method, prefix + path): handler for prefix in _PREFIXES for (method, path), handler in _V1.items()},
    **{
        ("POST", f"/api/v1{endpoint.path}"): completions_of(as_openrouter(endpoint))
        for endpoint in ENDPOINTS
        if not endpoint.is_free
    },
    **_OTHERS,
    **{("GET", path): front_page for path in ("/", "/v1")},  # people open either in a browser
    ("GET", "/readyz"): _readyz,
    ("GET", "/metrics"): _metrics,
}

_MODEL_PREFIXES = tuple(f"{prefix}/models/" for prefix in _PREFIXES)

PATHS = (  # without the other prefixes
    *(f"{method} /v1{path}" for method, path in _V1),
    "GET /v1/models/{id}",
    *(f"{method} {path}" for method, path in _OTHERS),
    f"{PREFIX}...",
    "GET /dashboard",
    "GET /me",
)


async def answer(context: RequestContext, deps: Deps) -> Reply:
    """Find the handler of a request and run it; raises CallerError where there is none.

    HEAD is answered as GET, of which the server sends the head only.
    """
    request = aiohttp_request(context)
    method = "GET" if request.method == "HEAD" else request.method
    path = request.raw_path.partition("?")[0]
    handler = ROUTES.get((method, path))
    if handler is None:
        path = canonical_path(path)
        handler = ROUTES.get((method, path))
    if handler is not None:
        return await handler(context, deps)
    if f"{path}/".startswith(PREFIX):
        if deps.services.live.current.settings.admin.listen is not None:
            raise CallerError(404, "unknown_url", "The operator's API is not at this address: see admin.listen.")
        return await _answer_operator(context, deps, path)
    if is_page(path):
        return await _page(context, deps, path, has_dashboard=deps.services.live.current.settings.admin.listen is None)
    if is_preflight(method, request.headers):
        return own_reply(context, 204, preflight_headers(request.headers, _allowed(path)))
    if method == "GET" and (encoded := _model_in(path)) is not None:
        return await show_model(context, deps, encoded)
    allowed = _allowed(path)
    if method == "OPTIONS" and allowed:
        return own_reply(context, 204, {"Allow": allowed})
    raise _unknown(path, allowed)


async def answer_operator(context: RequestContext, deps: Deps) -> Reply:
    """Answer on the operator's own listener: /admin/v1, the dashboard, health and figures, nothing that spends."""
    path = canonical_path(context.downstream.path)
    if f"{path}/".startswith(PREFIX):
        return await _answer_operator(context, deps, path)
    if is_page(path) and not path.startswith("/me"):
        return await _page(context, deps, path)
    method = aiohttp_request(context).method
    check_origin(context)
    handler = ROUTES.get(("GET", path)) if path in _PROBES and method in ("GET", "HEAD") else None
    if handler is not None:
        return await handler(context, deps)
    raise CallerError(
        404, "unknown_url", f"This address answers {PREFIX}..., /dashboard, /healthz, /readyz and /metrics."
    )


async def _page(context: RequestContext, deps: Deps, path: str, *, has_dashboard: bool = True) -> Reply:
    request = aiohttp_request(context)
    query = request.raw_path.partition("?")[2]
    return await answer_at(context, deps, request.method, path, query, has_dashboard=has_dashboard)


async def _answer_operator(context: RequestContext, deps: Deps, path: str) -> Reply:
    request = aiohttp_request(context)
    check_origin(context)
    operator = check_operator(context, deps, takes_basic=path[len(PREFIX) :] in DOCUMENTS)
    return await admin(context, deps, operator, request.method, _below(path, request.raw_path))


async def answer_socket(context: RequestContext, deps: Deps) -> Reply:
    """Answer on the Unix socket beside the ledger: operator's API and health, nothing that spends."""
    request, path = aiohttp_request(context), canonical_path(context.downstream.path)
    operator = socket_operator(context)
    if f"{path}/".startswith(PREFIX):
        return await admin(context, deps, operator, request.method, _below(path, request.raw_path))
    handler = _OTHERS.get((request.method, path))
    if handler is not None:
        return await handler(context, deps)
    raise CallerError(404, "unknown_url", f"The socket answers {PREFIX}..., /healthz, /readyz and /metrics.")


def _below(path: str, raw_path: str) -> str:
    """Return what stands behind /admin/v1/ in a path, with the query as it was sent."""
    _, mark, query = raw_path.partition("?")
    return path[len(PREFIX) :] + mark + query


def _model_in(path: str) -> str | None:
    """Return the model's name in a path, slashes encoded or not as sent; None if there is none."""
    for prefix in _MODEL_PREFIXES:
        if path.startswith(prefix) and len(path) > len(prefix):
            return path.removeprefix(prefix)
    return None


def _allowed(path: str) -> str:
    """Return the methods that a path allows, for the Allow header; "" for an unknown path."""
    methods = {method for method, other in ROUTES if other == path} or ({"GET"} if _model_in(path) else set())
    more = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"} if methods else set()
    return ", ".join(sorted(methods | more))


def _unknown(path: str, allowed: str) -> CallerError:
    if allowed:
        return CallerError(
            405, "method_not_allowed", f"{path} accepts {allowed}.", headers={"Allow": allowed}, close=True
        )
    return CallerError(
        404,
        "unknown_url",
        f"There is nothing at this path. {_advice(path)} There are: {', '.join(PATHS)}.",
        close=True,
    )


def _advice(path: str) -> str:
    """Return what is wrong with a path, quoting nothing of it: it may hold anything."""
    lower = path.lower()
    if lower != path and any((method, lower) in ROUTES for method in ("GET", "POST")):
        return f"Paths are in lower case here: {lower}."
    for tail in sorted({tail for _, tail in _V1}, key=len, reverse=True):
        if not path.endswith(tail):
            continue
        if path.removesuffix(tail).endswith(tuple(other for _, other in _V1)):
            return f"Your base URL already contains the path of an endpoint, and {tail} was appended. End it at /v1."
        return f"Your base URL has an unknown part before {tail}. It should end in /v1."
    if path.startswith(_UNSERVED):
        return "This endpoint of OpenAI's API is not served here."
    hint = nearest(path, {other for _, other in ROUTES})
    return "Your base URL should end in /v1." if hint is None else f"Did you mean {hint}?"
