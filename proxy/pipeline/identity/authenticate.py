"""Authentication: token -> identity. There is no default identity: this returns one or raises."""

from proxy.core.errors import CallerError
from proxy.core.user_token import PREFIX, is_well_formed, token_hash
from proxy.pipeline.context import RequestContext
from proxy.pipeline.identity.directory import Directory, TokenRow, refused_token
from proxy.pipeline.identity.end_users import HeaderLookup
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.request_headers import RequestHeaders

_OPENROUTER_PREFIX = "sk-or-"
_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")  # clients of Anthropic, Azure and Google
_NEVER_MS = 1 << 62
_TOKEN_CHARS_MAX = 512  # no token is longer, and hashing a megabyte would be wasted


def authenticate(request_headers: RequestHeaders, directory: Directory, now_ms: int) -> Identity:
    """Find who asks; raises CallerError 401 or 403 that says what is wrong with the token."""
    found = request_headers.found
    if found is None or found[0] is not directory:
        row = directory.find(hash_of_token(request_headers))
        if row is None:
            raise _unknown(credential(request_headers.headers))
        request_headers.found = directory, row, _same_until_ms(row, directory)
    else:
        row = found[1]
    if row.disabled or row.user_disabled:
        what = f"User {row.identity.user!r}" if row.user_disabled else f"This token of user {row.identity.user!r}"
        raise refused_token(403, "token_disabled", f"{what} is disabled. Ask the operator.")
    if row.expires_ms is not None and now_ms >= row.expires_ms:
        raise _expired(row, now_ms)
    if row.trusted or directory.takes_jwt:
        return directory.end_user(request_headers.headers, row, now_ms)
    return row.identity


def _same_until_ms(row: TokenRow, directory: Directory) -> int:
    """Return until when a token stands for its row's identity, whatever else a request says; 0: it is asked anew."""
    if row.disabled or row.user_disabled or row.trusted or directory.takes_jwt:
        return 0
    return _NEVER_MS if row.expires_ms is None else row.expires_ms


def _expired(row: TokenRow, now_ms: int) -> CallerError:
    user = row.identity.user
    text = f"This token of user {user!r} has expired. Ask the operator for a new one."
    if row.user_expires_ms is not None and now_ms >= row.user_expires_ms:
        text = f"The access of user {user!r} has expired. Ask the operator."
    return refused_token(401, "token_expired", text)


def identify(context: RequestContext, directory: Directory) -> Identity:
    """Return who asks, noted for the log; raises CallerError."""
    identity = authenticate(context.downstream.request_headers, directory, context.started_ms)
    context.identity, context.user = identity, identity.user
    return identity


def hash_of_token(request_headers: RequestHeaders) -> str:
    """Return the hash of the one token, computed once; raises CallerError for none or more than one."""
    if request_headers.token_hash is None:
        request_headers.token_hash = token_hash(credential(request_headers.headers))
    return request_headers.token_hash


def credential(headers: HeaderLookup) -> str:
    """Return the one token in Authorization or the headers like it; raises CallerError for several that differ."""
    found = {_bearer(value) for value in headers.getall("Authorization", [])}
    for name in _KEY_HEADERS:
        found.update(value.strip() for value in headers.getall(name, []))
    if len(found) > 1:  # a client with keys of several services may send more than one
        found = {token for token in found if token.startswith(PREFIX)} or found
    if len(found) > 1:
        raise refused_token(401, "invalid_api_key", "The request has several different tokens. Send one.")
    token = found.pop() if found else ""
    if not token:
        raise refused_token(401, "invalid_api_key", 'The request has no token. Send "Authorization: Bearer tk-...".')
    return token


def _bearer(value: str) -> str:
    """Return the token of an Authorization header; the word before it may be missing, or be there twice."""
    scheme, _, token = value.strip().partition(" ")
    while scheme.lower() == "bearer" and token.lower().startswith("bearer "):
        token = token[len("bearer ") :]
    if scheme.startswith(PREFIX) and not token:
        return scheme
    if scheme.lower() != "bearer":
        raise refused_token(401, "invalid_api_key", 'The Authorization header must read "Bearer tk-...".')
    return token.strip()


def _unknown(token: str) -> CallerError:
    if token.startswith(_OPENROUTER_PREFIX):
        return refused_token(
            401,
            "invalid_api_key",
            "You sent an OpenRouter key. Use the token that tollkeeper printed (tk-...).",
        )
    if not token.startswith(PREFIX):
        return refused_token(401, "invalid_api_key", "This is not a token of this proxy: its tokens begin with tk-.")
    if len(token) > _TOKEN_CHARS_MAX or not is_well_formed(token):
        return refused_token(
            401,
            "invalid_api_key",
            "The token is mistyped or incomplete: its checksum is wrong.",
        )
    return refused_token(
        401,
        "invalid_api_key",
        f"Token {token[:7]}... is not known. Make one with: tollkeeper tokens add NAME",
    )
