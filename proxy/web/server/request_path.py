"""The one reading of a request's path: what base URLs, joined carelessly, do to it is undone here."""

import re
from functools import lru_cache

_PREFIX = re.compile(r"^(?:/(?:api/)?v1)+(?=/|$)")
_LAST = re.compile(r"(?:/api)?/v1$")


@lru_cache(maxsize=256)
def canonical_path(target: str) -> str:
    """Return the path of a request line's target: without query, double and final slashes, and with one prefix.

    ``//v1//models/`` and ``/v1/v1/models`` are ``/v1/models``. Of several prefixes the last one counts, for a client
    adds its own behind those of its base URL. An encoded slash stays as it is: it belongs to a model's name.
    """
    path = "/" + "/".join(part for part in target.partition("?")[0].split("/") if part)
    found = _PREFIX.match(path)
    if found is None:
        return path
    last = _LAST.search(found[0])
    return path if last is None else last[0] + path[found.end() :]
