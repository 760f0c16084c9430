"""What an alert rule can watch: one row for each kind. The settings, the page of rules and the evaluation follow it."""

from typing import Final, Literal

from msgspec import Struct

from proxy.core.stop_effect import EFFECTS, EffectName

AlertUnit = Literal["percent", "seconds", "bytes", "count", "usd", "state"]

HOUR_S: Final = 3600


class AlertKind(Struct, frozen=True):
    """One measure. name is the word of a rule's `watch`; measure says what its value is, subject what it is taken of.

    at: the usual thresholds, lowest first; of a state there is one, which holds or does not. is_below: it fires at or
    below its threshold. margin_percent: how far the value must come back, in percent of the lowest threshold, before
    the alert is over. is_windowed: its value begins anew with each window of the limit that it is taken of.
    window_s: over how long it is taken, window_max_s at most; None: that is not for a rule to say. options: further
    settings of a rule.
    actions: what a rule may do to requests, to whom or what it fires for: acts_on, which is a scope (a user, a group or
    all), a token, a provider or a model. no_action: why it may not do the others, as a sentence. is_event: it has no
    end at which that could be over.
    fired, recovered: the line that is sent, with the fields subject and value; recovered is empty for what is an event
    and has no end to tell.
    """

    name: str
    unit: AlertUnit
    at: tuple[int, ...]
    measure: str
    subject: str
    example: str
    fired: str
    recovered: str
    is_below: bool = False
    margin_percent: int = 10
    is_windowed: bool = False
    window_s: int | None = None
    window_max_s: int = HOUR_S
    options: tuple[str, ...] = ()
    actions: tuple[EffectName, ...] = ()
    acts_on: Literal["scope", "token", "provider", "model"] = "scope"
    no_action: str = ""
    is_event: bool = False


