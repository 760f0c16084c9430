"""Which web pages may call, by what the configuration says and what a browser sends."""

import pytest

from proxy.config.diagnostic import SettingError
from proxy.config.values import _origin
from proxy.policy.origin import Origins, is_same

WRITTEN = {
    "https://app.example.com": "https://app.example.com",
    "https://APP.Example.com/": "https://app.example.com",
    "https://app.example.com:443": "https://app.example.com",
    "http://app.example.com:443": "http://app.example.com:443",
    "http://localhost:*": "http://localhost:*",
    "http://[::1]:*": "http://[::1]:*",
    "https://*.example.com": "https://*.example.com",
    "https://*.example.com:8443": "https://*.example.com:8443",
    "app://obsidian.md": "app://obsidian.md",
    "tauri://localhost": "tauri://localhost",
    "chrome-extension://aabbccddeeffgghhiijjkkllmmnnoopp": "chrome-extension://aabbccddeeffgghhiijjkkllmmnnoopp",
    "vscode-webview://*": "vscode-webview://*",
    "file://": "file://",
    "null": "null",
}
WRONG = [
    *("*", "", "example.com", "https://", "https://*", "http://*:*", "https://*.com", "https://a/b", "https://a?b"),
    *("https://u@a.example", "https://a*.example.com", "https://a.*.com", "https://a.example:0", "https://[::x]"),
    *("https://a.example:99999", "://a", "https//a.example", "https://a b", "a://*:5", None, 5),
]


@pytest.mark.parametrize("text", WRITTEN)
def test_what_may_be_written(text: str) -> None:
    assert _origin(text) == WRITTEN[text]


@pytest.mark.parametrize("value", WRONG)
def test_what_may_not(value: object) -> None:
    """A pattern that everybody fits, or that nobody can send, is a mistake; an empty value is no wish."""
    with pytest.raises(SettingError):
        _origin(value)


ALLOWED = Origins(_origin(text) for text in WRITTEN)
LET_IN = [
    *(
        "https://app.example.com",
        "HTTPS://App.Example.com",
        "http://localhost",
        "http://localhost:5173",
        "http://[::1]:80",
    ),
    *("https://a.example.com", "https://a.b.example.com", "https://a.example.com:8443", "app://obsidian.md", "null"),
    *(
        "tauri://localhost",
        "vscode-webview://0f1e2d-3c4b",
        "chrome-extension://aabbccddeeffgghhiijjkkllmmnnoopp",
        "file://",
    ),
]
KEPT_OUT = [
    *("https://localhost:5173", "http://localhost.evil.example:1", "http://evil.example", "http://localhost:5173/x"),
    *("https://example.com", "https://.example.com", "https://evilexample.com", "https://a.example.com.evil.example"),
    *(
        "https://a.example.com:8444",
        "http://a.example.com",
        "https://evil.example/.example.com",
        "https://x@a.example.com",
    ),
    *("app://obsidian.md.evil", "app://other", "tauri://localhost:1", "vscode-webview://a/b", "chrome-extension://zz"),
    *("", "*", "nulll", "https://evil.example#.example.com", "https://evil.example\\.example.com", "file://x"),
    *(
        "https://a.example.com:8443x",
        "http://localhost:",
        "http://localhost:-1",
        "vscode-webview://a b",
        "moz-extension://a",
    ),
]


@pytest.mark.parametrize("origin", LET_IN)
def test_let_in(origin: str) -> None:
    assert ALLOWED.allows(origin)


@pytest.mark.parametrize("origin", KEPT_OUT)
def test_kept_out(origin: str) -> None:
    assert not ALLOWED.allows(origin)
    assert not Origins().allows(origin)


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:8787", "127.0.0.1:8787", True),
        ("http://localhost:8787", "LOCALHOST:8787", True),
        ("https://llm.home.arpa", "llm.home.arpa", True),
        ("https://llm.home.arpa", "llm.home.arpa:443", True),
        ("http://llm.home.arpa", "llm.home.arpa:443", False),
        ("http://127.0.0.1:8788", "127.0.0.1:8787", False),
        ("http://127.0.0.1", "localhost", False),
        ("app://localhost", "localhost", False),
        ("null", "null", False),
        ("", "", False),
    ],
)
def test_the_page_of_the_server_itself(origin: str, host: str, same: bool) -> None:
    assert is_same(origin, host) is same
