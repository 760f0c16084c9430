"""Names on one line, and unable to turn the text around them."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.web.dashboard.charts.label import full_label, isolated, label


@given(st.text(max_size=200), st.integers(5, 60))
def test_a_label_is_one_short_line(name: str, most: int) -> None:
    text = label(name, most)
    assert 0 < len(text) <= max(most, len("(no name)"))
    assert "\n" not in text
    assert not {*text} & {"\u202e", "\u202d", "\u2066", "\u2067", "\u2068", "\u2069"}


def test_what_is_cut_says_so() -> None:
    assert label("abcdefgh", 8) == "abcdefgh"
    assert label("abcdefghi", 8) == "abcdefg…"
    assert label("x" * 10_000).endswith("…")
    assert len(full_label("x" * 10_000)) == 500
    assert label("  two \n words ") == "two words"
    assert label("") == "(no name)"


def test_writing_directions() -> None:
    hebrew = "\u05e9\u05dc\u05d5\u05dd"
    assert isolated("ann") == "ann"
    assert isolated(hebrew) == f"\u2068{hebrew}\u2069"
    assert label("a\u202eb") == "a\ufffdb"


def test_marks_stay_on_their_line() -> None:
    assert label("e" + "\u0301" * 50) == "e\u0301\u0301"
