"""How a provider speaks: paths, keys, bodies and what it says about money; and the translation of a foreign form.

No other part asks which provider it is; all read these fields.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from proxy.policy.pricing import PriceList
from proxy.providers.key import Key
from proxy.wire.endpoint import Endpoint
from proxy.wire.usage import Usage

AccountApi = Literal["openrouter", "openai", "anthropic"]
"""Whose way of telling of an account and its costs."""


PreparedBody = tuple[dict[str, Any], bool]
"""A body as one provider wants it, and whether only we asked for the usage, so that it is removed again."""


class TranslationError(Exception):
    """A form cannot say what the other one says; the text goes on where "it" is the provider."""


class Translator(Protocol):
    """One exchange with a provider whose form is not that of the client's endpoint.

    All that it returns is in the endpoint's form, and is metered, checked and passed on as though a provider had sent
    it. usage is what the provider's own usage says, None: what was written of it in the endpoint's form says all. It is
    written there in any case, at the place where it came: that tells whether it is the last word.
    """

    stream_type: str  # the media type of the provider's streams; under any other an answer is in one piece
    usage: Usage | None

    def request(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body that the provider takes; raises TranslationError where its form cannot say the same."""
        ...

    def answer(self, body: bytes) -> bytes:
        """Translate an answer in one piece, also one that holds an error; raises TranslationError for a broken one."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Translate the next bytes of a stream, cut anywhere, as far as they can be; raises TranslationError."""
        ...

    def finish(self) -> bytes:
        """Translate what was kept back, at the end of a stream; raises TranslationError."""
        ...

    def error(self, status: int, body: bytes) -> bytes | None:
        """Translate the body of a status that is not 2xx; None for one in another form, such as a page."""
        ...


class Dialect(Protocol):
    """What differs between kinds of providers."""

    reports_cost: bool  # the cost in its answers is what is charged
    takes_cost: bool  # such a cost counts where no price is known
    cost_paths: tuple[tuple[str, ...], ...]  # where to find it, the first that is present; empty: usage.cost
    cost_header: str | None  # of an answer in one piece
    has_generations: bool  # an answer can be looked up by its id afterwards
    falls_back: bool  # it takes a list of models, and falls back on them by itself
    list_paths: tuple[str, ...]  # of its lists of models, at least one; only the first must be there
    lists_prices: bool  # they tell what the models cost
    key_path: str | None  # where it tells of the key that asks, which it wants; None: a list shows whether it is good
    key_page: str | None  # where its users make keys
    account_api: AccountApi | None  # how it tells of the account behind a key; None: it does not
    billing_page: str | None  # where an account is topped up, if its address does not tell
    default_headers: Mapping[str, str]  # what a request needs where the client did not send it

    @property
    def translator(self) -> Callable[[Endpoint], Translator] | None:
        """Return what makes the translator of one exchange; None: bodies and answers are the endpoint's own.

        Called, it raises TranslationError for an endpoint that the provider has nothing like.
        """
        ...

    def path(self, endpoint: Endpoint, model: str, *, streamed: bool) -> str:
        """Return the path of an endpoint behind the base URL."""
        ...

    def auth_headers(self, key: Key) -> Mapping[str, str]:
        """Return what a request carries so that the provider knows the key."""
        ...

    def headers(self, sent: Mapping[str, str]) -> Mapping[str, str]:
        """Return headers to add to those that the client sent (names in lower case)."""
        ...

    def prepare(self, body: dict[str, Any], model: str, endpoint: Endpoint) -> PreparedBody:
        """Return the body with the model, asking for usage if the endpoint has a way to ask."""
        ...

    def read_prices(self, models: Sequence[Mapping[str, Any]]) -> PriceList:
        """Read the prices of a list; raises PriceError for a list that must not replace the one in force."""
        ...

    def describe_key(self, body: bytes) -> str:
        """Return what the answer at key_path says of a key, to stand behind a text; "" where it says nothing."""
        ...

    def cancel_stops_bill(self, served_by: str | None) -> bool:
        """Return whether closing a stream stops the bill; served_by is the provider behind the provider."""
        ...
