"""Which proxy a provider is reached by: the setting, else the variables as other tools read them."""

from pathlib import Path

import pytest

from proxy.config.diagnostic import SettingError
from proxy.config.load import LoadedConfig, load_file
from proxy.config.outbound import environment_proxy, read_proxy_url
from proxy.core.errors import ConfigError

P, Q = "http://p.example:3128", "http://q.example:3128"
URLS = {
    "http://p.example:3128": "http://p.example:3128",
    "p.example:3128": "http://p.example:3128",
    "http://p.example/": "http://p.example:80",
    "http://anna:s%40x@p.example:1": "http://anna:s%40x@p.example:1",
    "http://[fd00::1]:3128": "http://[fd00::1]:3128",
    "none": "none",
    "NONE": "none",
    "direct": "none",
}
WRONG = [
    "socks5://p:1",
    "socks5h://p:1",
    "https://p:1",
    "ftp://p:1",
    "http://",
    "http://p:x",
    "http://p:1/x",
    "http://p?x",
    "a b",
]


@pytest.mark.parametrize("text", URLS)
def test_addresses(text: str) -> None:
    assert read_proxy_url(text) == URLS[text]


@pytest.mark.parametrize("text", WRONG)
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(SettingError):
        read_proxy_url(text)


FOUND: list[tuple[str, dict[str, str], str | None]] = [
    ("https://api.example/v1", {"HTTPS_PROXY": P}, "HTTPS_PROXY"),
    ("https://api.example/v1", {"https_proxy": P, "HTTPS_PROXY": Q}, "https_proxy"),
    ("https://api.example/v1", {"HTTP_PROXY": P}, None),
    ("http://api.example/v1", {"HTTP_PROXY": P}, "HTTP_PROXY"),
    ("http://api.example/v1", {"https_proxy": P}, None),
    ("https://api.example/v1", {"ALL_PROXY": P}, "ALL_PROXY"),
    ("https://api.example/v1", {"all_proxy": P, "HTTPS_PROXY": Q}, "HTTPS_PROXY"),
    ("https://api.example/v1", {"HTTPS_PROXY": ""}, None),
    ("https://api.example/v1", {}, None),
    *((f"http://{host}/v1", {"ALL_PROXY": P}, None) for host in ("127.0.0.1:1", "localhost", "[::1]:1", "a.localhost")),
    *(
        ("https://api.corp.example:8443/v1", {"HTTPS_PROXY": P, "NO_PROXY": listed}, None)
        for listed in (
            "*",
            "corp.example",
            ".corp.example",
            "*.corp.example",
            "a, api.corp.example",
            "API.CORP.EXAMPLE",
        )
    ),
    *(
        ("https://api.corp.example:8443/v1", {"HTTPS_PROXY": P, "NO_PROXY": listed}, "HTTPS_PROXY")
        for listed in ("orp.example", "x.api.corp.example", "api.corp.example:443", "", ",", "api", "10.0.0.0/8")
    ),
    ("https://api.corp.example:8443/v1", {"HTTPS_PROXY": P, "no_proxy": "corp.example:8443"}, None),
    ("https://api.corp.example/v1", {"HTTPS_PROXY": P, "no_proxy": "corp.example:443"}, None),
    ("http://10.1.2.3:8000/v1", {"http_proxy": P, "no_proxy": "10.0.0.0/8"}, None),
    ("http://10.1.2.3:8000/v1", {"http_proxy": P, "no_proxy": "10.1.2.3"}, None),
    ("http://10.1.2.3:8000/v1", {"http_proxy": P, "no_proxy": "192.168.0.0/16"}, "http_proxy"),
    ("http://[fd00::7]:8000/v1", {"http_proxy": P, "no_proxy": "fd00::/8"}, None),
    ("http://[fd00::7]:8000/v1", {"http_proxy": P, "no_proxy": "[fd00::7]:8000"}, None),
]


@pytest.mark.parametrize(("url", "environ", "variable"), FOUND)
def test_the_environment(url: str, environ: dict[str, str], variable: str | None) -> None:
    found = environment_proxy(url, environ)
    assert (None if found is None else found.variable) == variable
    assert found is None or found.url == environ[found.variable]


def _loaded(folder: Path, provider: str, environ: dict[str, str]) -> LoadedConfig:
    path = folder / "config.yaml"
    path.write_text(f"providers: {{far: {{base_url: 'https://api.example/v1', {provider}}}}}\n")
    path.chmod(0o600)
    return load_file(path, environ)


def test_the_setting_wins(tmp_path: Path) -> None:
    environ = {"HTTPS_PROXY": "http://anna:s3cret@p.example:3128"}
    by_variable = _loaded(tmp_path, "", environ)
    proxy = by_variable.settings.providers["far"].proxy
    assert proxy is not None
    assert proxy.reveal() == environ["HTTPS_PROXY"]
    assert by_variable.origins["providers", "far", "proxy"] == "HTTPS_PROXY"
    assert "s3cret" not in repr(by_variable)
    for text, wanted in (("none", "none"), ("q.example:1", "http://q.example:1")):
        proxy = _loaded(tmp_path, f"proxy: '{text}'", environ).settings.providers["far"].proxy
        assert proxy is not None
        assert proxy.reveal() == wanted


def test_a_variable_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """It is no reason not to start: a desktop may set it for other programs."""
    loaded = _loaded(tmp_path, "", {"ALL_PROXY": "socks5://anna:s3cret@p:1"})
    assert loaded.settings.providers["far"].proxy is None
    (warning,) = loaded.warnings
    assert "ALL_PROXY is a SOCKS proxy" in warning
    assert "far is reached directly" in warning
    assert "s3cret" not in warning


@pytest.mark.parametrize("setting", ["proxy: 'socks5://p:1'", "proxy: 'http://anna:s3cret@p:x'", "ca_file: none.pem"])
def test_a_setting_that_cannot_be_used_is_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match=r"providers\.far") as caught:
        _loaded(tmp_path, setting, {})
    assert "s3cret" not in str(caught.value)


def test_a_file_of_authorities(tmp_path: Path) -> None:
    """Its path begins at the configuration's folder; one without a certificate is refused, a change is noticed."""
    (tmp_path / "ca.pem").write_text("nothing of use\n")
    with pytest.raises(ConfigError, match=r"ca\.pem holds no certificate in PEM form"):
        _loaded(tmp_path, "ca_file: ca.pem", {})
