"""Whatever was counted: what a profile tells of it is read and priced to the pico-USD that the profile bills."""

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.provider import PriceSettings
from proxy.pipeline.settlement.end_rows import price_usage
from proxy.providers.build import own_price
from proxy.simulator import messages, sse
from proxy.simulator.behaviour import Behaviour
from proxy.simulator.profiles import chat
from proxy.simulator.profiles.profile import Profile
from proxy.simulator.profiles.table import PROFILES
from proxy.simulator.reply import SimulatedReply, compose
from proxy.wire.messages import MessagesMeter, read_message_answer
from proxy.wire.parsed_answer import read_answer
from proxy.wire.stream_meter import StreamMeter
from proxy.wire.usage import Usage
from tests.support.sampling import count

from .stand import own_prices

EXAMPLES = int(os.environ.get("TOLLKEEPER_EXAMPLES", "") or count(40, 0.3))
SERVERS = [profile for profile in PROFILES.values() if profile.kind == "openai"]


@st.composite
def counted(draw: st.DrawFn) -> dict[str, int]:
    """Draw tokens of every class: of the prompt what was read from a cache and written to one, and what was said."""
    prompt = draw(st.integers(1, 10**7))
    cached = draw(st.integers(0, prompt))
    return {
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "cache_write_tokens": draw(st.integers(0, prompt - cached)),
        "reasoning_tokens": draw(st.integers(0, 60)),
        "completion_tokens": draw(st.integers(0, 60)),
    }


def reply_of(profile: Profile, tokens: dict[str, int], *, include_usage: bool) -> SimulatedReply:
    """Return what the profile says when so much was counted; classes that it does not tell it does not bill."""
    if profile.told.cached == "unsaid":
        tokens = {**tokens, "cached_tokens": 0}
    if profile.told.writes == "unsaid":
        tokens = {**tokens, "cache_write_tokens": 0}
    body: dict[str, Any] = {"messages": [], "stream_options": {"include_usage": include_usage}}
    row = profile.models[0]
    behaviour = Behaviour.model_validate(tokens)
    return compose(body, behaviour, identity=("id-1", 1, 7, 1), served=(row.id, "x", row.price), openai=True)


def priced(profile: Profile, usage: Usage | None) -> int | None:
    price = own_price(PriceSettings.read(own_prices(profile.models[0].price)))
    found = None if usage is None else price_usage(price, usage)
    return None if found is None else found.pusd


@pytest.mark.parametrize("profile", SERVERS, ids=[profile.name for profile in SERVERS])
@given(tokens=counted())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_whole_answer_is_priced_as_it_is_billed(profile: Profile, tokens: dict[str, int]) -> None:
    reply = reply_of(profile, tokens, include_usage=True)
    if profile.api == "messages":
        answer = read_message_answer(messages.body(reply))
    else:
        answer = read_answer(chat.body(reply, profile))
    assert answer is not None
    assert priced(profile, answer.usage) == reply.bill().charged_pusd


@pytest.mark.parametrize("profile", SERVERS, ids=[profile.name for profile in SERVERS])
@given(tokens=counted(), cut=st.integers(1, 4000))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_stream_is_priced_as_it_is_billed(profile: Profile, tokens: dict[str, int], cut: int) -> None:
    reply = reply_of(profile, tokens, include_usage=True)
    anthropic = profile.api == "messages"
    events = messages.events(reply) if anthropic else chat.events(reply, profile, asked=True)
    data = b"".join(event.data for event in sse.stream(events, reply.behaviour, profile.stream.comment))
    meter = MessagesMeter() if anthropic else StreamMeter(hide_usage=True)
    for at in range(0, len(data), cut):
        meter.feed(data[at : at + cut])
    meter.finish()
    assert priced(profile, meter.usage) == reply.bill().charged_pusd
