"""A request in the form of a provider that has another than the client's endpoint."""

from typing import Any

from proxy.core.errors import ProviderError
from proxy.providers.dialect import TranslationError, Translator
from proxy.providers.provider import ProviderRow
from proxy.wire.endpoint import Endpoint


def translate_request(
    provider: ProviderRow, endpoint: Endpoint, body: dict[str, Any]
) -> tuple[Translator | None, dict[str, Any]]:
    """Return what translates the exchange and the body to send; raises ProviderError where neither form has the other.

    None beside the body as it is: nothing is to be translated.
    """
    make = provider.dialect.translator
    if make is None:
        return None, body
    try:
        translator = make(endpoint)
        return translator, translator.request(body)
    except TranslationError as error:
        raise ProviderError(
            400,
            "not_offered",
            f'Provider "{provider.name}" cannot be asked this: {error}. Change the request, or use another model.',
            should_retry=False,
        ) from None
