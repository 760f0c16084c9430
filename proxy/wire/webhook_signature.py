"""Signatures of Standard Webhooks 1.0.0, by which a receiver knows who sent a message and that it is whole."""

import base64
import binascii
import hashlib
import hmac
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret begins
SECRET_MIN_BYTES: Final = 24
SECRET_MAX_BYTES: Final = 64


def read_secret(text: str) -> bytes:
    """Return the bytes of a secret written as ``whsec_`` and base64; raises ValueError."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not whsec_ and base64") from None
    if not SECRET_MIN_BYTES <= len(secret) <= SECRET_MAX_BYTES:
        raise ValueError(f"must hold {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes, and has {len(secret)}")
    return secret


def signature_headers(secret: bytes, id_: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message; id_ stays the same over its attempts, timestamp_s is that of this one."""
    signed = f"{id_}.{timestamp_s}.".encode() + body
    digest = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {**unsigned_headers(id_, timestamp_s), "webhook-signature": f"v1,{digest}"}


def unsigned_headers(id_: str, timestamp_s: int) -> dict[str, str]:
    """Return the headers of a message whose receiver checks no signature."""
    return {"webhook-id": id_, "webhook-timestamp": str(timestamp_s)}
