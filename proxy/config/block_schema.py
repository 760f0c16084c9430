"""The JSON Schema of a block of settings: its types as they are read, its texts and defaults. Only editors need it."""

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from proxy.config.block import Block, BlockField
from proxy.config.check import Bounds, EditorSchema, FewestEntries

_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def block_schema(block: type[Block]) -> dict[str, Any]:
    """Return the schema of a block, with those of the blocks in it under $defs."""
    blocks: dict[str, dict[str, Any]] = {}
    schema = _block(block, blocks)
    return {**schema, "$defs": dict(sorted(blocks.items()))}


def _block(block: type[Block], blocks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    schema: dict[str, Any] = {"additionalProperties": False}
    if block.__doc__ is not None:
        schema["description"] = block.__doc__
    schema["properties"] = {name: _field(name, field, blocks) for name, field in block.fields.items()}
    needed = [name for name, field in block.fields.items() if field.is_required()]
    if needed:
        schema["required"] = needed
    return {**schema, "title": block.__name__, "type": "object"}


def _field(name: str, field: BlockField, blocks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    schema = _type(field.annotation, blocks)
    options = schema.get("anyOf", [schema])
    options[0].update(_bounds(field.bounds, options[0].get("type")))
    schema |= {"description": field.description, "why": field.why, "restart": field.restart}
    if "$ref" in schema:
        return schema
    schema["title"] = name.replace("_", " ").title()
    if not field.is_required():
        schema["default"] = _plain(field.default)
    return schema


def _bounds(bounds: Bounds, kind: object) -> dict[str, Any]:
    """Return the bounds of what is a number, or may be one."""
    if kind not in ("integer", "number", ["number", "string"]):
        return {}
    named = {"minimum": bounds.ge, "exclusiveMinimum": bounds.gt, "maximum": bounds.le}
    return {word: value for word, value in named.items() if value is not None}


def _type(kind: Any, blocks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _marked(parts[0], parts[1:], blocks)
    if origin is Union or origin is UnionType:
        return {"anyOf": [_type(part, blocks) for part in parts]}
    if origin is Literal:
        return {"enum": list(parts), "type": _TYPES[type(parts[0])]}
    if origin is tuple:
        return {"type": "array", "items": _type(parts[0], blocks)}
    if origin is dict:
        values = True if parts[1] is Any else _type(parts[1], blocks)
        names = {word: value for word, value in _type(parts[0], blocks).items() if word != "type"}  # all are text
        schema: dict[str, Any] = {"type": "object", "additionalProperties": values}
        return {**schema, "propertyNames": names} if names else schema
    if issubclass(kind, Block):
        if kind.__name__ not in blocks:
            blocks[kind.__name__] = {}  # it is under way
            blocks[kind.__name__] = _block(kind, blocks)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return {"type": _TYPES[kind]}


def _marked(kind: Any, marks: tuple[Any, ...], blocks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    said = [mark.schema for mark in marks if isinstance(mark, EditorSchema)]
    schema = dict(said[-1]) if said else _type(kind, blocks)
    lengths = [mark.entries for mark in marks if isinstance(mark, FewestEntries)]
    return {**schema, "minItems": lengths[-1]} if lengths else schema


def _plain(default: Any) -> Any:
    if isinstance(default, tuple):
        return [_plain(one) for one in default]
    if isinstance(default, date | datetime | time):
        return default.isoformat()
    return str(default) if isinstance(default, Decimal | Path) else default
