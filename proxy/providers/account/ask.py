"""Ask a provider's management side one question: a JSON answer, or an AccountError that says what to do."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from msgspec import Struct

from proxy.core.text import fit_text
from proxy.policy.error_words import kind_of
from proxy.policy.failure import status_of, words_of
from proxy.providers.account.source import AccountError
from proxy.providers.deadlines import Deadlines
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import TransportError, UpstreamResponse
from proxy.wire.amount import read_exactly
from proxy.wire.error import error_of_body, is_json_body
from proxy.wire.json_pieces import read_in_pieces
from proxy.wire.redact import redacted
from proxy.wire.retry_after import read_retry_after

_DEADLINES = Deadlines(connect_s=5, header_s=60, idle_s=30, total_s=120)  # a query over a busy hour takes its time
_BODY_MAX_BYTES = 64 << 20
_SMALL_BYTES = 1 << 15  # a larger answer is parsed beside the event loop: it would hold requests up
_SAID_MAX_CHARS = 300
_MOMENT_MAX_CHARS = 32


class Question(Struct, frozen=True):
    """One request. title: as in "may not ask for the credits"; needs: the kind of key that may."""

    path: str
    title: str
    body: Mapping[str, Any] | None = None  # with one it is a POST
    needs: str | None = None  # what to configure where this key may not ask

    @property
    def request(self) -> str:
        """Return method and path, such as "GET /key"."""
        return f"{'GET' if self.body is None else 'POST'} {self.path.partition('?')[0]}"


Hear = Callable[[Question, Any], None]


class _Answer(Struct, frozen=True):
    status: int
    body: bytes
    retry_after_s: float | None
    error: Mapping[str, Any] | None
    is_own: bool = True  # the provider wrote it, and nobody in between


async def ask(provider: ProviderRow, key: Key, question: Question, now_ms: int) -> Any:
    """Return the parsed answer, its numbers as their literals (wire/amount.py:read_exactly); raises AccountError."""
    body = await ask_body(provider, key, question, now_ms)
    found = await parsed(body)
    if not isinstance(found, dict | list):
        raise no_json(provider, question)
    if isinstance(found, dict) and isinstance(found.get("error"), Mapping) and "data" not in found:
        raise error_within(provider, key, question, body)
    return found


async def ask_body(provider: ProviderRow, key: Key, question: Question, now_ms: int) -> bytes:
    """Return the answer as it came, under status 200; raises AccountError. It may be no JSON, or tell an error."""
    try:
        answer = await _exchange(provider, key, question, now_ms)
    except AccountError as error:
        error.request = question.request
        raise
    if answer.status != 200:
        raise _error_of_answer(provider, key, question, answer)
    return answer.body


async def parsed(body: bytes) -> Any:
    """Return an answer parsed as read_exactly() does, a long one beside the event loop."""
    return read_exactly(body) if len(body) <= _SMALL_BYTES else await asyncio.to_thread(read_in_pieces, body)


def no_json(provider: ProviderRow, question: Question) -> AccountError:
    text = f"{_asked(provider, question)} is not whole JSON: is its base_url right?"
    return AccountError("unreadable", text, status=200, request=question.request)


def error_within(provider: ProviderRow, key: Key, question: Question, body: bytes) -> AccountError:
    """Return the error that a body tells under status 200."""
    error = error_of_body(body) or {}
    return _error_of_answer(provider, key, question, _Answer(status_of(error) or 502, body, None, error))


async def _exchange(provider: ProviderRow, key: Key, question: Question, now_ms: int) -> _Answer:
    dialect = provider.dialect
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        **provider.extra_headers,
        **dialect.default_headers,
        **dialect.auth_headers(key),
    }
    body = None
    if question.body is not None:
        headers["Content-Type"] = "application/json"
        body = orjson.dumps(question.body)
    try:
        response = await provider.transport.send(
            "GET" if body is None else "POST", provider.url(question.path), headers, body, _DEADLINES
        )
        raw = await _read(provider, question, response)
    except TransportError as error:
        text = f"{provider.name} cannot be asked for {question.title}: {error}. Try again later."
        raise AccountError("unavailable", text, was_sent=error.dispatched) from None
    for one in (key, *provider.keys, provider.management_key):  # it may quote another key of the same account
        raw = raw if one is None else redacted(raw, one.quoted_bytes)
    error_object = None if response.status == 200 else error_of_body(raw)
    wait_s = None if response.status == 200 else read_retry_after(response.header, error_object, now_ms)
    return _Answer(response.status, raw, wait_s, error_object, is_own=_is_own(raw))


def _is_own(body: bytes) -> bool:
    """Return whether a body is an error as management sides write it: a JSON object with an object under "error".

    Gateways and firewalls send pages, nothing, or JSON of other shapes.
    """
    found = read_exactly(body) if is_json_body(body) else None
    return isinstance(found, Mapping) and isinstance(found.get("error"), Mapping)


async def _read(provider: ProviderRow, question: Question, response: UpstreamResponse) -> bytes:
    pieces, size = [], 0
    while piece := await response.read():
        pieces.append(piece)
        size += len(piece)
        if size > _BODY_MAX_BYTES:
            response.abort()
            raise AccountError("unreadable", f"{_asked(provider, question)} is larger than 64 MiB.")
    return b"".join(pieces)


def _asked(provider: ProviderRow, question: Question) -> str:
    return f"The answer of {provider.name} to {question.path.partition('?')[0]}"


def _error_of_answer(provider: ProviderRow, key: Key, question: Question, answer: _Answer) -> AccountError:
    found = _error_told(provider, key, question, answer)
    found.request = question.request
    return found


def _error_told(provider: ProviderRow, key: Key, question: Question, answer: _Answer) -> AccountError:
    status, wait_s = answer.status, answer.retry_after_s
    said = _said(answer)
    told = f"{provider.name} answers {status}{said}"
    if status in {408, 425} or status >= 500:
        return AccountError("unavailable", f"{told}. Try again later.", status=status, retry_after_s=wait_s)
    words = words_of(answer.error)
    meaning = kind_of(words.text, words.codes)
    kind = None if meaning is None else meaning.kind
    if status == 429 and kind != "no_credits":
        wait = "Wait a minute" if wait_s is None else f"Wait {wait_s:.0f} s"
        return AccountError("limited", f"{told}. {wait}, then ask again.", status=status, retry_after_s=wait_s)
    if not answer.is_own:
        return AccountError("unavailable", f"{told}. {_blocked(status)}", status=status, retry_after_s=wait_s)
    text = f"{told}. {_advice(key, question, answer, kind)}"
    return AccountError("refused", text, status=status, is_bad_key=status == 401 and kind != "no_credits")


def _blocked(status: int) -> str:
    """Return the sentence for an answer that is not the provider's own error: it says nothing of the key."""
    if 300 <= status < 400:
        return "It sends elsewhere, and keys go to the configured address only: is its base_url right?"
    if status == 404:
        return "The error is not its own: is its base_url right? If it is, try again later."
    return "The error is not its own: a firewall or proxy on the way may have blocked the question. Try again later."


