"""Names for the state of a resource, so that nobody changes what they have not seen."""

import hashlib
from typing import Any

import orjson

from proxy.web.admin.json_bytes import json_bytes


def etag_of(data: Any) -> str:
    """Return an entity tag (RFC 9110, 8.8.3) that changes whenever the data does, quotes included.

    data: what json_bytes() takes, or what it has made.
    """
    text = data if isinstance(data, bytes) else json_bytes(data, orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(text).hexdigest()
    return f'"{digest[:24]}"'


def matches(header: str, etag: str) -> bool:
    """Return whether an If-Match or If-None-Match header names a tag, or is *."""
    names = [name.strip().removeprefix("W/") for name in header.split(",")]
    return "*" in names or etag in names
