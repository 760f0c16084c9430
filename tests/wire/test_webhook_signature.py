"""Signatures as Standard Webhooks defines them."""

import pytest

from proxy.core.webhook_secret import read_secret
from proxy.wire.webhook_signature import signature_headers, unsigned_headers

# The vector that the libraries of the specification are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP_S = 1614265330
BODY = b'{"test": 2432232314}'


def test_the_published_vector() -> None:
    headers = signature_headers(read_secret(SECRET), ID, TIMESTAMP_S, BODY)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert unsigned_headers(ID, TIMESTAMP_S) == {name: headers[name] for name in ("webhook-id", "webhook-timestamp")}
    assert headers["webhook-id"] == ID
    assert headers["webhook-timestamp"] == "1614265330"


def test_a_changed_body_has_another_signature() -> None:
    secret = read_secret(SECRET)
    assert signature_headers(secret, ID, TIMESTAMP_S, BODY) != signature_headers(secret, ID, TIMESTAMP_S, BODY + b" ")


@pytest.mark.parametrize("text", ["whsec_", "whsec_c2hvcnQ=", "whsec_not base64", "whsec_" + "QUFB" * 30, ""])
def test_a_secret_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|bytes"):
        read_secret(text)
