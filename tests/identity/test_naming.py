"""Whatever comes in a header: a name that can be one, nobody, or a refusal; never anything else."""

from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.config.schema import EndUsers
from proxy.config.values import NAME
from proxy.core.errors import CallerError
from proxy.pipeline.identity.end_users import UserNaming
from proxy.wire.user_jwt import UserJwtError, UserJwtReader

SECRET = "s" * 32
NOW_MS = 1_800_000_000_000
UNSIGNED = UserNaming(EndUsers())
SIGNED = UserNaming(EndUsers.read({"jwt_secret": SECRET}))
READER = UserJwtReader(SECRET)
TEXTS = st.text(max_size=80) | st.from_regex(NAME, fullmatch=True)
NUMBERS = st.integers() | st.floats() | st.integers(NOW_MS // 1000 - 5, NOW_MS // 1000 + 5)
JSON = st.none() | st.booleans() | NUMBERS | TEXTS | st.lists(TEXTS, max_size=2)


@given(
    st.lists(
        st.tuples(st.sampled_from(["X-OpenWebUI-User-Id", "x-openwebui-user-email", "X-Other"]), TEXTS), max_size=4
    )
)
def test_a_written_name_is_a_name_or_nobody_or_refused(pairs: list[tuple[str, str]]) -> None:
    headers = CIMultiDict(pairs)
    assert UNSIGNED.name(headers, NOW_MS, trusted=False) is None
    told = [value.strip() for name, value in pairs if name != "X-Other" and value.strip()]
    name, refused = None, None
    try:
        name = UNSIGNED.name(headers, NOW_MS, trusted=True)
    except CallerError as error:
        refused = (error.status, error.code)
    if refused is not None:
        assert refused == (400, "invalid_end_user")
        assert told
    else:
        assert (name is None) == (not told)
        assert name is None or (name in told and NAME.fullmatch(name))


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_=-]{0,60}\.[A-Za-z0-9_=-]{0,60}\.[A-Za-z0-9_=-]{0,60}"))
@example("W1tb" * 1500 + ".e30.e30")
@example("eyJhbGciOiJub25lIn0.e30.")
@example("\udcff.\udcff.\udcff")
def test_what_nobody_signed_is_never_believed(text: str) -> None:
    with pytest.raises(UserJwtError):
        READER.claims(text, NOW_MS / 1000)
    with pytest.raises(CallerError) as caught:
        SIGNED.name(CIMultiDict({"X-OpenWebUI-User-Jwt": text}), NOW_MS, trusted=True)
    assert (caught.value.status, caught.value.code) == (401, "invalid_user_jwt")


@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "aud", "iss", "sub", "email", "jti"]), JSON))
def test_what_was_signed_is_believed_in_its_time(claims: dict[str, Any]) -> None:
    """iat, aud, iss and jti say nothing here; exp must be there, nbf may."""
    text = jwt.encode(claims, SECRET, algorithm="HS256") if _encodes(claims) else None
    if text is None:
        return
    now_s = NOW_MS / 1000
    exp: Any = claims.get("exp")
    nbf: Any = claims.get("nbf", 0)
    holds = _is_number(exp) and now_s < exp and _is_number(nbf) and nbf <= now_s
    names = [claims.get(name) for name in ("email", "sub")]
    usable = next((name for name in names if isinstance(name, str) and NAME.fullmatch(name)), None)
    headers = CIMultiDict({"X-OpenWebUI-User-Jwt": text, "X-OpenWebUI-User-Id": "somebody"})
    if holds and usable is not None:
        assert SIGNED.name(headers, NOW_MS, trusted=False) == usable
        return
    with pytest.raises(CallerError) as caught:
        SIGNED.name(headers, NOW_MS, trusted=True)
    assert caught.value.status == 401


def _encodes(claims: dict[str, Any]) -> bool:
    """Tell whether PyJWT signs these: it asks of some claims what the reader does not."""
    try:
        jwt.encode(claims, SECRET, algorithm="HS256")
    except (TypeError, ValueError):
        return False
    return True


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value == value and value not in (float("inf"), float("-inf"))  # noqa: PLR0124 - only a NaN differs


@given(st.binary(min_size=1, max_size=40), st.integers(min_value=0))
def test_one_changed_byte_breaks_the_signature(noise: bytes, at: int) -> None:
    head, payload, signature = jwt.encode({"sub": "eva", "exp": NOW_MS}, SECRET, algorithm="HS256").split(".")
    other = jwt.encode({"sub": noise.hex(), "exp": NOW_MS}, SECRET, algorithm="HS256").split(".")[1]
    raw = bytearray(jwt.utils.base64url_decode(signature))
    raw[at % len(raw)] ^= noise[0] or 1
    for forged in (
        f"{head}.{other}.{signature}",
        f"{head}.{payload}.{jwt.utils.base64url_encode(bytes(raw)).decode()}",
    ):
        with pytest.raises(UserJwtError, match="another secret"):
            READER.claims(forged, 0)
