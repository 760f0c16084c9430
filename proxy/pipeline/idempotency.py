"""The same Idempotency-Key of the same user never bills twice.

While the first request runs, a plain one is joined: the others get its answer. When it is over, the ledger's row
decides: what failed and certainly cost nothing runs anew, anything else is a 409 that names the first request.
"""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from proxy.core.errors import ApiError, CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.errors import CLIENT_GONE_STATUS, client_gone, ledger_down
from proxy.pipeline.idempotency_claim import IdempotencyClaim
from proxy.pipeline.services import Services
from proxy.policy.idempotency import EarlierRequest, repeat_of
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.rows import KeyHashes, StoredKey, id_floor, id_text

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_WAIT_S = 2  # what is asked of one who comes while the first request runs: about the length of an answer


@asynccontextmanager
async def idempotency(context: RequestContext, services: Services) -> AsyncIterator[Reply | None]:
    """Claim the request's key; yield None, or the answer of the request that has it. Keep the answer for who joins.

    Raises CallerError 409 where that one cannot be joined, 422 where it had another body, 400 for what is no key.
    """
    key = context.tags.idempotency_key
    assert key is not None
    hashes = hashes_of(context.identity.user, key, context.endpoint.name, context.body)
    earlier = await _joined(hashes, context, services)
    if earlier is not None:
        yield earlier
        return
    claim = context.claim = _claim(hashes, context, services)
    try:
        await _check_past(claim, context, services)
        yield None
    except ApiError as error:
        if error.code != "client_gone":  # CancelledError is not for others to see
            claim.error = error
        raise
    finally:
        context.claim = None
        services.claims.end(claim)


async def _joined(hashes: KeyHashes, context: RequestContext, services: Services) -> Reply | None:
    """Return the answer of the request under way that has the key; None where there is none to be joined."""
    while (claim := services.claims.find(hashes)) is not None:
        if claim.hashes.body != hashes.body:
            raise _other_body(claim.request_id)
        if claim.streams:
            raise _not_over(claim.request_id, context)
        reply = await _join(claim, context, services)
        if reply is not None:
            if services.access is not None:
                services.access.joined(context)
            return reply
    return None


def _claim(hashes: KeyHashes, context: RequestContext, services: Services) -> IdempotencyClaim:
    kept_ms = int(context.snapshot.settings.ledger.idempotency_kept_s * 1000)
    since_id = id_floor(max(0, context.started_ms - kept_ms))
    streams = context.body.get("stream") is True
    return services.claims.add(IdempotencyClaim(hashes, context.id, since_id, streams=streams))


async def _check_past(claim: IdempotencyClaim, context: RequestContext, services: Services) -> None:
    """Let a request pass whose key nobody has used; raises CallerError where one that is over has."""
    try:
        noted = await services.ledger.find_key(claim.hashes.key, claim.since_id)
    except LedgerUnavailableError as error:
        raise ledger_down(str(error)) from None
    if noted is not None:
        _check(noted, claim.hashes, context)


def hashes_of(user: str, key: str, endpoint: str, body: dict[str, Any]) -> KeyHashes:
    """Hash what identifies a request; raises CallerError for what is no key.

    The order of fields and the space between them do not count. Neither hash leads back to a prompt: that of the body
    is keyed with the client's key, which is stored nowhere.
    """
    if not _KEY.fullmatch(key):
        raise CallerError(
            400, "invalid_header", f"{HEADER} must hold 1 to 255 visible ASCII characters.", param=HEADER.lower()
        )
    whose = f"{len(user)}:{user}{key}".encode()
    content = endpoint.encode() + b"\0" + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return KeyHashes(hashlib.sha256(b"key\0" + whose).digest(), hmac.digest(b"body\0" + whose, content, "sha256"))


async def _join(claim: IdempotencyClaim, context: RequestContext, services: Services) -> Reply | None:
    """Wait for the end of the first request and give its answer; None where it came to none that could be told."""
    end = claim.wait_for_end()
    try:
        await context.wait_for(end)
    finally:
        claim.forget(end)
    if context.gone:
        raise client_gone()
    if services.stops.active:  # which may have ended the wait, while the first request goes on
        services.stops.check(context)
    if claim.error is not None:
        context.request_id = claim.request_id
        raise _again(claim.error)
    if claim.answer is None:
        return None
    status, headers, body = claim.answer
    return context.downstream.whole(status, {**headers, "x-tollkeeper-joined": "1"}, body, context.started_ms)


def _again(error: ApiError) -> ApiError:
    """Return a copy of an error: one that is raised twice would carry both tracebacks."""
    return type(error)(
        error.status,
        error.code,
        error.message,
        type_=error.type,
        param=error.param,
        retry_after_s=error.retry_after_s,
        should_retry=error.should_retry,
        headers=error.headers,
        limit=error.limit,
    )


def _check(noted: StoredKey, hashes: KeyHashes, context: RequestContext) -> None:
    request_id = id_text(noted.earlier.request_id)
    if not hmac.compare_digest(noted.body_hash, hashes.body):
        raise _other_body(request_id)
    repeat = repeat_of(noted.earlier)
    if repeat == "not_over":
        raise _not_over(request_id, context)
    if repeat == "over":
        raise _over(noted.earlier, context)


def _other_body(request_id: str) -> CallerError:
    return CallerError(
        422,
        "idempotency_key_reused",
        f"This {HEADER} was used with another body before, in {request_id}. Use a new key for each request.",
        param=HEADER.lower(),
    )


def _not_over(request_id: str, context: RequestContext) -> CallerError:
    context.request_id = request_id
    return CallerError(
        409,
        "idempotency_in_flight",
        f"The request with this {HEADER}, {request_id}, is still running, and its answer cannot be shared."
        " Nothing was sent again. Try again in a moment.",
        param=HEADER.lower(),
        retry_after_s=_WAIT_S,
    )


def _over(earlier: EarlierRequest, context: RequestContext) -> CallerError:
    """Return the error for a key whose first request was billed, or may have been."""
    request_id = context.request_id = id_text(earlier.request_id)
    hung_up = " (its client had hung up)" if earlier.status == CLIENT_GONE_STATUS else ""
    return CallerError(
        409,
        "idempotency_finished",
        f"The request with this {HEADER}, {request_id}, ended with status {earlier.status}{hung_up} and was booked."
        f" Nothing was sent again. GET /v1/generation?id={request_id} tells what it cost."
        " Take a new key to ask once more.",
        param=HEADER.lower(),
        should_retry=False,
    )
