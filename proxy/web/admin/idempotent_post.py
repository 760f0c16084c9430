"""A POST to the operator's API with an Idempotency-Key is done once, however often it is sent within a day.

The key is claimed in the transaction of the change, so that after a crash either both are there or neither. An answer
with a secret is not kept: who repeats the POST is told that it was done.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from proxy.core.errors import CallerError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.idempotency import HEADER
from proxy.storage.admin_posts import PostClaim, StoredPost
from proxy.storage.ledger import LedgerUnavailableError
from proxy.web.admin.moment import moment_text
from proxy.web.admin.route import AdminRequest, AdminRoute
from proxy.web.deps import Deps

log = logging.getLogger("tollkeeper.web")

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class PostAnswer(NamedTuple):
    """What a POST is answered with; is_replayed: by what an earlier one was answered with."""

    status: int
    body: bytes
    is_replayed: bool = False


def read_claim(context: RequestContext, actor: str, path: str, body: bytes) -> PostClaim | None:
    """Return what an Idempotency-Key claims; None without one. Raises CallerError 400 for what is no key."""
    keys = set(context.downstream.request_headers.headers.getall(HEADER, []))
    if not keys:
        return None
    key = keys.pop()
    if keys or not _KEY.fullmatch(key):
        raise CallerError(
            400, "invalid_header", f"{HEADER}: one key of 1 to 255 visible ASCII characters is needed.", param=HEADER
        )
    digest = hashlib.sha256(f"{len(path)} {path}".encode(errors="surrogateescape"))
    digest.update(body)
    return PostClaim(hashlib.sha256(f"{actor}\n{key}".encode()).digest(), digest.digest())


async def post_once(
    request: AdminRequest, route: AdminRoute, claim: PostClaim, run: Callable[[], Awaitable[PostAnswer]]
) -> PostAnswer:
    """Return what run answers, or what it answered the last time."""
    services = request.deps.services
    with _alone(request.deps, claim):
        earlier = await request.read(services.reports.find_post, claim.key_hash, request.now_ms)
        if earlier is not None:
            return _earlier_answer(earlier, claim)
        answer = await run()
        kept = (None, None) if route.shows_secret else (answer.status, answer.body)
        try:
            await services.ledger.keep_answer(claim, request.now_ms, *kept)
        except LedgerUnavailableError as error:  # what it did is on disk, with its key
            log.warning("admin.answer_not_kept", extra={"problem": str(error)})
        return answer


@contextmanager
def _alone(deps: Deps, claim: PostClaim) -> Iterator[None]:
    """Hold a key for one POST at a time; raises CallerError 409 while another one has it."""
    if claim.key_hash in deps.posts:
        raise CallerError(
            409, "idempotency_in_flight", f"The POST with this {HEADER} is under way. Try again.", retry_after_s=1
        )
    deps.posts.add(claim.key_hash)
    try:
        yield
    finally:
        deps.posts.discard(claim.key_hash)


def _earlier_answer(earlier: StoredPost, claim: PostClaim) -> PostAnswer:
    if earlier.body_hash != claim.body_hash:
        raise CallerError(
            422,
            "idempotency_key_reused",
            f"This {HEADER} came with another body or at another path before. Take a new key for each POST.",
            param=HEADER,
        )
    if earlier.status is None or earlier.answer is None:
        raise CallerError(
            409,
            "idempotency_finished",
            f"This POST was done at {moment_text(earlier.at_ms)}, and not again now. Its answer was not kept: a secret"
            " in it was shown once. Read what it made, or make another with a new key.",
        )
    return PostAnswer(earlier.status, earlier.answer, is_replayed=True)
