"""Answer GET /metrics: copy the figures, then write them down in a thread."""

import asyncio

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.deps import Deps
from proxy.web.json_reply import own_reply
from proxy.web.metrics.exposition import exposition, format_for
from proxy.web.metrics.families import families
from proxy.web.metrics.figures import MetricFigures, take_figures
from proxy.web.metrics.machine import read_machine


async def metrics(context: RequestContext, deps: Deps) -> Reply:
    """Answer with every metric of docs/reference/metrics.md."""
    content_type = format_for(context.downstream.request_headers.headers.get("Accept", ""))

    async def render() -> bytes:
        return await asyncio.to_thread(_rendered, deps, await take_figures(deps), content_type)

    text = await deps.renderings.get(content_type, render)
    return own_reply(context, 200, {"Content-Type": content_type}, text)


def _rendered(deps: Deps, figures: MetricFigures, content_type: str) -> bytes:
    return exposition(families(figures, read_machine(deps.services)), content_type)
