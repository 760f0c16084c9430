"""Signatures as Standard Webhooks defines them."""

import pytest

from proxy.wire.webhook_signature import read_secret, signature_headers, unsigned_headers

# The example of the specification's README, which verifies implementations.
SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"
ID = "msg_loFOjxBNrRLzqYUf"
TIMESTAMP_S = 1731705121
BODY = b'{"event_type":"ping","data":{"success":true}}'


def test_the_published_vector() -> None:
    headers = signature_headers(read_secret(SECRET), ID, TIMESTAMP_S, BODY)
    assert headers["webhook-signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
    assert unsigned_headers(ID, TIMESTAMP_S) == {name: headers[name] for name in ("webhook-id", "webhook-timestamp")}
    assert headers["webhook-id"] == ID
    assert headers["webhook-timestamp"] == "1731705121"


def test_a_changed_body_has_another_signature() -> None:
    secret = read_secret(SECRET)
    assert signature_headers(secret, ID, TIMESTAMP_S, BODY) != signature_headers(secret, ID, TIMESTAMP_S, BODY + b" ")


@pytest.mark.parametrize("text", ["whsec_", "whsec_c2hvcnQ=", "whsec_not base64", "whsec_" + "QUFB" * 30, ""])
def test_a_secret_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|bytes"):
        read_secret(text)
