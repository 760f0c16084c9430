"""Find the view of a path."""

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from proxy.core.errors import CallerError
from proxy.web.dashboard.view import View


class ViewTable:
    """All views; a word of a path goes before a parameter in the same place."""

    def __init__(self, views: Iterable[View]) -> None:
        self.views = tuple(views)
        by_segments: dict[tuple[str, ...], dict[str, View]] = {}
        for view in self.views:
            methods = by_segments.setdefault(view.segments, {})
            if view.method in methods:
                raise ValueError(f"{view.method} {view.path} is there twice")
            methods[view.method] = view
        self._by_segments = by_segments
        self._patterns = sorted(by_segments, key=lambda segments: [_is_parameter(segment) for segment in segments])

    def find(self, path: str) -> tuple[Mapping[str, View], Mapping[str, str]] | None:
        """Return the views of a path by method, and the parameters in it; None where there is nothing.

        path: as it was sent, without the query. Raises CallerError 404 for a parameter that is not text.
        """
        segments = path.strip("/").split("/")
        for pattern in self._patterns:
            if len(pattern) == len(segments) and all(
                _is_parameter(name) or name == segment for name, segment in zip(pattern, segments, strict=True)
            ):
                pairs = zip(pattern, segments, strict=True)
                return self._by_segments[pattern], {
                    name[1:-1]: _decoded(segment) for name, segment in pairs if _is_parameter(name)
                }
        return None


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeError:
        raise CallerError(404, "unknown_url", "A part of the address is not valid UTF-8, percent-encoded.") from None
