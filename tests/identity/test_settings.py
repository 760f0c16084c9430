"""The block end_users: what may stand there, and what is refused with a reason."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.check import BlockError
from proxy.config.load import load_file
from proxy.config.schema import EndUsers
from proxy.core.errors import ConfigError
from proxy.wire.headers import pick_request_headers

SECRET = "canary-" + "0123456789abcdef" * 2
HEAD = 'providers: {local: {kind: openai, base_url: "http://127.0.0.1:1/v1"}}\n'


def load(folder: Path, text: str, environ: dict[str, str] | None = None) -> EndUsers:
    path = folder / "config.yaml"
    path.write_text(HEAD + text)
    path.chmod(0o600)
    return load_file(path, environ or {}).settings.end_users


def test_the_secret_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    found = load(tmp_path, "end_users: {jwt_secret: '${S}'}\n", {"S": SECRET}).jwt_secret
    assert found is not None
    assert found.reveal() == SECRET
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    found = load(tmp_path, "end_users: {jwt_secret_file: secret}\n").jwt_secret
    assert found is not None
    assert found.reveal() == SECRET
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="open to others"):
        load(tmp_path, "end_users: {jwt_secret_file: secret}\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("end_users: {jwt_secret: short-but-secret}\n", "shorter than the 32 characters"),
        ("end_users: {jwt_secret: '${NOPE}'}\n", "NOPE is not set"),
        (f"end_users: {{jwt_secret: {SECRET}, jwt_secret_file: x}}\n", "is set together with jwt_secret"),
        ("end_users: {group: family}\n", 'there is no group "family"'),
        ("end_users: {user_header: []}\n", "user_header"),
        ("end_users: {user_header: 'a b'}\n", "is not a valid header name"),
        ("end_users: {user_header: Authorization}\n", "that Tollkeeper sets itself"),
        ("end_users: {jwt_header: x-api-key}\n", "a meaning of its own"),
        ("end_users: {user_header: [X-User, X-OpenRouter-User]}\n", "is sent on to the provider"),
        ("end_users: {users_max: 0}\n", "users_max"),
        ("end_users: {trusted: true}\n", "trusted"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "short-but-secret" not in str(caught.value)


NAMES = st.sampled_from(["X-Title", "HTTP-Referer", "x-session-id", "Traceparent", "openai-beta", "x-anthropic-beta"])
PREFIXED = st.builds(
    "{}{}".format,
    st.sampled_from(["", "X-OpenRouter-", "anthropic-", "Helicone-", "X-"]),
    st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True),
)


@given(NAMES | PREFIXED)
def test_no_header_that_names_people_travels(name: str) -> None:
    try:
        EndUsers.read({"user_header": name})
    except BlockError:
        return
    assert pick_request_headers([(name, "eva")]) == []
