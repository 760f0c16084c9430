"""What a storm asks, all drawn from the seed: requests, how the simulator plays them, hang-ups and kills. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from proxy.simulator.behaviour import NAMED_BEHAVIOURS
from proxy.simulator.faults import FAULTS

from .limits import Limit

USERS = ("anna", "bo", "carl", "dora")
LIMITED = ("eve", "finn", "gina")  # whose limits are tight
PROMPT_CANARY = "canary-prompt-5f1d"
ANSWER_CANARY = "canary-answer-c0de"

# Providers of the configuration: the same simulator, asked with each on_disconnect; "plain" speaks OpenAI's dialect.
OPENROUTER_PROVIDERS = ("auto", "drain", "abort")
PLAIN_PROVIDER = "plain"

# Behaviours in which the provider tells two different costs, so that no reader could know the one in the books.
_TWO_TRUTHS = frozenset({"usage-absurd", "generation-other-cost"})
_RARE = frozenset({"many-chunks", "big-line", "slow", "one-byte-pieces", "seven-byte-pieces"})  # heavy
# Charged by something else than tokens times price: at a provider that reports no cost nobody could know.
_MONEY_FIELDS = frozenset(
    {
        "cost_literal",
        "cost_random",
        "extra_cost_pusd",
        "byok",
        "cache_hit",
        "zero_completion",
        "choice_error",
        "prompt_tokens",
        "usage_literal",
        "served_model",
    }
)
_LOOK_UP_FIELDS = frozenset({"generation_missing", "generation_error", "generation_other_id"})
_MODELS = (
    "openai/gpt-5-mini",
    "openai/gpt-5-nano",
    "anthropic/claude-haiku-4.5",
    "anthropic/claude-sonnet-4",
    "google/gemini-2.5-flash",
    "deepseek/deepseek-v3.2",
    "meta-llama/llama-3.3-70b-instruct",
    "x-ai/grok-4.7",
    "qwen/qwen3-32b",
)
# The second half bills a closed stream in full.
_BEHIND = ("OpenAI", "Anthropic", "DeepSeek", "Fireworks", "Groq", "Amazon Bedrock", "Google", "Mistral")
DEAR = "dear"  # variants of models that are charged random amounts; the configuration prices them above every one

Place = Literal["nowhere", "in_body", "before_answer", "after_bytes", "at_usage", "at_done"]
_PLACES: tuple[tuple[Place, int], ...] = (
    ("nowhere", 66),
    ("in_body", 4),
    ("before_answer", 8),
    ("after_bytes", 12),
    ("at_usage", 5),
    ("at_done", 5),
)


@dataclass(frozen=True, slots=True)
class HangUp:
    """Where a client leaves. at is a share of the body, seconds, or bytes of the answer, as the place wants it."""

    place: Place
    at: float
    reset: bool  # RST instead of FIN


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. behaviour names what the simulator does; look_up_fails: its record cannot be had afterwards."""

    n: int
    session: str
    user: str
    model: str
    behaviour: str
    plain: bool
    stream: bool
    max_tokens: int | None
    choices: int
    hang_up: HangUp
    keep_alive: bool
    look_up_fails: bool

    @property
    def path(self) -> str:
        return "/v1/chat/completions"

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": f"{PROMPT_CANARY} {self.session}"}],
        }
        if self.stream:
            body["stream"] = True
        if self.max_tokens is not None:
            body["max_tokens"] = self.max_tokens
        if self.choices != 1:
            body["n"] = self.choices
        if not self.plain:  # OpenAI refuses fields that it does not know; there the header carries it
            body["session_id"] = self.session
        return body


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL of the proxy delay_s after the request of this number was begun."""

    at_request: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop by the operator for_s after the request of this number was begun. fields: of POST /admin/v1/stops."""

    at_request: int
    for_s: float
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    asks: tuple[Ask, ...]
    kills: tuple[Kill, ...]
    scripted: Mapping[str, Mapping[str, Any]]  # model name -> behaviour
    chains: Mapping[str, tuple[str, ...]]  # preset -> targets
    limits: tuple[Limit, ...] = ()
    checks_starts: bool = False  # after each kill: the totals of the new run against the rows
    stops: tuple[Stop, ...] = ()


