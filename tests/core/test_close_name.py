"""The name that a word is most like is the one that difflib finds, which is asked only where there may be one."""

import subprocess
import sys
from difflib import get_close_matches

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.close_name import close_name
from tests.cli.command_line import ROOT

_words = st.text("abck_\u00e9", max_size=8)


@given(_words, st.lists(_words, max_size=6), st.sampled_from([0.0, 0.5, 0.6, 0.75, 1.0]))
def test_it_is_the_one_that_difflib_finds(word: str, names: list[str], likeness: float) -> None:
    assert close_name(word, names, likeness) == next(iter(get_close_matches(word, names, 1, likeness)), None)


def test_names_that_are_like_none_do_not_load_it() -> None:
    program = (
        "import sys; from proxy.config.redact import is_sensitive\n"
        "assert not any(map(is_sensitive, ('providers', 'users', 'base_url', 'anna', 'limits', 'presets', 'kind')))\n"
        "assert 'difflib' not in sys.modules\n"
        "assert is_sensitive('pasw0rd')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
