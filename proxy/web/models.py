"""GET /v1/models: OpenAI's list shape with OpenRouter's fields beside, presets first; always from memory."""

import time
from urllib.parse import unquote

import orjson
from aiohttp import web

from proxy.core.errors import CallerError
from proxy.pipeline.authenticate import authenticate
from proxy.pipeline.call import Call
from proxy.pipeline.parts import Parts
from proxy.web.hints import nearest
from proxy.web.state import State

_JSON = "application/json"


def _preset(name: str, targets: list[str]) -> bytes:
    return orjson.dumps(
        {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "tollkeeper",
            "name": name,
            "description": "Preset: " + ", ".join(targets),
        }
    )


def visible(parts: Parts) -> dict[str, bytes]:
    """Give id -> JSON: presets, then the default provider's models under their own names, then the others' prefixed."""
    snapshot = parts.live.current
    found: dict[str, bytes] = {}
    for name, preset in snapshot.presets.items():
        found[name] = _preset(name, [f"{target.provider}/{target.model}" for target in preset.targets])
    for n, provider in enumerate(snapshot.providers):
        for id_, entry in parts.catalogue.listing(provider).models.items():
            if n == 0:
                found.setdefault(id_, entry)
            else:
                full = f"{provider}/{id_}"
                found.setdefault(full, _renamed(entry, full))
    return found


def _renamed(entry: bytes, id_: str) -> bytes:
    return orjson.dumps({**orjson.loads(entry), "id": id_})


async def list_models(call: Call, state: State) -> web.StreamResponse:
    authenticate(call.client.said, state.parts.live.current.directory, call.started_ms)
    body = b'{"object":"list","data":[' + b",".join(visible(state.parts).values()) + b"]}"
    return web.Response(body=body, content_type=_JSON, headers={"x-request-id": call.request_id})


async def show_model(call: Call, state: State, encoded: str) -> web.StreamResponse:
    """Answer for one id; SDKs encode its slashes."""
    authenticate(call.client.said, state.parts.live.current.directory, call.started_ms)
    id_ = unquote(encoded)
    models = visible(state.parts)
    entry = models.get(id_)
    if entry is None:
        hint = nearest(id_, models)
        did_you = f' Did you mean "{hint}"?' if hint else ""
        raise CallerError(
            404,
            "model_not_found",
            f'The model "{id_[:100]}" is not known here.{did_you} GET /v1/models lists the {len(models)} you may use.',
            param="model",
        )
    return web.Response(body=entry, content_type=_JSON, headers={"x-request-id": call.request_id})
