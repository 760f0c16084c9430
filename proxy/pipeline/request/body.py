"""Read the body within its bounds of size and time, then parse it once."""

from typing import Any

from proxy.core.errors import ApiError, CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import BodyIncompleteError, BodyTooLargeError
from proxy.pipeline.request.headers import pick_headers
from proxy.pipeline.request.tags import read_tags
from proxy.pipeline.routing.preferences import default_model
from proxy.pipeline.values.body_shape import body_shape
from proxy.pipeline.values.request_headers import Headers, RequestHeaders
from proxy.wire.body import BodyError, parse_sized

_JSON_TYPES = frozenset(
    {
        "application/json",
        "",
        "text/json",
        "application/x-json",
        "json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
    }
)

_COMPARED_MAX_BYTES = 8 << 10  # of a body that is kept to be compared with the next one of its head
_TRIES = 8  # bodies in a row that are unlike the one before; from then on each eighth is looked at
_NO_DEFAULT = (
    " You have no default model: the operator sets one as default_model, for you, your group, or everybody"
    " under defaults."
)


async def read_body(context: RequestContext) -> None:
    """Read the body and parse it; raises CallerError."""
    raw = body_at_hand(context)
    parse_request(context, await receive_body(context) if raw is None else raw)


def body_at_hand(context: RequestContext) -> bytes | None:
    """Return the body that came with its head, as nearly every one does; None: receive_body() waits for it.

    The headers are checked before; raises CallerError.
    """
    request_headers, max_bytes = context.downstream.request_headers, context.snapshot.body_max_bytes
    if not request_headers.is_json:
        _check_headers(request_headers.headers)
        request_headers.is_json = True
    raw = context.downstream.body
    if raw is None:
        _check_length(request_headers.headers, max_bytes)
    elif len(raw) > max_bytes:
        raise _too_large(max_bytes)
    return raw


async def receive_body(context: RequestContext) -> bytes:
    """Read the body as it comes; raises CallerError."""
    server = context.snapshot.settings.server
    try:
        return await context.downstream.read_body(server.body_max_bytes, server.body_timeout_s)
    except BodyTooLargeError:
        raise _too_large(server.body_max_bytes) from None
    except BodyIncompleteError:
        raise CallerError(400, "body_incomplete", "The body ended before it was complete.", close=True) from None
    except TimeoutError:
        raise CallerError(
            408,
            "body_timeout",
            f"The body did not arrive within {server.body_timeout_s:g} s. Send it faster, or in smaller requests.",
            close=True,
        ) from None


def parse_request(context: RequestContext, raw: bytes) -> None:
    """Parse what the request asks: body, checked for its endpoint, tags and headers; raises CallerError."""
    request_headers = context.downstream.request_headers
    shape = request_headers.shape
    found = None if shape is None else shape.parse(raw)
    if shape is None or found is None:
        body = _parse_whole(context, raw)
    else:
        context.shape = shape
        body, context.text = found
        if context.text is not None:
            context.written_bytes = len(raw) - shape.spaces
    context.body, context.size_bytes, context.asked = body, len(raw), body["model"]
    if request_headers.sent is None:
        pick_headers(request_headers)
    tags = request_headers.tags
    context.tags = read_tags(request_headers, body) if tags is None or "session_id" in body else tags


def _parse_whole(context: RequestContext, raw: bytes) -> dict[str, Any]:
    """Return the checked body; raises CallerError."""
    try:
        body, context.written_bytes = parse_sized(raw)
    except BodyError as error:
        raise _refused(error) from None
    try:
        context.endpoint.check(body)
    except BodyError as error:
        body, context.written_bytes = _with_default_model(context, body, error), 0
    else:
        if context.endpoint.kind == "chat":
            _compare(context.downstream.request_headers, raw)
    return body


def _compare(request_headers: RequestHeaders, raw: bytes) -> None:
    """Look for the shape that the checked body of a chat shares with the one before it of the same head."""
    if len(raw) > _COMPARED_MAX_BYTES:
        return
    last, request_headers.last_body = request_headers.last_body, raw
    if not last:
        return
    request_headers.unlike += 1
    if request_headers.unlike > _TRIES and request_headers.unlike % _TRIES:
        return
    found = body_shape(last, raw)
    if found is not None:
        request_headers.shape, request_headers.last_body, request_headers.unlike = found, b"", 0


def _refused(error: BodyError, advice: str = "") -> CallerError:
    return CallerError(400, error.code, f"{error}{advice}", param=error.param)


def _with_default_model(context: RequestContext, body: dict[str, Any], error: BodyError) -> dict[str, Any]:
    """Return the checked body with the user's default model if that is all that it lacks; raises CallerError."""
    if error.param != "model" or body.get("model") not in (None, ""):
        raise _refused(error)
    tags, routes = read_tags(context.downstream.request_headers, body), context.snapshot.routes
    model = default_model(context.identity.allowance.preferences, routes.use_cases, tags.use_case)
    if model is None:
        raise _refused(error, _NO_DEFAULT)
    filled = {**body, "model": model}
    try:
        context.endpoint.check(filled)
    except BodyError as other:
        raise _refused(other) from None
    return filled


def _check_headers(headers: Headers) -> None:
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise CallerError(
            415,
            "unsupported_content_encoding",
            "The body is compressed. Send it uncompressed, without a Content-Encoding header.",
            close=True,
        )
    content_type = headers.get("Content-Type", "")
    if not _may_be_json(content_type):
        raise CallerError(
            415,
            "unsupported_content_type",
            f"The header Content-Type says that the body is {content_type[:100]!a}. Send the body as JSON, with"
            ' "Content-Type: application/json".',
            close=True,
        )
    expect = headers.get("Expect")
    if expect is not None and expect.lower() != "100-continue":
        raise CallerError(
            417, "expectation_failed", 'The Expect header may hold nothing but "100-continue".', close=True
        )


def _may_be_json(content_type: str) -> bool:
    """Return whether a body of this type is read as JSON.

    Clients that set no type leave it to their library: curl -d says a form, fetch() with a string says text. No web
    page can use these, since its Origin is checked and its token needs a preflight.
    """
    type_ = content_type.partition(";")[0].strip().lower()
    return type_ in _JSON_TYPES or type_.endswith("+json")


def _check_length(headers: Headers, max_bytes: int) -> None:
    length = headers.get("Content-Length")
    if length is not None and int(length) > max_bytes:  # the parser let digits pass only
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> ApiError:
    return CallerError(
        413,
        "body_too_large",
        f"The body is larger than the {max_bytes} bytes that are accepted here."
        " Send less, or ask the operator to raise server.body_max_bytes.",
        close=True,
    )
