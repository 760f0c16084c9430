"""What the headers of a request say, read once: a client sends the same ones with each request."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.pipeline.values.body_shape import BodyShape
from proxy.pipeline.values.route import Target
from proxy.pipeline.values.tags import Tags
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import SentHeaders
from proxy.wire.endpoint import Endpoint

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class UpstreamHead(Struct, frozen=True, eq=False):
    """Where a request went, and what went with its body; streamed: a stream was asked for."""

    provider: ProviderRow
    target: Target
    key: Key
    streamed: bool
    endpoint: Endpoint
    url: str
    headers: SentHeaders


class RequestHeaders:
    """Headers that do not change, and what was read from them, which depends on neither configuration nor time."""

    __slots__ = (
        "cors",
        "found",
        "headers",
        "is_json",
        "last_body",
        "passed",
        "plans",
        "sent",
        "shape",
        "tags",
        "token_hash",
        "unlike",
        "upstream",
    )

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.token_hash: str | None = None  # as read by hash_of_token()
        # the directory that was asked, its row for the token, and until when that alone says who asks
        self.found: tuple[object, Any, int] | None = None
        self.passed: object | None = None  # the configuration under which Host and Origin may call
        self.cors: Mapping[str, str] | None = None  # what each answer tells the browser, under that configuration
        self.is_json = False  # the checks of request/body.py have passed
        self.sent: list[tuple[str, str]] | None = None  # what travels to the provider
        self.tags: Tags | None = None
        # what went there last
        self.upstream: UpstreamHead | None = None
        # what bodies had in common lately; else the last one, and how many were unlike the one before
        self.shape: BodyShape | None = None
        self.last_body = b""
        self.unlike = 0
        self.plans: dict[str, Any] = {}  # what was decided of the last plain request for a model: pipeline/plan.py
