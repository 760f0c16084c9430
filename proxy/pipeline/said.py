"""What the headers of a request say, read once: a client sends the same ones with each request."""

from typing import TYPE_CHECKING

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.token import token_hash
from proxy.pipeline.authenticate import credential

if TYPE_CHECKING:
    from proxy.pipeline.parts import Snapshot
    from proxy.pipeline.tags import Tags
    from proxy.providers.key import Key
    from proxy.providers.rows import ProviderRow
    from proxy.providers.transport import SentHeaders

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class Said:
    """Headers that do not change, and what was read from them, which depends on neither configuration nor time."""

    __slots__ = ("_token_hash", "headers", "is_json", "passed", "sent", "tags", "upstream")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self._token_hash: str | None = None
        self.passed: Snapshot | None = None  # the configuration under which Host and Origin may call
        self.is_json = False  # the checks of accept.py have passed
        self.sent: list[tuple[str, str]] | None = None  # what travels to the provider
        self.tags: Tags | None = None
        # what went there last: to whom, with which key, whether a stream was asked for
        self.upstream: tuple[ProviderRow, Key, bool, SentHeaders] | None = None

    @property
    def token_hash(self) -> str:
        """Give the hash of the one token; raises CallerError where there is none, or more than one."""
        if self._token_hash is None:
            self._token_hash = token_hash(credential(self.headers))
        return self._token_hash
