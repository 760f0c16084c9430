"""Generations of the past: written into the books and on the account as though they had been asked for then."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proxy.core.money import pusd_to_usd
from proxy.simulator.account import SimulatedAccount
from proxy.simulator.behaviour import Behaviour
from proxy.simulator.books import Books, Generation
from proxy.simulator.ids import Ids


class PastError(ValueError):
    """A field of what is to be planted has a wrong value; the text says which."""


class PastGeneration(BaseModel):
    """One generation. created and billed: Unix seconds; key: the secret that it was asked for with.

    charged_pusd: what a true ledger books, upstream_pusd of it billed by another provider. is_hidden: /generation does
    not know it.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    created: int
    billed: int | None = None
    key: str
    model: str = "openai/gpt-4o-mini"
    provider: str = "OpenAI"
    charged_pusd: int = Field(ge=0)
    upstream_pusd: int = Field(0, ge=0)
    user_agent: str | None = None
    prompt_tokens: int = Field(10, ge=0)
    completion_tokens: int = Field(10, ge=0)
    is_hidden: bool = False


class PastGenerations(BaseModel):
    model_config = ConfigDict(extra="forbid")

    generations: list[PastGeneration]


class ChangedCharge(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    charged_pusd: int = Field(ge=0)


def plant(books: Books, account: SimulatedAccount, stamp: Ids, fields: dict[str, Any]) -> int:
    """Write generations as closed, and return how many; raises PastError, and nothing is written then."""
    try:
        wanted = PastGenerations.model_validate(fields).generations
    except ValidationError as error:
        raise PastError(str(error)) from None
    known = [one.id for one in wanted if one.id in books.generations]
    if known or len({one.id for one in wanted}) < len(wanted):
        raise PastError(f"ids must be new, each once: {', '.join(known[:3]) or 'one is there twice'}")
    for one in wanted:
        generation = Generation(
            one.id,
            stamp.next(),
            "chat/completions",
            one.model,
            one.provider,
            False,
            one.prompt_tokens,
            None,
            None,
            account.key(one.key, one.created).hash,
            one.created,
            stamp.monotonic_s(),
            completion_tokens=one.completion_tokens,
            upstream_pusd=one.upstream_pusd,
            total_json=pusd_to_usd(one.charged_pusd - one.upstream_pusd),
            finish_reason="stop",
            native_finish_reason="stop",
            is_byok=one.upstream_pusd > 0,
            visible_at_s=stamp.monotonic_s(),
            lookup=Behaviour(generation_missing=one.is_hidden),
            user_agent=one.user_agent,
            billed=one.billed,
        )
        books.open(generation)
        books.close(generation, one.charged_pusd)
        account.charge(generation, one.model)
    return len(wanted)


def change_charge(books: Books, account: SimulatedAccount, fields: dict[str, Any]) -> None:
    """Charge another amount for a planted generation, a refund or a correction; raises PastError."""
    try:
        wanted = ChangedCharge.model_validate(fields)
    except ValidationError as error:
        raise PastError(str(error)) from None
    generation = books.generations.get(wanted.id)
    if generation is None or not generation.finished:
        raise PastError(f"id: there is no closed generation {wanted.id}")
    books.total_pusd += wanted.charged_pusd - generation.charged_pusd
    account.change_charge(generation, generation.model, wanted.charged_pusd)
    generation.total_json = pusd_to_usd(wanted.charged_pusd - generation.upstream_pusd)
