"""What the operator's API says of itself: its OpenAPI document, and a page without a script made from it."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from html import escape

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.web.admin.openapi import openapi_json
from proxy.web.admin.reference import CallReference, ModelReference, NounReference, nouns
from proxy.web.admin.resource_table import ResourceTable
from proxy.web.json_reply import json_reply, own_reply

PAGE = "docs"
_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 2rem 1.25rem; max-width: 62rem; font: 15px/1.5 system-ui, sans-serif; }
h2 { margin: 2.5rem 0 .5rem; } h3 { margin: 1.5rem 0 .25rem; font-size: 1rem; }
p { margin: .25rem 0; } code { font: 13px ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .2rem .75rem .2rem 0; text-align: left; vertical-align: top; border-top: 1px solid #8884; }
td:first-child { white-space: nowrap; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def _show_openapi(context: RequestContext, table: ResourceTable) -> Reply:
    return json_reply(context, openapi_json(table), headers={"Cache-Control": "no-store"})


def _show_page(context: RequestContext, table: ResourceTable) -> Reply:
    return own_reply(context, 200, _HEADERS, _page(table))


DOCUMENTS: Mapping[str, Callable[[RequestContext, ResourceTable], Reply]] = {
    "openapi.json": _show_openapi,
    PAGE: _show_page,
}


@lru_cache(maxsize=4)
def _page(table: ResourceTable) -> bytes:
    parts = [part for noun in nouns(table) for part in _noun(noun)]
    title = "Tollkeeper: the operator's API"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>. Paths are below <code>/admin/v1</code>.'
        f" A field with * is needed.</p>{''.join(parts)}</body></html>"
    ).encode()


def _noun(noun: NounReference) -> Iterator[str]:
    yield f"<h2>{escape(noun.name)}</h2><table><tr><th>call</th><th>role</th><th>what it does</th><th>takes</th></tr>"
    yield from map(_call, noun.calls)
    yield "</table>"
    yield from map(_model, noun.answers)


def _call(call: CallReference) -> str:
    takes = ", ".join(f"<code>{escape(field.name)}</code>{'*' if field.is_required else ''}" for field in call.takes)
    path = call.path.removeprefix("/admin/v1")
    cells = f"<code>{call.method} {escape(path)}</code>", call.role, escape(call.summary), takes
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _model(model: ModelReference) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field.name)}</code></td><td>{escape(field.type)}</td>"
        f"<td>{escape(field.description)}</td></tr>"
        for field in model.fields
    )
    base = "" if model.base is None else f" As {escape(model.base)}, and:"
    return f"<h3>{escape(model.name)}</h3><p>{escape(model.description)}{base}</p><table>{rows}</table>"
