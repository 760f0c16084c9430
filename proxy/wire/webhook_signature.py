"""Signatures of Standard Webhooks 1.0.0, by which a receiver knows who sent a message and that it is whole."""

import base64
import hashlib
import hmac


def signature_headers(secret: bytes, id_: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message; id_ stays the same over its attempts, timestamp_s is that of this one."""
    signed = f"{id_}.{timestamp_s}.".encode() + body
    digest = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {**unsigned_headers(id_, timestamp_s), "webhook-signature": f"v1,{digest}"}


def unsigned_headers(id_: str, timestamp_s: int) -> dict[str, str]:
    """Return the headers of a message whose receiver checks no signature."""
    return {"webhook-id": id_, "webhook-timestamp": str(timestamp_s)}
