"""What an attempt's failure is called and what the client is told of it, where the provider's own words do not do."""

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.core.errors import ApiError, ProviderError
from proxy.providers.rows import ProviderRow
from proxy.providers.transport import Answer, TransportError

_WORDS_MAX = 1000  # of a provider's message inside ours
_TIMEOUTS = {"header_timeout", "first_token_timeout", "idle_timeout", "total_timeout"}


def broken(error: TransportError, provider: ProviderRow) -> ProviderError:
    """Give the answer for an exchange that broke before or within the provider's answer."""
    if error.kind in _TIMEOUTS:
        return ProviderError(
            504,
            "upstream_timeout",
            f'Provider "{provider.name}": {error}. What it may have cost is looked up. Try again, or ask for less.',
        )
    code = "upstream_broken" if error.dispatched else "upstream_unreachable"
    return ProviderError(
        502,
        code,
        f'Provider "{provider.name}": {error}. Your request is fine; try again. Operator: tollkeeper check',
    )


def refused(answer: Answer, body: bytes, provider: ProviderRow, key_name: str) -> ApiError:
    """Give our reading of a status that is not 2xx.

    Where the operator's account is at fault the text says so, because the provider's own would send the caller to
    look for a mistake in a token that is fine. All else is passed on as it came (relay does that).
    """
    if answer.status == 401:
        return ProviderError(
            502,
            "upstream_auth",
            f'Provider "{provider.name}" refused the operator\'s key "{key_name}" (401). Your token is fine.'
            " Operator: tollkeeper check",
            should_retry=False,
        )
    if answer.status == 402:
        return ProviderError(
            402,
            "upstream_no_credits",
            f'The operator\'s account at provider "{provider.name}" is out of credits (402). Your own budget is not.'
            " Operator: https://openrouter.ai/credits",
            type_="insufficient_quota",
            headers={"Retry-After": value} if (value := _retry_after(answer)) else {},
            should_retry=None if _retry_after(answer) else False,
        )
    if 300 <= answer.status < 400:
        return ProviderError(
            502,
            "upstream_redirect",
            f'Provider "{provider.name}" answered with a redirect ({answer.status}), which is never followed.'
            " Operator: correct base_url.",
            should_retry=False,
        )
    if not is_json_object(body):
        return ProviderError(
            answer.status if 400 <= answer.status < 600 else 502,
            "upstream_error",
            f'Provider "{provider.name}" answered {answer.status} without a JSON body.',
        )
    return ProviderError(answer.status, "upstream_error", f'Provider "{provider.name}" answered {answer.status}.')


def bound_refused(provider: ProviderRow, field: str) -> ProviderError:
    """Return the answer for a target that takes no bound of the answer, which a limit makes the proxy write."""
    return ProviderError(
        400,
        "bound_refused",
        f'Provider "{provider.name}" does not take "{field}", which your limit makes the proxy write, and nothing else'
        " bounds what the answer may cost. Name a maximum that it takes, or use another model. Operator: say how it is"
        f" named under providers.{provider.name}.parameters.",
        should_retry=False,
    )


def failed_inside(provider: ProviderRow, what: str, error: Mapping[str, Any] | None = None) -> ProviderError:
    """Give the answer for a 200 that held no answer; what completes the sentence, error is the provider's own."""
    status, words = 502, ""
    if error is not None:
        code, message = error.get("code"), error.get("message")
        status = code if type(code) is int and 400 <= code < 600 else 502
        words = f": {message[:_WORDS_MAX]}" if isinstance(message, str) else ""
    return ProviderError(status, "upstream_error", f'Provider "{provider.name}" {what}{words}')


def error_object(body: bytes) -> Mapping[str, Any] | None:
    """Give the ``error`` of a JSON body, whatever else it holds; None where there is none to read."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    error = message.get("error") if isinstance(message, dict) else None
    return error if isinstance(error, dict) else None


def is_json_object(body: bytes) -> bool:
    text = body.strip()
    return text.startswith(b"{") and text.endswith(b"}")


def _retry_after(answer: Answer) -> str | None:
    value = answer.header("retry-after")
    return value if value is not None and value.isascii() and value.isdigit() and 0 < int(value) <= 60 else None
