"""Names that come again are found once, and what comes from outside does not fill memory."""

import pytest

from proxy.core.name_cache import NameCache


def test_a_name_is_found_once() -> None:
    asked: list[str] = []

    def find(name: str) -> str | None:
        asked.append(name)
        return name.lower() if name else None

    cache = NameCache(find)
    assert [cache["A"], cache["B"], cache["A"], cache[""], cache[""]] == ["a", "b", "a", None, None]
    assert asked == ["A", "B", ""]


def test_it_holds_no_more_names_than_it_is_told() -> None:
    cache = NameCache(len, most=3)
    for n in range(1, 20):
        assert cache["x" * n] == n
        assert len(cache) <= 3


def test_what_cannot_be_found_is_not_kept() -> None:
    cache = NameCache(int)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            cache["one"]
    assert not cache
