"""The OpenAPI 3.1 document of the operator's API, made from the table of its routes. Pure."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson
from pydantic import BaseModel, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from proxy import __version__
from proxy.web.admin.page import LIMIT_DEFAULT, LIMIT_MAX
from proxy.web.admin.resource_table import ResourceTable
from proxy.web.admin.route import AdminRoute

_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{model}"
_DESCRIPTION = (
    "What an operator asks and changes while the proxy runs. Send an operator's token as a bearer token; over the Unix"
    " socket beside the ledger none is needed. Lists come in pages: send next_cursor as cursor until it is null."
    " Times are ISO-8601 in UTC; money is decimal USD text (…_usd) beside an integer of pico-USD (…_pusd)."
)
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of the state that is to be changed; of another state nothing is changed (412).",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "An ETag; where it is still right the answer is 304, without a body.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Within a day a POST with the same key is done once.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


class ErrorText(BaseModel):
    """What is wrong. Errors of limits and others have further fields."""

    message: str
    type: str
    param: str | None = Field(description="The field or parameter that is at fault.")
    code: str = Field(description="A stable word; docs/reference/errors.md lists them all.")


class ErrorAnswer(BaseModel):
    """The answer to a request that cannot be answered otherwise."""

    error: ErrorText
    request_id: str


class _Generator(GenerateJsonSchema):
    """Schemas without titles, which only repeat the names."""

    def get_title_from_name(self, name: str) -> str:
        return name

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


@lru_cache(maxsize=4)
def openapi_json(table: ResourceTable) -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(openapi(table))


def openapi(table: ResourceTable) -> dict[str, Any]:
    """Return the document of a table."""
    schemas, components = _schemas(table.routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in table.routes:
        paths.setdefault(f"/admin/v1{route.path}", {})[route.method.lower()] = _operation(table, route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tollkeeper: the operator's API", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"operator": []}],
        "tags": [{"name": name} for name in dict.fromkeys(route.segments[0] for route in table.routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "operator": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "admin_token of the configuration, or a token of: tollkeeper operators add",
                }
            },
        },
    }


_Schemas = Mapping[tuple[Any, JsonSchemaMode], dict[str, Any]]  # by model


def _schemas(routes: Iterable[AdminRoute]) -> tuple[_Schemas, dict[str, Any]]:
    """Return the schema of each model by its way, and what they refer to."""
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ErrorAnswer, "serialization"): None}
    for route in routes:
        wanted[route.answer, "serialization"] = None
        if route.body is not None:
            wanted[route.body, "validation"] = None
    found, all_of_them = models_json_schema(list(wanted), ref_template=_REF, schema_generator=_Generator)
    return found, all_of_them.get("$defs", {})


def _operation(table: ResourceTable, route: AdminRoute, schemas: _Schemas) -> dict[str, Any]:
    data = schemas[route.answer, "serialization"]
    properties: dict[str, Any] = {"data": data}
    if route.is_list:
        properties = {
            "data": {"type": "array", "items": data},
            "next_cursor": {"type": ["string", "null"], "description": "For the next page; null on the last."},
        }
    body = {"type": "object", "properties": properties, "required": list(properties)}
    is_single = route.method == "GET" and not route.is_list
    operation: dict[str, Any] = {
        "operationId": _name_of(route),
        "tags": [route.segments[0]],
        "summary": route.summary,
        "description": f"For operators of the role {route.required_role.name.lower()}.",
        "parameters": _parameters(table, route),
        "responses": {
            str(route.status): {
                "description": "Done.",
                "content": {"application/json": {"schema": body}},
                **({"headers": {"ETag": {"schema": {"type": "string"}}}} if is_single else {}),
            },
            **({"304": {"description": "It is as the ETag says."}} if is_single else {}),
            "4XX": _error_response("It cannot be done; the text says why, and what to do.", schemas),
            "503": _error_response("The ledger cannot be written; nothing was changed.", schemas),
        },
    }
    if route.body is not None:
        schema = schemas[route.body, "validation"]
        is_needed = bool(route.body.model_json_schema().get("required"))
        operation["requestBody"] = {"required": is_needed, "content": {"application/json": {"schema": schema}}}
    return operation


def _error_response(description: str, schemas: _Schemas) -> dict[str, Any]:
    schema = schemas[ErrorAnswer, "serialization"]
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _parameters(table: ResourceTable, route: AdminRoute) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PATH_PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        found += _query_parameters(route.query)
    if route.is_list:
        limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
        found.append({"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}})
        found.append({"name": "limit", "in": "query", "required": False, "schema": limit})
    elif route.method == "GET":
        found.append(_IF_NONE_MATCH)
    if route.method == "POST":
        found.append(_IDEMPOTENCY_KEY)
    elif route.method != "GET" and table.reader_of(route) is not None:
        found.append(_IF_MATCH)
    return found


def _query_parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the parameters of a query; one that may be left out is never null, since a URL cannot say so."""
    schema = query.model_json_schema(schema_generator=_Generator)
    definitions, needed = schema.get("$defs", {}), schema.get("required", ())
    found = []
    for name, field in schema.get("properties", {}).items():
        shown = _without_null(_inlined(field, definitions))
        description = shown.pop("description", None)
        parameter = {"name": name, "in": "query", "required": name in needed, "schema": shown}
        found.append(parameter if description is None else {**parameter, "description": description})
    return found


def _inlined(field: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema with what it refers to in place."""
    if isinstance(field, list):
        return [_inlined(each, definitions) for each in field]
    if not isinstance(field, dict):
        return field
    if "$ref" in field:
        rest = {name: value for name, value in field.items() if name != "$ref"}
        return {**_inlined(definitions[field["$ref"].rpartition("/")[2]], definitions), **rest}
    return {name: _inlined(value, definitions) for name, value in field.items()}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null, as a value or as the default."""
    shown = {name: value for name, value in field.items() if name != "anyOf" and not (name == "default" and not value)}
    choices = [each for each in field.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **shown}
    return {**shown, "anyOf": choices} if choices else shown


def _name_of(route: AdminRoute) -> str:
    """Return a name for the operation: listUsers, addUsers, showUsersName, changeUsersName."""
    verb = {"GET": "list" if route.is_list else "show", "PATCH": "change", "PUT": "set", "DELETE": "remove"}
    words = [word.strip("{}").replace("-", "_") for word in route.segments]
    parts = [part for word in words for part in word.split("_")]
    return verb.get(route.method, "post") + "".join(part.title() for part in parts)
