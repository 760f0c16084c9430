"""What forms send, read."""

from urllib.parse import urlencode

import pytest

from proxy.core.errors import CallerError
from proxy.web.dashboard.form import FIELDS_MAX, parse_form


def test_values_come_as_the_person_wrote_them() -> None:
    sent = urlencode([("a", "1"), ("b", ""), ("a", "zwei ü 🙂"), ("text", "one\r\ntwo\tthree")]).encode()
    assert parse_form(sent) == {"a": ["1", "zwei ü 🙂"], "b": [""], "text": ["one\ntwo\tthree"]}
    assert parse_form(b"") == {}
    assert parse_form(b"a=1&a=%3Cscript%3E") == {"a": ["1", "<script>"]}


@pytest.mark.parametrize(
    "body", [b"a=%00", b"%00=a", b"a=\x00", b"a=%FF", b"a=\xff", b"a=%1b[31m", b"a=%7f", b"a=1&" * (FIELDS_MAX + 1)]
)
def test_what_no_form_sends_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        parse_form(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_form")
