"""Only what is on the list travels, and nothing that could break out of its line."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.headers import HeaderError, header_lines, headers_of, pick_request_headers, pick_response_headers


@pytest.mark.parametrize(
    "name",
    [
        "HTTP-Referer",
        "X-Title",
        "X-OpenRouter-Title",
        "X-OpenRouter-Cache",
        "x-session-id",
        "anthropic-version",
        "Anthropic-Beta",
        "x-anthropic-beta",
        "OpenAI-Beta",
        "Helicone-User-Id",
        "traceparent",
        "tracestate",
    ],
)
def test_up_it_goes(name: str) -> None:
    assert pick_request_headers([(name, "v")]) == [(name.lower(), "v")]


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "X-Api-Key",
        "api-key",
        "Cookie",
        "Helicone-Auth",
        "Host",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Expect",
        "Content-Length",
        "Content-Type",
        "Content-Encoding",
        "Accept",
        "Accept-Encoding",
        "User-Agent",
        "X-Stainless-Lang",
        "OpenAI-Organization",
        "OpenAI-Project",
        "Idempotency-Key",
        "X-OpenWebUI-User-Email",
        "X-Tollkeeper-Tags",
        "X-Forwarded-For",
        "Forwarded",
        "Origin",
        "Referer",
        "baggage",
        "X-Request-Id",
        "X_OpenRouter_Title",
        "X-OpenRouter-\r\nHost",
        "X-OpenRouter-T\u00eft",
        "x-openrouter-" + "a" * 64,
        "",
    ],
)
def test_up_it_does_not(name: str) -> None:
    assert pick_request_headers([(name, "v")]) == []


def test_order_and_repetition_stay() -> None:
    headers = [("X-Title", "a"), ("Host", "h"), ("tracestate", "1"), ("x-title", "b")]
    assert pick_request_headers(headers) == [("x-title", "a"), ("tracestate", "1"), ("x-title", "b")]


BAD_VALUES = [
    "a\r\nhost: x",
    "a\nb",
    "a\rb",
    "a\x00b",
    "\x1b[0m",
    "\x7f",
    "\udcff",
    "a" * 8193,
    "\u00e9" * 4097,
]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_value_that_breaks_its_line_is_refused_on_the_way_up_and_left_out_down(value: str) -> None:
    with pytest.raises(HeaderError, match="The header x-title") as caught:
        pick_request_headers([("X-Title", value)])
    assert caught.value.name == "x-title"
    assert value not in str(caught.value)
    assert pick_request_headers([("X-Other", value)]) == []
    assert pick_response_headers([("x-generation-id", value), ("retry-after", "1")]) == [("retry-after", "1")]


@pytest.mark.parametrize("value", ["", "a\tb", "caf\u00e9 \U0001f600", "a" * 8192, "\u00e9" * 4096])
def test_a_sound_value_travels_as_it_is(value: str) -> None:
    assert pick_request_headers([("X-Title", value)]) == [("x-title", value)]
    assert pick_response_headers([("X-Generation-Id", value)]) == [("x-generation-id", value)]


@pytest.mark.parametrize(
    ("name", "down"),
    [
        ("Content-Type", "content-type"),
        ("Cache-Control", "cache-control"),
        ("Retry-After", "retry-after"),
        ("retry-after-ms", "retry-after-ms"),
        ("X-RateLimit-Reset", "x-ratelimit-reset"),
        ("X-Generation-Id", "x-generation-id"),
        ("X-Provider-Name", "x-provider-name"),
        ("X-OpenRouter-Cache-Status", "x-openrouter-cache-status"),
        ("openai-processing-ms", "openai-processing-ms"),
        ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-limit"),
        ("CF-RAY", "cf-ray"),
        ("X-Request-Id", "x-upstream-request-id"),
    ],
)
def test_down_it_comes(name: str, down: str) -> None:
    assert pick_response_headers([(name, "v")]) == [(down, "v")]


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "Trailer",
        "Upgrade",
        "Content-Length",
        "Content-Encoding",
        "Location",
        "Server",
        "Date",
        "Strict-Transport-Security",
        "Access-Control-Allow-Origin",
        "OpenAI-Organization",
        "OpenAI-Project",
        "anthropic-organization-id",
        "x-should-retry",
        "X-Tollkeeper-Model",
        "x-upstream-request-id",
        "WWW-Authenticate",
        "Alt-Svc",
    ],
)
def test_down_it_does_not(name: str) -> None:
    assert pick_response_headers([(name, "v")]) == []


names = st.one_of(
    st.text(string.printable, max_size=20),
    st.sampled_from(["x-openrouter-", "helicone-", "x-ratelimit-", "X-Title"]).flatmap(
        lambda start: st.text(max_size=10).map(lambda rest: start + rest)
    ),
)


@given(st.lists(st.tuples(names, st.text(max_size=50)), max_size=10))
def test_whatever_comes_nothing_breaks_out(headers: list[tuple[str, str]]) -> None:
    picked = pick_response_headers(headers) + picked_up(headers)
    for name, value in picked:
        line = f"{name}: {value}".encode()
        assert name.isascii()
        assert not set(line) & {0, 10, 13, 127}


def picked_up(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    try:
        return pick_request_headers(headers)
    except HeaderError:
        return []


def test_lines_hold_all_headers() -> None:
    headers = {"a": "b: c", "x-empty": "", "b": "\u00fc"}
    assert header_lines(headers) == "a: b: c\r\nx-empty: \r\nb: \u00fc\r\n"
    assert headers_of(header_lines(headers)) == headers
    assert headers_of("") == {}
