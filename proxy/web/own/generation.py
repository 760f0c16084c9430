"""GET /v1/generation?id=: the cost of one of the user's own requests, from the ledger, in OpenRouter's shape."""

import asyncio
from typing import Any

import orjson

from proxy.core.clock import iso_utc
from proxy.core.errors import CallerError
from proxy.core.money import pusd_to_usd
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.identity.authenticate import identify
from proxy.providers.key import OWN
from proxy.storage.reports import OwnAttempt, OwnRequest
from proxy.storage.rows import id_text
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply
from proxy.web.server.aiohttp_downstream import aiohttp_request

_ID_CHARS_MAX = 256
_GONE_STATUS = 499
_SETTLED = ("settled", "released")


async def show_generation(context: RequestContext, deps: Deps) -> Reply:
    """Answer for the id of a generation or of a request (x-request-id); 404 until it is settled, as OpenRouter does."""
    snapshot = deps.services.live.current
    identity = identify(context, snapshot.directory)
    id_ = aiohttp_request(context).query.get("id", "")
    if not 0 < len(id_) <= _ID_CHARS_MAX:
        raise CallerError(400, "invalid_value", "Send the id of a generation: /v1/generation?id=gen-...", param="id")
    found = await asyncio.to_thread(deps.services.reports.own_request, identity.user, id_, context.started_ms)
    if found is None:
        raise CallerError(404, "not_found", "You have no request with this id.", param="id")
    request, attempts = found
    if request.state not in _SETTLED:
        raise CallerError(
            404, "not_found", "What this request cost is not known yet. Ask again in a moment.", param="id"
        )
    return json_reply(context, {"data": _shown(request, attempts)})


def _shown(request: OwnRequest, attempts: tuple[OwnAttempt, ...]) -> dict[str, Any]:
    cost = orjson.Fragment(pusd_to_usd(request.cost_pusd or 0))
    last = attempts[-1] if attempts else None
    ttft_ms, duration_ms = request.ttft_ms, request.duration_ms
    return {
        "id": request.generation_id or id_text(request.id),
        "request_id": id_text(request.id),
        "model": request.model or request.requested_model,
        "created_at": iso_utc(request.started_ms),
        "total_cost": cost,
        "usage": cost,
        "upstream_inference_cost": None,
        "cache_discount": None,
        "is_byok": last is not None and last.key == OWN,
        "tokens_prompt": request.input_tokens,
        "tokens_completion": request.output_tokens,
        "native_tokens_prompt": request.input_tokens,
        "native_tokens_completion": request.output_tokens,
        "native_tokens_reasoning": request.reasoning_tokens,
        "native_tokens_cached": request.cached_tokens,
        "native_tokens_completion_images": None,
        "cancelled": request.status == _GONE_STATUS,
        "streamed": bool(request.streamed),
        "latency": ttft_ms,
        "generation_time": duration_ms if ttft_ms is None or duration_ms is None else duration_ms - ttft_ms,
        "moderation_latency": None,
        "finish_reason": request.finish_reason,
        "native_finish_reason": None,
        "provider_name": _provider(last) if last is not None else request.provider,
        "provider_responses": [_response(attempt) for attempt in attempts],
        "api_type": "embeddings" if request.endpoint == "embeddings" else "completions",
        "origin": "",
        "app_id": None,
        "http_referer": None,
        "user_agent": None,
        "external_user": request.user,
        "session_id": request.session_id,
        "preset_id": None,
        "router": None,
        "service_tier": None,
        "data_region": "unknown",  # the shape must have one
        "upstream_id": None,
        "workspace_id": None,
        "num_media_prompt": None,
        "num_media_completion": None,
        "num_search_results": None,
        "num_fetches": None,
        "num_input_audio_prompt": None,
        "web_search_engine": None,
        "response_cache_source_id": None,
    }


def _response(attempt: OwnAttempt) -> dict[str, Any]:
    return {
        "status": attempt.status,
        "provider_name": _provider(attempt),
        "latency": attempt.ttft_ms,
        "model_permaslug": attempt.served_model or attempt.model,
        **({} if attempt.key is None else {"is_byok": attempt.key == OWN}),
    }


def _provider(attempt: OwnAttempt) -> str:
    return attempt.served_by or attempt.provider
