"""Keys of forms: one POST each, of one session, of this start."""

import pytest

from proxy.core.errors import CallerError
from proxy.web.dashboard import form_keys
from proxy.web.dashboard.form_keys import FormKeys


def _refusal(keys: FormKeys, key: str) -> tuple[int, str]:
    with pytest.raises(CallerError) as caught:
        keys.spend(key)
    return caught.value.status, caught.value.code


def test_each_is_good_once() -> None:
    keys = FormKeys()
    first, second = keys.make(), keys.make()
    keys.spend(second)
    keys.spend(first)
    assert _refusal(keys, first) == _refusal(keys, second) == (409, "form_already_sent")


@pytest.mark.parametrize(
    "change", ["", ".", "1", "1.", "x.y", "-1.a", "²." + "a" * 32, "1." + "\ud800", "9" * 30 + ".a", "2."]
)
def test_what_was_never_made_is_out_of_date(change: str) -> None:
    keys = FormKeys()
    keys.make()
    assert _refusal(keys, change) == (403, "form_out_of_date")


def test_another_session_or_start_knows_none_of_them() -> None:
    key = FormKeys().make()
    assert _refusal(FormKeys(), key) == (403, "form_out_of_date")
    number, _, proof = key.partition(".")
    keys = FormKeys()
    keys.make()
    assert _refusal(keys, f"{number}.{proof}") == (403, "form_out_of_date")


def test_those_long_ago_are_out_of_date_and_stay_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_keys, "OUTSTANDING_MAX", 3)
    keys = FormKeys()
    made = [keys.make() for _ in range(3)]
    keys.spend(made[0])
    made += [keys.make() for _ in range(3)]
    for key in made[:3]:
        assert _refusal(keys, key) == (403, "form_out_of_date")
    for key in made[3:]:
        keys.spend(key)
        assert _refusal(keys, key) == (409, "form_already_sent")
