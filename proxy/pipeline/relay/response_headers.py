"""The headers of an answer that a provider gave: what it sent, and what is said of this request here."""

from proxy.pipeline.admission.limit_headers import OF_PROVIDERS, LimitHeaders
from proxy.pipeline.context import RequestContext
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.route import Target
from proxy.providers.transport.base import UpstreamResponse
from proxy.providers.transport.inflate import ENCODINGS
from proxy.wire.headers import STREAM_HEADERS, header_lines, headers_of

_OF_STREAMS = header_lines(STREAM_HEADERS)
_CACHED = "cache-control: "  # the one of STREAM_HEADERS that providers send, too


def response_headers(context: RequestContext, attempt: Attempt) -> dict[str, str]:
    """Return the headers for the answer of an attempt, or for the error that the provider gave in its place."""
    answer, target = attempt.answer, attempt.target
    if answer is None:
        headers = {}
    else:
        headers = answer.passed(attempt.key.quoted)
        encoding = answer.header("content-encoding")
        if encoding and encoding.strip().lower() not in ENCODINGS:  # those the transport has undone
            headers["content-encoding"] = encoding
    if context.told is not dict:  # nearly always
        headers.update(context.told())
    if attempt.told_max_tokens is not None:
        told = attempt.told_max_tokens.get((target.provider, target.model))
        if told is not None:
            headers["x-tollkeeper-max-tokens"] = str(told)
    headers["x-request-id"] = context.request_id
    headers["x-tollkeeper-model"] = target.model
    headers["x-tollkeeper-provider"] = target.provider
    if context.endpoint.errors == "anthropic":
        headers["request-id"] = context.request_id  # where Anthropic's SDKs look for it
    headers["x-tollkeeper-attempts"] = str(attempt.n)
    if target.static is not None:
        headers["x-tollkeeper-static"] = "1"
    return headers


def response_lines(context: RequestContext, attempt: Attempt) -> str:
    """Return response_headers() as HTTP writes them, each line with its end."""
    answer, target, told = attempt.answer, attempt.target, context.told
    if (
        answer is None
        or (told is not dict and told.__class__ is not LimitHeaders)
        or attempt.told_max_tokens is not None
        or target.static is not None
        or context.endpoint.errors == "anthropic"
        or answer.header("content-encoding") is not None
    ):
        return header_lines(response_headers(context, attempt))
    # nearly always: put together at once, without a dictionary
    lines = answer.passed_lines(attempt.key.quoted)
    if told.__class__ is LimitHeaders:
        if OF_PROVIDERS in lines:  # ours are written over them
            return header_lines(response_headers(context, attempt))
        lines += told.lines()
    return (
        f"{lines}x-request-id: {context.request_id}\r\n"
        f"x-tollkeeper-model: {target.model}\r\nx-tollkeeper-provider: {target.provider}\r\n"
        f"x-tollkeeper-attempts: {attempt.n}\r\n"
    )


def stream_lines(context: RequestContext, attempt: Attempt) -> str:
    """Return response_lines() for a stream, or for an answer that is sent as it comes, with STREAM_HEADERS."""
    lines = response_lines(context, attempt)
    at = lines.find(_CACHED)
    if at < 0:
        return lines + _OF_STREAMS
    if lines.find(_CACHED, at + 1) >= 0 or (at and lines[at - 1] != "\n"):  # in the value of another header, perhaps
        return header_lines({**headers_of(lines), **STREAM_HEADERS})
    end = lines.find("\n", at) + 1
    return f"{lines[:at]}{lines[end:]}{_OF_STREAMS}"


def free_headers(context: RequestContext, answer: UpstreamResponse, target: Target, quoted: str) -> dict[str, str]:
    """Return the headers for an answer that costs nothing. quoted: the key as an answer could quote it."""
    source = {
        "x-request-id": context.request_id,
        "x-tollkeeper-model": target.model,
        "x-tollkeeper-provider": target.provider,
    }
    if context.endpoint.errors == "anthropic":
        source["request-id"] = context.request_id
    return {**answer.passed(quoted), **source}
