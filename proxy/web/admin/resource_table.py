"""Find the routes of a path."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from proxy.core.errors import CallerError
from proxy.web.admin.route import PREFIX, AdminRoute


class ResourceTable:
    """All routes; a word of a path goes before a parameter in the same place."""

    def __init__(self, routes: Iterable[AdminRoute]) -> None:
        self.routes = tuple(routes)
        by_segments: dict[tuple[str, ...], dict[str, AdminRoute]] = {}
        for route in self.routes:
            methods = by_segments.setdefault(route.segments, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} is there twice")
            methods[route.method] = route
        self._by_segments = by_segments
        # most words first: {…} sorts behind all letters
        self._patterns = sorted(by_segments, key=lambda segments: [_is_parameter(segment) for segment in segments])

    def find(self, path: str) -> tuple[Mapping[str, AdminRoute], Mapping[str, str]] | None:
        """Return the routes of a path by method, and the parameters in it; None where there is nothing.

        path: below /admin/v1/, as it was sent. Raises CallerError 400 for a parameter that is not text.
        """
        segments = path.split("/")
        for pattern in self._patterns:
            if len(pattern) == len(segments) and all(
                _is_parameter(name) or name == segment for name, segment in zip(pattern, segments, strict=True)
            ):
                found = {
                    name[1:-1]: _decoded(segment)
                    for name, segment in zip(pattern, segments, strict=True)
                    if _is_parameter(name)
                }
                return self._by_segments[pattern], found
        return None

    def reader_of(self, route: AdminRoute) -> AdminRoute | None:
        """Return the route that reads what another one changes."""
        found = self._by_segments[route.segments].get("GET")
        return None if found is None or found.is_list else found

    def location_of(self, route: AdminRoute, data: object) -> str | None:
        """Return the path of an entry that a POST to a list has made; None where it has none of its own."""
        for pattern, methods in self._by_segments.items():
            if pattern[:-1] == route.segments and _is_parameter(pattern[-1]) and "GET" in methods:
                name = data.get(pattern[-1][1:-1]) if isinstance(data, dict) else None
                return None if name is None else f"{PREFIX}{'/'.join(route.segments)}/{quote(str(name), safe='')}"
        return None


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def _decoded(segment: str) -> str:
    try:
        text = unquote(segment, errors="strict")
        text.encode()
    except UnicodeError:
        raise CallerError(400, "invalid_target", "A part of the path is not valid UTF-8, percent-encoded.") from None
    return text
