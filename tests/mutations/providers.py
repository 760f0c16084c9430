"""Bugs of connections to providers and of the keys that they use."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

MUTATIONS: Final = (
    Mutation(
        "a-key-in-two-pieces",
        "A key that a provider quotes in an event of an error reaches the user where the event comes in two pieces.",
        (Patch("ErrorScreen._screened", "tells and len(begun) <= _HELD_MAX_BYTES", "False"),),
        ("tests/wire/test_redact.py::test_an_error_never_tells_the_key[False-an object-chat/completions]",),
    ),
    Mutation(
        "a-key-in-a-refusal",
        "The body of a refusal is passed on with the key that it quotes.",
        (Patch("_hear_refusal", "redacted(raw, attempt.key.quoted_bytes)", "raw"),),
        ("tests/streams/test_keys.py::test_no_answer_tells_the_key",),
    ),
    Mutation(
        "a-proxy-that-is-not-used",
        "The variables that name a proxy are ignored, and no provider is reached from behind one.",
        (Patch("_FileReading.take_keys", "self._proxy_from_environment(name, providers[name])"),),
        ("tests/config/test_outbound.py::test_the_setting_wins",),
    ),
    Mutation(
        "a-proxys-refusal-called-the-providers",
        "What a proxy answers for want of a password is handed on as though the provider had said it.",
        (Patch("PooledTransport.send", "answer.status == 407", "answer.status == 999"),),
        ("tests/providers/test_transport_proxy.py::test_a_wrong_password[asyncio-pool-http]",),
    ),
    Mutation(
        "one-way-to-send-a-key",
        "Every provider is sent a bearer: Anthropic and Azure refuse all keys.",
        (Patch("Key.headers", 'auth == "bearer"', "auth"),),
        ("tests/providers/test_auth.py::test_every_key_goes_out_as_the_provider_wants_it[x-api-key]",),
    ),
)