def draw(
    seed: int,
    requests: int,
    kills: int,
    limits: tuple[Limit, ...] = (),
    *,
    checks_starts: bool = False,
    stops: int = 0,
) -> Plan:
    """Give the plan of a storm; the same for the same arguments."""
    rng = Random(seed)
    scripted = dict(_scripted_model(rng, number) for number in range(max(20, min(requests // 10, 600))))
    chains = _chains(rng)
    asks = tuple(_ask(rng, seed, n, scripted, tuple(chains)) for n in range(requests))
    return Plan(
        seed, asks, _kills(rng, requests, kills), scripted, chains, limits, checks_starts, _stops(rng, requests, stops)
    )


def _stops(rng: Random, requests: int, stops: int) -> tuple[Stop, ...]:
    """Draw stops: of one user's requests, and of all with those under way cut off."""
    found = []
    for number in range(stops):
        user = {"kind": "user", "subject": rng.choice(USERS)}
        at_request = int(requests / stops * (number + rng.uniform(0.1, 0.9)))
        found.append(Stop(at_request, rng.uniform(0.05, 0.4), {"kind": "all", "cut": True} if number % 2 else user))
    return tuple(found)


def _kills(rng: Random, requests: int, kills: int) -> tuple[Kill, ...]:
    """Spread the kills: one at a random place in each equal part of the run, so that each finds a load."""
    part = requests / max(1, kills)
    points = [int(part * (number + rng.uniform(0.2, 0.9))) for number in range(kills)]
    return tuple(Kill(point, rng.uniform(0, 0.05)) for point in points)


def _ask(rng: Random, seed: int, n: int, scripted: Mapping[str, Mapping[str, Any]], chains: tuple[str, ...]) -> Ask:
    model, behaviour, fields, plain = _target(rng, scripted, chains)
    max_tokens = rng.choice((None, 1, 5, 20, 100, 1000, 4000))
    return Ask(
        n=n,
        session=f"storm-{seed}-{n}",
        user=rng.choice((*USERS, *LIMITED)),
        model=model,
        behaviour=behaviour,
        plain=plain,
        stream=rng.random() < 0.6,
        max_tokens=max_tokens,
        choices=rng.choices((1, 2, 3), (92, 5, 3))[0],
        hang_up=_hang_up(rng),
        keep_alive=rng.random() < 0.6,
        look_up_fails=not _LOOK_UP_FIELDS.isdisjoint(fields),
    )


def _target(
    rng: Random, scripted: Mapping[str, Mapping[str, Any]], chains: tuple[str, ...]
) -> tuple[str, str, Mapping[str, Any], bool]:
    kind = rng.random()
    if kind < 0.45:
        model = rng.choice(tuple(scripted))
        return f"{_provider(rng)}{model}", "scripted", scripted[model], False
    if kind < 0.5:
        chain = rng.choice(chains)
        return chain, "chain", {}, False
    plain = kind < 0.58
    while True:
        name = rng.choice(tuple(NAMED_BEHAVIOURS))
        fields = NAMED_BEHAVIOURS[name]
        if name in _TWO_TRUTHS or (plain and not _MONEY_FIELDS.isdisjoint(fields)):
            continue
        seldom = name in _RARE or name.startswith(("error-", "retry-after-"))
        if not seldom or rng.random() < 0.15:
            break
    where = f"{PLAIN_PROVIDER}/" if plain else _provider(rng)
    return f"{where}sim/{name}", name, fields, plain


def _provider(rng: Random) -> str:
    """Give the prefix that chooses a provider; the first one needs none."""
    return rng.choice(("", "", "auto/", "drain/", "abort/"))


def _hang_up(rng: Random) -> HangUp:
    place = rng.choices([p for p, _ in _PLACES], [weight for _, weight in _PLACES])[0]
    at = {
        "in_body": rng.random(),
        "before_answer": rng.choice((0.0, rng.uniform(0, 0.03), rng.uniform(0, 0.3))),
        "after_bytes": float(int(rng.uniform(1, 10) ** 4)),
    }.get(place, 0.0)
    return HangUp(place, at, rng.random() < 0.5)


def _chains(rng: Random) -> dict[str, tuple[str, ...]]:
    refusals = [f"sim/error-{name}" for name in FAULTS]
    ends = ("sim/ok", "drain/sim/usage-shape-b", "sim/cost-random", "sim/usage-missing", "sim/rst-after-3-chunks")
    return {f"chain-{n}": (*(rng.choice(refusals) for _ in range(1 + n % 2)), ends[n % len(ends)]) for n in range(10)}


def _scripted_model(rng: Random, number: int) -> tuple[str, dict[str, Any]]:
    """Draw a behaviour of its own and the model name that calls it up."""
    fields = _said(rng) | _told(rng) | _paced(rng) | _failing(rng)
    if number < len(_MODELS):  # as the price list names it, at its own price
        return _MODELS[number], fields
    money = _money(rng)
    fields |= money
    variant = f"{DEAR}{number}" if money else f"v{number}"
    return f"{rng.choice(_MODELS)}:{variant}", fields


def _said(rng: Random) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "completion_tokens": rng.choice((1, 2, 5, 16, 40, 120)),
        "chunk_tokens": rng.choice((1, 1, 3)),
        "provider": rng.choice(_BEHIND),
        "usage_shape": rng.choice("ABC"),
    }
    if rng.random() < 0.2:
        fields["content"] = " ".join([ANSWER_CANARY] * rng.randint(1, 20))
    if rng.random() < 0.1:
        fields["reasoning_tokens"] = rng.randint(1, 30)
    if rng.random() < 0.05:
        fields["zero_completion"] = True
    elif rng.random() < 0.05:
        fields["cache_hit"] = True
    return fields


def _money(rng: Random) -> dict[str, Any]:
    kind = rng.random()
    if kind < 0.4:
        return {"cost_random": True}
    if kind < 0.55:
        return {"cost_literal": literal(rng)}
    if kind < 0.62:
        return {"byok": True, **({"cost_literal": literal(rng)} if rng.random() < 0.5 else {})}
    if kind < 0.66:
        return {"cost_missing": True}
    return {}


def literal(rng: Random) -> str:
    """Give a legal cost below 1 USD of up to 18 significant digits, some of them finer than a pico-USD."""
    digits = rng.randint(1, 18)
    number = rng.randrange(1, 10**digits)
    point = digits + rng.choice((0, 0, 1, 3, 6, 9))
    if rng.random() < 0.3:
        return f"{number}{rng.choice('eE')}-{point}"
    return f"0.{number:0{point}d}"


def _told(rng: Random) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    kind = rng.random()
    if kind < 0.08:
        fields["usage"] = rng.choice(("missing", "null"))
    elif kind < 0.2:
        fields["usage_at"] = rng.choice(("first", "every", "twice", "after_done"))
    if rng.random() < 0.4:
        fields["generation_delay_ms"] = rng.randint(1, 1500)
    kind = rng.random()
    if kind < 0.02:
        fields["generation_missing"] = True
    elif kind < 0.04:
        fields["generation_error"] = "server-error"
    if rng.random() < 0.1:
        fields["generation_id_header"] = False
    if rng.random() < 0.1:
        fields["done"] = False
    return fields


def _paced(rng: Random) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if rng.random() < 0.2:
        fields["pace_ms"] = rng.randint(1, 5)
    if rng.random() < 0.2:
        fields["first_token_ms"] = rng.randint(1, 40)
    if rng.random() < 0.15:
        fields["delay_ms"] = rng.randint(1, 60)
    if rng.random() < 0.15:
        fields["padding_units"] = rng.randint(1, 4)
    if rng.random() < 0.15:
        fields["comments_between"] = rng.randint(1, 3)
    if rng.random() < 0.1:
        fields["split_bytes"] = rng.choice((11, 64, 500))
    if rng.random() < 0.1:
        fields["line_end"] = rng.choice(("crlf", "cr"))
    if rng.random() < 0.1:
        fields["keep_alive"] = False
    return fields


def _failing(rng: Random) -> dict[str, Any]:
    kind = rng.random()
    if kind < 0.22:
        return _stopping(rng)
    if kind < 0.32:
        return {
            "stream_error_after": rng.randint(0, 20),
            "stream_error_form": rng.choice(("choice", "empty_choices", "with_usage", "usage_after")),
            "stream_error_code": rng.choice((502, 400, "server_error")),
            "stream_error_done": rng.random() < 0.5,
        }
    if kind < 0.36:
        return {"error": rng.choice(tuple(FAULTS)), "error_in_200": rng.random() < 0.4}
    return {}


def _stopping(rng: Random) -> dict[str, Any]:
    place = rng.choice(
        (
            "before_headers",
            "in_headers",
            "after_headers",
            "after_chunks",
            "after_bytes",
            "after_bytes",
            "before_usage",
            "after_usage",
        )
    )
    fields: dict[str, Any] = {
        "stop_at": place,
        "stop_with": rng.choices(("rst", "fin", "hang"), (46, 46, 8))[0],
        "charge_on_stop": rng.choices(("by_provider", "nothing", "full"), (80, 10, 10))[0],
    }
    if place == "after_chunks":
        fields["stop_after"] = rng.randint(0, 12)
    elif place == "after_bytes":
        fields["stop_after"] = int(rng.uniform(1, 9) ** 4)
    if fields["stop_with"] == "hang" and rng.random() < 0.5:
        fields["hang_ms"] = rng.randint(1, 400)
    return fields
