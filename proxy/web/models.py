"""GET /v1/models: OpenAI's list shape with OpenRouter's fields beside, presets first; always from memory."""

from urllib.parse import unquote

from aiohttp import web

from proxy.core.errors import CallerError
from proxy.pipeline.authenticate import identify
from proxy.pipeline.call import Call
from proxy.policy.nearest import nearest
from proxy.web.shelf import Shown
from proxy.web.state import State


def _shown(call: Call, state: State) -> Shown:
    identity = identify(call, state.parts.live.current.directory)
    return state.shelf.shown(state.parts, identity.allowance, call.started_ms)


async def list_models(call: Call, state: State) -> web.StreamResponse:
    """List what the user may ask for."""
    return _json(call, _shown(call, state).body)


async def show_model(call: Call, state: State, encoded: str) -> web.StreamResponse:
    """Answer for one id, whose slashes SDKs encode. A model that the user may not use counts as unknown."""
    models = _shown(call, state).models
    id_ = unquote(encoded)
    entry = models.get(id_)
    if entry is None:
        hint = nearest(id_, models)
        did_you = f' Did you mean "{hint}"?' if hint else ""
        raise CallerError(
            404,
            "model_not_found",
            f'The model "{id_[:100]}" does not exist here, or you may not use it.{did_you}'
            f" GET /v1/models lists the {len(models)} you may use.",
            param="model",
        )
    return _json(call, entry)


def _json(call: Call, body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers={"x-request-id": call.request_id})
