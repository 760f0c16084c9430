"""Read what a request to the operator's API holds: body and query, checked against the route's models."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import BodyIncompleteError, BodyTooLargeError
from proxy.web.admin.page import PageRequest, read_page
from proxy.web.admin.route import AdminRoute, NoFields, NoFilters

_BODY_MAX_BYTES = 1 << 20
_BODY_TIMEOUT_S = 30.0
_LENGTH_DIGITS = 18
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.ASCII | re.IGNORECASE)
_PARAMETERS_MAX = 100
_TOLD_MAX = 5  # mistakes in one answer
_VALUE_ERROR = "Value error, "
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}", re.ASCII)


async def read_json(context: RequestContext, *, optional: bool = False) -> bytes:
    """Return the body; raises CallerError for one that is not declared as JSON, too large, or broken off.

    optional: an empty body may come without a Content-Type.
    """
    headers = context.downstream.request_headers.headers
    is_json = headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"
    if not is_json and not optional:  # no form of a web page may reach this
        raise _not_json()
    if not _is_plain(headers):
        raise CallerError(415, "unsupported_content_type", "Send the body as UTF-8 without compression.", close=True)
    length = headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and (len(length) > _LENGTH_DIGITS or int(length) > _BODY_MAX_BYTES):
        raise _too_large()  # none of it is waited for
    try:
        body = await context.downstream.read_body(_BODY_MAX_BYTES, _BODY_TIMEOUT_S)
    except BodyTooLargeError:
        raise _too_large() from None
    except (BodyIncompleteError, TimeoutError):
        raise CallerError(400, "body_incomplete", "The body ended before it was complete.", close=True) from None
    if body and not is_json:
        raise _not_json()
    return body


def _is_plain(headers: Mapping[str, str]) -> bool:
    """Return whether a body is declared as neither compressed nor in another encoding than UTF-8."""
    charset = _CHARSET.search(headers.get("Content-Type", ""))
    is_utf8 = charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    return is_utf8 and headers.get("Content-Encoding", "identity").strip().lower() in ("", "identity")


def _too_large() -> CallerError:
    return CallerError(413, "body_too_large", "The body is larger than 1 MiB.", close=True)


def _not_json() -> CallerError:
    return CallerError(
        415, "unsupported_content_type", 'Send the body with "Content-Type: application/json".', close=True
    )


def parse_body(route: AdminRoute, body: bytes) -> BaseModel:
    """Return the model of a body; an empty one has no fields. Raises CallerError 400 or 422 that names the field."""
    model = route.body or NoFields
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = _problems(error)[0]
        if first["type"] == "json_invalid":
            raise CallerError(400, "invalid_json", f"The body is not valid JSON: {_sentence(first)}") from None
        if not first["loc"]:
            raise CallerError(400, "invalid_json", "The body must be a JSON object.") from None
        raise CallerError(422, "invalid_field", _texts(model, error), param=_place(first)) from None


def parse_query(route: AdminRoute, query: str) -> tuple[BaseModel, PageRequest]:
    """Return the model of a query, and the page that it asks for; raises CallerError 400 that names the parameter."""
    fields = _parameters(query)
    page = PageRequest()
    if route.is_list:
        page = read_page(_single(fields, "cursor"), _single(fields, "limit"))
    model = route.query or NoFilters
    try:
        return model.model_validate(fields), page
    except ValidationError as error:
        first = _problems(error)[0]
        raise CallerError(400, "invalid_query", _texts(model, error), param=_place(first)) from None


def _parameters(query: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS_MAX)
        query.encode()
    except ValueError:  # of it is a UnicodeError
        raise CallerError(
            400, "invalid_query", f"The query is not UTF-8, or has more than {_PARAMETERS_MAX} parameters."
        ) from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _single(fields: dict[str, Any], name: str) -> str | None:
    value = fields.pop(name, None)
    if isinstance(value, list):
        raise CallerError(400, "invalid_query", f"{name}: send it once.", param=name)
    return None if value is None else str(value)


def _problems(error: ValidationError) -> Sequence[Mapping[str, Any]]:
    return error.errors(include_url=False, include_input=False, include_context=False)


def _place(problem: Mapping[str, Any]) -> str:
    """Return the path of a field. A name that no field could have may be a secret that slipped: it is not quoted."""
    if problem["type"] != "extra_forbidden":
        return ".".join(str(part) for part in problem["loc"])
    *path, name = problem["loc"]
    return ".".join([*map(str, path), name if _NAME.fullmatch(str(name)) else "(a name that no field has)"])


def _texts(model: type[BaseModel], error: ValidationError) -> str:
    """Return all that is wrong, so that nobody has to find out one by one."""
    found = [_text(model, each) for each in _problems(error)[: _TOLD_MAX + 1]]
    return " ".join(found[:_TOLD_MAX]) + (" And more." if len(found) > _TOLD_MAX else "")


def _text(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    """Return what is wrong, where, and what there is instead."""
    where = _place(problem) or "The body"
    if problem["type"] == "missing":
        return f"{where} is missing."
    if problem["type"] == "string_pattern_mismatch" and (form := _form(model, problem)):
        return f"{where} has not the form that it needs. {form}"
    if problem["type"] != "extra_forbidden":
        return f"{where}: {_sentence(problem)}"
    if len(problem["loc"]) > 1:
        return f"{where} is not known here."
    names = ", ".join(model.model_fields) or "none"
    return f"{where} is not known here. There are: {names}."


def _form(model: type[BaseModel], problem: Mapping[str, Any]) -> str | None:
    """Return what a field says of itself, for a person to whom its pattern says nothing."""
    field = model.model_fields.get(str(problem["loc"][0]))
    return field.description if field is not None and len(problem["loc"]) == 1 else None


def _sentence(problem: Mapping[str, Any]) -> str:
    text = str(problem["msg"]).removeprefix(_VALUE_ERROR)
    return text if text.endswith(".") else f"{text}."
