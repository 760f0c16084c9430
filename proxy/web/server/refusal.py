"""What is told of a request that an error answers and that has no row."""

import re

from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.identity.directory import Directory
from proxy.pipeline.values.finished import RequestRefused
from proxy.pipeline.values.identity import Identity

_TOKEN = re.compile(r"\btk-[A-Za-z0-9_-]+")  # or the begin of one, which a text may quote
_HIDDEN = "tk-"
_KEY_IN_TEXT = "model_not_found"  # its text suggests names for what the client wrote


def refusal_of(context: RequestContext, path: str, error: ApiError, directory: Directory) -> RequestRefused:
    """Return the event of a request that an error answers. path: without what a client made up."""
    fault = "caller" if isinstance(error, CallerError) else "ours" if isinstance(error, OwnError) else "provider"
    identity = _identity(context, directory)
    tags = getattr(context, "tags", None)  # set once the body is read
    return RequestRefused(
        request_id=context.request_id,
        at_ms=context.clock.now_ms(),
        user=context.user or (None if identity is None else identity.user),
        path=path,
        model=context.asked,
        status=error.status,
        code=error.code,
        param=error.param,
        reason=_reason(error),
        fault=fault,
        duration_ms=int((context.clock.monotonic_s() - context.started_s) * 1000),
        address=context.downstream.address,
        group_name=None if identity is None else identity.group,
        token_id=None if identity is None else identity.token_id,
        use_case=None if tags is None else tags.use_case,
        session_id=None if tags is None else tags.session_id,
        limit=error.limit,
    )


def _identity(context: RequestContext, directory: Directory) -> Identity | None:
    """Return who asks, or whose token it is that was refused: disabled or expired, it is known all the same."""
    identity: Identity | None = getattr(context, "identity", None)
    hash_ = context.downstream.request_headers.token_hash
    if identity is not None or hash_ is None:
        return identity
    row = directory.find(hash_)
    return None if row is None else row.identity


def _reason(error: ApiError) -> str | None:
    """Return the text of an error whose every word is ours, without anything of a token."""
    if not isinstance(error, CallerError | OwnError) or error.code == _KEY_IN_TEXT:
        return None
    return _TOKEN.sub(_HIDDEN, error.message)
