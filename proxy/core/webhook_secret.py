"""Secrets of Standard Webhooks 1.0.0, with which messages are signed."""

import base64
import binascii
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret begins
SECRET_MIN_BYTES: Final = 24
SECRET_MAX_BYTES: Final = 64


def read_secret(text: str) -> bytes:
    """Return the bytes of a secret written as ``whsec_`` and base64; raises ValueError."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be whsec_ and base64") from None
    if not SECRET_MIN_BYTES <= len(secret) <= SECRET_MAX_BYTES:
        raise ValueError(f"must hold {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes, and has {len(secret)}")
    return secret
