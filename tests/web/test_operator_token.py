"""The operator's token cannot be guessed at leisure."""

import asyncio

import pytest

from proxy.web.server.peer import address_of
from tests.support.installation import ADMIN_TOKEN
from tests.support.patience import eventually
from tests.support.stand import Stand


@pytest.mark.parametrize("path", ["/admin/v1/users/list", "/admin/v1/nothing"])
async def test_a_wrong_token_slows_down(stand: Stand, path: str) -> None:
    for _ in range(3):
        answer = await stand.ask("POST", path, {}, token="wrong" * 9)
        assert (answer.status, answer.header("Retry-After")) == (401, None)
    fourth = await stand.ask("POST", path, {}, token="wrong" * 9)
    assert (fourth.status, fourth.header("Retry-After")) == (401, "1")
    answers = await asyncio.gather(*(stand.ask("POST", path, {}, token="wrong" * 9) for _ in range(20)))
    assert {answer.status for answer in answers} == {429}
    assert all(answer.json()["error"]["code"] == "too_many_wrong_tokens" for answer in answers)
    right = await stand.ask("POST", path, {}, token=ADMIN_TOKEN)
    assert right.status == 429  # else it would tell which guess was right
    assert right.header("Retry-After") == "1"

    async def is_let_in() -> bool:
        return (await stand.ask("POST", path, {}, token=ADMIN_TOKEN)).status in (200, 404)

    await eventually(is_let_in)
    assert (await stand.ask("POST", path, {}, token="wrong" * 9)).status == 401  # counted anew


class _Transport:
    def __init__(self, name: object) -> None:
        self._name = name

    def get_extra_info(self, _what: str) -> object:
        return self._name


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("10.0.0.7", 5), "10.0.0.7"),
        (("::ffff:10.0.0.7", 5, 0, 0), "10.0.0.7"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), "2001:db8:1:2"),
        (("::1", 5, 0, 0), "::1"),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_is_a_network_where_it_is_ipv6(name: object, address: str) -> None:
    assert address_of(_Transport(name)) == address  # type: ignore[arg-type]
