"""The tables of docs/reference/admin-api.md, made from the document of the operator's API. Pure."""

import re
from collections.abc import Iterator
from textwrap import fill

from proxy.web.admin.reference import CallReference, FieldReference, ModelReference, nouns
from proxy.web.admin.resources import TABLE

_BETWEEN = re.compile(r"(<!-- resources -->\n).*?(<!-- end -->)", re.DOTALL)


def written(page: str) -> str:
    """Return the page with its tables as the routes are now."""
    text = "\n".join(_lines())
    return _BETWEEN.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def _lines() -> Iterator[str]:
    for noun in nouns(TABLE):
        yield f"\n### {noun.name.title()}\n"
        yield "| call | role | what it does | takes |"
        yield "|---|---|---|---|"
        yield from map(_call, noun.calls)
        for model in noun.answers:
            yield from _model(model)


def _call(call: CallReference) -> str:
    takes = ", ".join(f"`{field.name}`{'*' if field.is_required else ''}" for field in call.takes)
    path = call.path.removeprefix("/admin/v1")
    return f"| `{call.method} {path}` | {call.role} | {call.summary} | {takes} |"


def _model(model: ModelReference) -> Iterator[str]:
    base = "" if model.base is None else f" As {model.base}, and:"
    yield "\n" + fill(f"**{model.name}**: {' '.join(model.description.split())}{base}", 118) + "\n"
    yield "| field | type | |"
    yield "|---|---|---|"
    yield from map(_field, model.fields)


def _field(field: FieldReference) -> str:
    return f"| `{field.name}` | {field.type} | {' '.join(field.description.split())} |".replace("  ", " ")