def _advice(key: Key, question: Question, answer: _Answer, kind: str | None) -> str:
    """Return the sentence that says what the key cannot do, and what to do about it."""
    status = answer.status
    if kind == "no_credits" or (status == 402 and kind is None):
        return "The account has no credits left; the key itself is good."
    if kind == "spent":
        when = _resets(answer.error)
        return f"A limit of the account or of the key is reached, until it resets{when}; the key itself is good."
    if status == 401:
        return f"It does not know the key {key.name}: it is wrong, expired or deleted."
    if status == 403:
        needs = "" if question.needs is None else f" {question.needs}"
        return f"The key {key.name} may not ask for {question.title}.{needs}"
    if status == 404:
        return f"It has nothing that tells {question.title}; is its base_url right?"
    return f"It does not take the question for {question.title}."


def _resets(error: Mapping[str, Any] | None) -> str:
    """Return when a spent budget begins anew, as OpenRouter tells it; "" where it does not."""
    metadata = (error or {}).get("metadata")
    moment = metadata.get("resets_at") if isinstance(metadata, Mapping) else None
    return f" at {fit_text(moment, _MOMENT_MAX_CHARS)}" if isinstance(moment, str) else ""


def _said(answer: _Answer) -> str:
    message = (answer.error or {}).get("message")
    if not isinstance(message, str) or not message:
        return ""
    return f" ({fit_text(message, _SAID_MAX_CHARS).rstrip('.')})"
