"""How a provider is sent its key: most as a bearer, Anthropic and Azure in a header of their own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from proxy.providers.key import Key

Auth = Literal["bearer", "x-api-key", "api-key"]

_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_ANTHROPIC_DEFAULTS: Mapping[str, str] = MappingProxyType({"anthropic-version": "2023-06-01"})  # the only one there is
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def auth_of(base_url: str) -> Auth:
    """Return how a provider is known to want its key; from Anthropic's and Microsoft's documentation."""
    host = urlsplit(base_url).hostname or ""
    if host == "api.anthropic.com":
        return "x-api-key"
    return "api-key" if host.endswith(_AZURE_HOSTS) else "bearer"


def key_headers(key: Key, auth: Auth) -> dict[str, str]:
    """Return what a request carries so that the provider knows the key; nothing for a key without a secret."""
    if key.secret is None:
        return {}
    secret = key.secret.reveal()
    return {"Authorization": f"Bearer {secret}"} if auth == "bearer" else {auth: secret}


def default_headers(auth: Auth) -> Mapping[str, str]:
    """Return what a request needs beside its key where the client did not send it."""
    return _ANTHROPIC_DEFAULTS if auth == "x-api-key" else _NO_HEADERS
