"""Who is let in: the configuration and the database together."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.config.schema import Settings
from proxy.core.errors import CallerError
from proxy.core.user_token import new_token, token_hash
from proxy.pipeline.identity.authenticate import authenticate
from proxy.pipeline.identity.directory import build_directory
from proxy.pipeline.identity.identify import identify
from proxy.pipeline.values.request_headers import RequestHeaders
from tests.support.context import request_context

END = datetime(2027, 1, 1, tzinfo=UTC)
END_MS = int(END.timestamp() * 1000)


def sent(token: str) -> RequestHeaders:
    return RequestHeaders(CIMultiDict({"Authorization": f"Bearer {token}"}))


def database(
    token: str, *, expires_ms: int | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    user: dict[str, Any] = {"name": "anna", "group": None, "settings": {}, "disabled": False, "made_by": None}
    row = {"id": "tok_1", "user": "anna", "expires_ms": expires_ms, "disabled": False, "trusted": False}
    return [user], [row], {"tok_1": token_hash(token)}


@pytest.mark.parametrize("expires_ms", [None, END_MS + 1000])
def test_a_configured_users_end_holds_for_tokens_in_the_database(expires_ms: int | None) -> None:
    token = new_token()
    settings = Settings.read({"users": {"anna": {"expires_at": END.isoformat()}}})
    directory = build_directory(settings, *database(token, expires_ms=expires_ms))
    assert authenticate(sent(token), directory, END_MS - 1).user == "anna"
    with pytest.raises(CallerError) as caught:
        authenticate(sent(token), directory, END_MS)
    assert caught.value.code == "token_expired"
    assert caught.value.message == "The access of user 'anna' has expired. Ask the operator."


def test_a_token_that_ends_before_its_user_ends_first() -> None:
    token = new_token()
    settings = Settings.read({"users": {"anna": {"expires_at": END.isoformat()}}})
    directory = build_directory(settings, *database(token, expires_ms=END_MS - 5000))
    with pytest.raises(CallerError, match="This token of user 'anna' has expired"):
        authenticate(sent(token), directory, END_MS - 5000)


def test_a_user_who_is_disabled_in_the_configuration_is_refused_by_any_token() -> None:
    token = new_token()
    directory = build_directory(Settings.read({"users": {"anna": {"disabled": True}}}), *database(token))
    with pytest.raises(CallerError) as caught:
        authenticate(sent(token), directory, 0)
    assert caught.value.status == 403


@pytest.mark.parametrize("change", [{}, {"disabled": True}, {"trusted": True}])
def test_a_kept_connection_ends_with_its_token(change: dict[str, Any]) -> None:
    """What was found of a head is asked again for each request that it comes with."""
    token = new_token()
    users, tokens, hashes = database(token, expires_ms=END_MS)
    directory = build_directory(Settings(), users, tokens, hashes)
    services: Any = SimpleNamespace(
        live=SimpleNamespace(current=SimpleNamespace(directory=directory)), stops=SimpleNamespace(active=())
    )
    context: Any = request_context(1, downstream=SimpleNamespace(request_headers=sent(token)))
    for now_ms in (0, 1, END_MS - 1):
        identify(context, services, now_ms)
        assert context.user == "anna"
    with pytest.raises(CallerError) as caught:
        identify(context, services, END_MS)
    assert caught.value.code == "token_expired"
    identify(context, services, 0)
    services.live.current.directory = build_directory(Settings(), users, [{**tokens[0], **change}], hashes)
    if change.get("disabled"):
        with pytest.raises(CallerError):
            identify(context, services, 0)
    else:
        before, context.identity = context.identity, None
        identify(context, services, 0)
        assert context.identity is not before
