"""Sets of models that limits may be on: which requests may count in one, and which do in the end.

A request is held in every set that one of its targets may be answered from, for nobody knows yet which one will be.
When it has ended, the models that may have been paid for decide; one that is not known counts everywhere.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from proxy.core.model_patterns import matches

Models = tuple[str, ...]
"""The patterns of a set, in order: it is known by them. Empty: all models."""
_SEPARATOR = "\n"  # in no pattern and no name
_ROUTER = "openrouter/"  # the maker of models that choose one of any maker, as openrouter/auto
_DATE = re.compile(r"-20[0-9]{2}-?[0-9]{2}-?[0-9]{2}$", re.ASCII)
_STORED_PRESET = "@preset/"  # a route that is kept at the provider


class ModelAnswer(NamedTuple):
    """What answered a request: provider and model as its row has them, and what else may have been paid for.

    provider and model are empty where nothing is known. others: provider/model, separated by line breaks.
    """

    provider: str = ""
    model: str = ""
    others: str = ""


NOT_KNOWN = ModelAnswer()


def set_scope(scope: str, models: Models) -> str:
    """Return the scope in which a limit on a set counts what its own scope spends on these models."""
    return scope if not models else _SEPARATOR.join((scope, *models))


def models_of(scope: str) -> Models:
    """Return the set that a scope counts; empty: all models."""
    return tuple(scope.split(_SEPARATOR)[1:])


@lru_cache(maxsize=1024)
def undated(model: str) -> str:
    """Return a model's name without the date that a provider puts behind it: gpt-5-mini for gpt-5-mini-2025-08-07."""
    return _DATE.sub("", model)


@lru_cache(maxsize=4096)
def may_serve(models: Models, provider: str, model: str) -> bool:
    """Return whether a target may be answered by a model of a set."""
    plain = undated(model)
    return _is_open(model) or matches(models, f"{provider}/{model}", model, f"{provider}/{plain}", plain)


@lru_cache(maxsize=4096)
def is_counted(models: Models, answer: ModelAnswer) -> bool:
    """Return whether a request that was answered so counts in a set."""
    others = answer.others.split(_SEPARATOR) if answer.others else ()
    if not answer.model:
        return not others or any(may_serve(models, *name.partition("/")[::2]) for name in others)
    if may_serve(models, answer.provider, answer.model):
        return True
    return any(matches(models, name, name.partition("/")[2]) for name in others)


def joined(names: Iterable[str]) -> str:
    """Return names as ModelAnswer has them, each once."""
    return _SEPARATOR.join(dict.fromkeys(names))


def _is_open(model: str) -> bool:
    """Return whether a name may stand for any model."""
    return model.startswith(_ROUTER) or _STORED_PRESET in model
