"""What an attempt's failure is called and what the client is told of it, where the provider's own words do not do."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from proxy.core.errors import ApiError, ProviderError
from proxy.policy.failure import Failure
from proxy.policy.failure_table import decide
from proxy.providers.billing_page import billing_page
from proxy.providers.key import OWN
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import TransportError, UpstreamResponse
from proxy.wire.error import error_of_body, is_json_body
from proxy.wire.retry_after import read_retry_after

_WORDS_MAX = 1000  # of a provider's message inside ours
_TIMEOUTS = {"header_timeout", "first_token_timeout", "idle_timeout", "total_timeout"}
_TOLD_MAX_S: Final = 60  # some SDKs sleep for as long as they are told


class UpstreamRefusal(NamedTuple):
    """A status that is not 2xx. is_passed_on: the provider's own body tells the client best."""

    failure: Failure
    error: ApiError
    is_passed_on: bool


def transport_error(error: TransportError, provider: ProviderRow) -> ProviderError:
    """Return the error for an exchange that broke before or within the provider's answer."""
    if error.kind in _TIMEOUTS:
        return ProviderError(
            504,
            "upstream_timeout",
            f'Provider "{provider.name}": {error}. Its cost is being looked up. Try again, or ask for less.',
        )
    code = "upstream_broken" if error.dispatched else "upstream_unreachable"
    return ProviderError(
        502,
        code,
        f'Provider "{provider.name}": {error}. Your request is fine; try again. Operator: tollkeeper check',
    )


def upstream_status_error(
    answer: UpstreamResponse, body: bytes, provider: ProviderRow, key_name: str, now_ms: int
) -> UpstreamRefusal:
    """Return our reading of a status that is not 2xx.

    Where an account is at fault the text says whose, because the provider's own would send the caller to look for a
    mistake in a token, or a request, that is fine. All else is passed on as it came (relay does that).
    """
    status = answer.status
    error, is_json = error_of_body(body), is_json_body(body)
    is_object = is_json and body.lstrip()[:1] == b"{"
    wait_s = read_retry_after(answer.header, error, now_ms, is_limit=status == 429)
    failure = Failure("status", status, None, error, wait_s, is_page=not is_json)
    told = account_fault(failure, provider, key_name, now_ms) or _named(failure, provider)
    return UpstreamRefusal(failure, told, told.code == "upstream_error" and is_object)


def _named(failure: Failure, provider: ProviderRow) -> ProviderError:
    status = failure.status or 0
    if 300 <= status < 400:
        return ProviderError(
            502,
            "upstream_redirect",
            f'Provider "{provider.name}" answered with a redirect ({status}), which is never followed.'
            " Operator: correct base_url.",
            should_retry=False,
        )
    words = " without a JSON body." if failure.is_page else _words(failure.error) or "."
    told = status if 400 <= status < 600 else 502
    return ProviderError(told, "upstream_error", f'Provider "{provider.name}" answered {status}{words}')


def _words(error: Mapping[str, Any] | None) -> str:
    message = None if error is None else error.get("message")
    return f": {message[:_WORDS_MAX]}" if isinstance(message, str) and message else ""


def account_fault(failure: Failure, provider: ProviderRow, key_name: str, now_ms: int) -> ApiError | None:
    """Return what to say where the provider refuses a key or an account, whatever status it says so by; else None."""
    case, status = decide(failure, now_ms).case, failure.status
    if case == "bad_key":
        return _bad_key(provider, key_name, status)
    if case in ("no_credits", "in_flight") or (case == "asks_too_much" and status == 402):
        return _no_credits(provider, key_name, failure)
    if case == "key_limit" and status not in (
        402,
        403,
        429,
    ):  # by these the provider's own words reach the right person
        return _no_credits(provider, key_name, failure)
    return None


def _bad_key(provider: ProviderRow, key_name: str, status: int | None) -> ProviderError:
    if key_name == OWN:
        whose = f'Provider "{provider.name}" refused the key that you brought for it ({status}). Your token is fine.'
        return ProviderError(502, "upstream_auth", f"{whose} Correct or renew that key.", should_retry=False)
    return ProviderError(
        502,
        "upstream_auth",
        f'Provider "{provider.name}" refused the operator\'s key "{key_name}" ({status}). Your token is fine.'
        " Operator: tollkeeper check",
        should_retry=False,
    )


def _no_credits(provider: ProviderRow, key_name: str, failure: Failure) -> ProviderError:
    wait_s = failure.retry_after_s
    passes = wait_s is not None and 0 < wait_s <= _TOLD_MAX_S
    page = billing_page(provider.base_url) or provider.dialect.billing_page
    if key_name == OWN:
        whose = f'Your own account at provider "{provider.name}" is out of credits ({failure.status}).'
        where = f" Add credits: {page}" if page is not None else " Add credits there."
    else:
        whose = f'The operator\'s account at provider "{provider.name}" is out of credits ({failure.status}).'
        where = f" Operator: {page}" if page is not None else f' Operator: add credits at "{provider.name}".'
        whose += " Your own budget is not."
    return ProviderError(
        402,
        "upstream_no_credits",
        whose + where,
        type_="insufficient_quota",
        retry_after_s=whole_seconds(wait_s) if passes and wait_s is not None else None,
        should_retry=None if passes else False,
    )


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


def error_in_answer(provider: ProviderRow, what: str, error: Mapping[str, Any] | None = None) -> ProviderError:
    """Return the error for a 200 that held no answer; what completes the sentence, error is the provider's own."""
    code = None if error is None else error.get("code")
    status = code if type(code) is int and 400 <= code < 600 else 502
    return ProviderError(status, "upstream_error", f'Provider "{provider.name}" {what}{_words(error)}')


def whole_seconds(wait_s: float) -> int:
    """Return a wait in whole seconds as a client is told it: 1 to 60."""
    return int(min(max(-(-wait_s // 1), 1), _TOLD_MAX_S))
