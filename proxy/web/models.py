"""GET /v1/models: OpenAI's list shape with OpenRouter's fields beside, presets first; always from memory."""

from urllib.parse import unquote

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.identity.authenticate import identify
from proxy.policy.nearest import nearest
from proxy.web.deps import Deps
from proxy.web.json_reply import json_reply
from proxy.web.model_list import VisibleModels


def _shown(context: RequestContext, deps: Deps) -> VisibleModels:
    identity = identify(context, deps.services.live.current.directory)
    return deps.shelf.shown(deps.services, identity.allowance, context.started_ms)


async def list_models(context: RequestContext, deps: Deps) -> Reply:
    """List what the user may ask for."""
    return json_reply(context, _shown(context, deps).body)


async def show_model(context: RequestContext, deps: Deps, encoded: str) -> Reply:
    """Answer for one id, whose slashes SDKs encode. A model that the user may not use counts as unknown."""
    models = _shown(context, deps).models
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
    return json_reply(context, entry)
