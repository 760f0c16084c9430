"""Send an alert to a URL: JSON, signed where there is a secret, and never to where an outsider leads it."""

import asyncio
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.config.alerts import AlertDestination
from proxy.core.inner_address import host_problem, is_inner
from proxy.core.webhook_secret import read_secret
from proxy.policy.alerts.alert_message import AlertForm, body_of
from proxy.policy.alerts.retry_schedule import SendResult
from proxy.storage.alerts import StoredDelivery
from proxy.wire.retry_after import read_retry_after
from proxy.wire.webhook_signature import signature_headers, unsigned_headers

_ANSWER_MAX_BYTES = 400
_GONE = 410


class InnerAddressError(OSError):
    """A name, or a URL, leads to an address that only this machine or its network may reach."""


class OuterResolver(AbstractResolver):
    """Looks a name up at the moment of connecting; a name with any inner address is refused."""

    def __init__(self, names: AbstractResolver) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._names.resolve(host, port, family)
        if any(is_inner(each["host"]) for each in found):
            raise InnerAddressError(f"{host} leads to an inner address")
        return found

    async def close(self) -> None:
        await self._names.close()


def outer_socket(address: Any) -> socket.socket:
    """Open a socket for an address that was resolved: the last gate, which literals pass too."""
    family, kind, protocol, _, place = address
    if is_inner(place[0]):
        raise InnerAddressError(f"{place[0]} is an inner address")
    return socket.socket(family, kind, protocol)


class WebhookSender:
    """Sends to webhooks. Each attempt has a connection of its own: alerts are rare."""

    def __init__(self, names: type[AbstractResolver] = aiohttp.ThreadedResolver) -> None:
        """Keep what looks names up."""
        self._names = names

    async def send(self, destination: AlertDestination, delivery: StoredDelivery) -> SendResult:
        """Send once; never raises for what a receiver, a name or the network does."""
        assert destination.url is not None
        url = destination.url.reveal()
        problem = None if destination.allow_private else host_problem(urlsplit(url).hostname or "")
        if problem is not None:
            return SendResult(f"{problem}; allow_private is not set", is_final=True)
        form: AlertForm = destination.kind  # type: ignore[assignment]  # the caller has told them apart
        body = body_of(form, delivery.message)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Tollkeeper",
            **_signed(destination, delivery, body),
        }
        try:
            async with asyncio.timeout(float(destination.timeout_s)):
                return await self._post(destination, url, headers, body)
        except TimeoutError:
            return SendResult(f"no answer within {destination.timeout_s:g} s")
        except aiohttp.ClientError as error:
            inner = _inner_address(error)
            if inner is not None:
                return SendResult(f"{inner}; allow_private is not set", is_final=True)
            return SendResult(_reason(error))

    async def _post(self, destination: AlertDestination, url: str, headers: dict[str, str], body: bytes) -> SendResult:
        names = self._names()
        connector = aiohttp.TCPConnector(
            resolver=names if destination.allow_private else OuterResolver(names),
            socket_factory=None if destination.allow_private else outer_socket,
            use_dns_cache=False,
            force_close=True,
        )
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return await _result_of(answer)


async def _result_of(answer: aiohttp.ClientResponse) -> SendResult:
    if 200 <= answer.status < 300:
        return SendResult(status=answer.status)
    wait_s = read_retry_after(answer.headers.get, None, time.time_ns() // 1_000_000)
    if 300 <= answer.status < 400:
        return SendResult("the receiver redirects, which is not followed", answer.status, wait_s)
    if answer.status == _GONE:
        return SendResult("the receiver answered 410: it wants no more", _GONE, is_gone=True)
    said = await answer.content.read(_ANSWER_MAX_BYTES)
    text = "".join(char for char in said.decode(errors="replace") if char.isprintable()).strip()
    return SendResult(f"the receiver answered {answer.status}{': ' if text else ''}{text[:100]}", answer.status, wait_s)


def _signed(destination: AlertDestination, delivery: StoredDelivery, body: bytes) -> dict[str, str]:
    now_s = int(time.time())  # the receiver compares it with its own clock
    if destination.secret is None:
        return unsigned_headers(delivery.alert_id, now_s)
    return signature_headers(read_secret(destination.secret.reveal()), delivery.alert_id, now_s, body)


def _inner_address(error: BaseException | None) -> InnerAddressError | None:
    """Return the refusal of an inner address among an error and what caused it."""
    while error is not None:
        if isinstance(error, InnerAddressError):
            return error
        wrapped = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
        if isinstance(wrapped, InnerAddressError):
            return wrapped
        error = error.__cause__ or error.__context__
    return None


def _reason(error: Exception) -> str:
    """Return what went wrong without the URL, which is a secret."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the receiver's certificate is not accepted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the receiver's name cannot be looked up"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or type(error.os_error).__name__}"
    return f"the connection broke ({type(error).__name__})"