ALERT_KINDS: Final = (
    AlertKind(
        "limit_share",
        "percent",
        (50, 80, 100),
        "what is used of a limit",
        "a limit: the scope it holds for, its kind and its window",
        "user:anna cost day",
        "{subject}: {value} of the limit is used",
        "{subject}: the limit has room again, {value} is used",
        is_windowed=True,
        options=("limits", "with_reserved", "action", "stop_for_s"),
        actions=EFFECTS,
    ),
    AlertKind(
        "forecast",
        "percent",
        (100,),
        "what a limit will have come to at the end of its window if it goes on as since its beginning, the"
        " weekdays of a week or a month weighed as in the last eight weeks; from the first tenth of the window on",
        "a limit, as for limit_share; rolling limits and those for all time have no end and are left out",
        "all cost month",
        "{subject}: at this rate {value} of the limit will be used when its window ends",
        "{subject}: at this rate the limit will last, with {value} used when its window ends",
        is_windowed=True,
        options=("limits", "action", "stop_for_s"),
        actions=EFFECTS,
    ),
    AlertKind(
        "spend_rate",
        "percent",
        (300,),
        "what was spent within the window, against the same hours a week before",
        "everyone, a user or a group",
        "all",
        "{subject}: spending is at {value} of last week's at this time",
        "{subject}: spending is back at {value} of last week's at this time",
        window_s=HOUR_S,
        window_max_s=7 * 24 * HOUR_S,
        options=("min_usd", "action", "stop_for_s"),
        actions=EFFECTS,
    ),
    AlertKind(
        "error_rate",
        "percent",
        (10,),
        "requests that were answered with 500 or above, of all within the window",
        "everything, or a provider",
        "all",
        "{subject}: {value} of the requests fail",
        "{subject}: {value} of the requests fail, as many as usual",
        window_s=300,
        options=("min_requests", "action", "stop_for_s"),
        actions=EFFECTS,
        acts_on="provider",
    ),
    AlertKind(
        "latency_p95",
        "seconds",
        (30,),
        "the time within which 95 of 100 answers of the window were complete, 6 % too long at most",
        "everything, or a provider",
        "openrouter",
        "{subject}: 5 of 100 answers take longer than {value}",
        "{subject}: 95 of 100 answers are complete within {value} again",
        window_s=300,
        options=("min_requests", "action", "stop_for_s"),
        actions=EFFECTS,
        acts_on="provider",
    ),
    AlertKind(
        "fallback_rate",
        "percent",
        (20,),
        "requests that took more than one attempt, of all within the window",
        "everything, or the provider that answered",
        "all",
        "{subject}: {value} of the requests need more than one attempt",
        "{subject}: {value} of the requests need more than one attempt, as many as usual",
        window_s=300,
        options=("min_requests", "action", "stop_for_s"),
        actions=EFFECTS,
        acts_on="provider",
    ),
    AlertKind(
        "provider_down",
        "state",
        (1,),
        "whether a provider's circuit breaker keeps requests from it",
        "a provider",
        "openrouter",
        "{subject} is down: requests are kept from it",
        "{subject} answers again",
        no_action="Its breaker keeps requests away by itself, and lets one through to find out that it answers again.",
    ),
    AlertKind(
        "breaker_open",
        "state",
        (1,),
        "whether the circuit breaker of a provider or of one of its models keeps requests away",
        "a provider, or a provider and a model",
        "openrouter/openai/gpt-5-mini",
        "{subject}: the circuit breaker is open",
        "{subject}: the circuit breaker is closed again",
        no_action="Its breaker keeps requests away by itself, and lets one through to find out that it answers again.",
    ),
    AlertKind(
        "key_bad",
        "state",
        (1,),
        "whether a provider has refused a key as wrong, as spent, or for want of credit",
        "a provider and the name of a key",
        "openrouter/default",
        "{subject}: the provider refuses this key",
        "{subject}: the key is in use again",
        no_action="The key is set aside by itself, and the others go on.",
    ),
    AlertKind(
        "credits_low",
        "usd",
        (5, 20),
        "what is left of the credits of an account; told where there is a management key",
        "a provider",
        "openrouter",
        "{subject}: {value} of credits are left",
        "{subject}: there are {value} of credits again",
        is_below=True,
        no_action="Without credits the provider refuses by itself.",
    ),
    AlertKind(
        "provider_budget",
        "percent",
        (80, 100),
        "what is used of a budget that a provider keeps for a key: the key's own limit, guardrails, the workspace",
        "a provider and the name of a key; told of each budget on its own",
        "openrouter/main",
        "{subject}: {value} of the provider's budget is used",
        "{subject}: the provider's budget has room again, {value} is used",
        no_action="At its end the provider refuses by itself.",
    ),
    AlertKind(
        "drift",
        "usd",
        (1,),
        "how far ledger and bill are apart on the last 30 days for no reason that is known, each day by itself",
        "a provider",
        "openrouter",
        "{subject}: the bill and the ledger are {value} apart, and nothing explains it",
        "{subject}: what nothing explains between the bill and the ledger is {value}",
        no_action="Nobody in particular has spent it: tollkeeper reconcile --explain shows where it is.",
    ),
    AlertKind(
        "price_moved",
        "percent",
        (10,),
        "by how much a price of a model that a preset names differs from the one that was told last",
        "a provider and a model",
        "openrouter/openai/gpt-5-mini",
        "{subject}: a price has moved by {value}",
        "",
        options=("action", "stop_for_s"),
        actions=EFFECTS,
        acts_on="model",
        is_event=True,
    ),
    AlertKind(
        "model_gone",
        "state",
        (1,),
        "whether a provider's list no longer has a model that a preset names",
        "a provider and a model",
        "openrouter/openai/gpt-5-mini",
        "{subject} is no longer in the provider's list",
        "{subject} is in the provider's list again",
        options=("action", "stop_for_s"),
        actions=("stop", "downgrade"),
        acts_on="model",
        no_action="A model that is gone answers slowed requests no better.",
    ),
    AlertKind(
        "disk_free",
        "bytes",
        (10**9,),
        "what is free on the disk of the ledger",
        "the disk",
        "disk",
        "{value} is left on the disk of the ledger",
        "{value} is free on the disk of the ledger again",
        is_below=True,
        no_action="What cannot be written is refused by itself.",
    ),
    AlertKind(
        "ledger_growth",
        "bytes",
        (10**9,),
        "by how much the ledger has grown within the last day",
        "the ledger",
        "ledger",
        "the ledger has grown by {value} within a day",
        "the ledger has grown by {value} within a day, no more than usual",
        no_action="Nobody is known whose requests would have to change.",
    ),
    AlertKind(
        "repeats",
        "count",
        (20,),
        "how often one token has sent the very same body within the window",
        "a user and the token",
        "anna/tok_0123456789ab",
        "{subject}: the same request was sent {value} times; a program may be in a loop",
        "",
        window_s=300,
        options=("action", "stop_for_s"),
        actions=EFFECTS,
        acts_on="token",
    ),
)

ALERT_KINDS_BY_NAME: Final = {kind.name: kind for kind in ALERT_KINDS}
