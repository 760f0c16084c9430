"""The document of the operator's API: whole, and true to the routes that it is made from."""

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from proxy.web.admin.openapi import openapi
from proxy.web.admin.resources import TABLE

DOCUMENT = openapi(TABLE)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_route_is_in_it_and_nothing_else() -> None:
    found = {(method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert found == {(route.method, f"/admin/v1{route.path}") for route in TABLE.routes}
    names = [operation["operationId"] for operations in DOCUMENT["paths"].values() for operation in operations.values()]
    assert len(set(names)) == len(names)


def test_all_references_lead_somewhere_and_every_schema_is_used() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    used = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    assert used == schemas.keys()
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_bodies_refuse_unknown_fields_and_say_so() -> None:
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            for reference in references(operation.get("requestBody", {})):
                schema = DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
                assert schema["additionalProperties"] is False


def test_each_parameter_of_a_path_is_described() -> None:
    for route in TABLE.routes:
        operation = DOCUMENT["paths"][f"/admin/v1{route.path}"][route.method.lower()]
        names = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert names == {segment[1:-1] for segment in route.segments if segment.startswith("{")}
        if route.is_list:
            assert {"cursor", "limit"} <= {each["name"] for each in operation["parameters"]}


def test_it_is_json() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
