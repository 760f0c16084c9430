"""The operator's API as people read it, made from its OpenAPI document. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from proxy.web.admin.openapi import openapi
from proxy.web.admin.resource_table import ResourceTable

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}
_OF_LISTS = frozenset({"cursor", "limit"})


class FieldReference(Struct, frozen=True):
    """A field of a body or an answer, or a parameter of a query."""

    name: str
    type: str
    is_required: bool
    description: str


class ModelReference(Struct, frozen=True):
    """A body or an answer. base: the name of another one whose fields it has too, which fields then leaves out."""

    name: str
    description: str
    fields: tuple[FieldReference, ...]
    base: str | None = None


class CallReference(Struct, frozen=True):
    """A method and a path. takes: the parameters of its query, or the fields of its body; gives: its answer's model."""

    method: str
    path: str
    role: str
    summary: str
    takes: tuple[FieldReference, ...]
    gives: str


class NounReference(Struct, frozen=True):
    """The calls of one resource, and the models of their answers."""

    name: str
    calls: tuple[CallReference, ...]
    answers: tuple[ModelReference, ...]


def nouns(table: ResourceTable) -> list[NounReference]:
    """Return all resources in the order of their table."""
    document = openapi(table)
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    calls: dict[str, list[CallReference]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            calls[operation["tags"][0]].append(_call(method.upper(), path, operation, schemas))
    return [
        NounReference(name, tuple(found), tuple(_models({call.gives: None for call in found}, schemas)))
        for name, found in calls.items()
    ]


def _call(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> CallReference:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    takes = [
        FieldReference(each["name"], _type(each["schema"]), each["required"], each.get("description", ""))
        for each in operation["parameters"]
        if each["in"] == "query" and each["name"] not in _OF_LISTS
    ]
    if body is not None:
        takes += _fields(_resolved(body, schemas))
    answer = next(
        response["content"]["application/json"]["schema"]["properties"]["data"]
        for status, response in operation["responses"].items()
        if status.startswith("2")
    )
    role = operation["description"].rstrip(".").rpartition(" ")[2]
    return CallReference(method, path, role, operation["summary"], tuple(takes), _type(answer.get("items", answer)))


def _models(names: Mapping[str, None], schemas: Mapping[str, Any]) -> Iterator[ModelReference]:
    """Yield models, and those that their fields are made of."""
    left, done = list(names), dict[str, tuple[FieldReference, ...]]()
    while left:
        name = left.pop(0)
        if name in done or name not in schemas:
            continue
        schema = schemas[name]
        fields = tuple(_fields(schema))
        base = next((other for other, known in done.items() if known and {*known} < {*fields}), None)
        shown = tuple(field for field in fields if base is None or field not in done[base])
        done[name] = fields
        yield ModelReference(name, schema.get("description", ""), shown, base)
        left += [ref for ref in _refs(schema.get("properties", {})) if ref not in done]


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for value in schema.values():
            yield from _refs(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _refs(value)


def _fields(schema: Mapping[str, Any]) -> Iterator[FieldReference]:
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield FieldReference(name, _type(field), name in needed, field.get("description", ""))


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a value in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(_type(each) for each in choices))
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("format") == "date-time":
        return "time"
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    if isinstance(kind, list):
        return " or ".join(_type({"type": each}) for each in kind)
    return _TYPES.get(str(kind), "null" if kind == "null" else "any value")
