"""GET /: what a person sees at the base URL in a browser: how to set up a client, and whether the proxy works.

One page without a script or anything from elsewhere. Providers are named only to who may read the figures of the whole
installation; programs get the same as JSON.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from proxy import __version__
from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.deps import Deps
from proxy.web.exposure import check_reader
from proxy.web.json_reply import json_reply, own_reply

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --soft: #59616e; --paper: #fff; --code: #f3f4f6; --line: #dfe2e7;
  --ok: #14713a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --soft: #a0a8b5; --paper: #16181d; --code: #22262d; --line: #333943; --ok: #5fcf8b;
    --bad: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem; max-width: 46rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; }
h2 { margin: 2rem 0 .5rem; font-size: 1.05rem; }
p { margin: .4rem 0; color: var(--soft); }
pre { margin: 0; padding: .8rem 1rem; overflow-x: auto; background: var(--code); border: 1px solid var(--line);
  border-radius: 6px; font: 13px/1.5 ui-monospace, monospace; user-select: all; }
table { border-collapse: collapse; }
td { padding: .15rem 1.5rem .15rem 0; vertical-align: top; }
.ok { color: var(--ok); } .bad { color: var(--bad); }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}


class ProviderCondition(NamedTuple):
    """One line of the state: ok, or what is wrong."""

    name: str
    problem: str | None


async def front_page(context: RequestContext, deps: Deps) -> Reply:
    """Answer with HTML if asked for, else with JSON."""
    base_url = _base_url(context)
    conditions = _conditions(context, deps)
    ready = not any(condition.problem for condition in conditions[:1])
    if "text/html" in context.downstream.request_headers.headers.get("Accept", ""):
        text = _page(base_url, conditions)
        return own_reply(context, 200, _HEADERS, text.encode())
    body = {
        "name": "tollkeeper",
        "version": __version__,
        "status": "ready" if ready else "not ready",
        "base_url": base_url,
        "models": f"{base_url}/models",
        "health": base_url.removesuffix("/v1") + "/readyz",
    }
    return json_reply(context, body, headers={"Vary": "Accept"})


def _base_url(context: RequestContext) -> str:
    """Return the base URL as the client reached it; its Host header is one that this server has."""
    headers = context.downstream.request_headers.headers
    scheme = "https" if headers.get("X-Forwarded-Proto", "").strip().lower() == "https" else "http"
    return f"{scheme}://{headers.get('Host', 'localhost')}/v1"


def _conditions(context: RequestContext, deps: Deps) -> Sequence[ProviderCondition]:
    """Return the state of the proxy, then that of each provider for who may know their names."""
    services = deps.services
    problem = "stopping" if services.draining else "the ledger cannot be written" if services.ledger.problem else None
    if problem is None and deps.config_problem() is not None:
        problem = "the configuration file has a mistake; the one before it is in force"
    if problem is None and any(stop.kind == "all" and stop.effect == "stop" for stop in services.stops.in_force()):
        problem = "all requests are stopped by the operator"
    own = ProviderCondition("Proxy", problem)
    try:
        check_reader(context, deps)
    except CallerError:
        return (own,)
    return (own, *_stopped(deps), *(_provider(name, deps) for name in services.live.current.providers))


def _stopped(deps: Deps) -> Sequence[ProviderCondition]:
    """Return what is stopped, for those who may know names."""
    return [
        ProviderCondition(
            f"{stop.what[0].upper()}{stop.what[1:]}",
            "stopped by the operator" if stop.effect == "stop" else f"set by the operator to {stop.outcome.text}",
        )
        for stop in deps.services.stops.in_force()
    ]


def _provider(name: str, deps: Deps) -> ProviderCondition:
    view = deps.services.health.views().get(name)
    problem = deps.services.model_lists.listing(name).problem
    if view is not None and view.breaker.state == "open":
        problem = "gets no requests for a while: it failed too often"
    elif view is not None and view.keys and all(key.set_aside_until_ms is not None for key in view.keys):
        problem = "its keys are refused or used up"
    return ProviderCondition(f"Provider {name}", problem)


def _page(base_url: str, conditions: Sequence[ProviderCondition]) -> str:
    url = escape(base_url)
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td>"
        + (f'<td class="bad">{escape(one.problem)}</td>' if one.problem else '<td class="ok">ready</td>')
        + "</tr>"
        for one in conditions
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tollkeeper</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Tollkeeper</h1>
<p>A proxy for language-model APIs: a budget for every user, every cent on record. Version {escape(__version__)}.</p>
<h2>State</h2>
<table>{rows}</table>
<h2>Base URL</h2>
<pre>{url}</pre>
<p>Any OpenAI client works with it. The key is your Tollkeeper token (tk-…), which the operator gives you.</p>
<h2>Environment</h2>
<pre>export OPENAI_BASE_URL={url}
export OPENAI_API_KEY=tk-...</pre>
<h2>curl</h2>
<pre>curl {url}/chat/completions \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "openai/gpt-5-mini",
       "messages": [{{"role": "user", "content": "Hello!"}}]}}'</pre>
<h2>Python</h2>
<pre>from openai import OpenAI

client = OpenAI(base_url="{url}", api_key="tk-...")
answer = client.chat.completions.create(
    model="openai/gpt-5-mini", messages=[{{"role": "user", "content": "Hello!"}}]
)
print(answer.choices[0].message.content)</pre>
<h2>Node</h2>
<pre>import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{url}", apiKey: "tk-..." }});
const answer = await client.chat.completions.create({{
  model: "openai/gpt-5-mini", messages: [{{ role: "user", content: "Hello!" }}],
}});
console.log(answer.choices[0].message.content);</pre>
<h2>More</h2>
<p><a href="/me">Your own page</a> shows what you have used and what is left; operators have
<a href="/dashboard">the dashboard</a>.</p>
<p>With your token: <code>GET {url}/models</code> lists what you may use,
<code>GET {url}/me/limits</code> tells what is left. The operator runs <code>tollkeeper check</code>.</p>
</body>
</html>
"""
