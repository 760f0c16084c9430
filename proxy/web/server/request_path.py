"""How a request's path is read: which endpoint it means, and what of it may be logged."""

import re
from functools import lru_cache

_PREFIX = re.compile(r"^(?:/(?:api/)?v1)+(?=/|$)")
_LAST = re.compile(r"(?:/api)?/v1$")
_WORDS_MAX = 8  # of a path, in a line of the log
_WORDS = frozenset(  # of the paths there are, and of those that clients ask for by mistake
    {
        *("", "v1", "api", "admin", "chat", "completions", "responses", "messages", "count_tokens", "embeddings"),
        *("explain", "models", "me", "limits", "usage", "key", "auth", "credits", "generation"),
        *("healthz", "readyz", "metrics", "users", "tokens", "backup", "reload", "list", "show", "add", "set"),
        *("remove", "disable", "enable", "rotate", "trust", "operators", "groups", "keys", "presets", "requests"),
        *("attempts", "connections", "reservations", "stops", "alerts", "audit", "configuration", "validate"),
        *("history", "docs", "openapi.json", "recommend", "registry"),
        *("dashboard", "static", "login", "logout", "sessions", "people", "playground", "stop", "events"),
        *("rules", "destinations", "states", "deliveries", "silences", "tests", "retry"),
        *("v2", "engines", "images", "audio", "files", "batches", "moderations", "health", "tags", "favicon.ico"),
    }
)


@lru_cache(maxsize=256)
def canonical_path(target: str) -> str:
    """Return a path as it was meant: without query, double and final slashes, and with one prefix.

    ``//v1//models/`` and ``/v1/v1/models`` are ``/v1/models``. Of several prefixes the last one counts, for a client
    adds its own behind those of its base URL. An encoded slash stays as it is: it belongs to a model's name.
    """
    path = "/" + "/".join(part for part in target.partition("?")[0].split("/") if part)
    found = _PREFIX.match(path)
    if found is None:
        return path
    last = _LAST.search(found[0])
    return path if last is None else last[0] + path[found.end() :]


def known_words(raw_path: str) -> str:
    """Return a path without its query and with those words only that are ours: clients put tokens into paths too."""
    words = raw_path.partition("?")[0].split("/")[:_WORDS_MAX]
    return "/".join(word if word in _WORDS else "…" for word in words)
