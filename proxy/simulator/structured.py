"""An example value for a JSON schema, as a model gives to ``response_format`` or a tool. Pure.

Covers what structured outputs allow: objects, arrays, strings with formats, numbers with bounds, enum, const,
anyOf, allOf and $ref into $defs, also recursive ones.
"""

from typing import Any

_DEEPEST = 12  # recursive schemas end here: arrays become empty, unions take their shortest branch
_BY_FORMAT = {
    "date-time": "2026-11-20T12:00:00Z",
    "date": "2026-11-20",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "anna@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "uri": "https://example.com/",
}


def example(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Return a value that is valid for schema; root is the schema that ``$ref`` points into."""
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return example(_branch(schema[union], depth), root, depth + 1)
    if schema.get("allOf"):
        return example(_merged(schema["allOf"], root), root, depth + 1)
    return _of_type(schema, root, depth)


def _resolve(reference: str, root: Any) -> Any:
    node = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            node = node.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(node, dict) else {}
    return node


def _branch(branches: list[Any], depth: int) -> Any:
    if depth >= _DEEPEST:
        for branch in branches:
            if isinstance(branch, dict) and branch.get("type") == "null":
                return branch
    return branches[0]


def _merged(parts: list[Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        whole = _resolve(part["$ref"], root) if isinstance(part, dict) and "$ref" in part else part
        if isinstance(whole, dict):
            properties = merged.get("properties", {}) | whole.get("properties", {})
            merged |= whole
            if properties:
                merged["properties"] = properties
    return merged


def _of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties", {})
        wanted = properties if depth < _DEEPEST else schema.get("required", [])
        return {name: example(properties.get(name, {}), root, depth + 1) for name in wanted}
    if kind == "array":
        count = schema.get("minItems", 1 if depth < _DEEPEST else 0)
        return [example(schema.get("items", {"type": "string"}), root, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return _number(schema, integer=kind == "integer")
    return {"boolean": True, "null": None}.get(kind, _string(schema)) if kind else _string(schema)


def _number(schema: dict[str, Any], *, integer: bool) -> Any:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    step = schema.get("multipleOf", 1)
    if low is None and high is None:
        return step
    if low is None:
        return high - step
    value = low if "minimum" in schema else low + step
    value = -(-value // step) * step
    if high is not None and value >= high and not integer and "minimum" not in schema:
        return (low + high) / 2
    return value


def _string(schema: dict[str, Any]) -> str:
    text = _BY_FORMAT.get(schema.get("format", ""), "example")
    shortest = schema.get("minLength", 0)
    if len(text) < shortest:
        text = text.ljust(shortest, "x")
    longest = schema.get("maxLength")
    return text if longest is None else text[:longest]
