"""How a target accepts what the proxy writes into a body: fields to leave out, fields to rename. Pure.

What is known of hosts and of families of models stands in KNOWN, each row with its source. The operator's settings
override it, and so does what a target has refused lately.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from proxy.core.endpoint_kind import Endpoint


class ParameterForm(Struct, frozen=True):
    """What differs for one target. It never changes what the client itself sent.

    without: fields that are left out. names: (field, its name there). most: the greatest bound of an answer, in tokens.
    context: the most tokens of prompt and answer together. json_only: a schema is asked for as plain JSON. user_prompt:
    a preset's system prompt goes into the first message of the user. takes: fields that are accepted whatever else is
    known.
    """

    without: frozenset[str] = frozenset()
    names: tuple[tuple[str, str], ...] = ()
    most: int | None = None
    context: int | None = None
    json_only: bool = False
    user_prompt: bool = False
    takes: frozenset[str] = frozenset()

    def over(self, other: "ParameterForm") -> "ParameterForm":
        """Return both together; where they contradict each other this one holds."""
        renamed = {name for name, _ in self.names} | self.takes | self.without
        return ParameterForm(
            (other.without - self.takes - {name for name, _ in self.names}) | self.without,
            (*((name, there) for name, there in other.names if name not in renamed), *self.names),
            _least(self.most, other.most),
            _least(self.context, other.context),
            self.json_only or other.json_only,
            self.user_prompt or other.user_prompt,
            self.takes | other.takes,
        )

    def named(self, name: str) -> str:
        """Return the name that a field has there."""
        for own, there in self.names:
            if own == name:
                return there
        return name


PLAIN: Final = ParameterForm()


def _least(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return min(known, default=None)


class KnownForm(Struct, frozen=True):
    """Applies to chat completions of models whose name begins as models says, at hosts that end so."""

    hosts: tuple[str, ...]
    models: str  # a regular expression, looked for at the beginning of the name
    form: ParameterForm


_NEWER_BOUND: Final = (("max_tokens", "max_completion_tokens"),)
_OPENAI: Final = ("api.openai.com",)
_AZURE: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
# OpenAI's o series, and gpt-5 but for its chat models; from 5.1 on the sampling parameters depend on the effort.
_REASONING: Final = r"(?:.*/)?(?:o\d|gpt-5(?![.\d])(?!.*chat))"
_NO_SAMPLING: Final = frozenset(
    ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias")
)

KNOWN: Final = (
    # OpenAI, API reference of chat completions: max_tokens is the deprecated name, and the o series refuses it.
    KnownForm(_OPENAI, "", ParameterForm(names=_NEWER_BOUND)),
    # OpenAI, guide to reasoning models, and Microsoft's page on them: what they do not take.
    KnownForm(_OPENAI, _REASONING, ParameterForm(without=_NO_SAMPLING)),
    # Azure: older deployments know the older name alone, and a deployment is often named as its model.
    KnownForm(_AZURE, _REASONING, ParameterForm(without=_NO_SAMPLING, names=_NEWER_BOUND)),
    # Mistral's specification: no stream_options (further fields are refused with 422), usage comes in each stream's
    # last chunk; the seed has another name.
    KnownForm(
        ("api.mistral.ai",), "", ParameterForm(without=frozenset(("stream_options",)), names=(("seed", "random_seed"),))
    ),
    # Groq, OpenAI compatibility: these are answered with 400.
    KnownForm(("api.groq.com",), "", ParameterForm(without=frozenset(("logprobs", "top_logprobs", "logit_bias")))),
    # Cerebras, OpenAI compatibility: likewise.
    KnownForm(
        ("api.cerebras.ai",),
        "",
        ParameterForm(without=frozenset(("frequency_penalty", "presence_penalty", "logit_bias"))),
    ),
    # xAI, guide to reasoning: an error for grok-4.
    KnownForm(
        ("api.x.ai",),
        r"grok-4(?!.*non-reasoning)",
        ParameterForm(without=frozenset(("presence_penalty", "frequency_penalty", "stop", "reasoning_effort"))),
    ),
)


def has_known(host: str) -> bool:
    """Return whether anything is known about a host."""
    return any(_is_at(host, row.hosts) for row in KNOWN)


@lru_cache(maxsize=1024)
def known_form(host: str, model: str, endpoint: Endpoint) -> ParameterForm | None:
    """Return what is known of a model at a host; None: nothing."""
    if endpoint != "chat":
        return None
    found = None
    for row in KNOWN:
        if _is_at(host, row.hosts) and re.match(row.models, model) is not None:
            found = row.form if found is None else row.form.over(found)
    return found


def _is_at(host: str, ends: Iterable[str]) -> bool:
    return any(host == end or (end.startswith(".") and host.endswith(end)) for end in ends)


def form_of(parameters: Mapping[str, bool | str]) -> ParameterForm:
    """Return the operator's word on parameters: false is not taken, true is taken, a text is the name there."""
    return ParameterForm(
        without=frozenset(name for name, word in parameters.items() if word is False),
        names=tuple((name, word) for name, word in parameters.items() if isinstance(word, str)),
        takes=frozenset(name for name, word in parameters.items() if word is True),
    )
