"""Look an answer up at the provider after the fact: GET /generation?id=."""

import re
from json import JSONDecodeError, loads
from typing import Any, Final, NamedTuple

from msgspec import Struct

from proxy.core.money import MoneyError, usd_to_pusd
from proxy.providers.deadlines import Deadlines
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import TransportError

_DEADLINES = Deadlines(connect_s=5, header_s=20, idle_s=20, total_s=30)
_BODY_MAX_BYTES = 1 << 20  # a record is about 2 KB
_ID_CHARS: Final = 128
_ID: Final = re.compile(rf"[A-Za-z0-9_.:-]{{1,{_ID_CHARS}}}")  # it comes from outside and goes into a URL


class GenerationRecord(Struct, frozen=True):
    """What the provider says an answer cost. cost_pusd includes the upstream's bill for an own key.

    That bill is upstream_cost_pusd, None without an own key: of others the record says nothing. endpoint_id and
    permaslug name the endpoint that answered, and the model, as the provider's account lists them. user_agent is the
    program that asked, session_id what it said in the body.
    """

    cost_pusd: int
    cost_exact: bool
    model: str | None
    served_by: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    finish_reason: str | None
    is_byok: bool | None = None
    upstream_cost_pusd: int | None = None
    endpoint_id: str | None = None
    permaslug: str | None = None
    user_agent: str | None = None
    session_id: str | None = None


class GenerationAccess(NamedTuple):
    """Where an attempt was sent, and with which key. Only that account has a record of it."""

    provider: ProviderRow
    key: Key


class GenerationUnknownError(Exception):
    """The provider has no record of it (yet): 404."""


class GenerationUnavailableError(Exception):
    """The provider could not be asked, or its answer made no sense; nothing is known."""


def is_generation_id(text: str) -> bool:
    """Return whether a text from outside may be the id of a generation."""
    if len(text) <= _ID_CHARS and text.isascii() and text.replace("-", "").isalnum():  # nearly every one
        return True
    return _ID.fullmatch(text) is not None


async def look_up(access: GenerationAccess, generation_id: str) -> GenerationRecord:
    """Ask once for a generation; raises GenerationUnknownError or GenerationUnavailableError."""
    provider, key = access
    if not is_generation_id(generation_id):
        raise GenerationUnavailableError("the id is not one that can be asked for")
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **provider.dialect.auth_headers(key)}
    try:
        answer = await provider.transport.send(
            "GET", provider.url(f"/generation?id={generation_id}"), headers, None, _DEADLINES
        )
        body = b""
        while chunk := await answer.read():
            body += chunk
            if len(body) > _BODY_MAX_BYTES:
                answer.abort()
                raise GenerationUnavailableError("the record is larger than 1 MiB")
    except TransportError as error:
        raise GenerationUnavailableError(str(error)) from None
    if answer.status == 404:
        raise GenerationUnknownError(generation_id)
    if answer.status != 200:
        raise GenerationUnavailableError(f"the provider answered {answer.status}")
    return read_generation(body, generation_id)


def read_generation(body: bytes, generation_id: str) -> GenerationRecord:
    """Read the record; numbers keep their literal, so that the cost stays exact."""
    try:
        data = loads(body, parse_float=str, parse_int=str)["data"]
        if data["id"] != generation_id:
            raise GenerationUnavailableError("the record has another id")
        cost_pusd, exact = usd_to_pusd(_literal(data["total_cost"]))
        upstream_pusd = None
        if data.get("is_byok") is True:
            if data.get("upstream_inference_cost") is None:  # then nobody knows what it cost in all
                raise GenerationUnavailableError("the record does not say what the upstream provider bills")
            upstream_pusd, upstream_exact = usd_to_pusd(_literal(data["upstream_inference_cost"]))
            cost_pusd, exact = cost_pusd + upstream_pusd, exact and upstream_exact
    except (JSONDecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, MoneyError) as error:
        raise GenerationUnavailableError(f"the record cannot be read ({type(error).__name__})") from None
    is_byok, answered = data.get("is_byok"), _answering(data.get("provider_responses"))
    return GenerationRecord(
        cost_pusd=cost_pusd,
        cost_exact=exact,
        model=_text(data.get("model")),
        served_by=_text(data.get("provider_name")),
        input_tokens=_count(data.get("native_tokens_prompt")),
        output_tokens=_count(data.get("native_tokens_completion")),
        cached_tokens=_count(data.get("native_tokens_cached")),
        reasoning_tokens=_count(data.get("native_tokens_reasoning")),
        finish_reason=_text(data.get("finish_reason")),
        is_byok=is_byok if isinstance(is_byok, bool) else None,
        upstream_cost_pusd=upstream_pusd,
        endpoint_id=_text(answered.get("endpoint_id")),
        permaslug=_text(answered.get("model_permaslug")),
        user_agent=_text(data.get("user_agent")),
        session_id=_text(data.get("session_id")),
    )


def _answering(calls: object) -> dict[str, Any]:
    """Return the call to a provider that answered; nothing where the record tells none, or more than one."""
    if not isinstance(calls, list):
        return {}
    good = [call for call in calls if isinstance(call, dict) and call.get("status") == "200"]
    return good[0] if len(good) == 1 else {}


def _literal(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("money must be a number")
    return value


def _text(value: object) -> str | None:
    return value[:256] if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16 else None
