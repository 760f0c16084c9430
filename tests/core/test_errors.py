"""Errors carry what the answer needs, and nothing else about a request."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import (
    ApiError,
    CallerError,
    ConfigError,
    LedgerError,
    OwnError,
    PortError,
    ProviderError,
    SetupError,
    TollkeeperError,
    anthropic_error_body,
    error_body,
)


@pytest.mark.parametrize(
    ("class_", "type_"),
    [
        (ApiError, "api_error"),
        (CallerError, "invalid_request_error"),
        (ProviderError, "provider_error"),
        (OwnError, "server_error"),
    ],
)
def test_fault_and_type(class_: type[ApiError], type_: str) -> None:
    error = class_(418, "code", "Text.")
    assert (error.status, error.code, error.message, error.type, str(error)) == (418, "code", "Text.", type_, "Text.")
    assert class_(418, "code", "Text.", type_="other").type == "other"
    assert (error.param, error.retry_after_s, error.should_retry, error.close, error.headers) == (
        *(None, None, None, False, {}),
    )
    assert isinstance(error, TollkeeperError)


@pytest.mark.parametrize(("class_", "code"), [(SetupError, 1), (ConfigError, 2), (PortError, 3), (LedgerError, 4)])
def test_exit_codes(class_: type[SetupError], code: int) -> None:
    assert class_("text").exit_code == code
    assert issubclass(class_, TollkeeperError)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.text("ab_", max_size=5))
def test_body(text: str, param: str | None) -> None:
    """Always the four keys of OpenAI's shape, whatever the text holds."""
    body = json.loads(error_body(CallerError(400, "code", text, param=param), "req_1"))
    assert body == {
        "error": {"message": text, "type": "invalid_request_error", "param": param, "code": "code"},
        "request_id": "req_1",
    }


def test_body_without_a_request() -> None:
    assert set(json.loads(error_body(OwnError(500, "code", "Text."), None))) == {"error"}


@given(
    st.integers(400, 599),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.none() | st.text("ab_", max_size=5),
    st.none() | st.just("req_1"),
)
def test_anthropic_body(status: int, text: str, param: str | None, request_id: str | None) -> None:
    """The shape that Anthropic's SDKs read, with our own word beside."""
    body = json.loads(anthropic_error_body(CallerError(status, "code", text, param=param), request_id))
    assert body["error"].pop("type").endswith("_error") or status == 413
    assert body == {
        "type": "error",
        "error": {"message": text, "code": "code", "param": param},
        "request_id": request_id,
    }


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_anthropic_types(status: int, type_: str) -> None:
    assert json.loads(anthropic_error_body(ApiError(status, "code", "Text."), None))["error"]["type"] == type_


def test_headers_are_a_copy() -> None:
    given_ = {"Allow": "GET"}
    error = CallerError(405, "code", "Text.", headers=given_)
    error.headers["X"] = "y"
    assert given_ == {"Allow": "GET"}
