"""Stops: which of them concern a request, and which a model at a provider."""

import pytest
from msgspec.structs import replace

from proxy.policy.stop import Asker, Stop, StopKind, stop_of_asker, stop_of_preset, stop_of_target

ALL = Stop("stop_0", "all", "", None, False, "root", "socket", 5, None)
EVA = Asker({"eva", "chat"}, {"guests"}, "app")


@pytest.mark.parametrize(
    ("kind", "subject", "concerns"),
    [
        ("all", "", True),
        ("user", "eva", True),
        ("user", "chat", True),
        ("user", "EVA", False),
        ("user", "app", False),
        ("group", "guests", True),
        ("group", "eva", False),
        ("token", "app", True),
        ("token", "chat", False),
        ("preset", "eva", False),
        ("model", "*", False),
        ("provider", "eva", False),
    ],
)
def test_whom_it_concerns(kind: StopKind, subject: str, concerns: bool) -> None:
    stop = replace(ALL, kind=kind, subject=subject)
    assert stop_of_asker([stop], EVA) == (stop if concerns else None)
    assert stop_of_asker([], EVA) is None


def test_whom_it_concerns_reads_as_the_beginning_of_a_sentence() -> None:
    assert ALL.requests == "All requests"
    assert replace(ALL, kind="user", subject="eva").requests == 'Requests of user "eva"'
    assert replace(ALL, kind="model", subject="openai/*").requests == 'Requests for model "openai/*"'
    assert replace(ALL, effect="slow", a_minute=6).outcome.text == "slow: 6/minute"


def test_presets_by_name() -> None:
    stop = replace(ALL, kind="preset", subject="fast")
    assert stop_of_preset([ALL, stop], {"slow", "fast"}) is stop
    assert stop_of_preset([ALL, stop], {"slow", "fast*"}) is None


@pytest.mark.parametrize(
    ("kind", "subject", "model", "concerns"),
    [
        ("provider", "router", "openai/gpt-5", True),
        ("provider", "rout*", "openai/gpt-5", False),
        ("model", "openai/gpt-5", "openai/gpt-5", True),
        ("model", "openai/gpt-5", "openai/gpt-5-mini", False),
        ("model", "openai/*", "openai/gpt-5", True),
        ("model", "*", "openai/gpt-5", True),
        ("model", "OPENAI/*", "openai/gpt-5", False),
        ("model", "router/openai/gpt-5", "openai/gpt-5", True),
        ("model", "other/openai/gpt-5", "openai/gpt-5", False),
        ("model", "openai/gpt-5", "openai/gpt-5:online", True),
        ("model", "openai/gpt-5", "openai/gpt-5@azure", True),
        ("model", "openai/gpt-5:online", "openai/gpt-5", False),
        ("model", "router/openai/gpt-5", "openai/gpt-5:online@azure", True),
        ("all", "", "openai/gpt-5", False),
        ("user", "router", "openai/gpt-5", False),
    ],
)
def test_which_models_it_concerns(kind: StopKind, subject: str, model: str, concerns: bool) -> None:
    stop = replace(ALL, kind=kind, subject=subject)
    assert stop_of_target([stop], "router", model) == (stop if concerns else None)


def test_its_time() -> None:
    assert not ALL.is_over(10**15)
    stop = replace(ALL, until_ms=100)
    assert (stop.is_over(99), stop.is_over(100)) == (False, True)
    assert (ALL.what, replace(ALL, kind="user", subject="eva").what) == ("everything", 'user "eva"')
