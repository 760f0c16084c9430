"""The parts of a storm: what each runs, at which size, and what it says of what it found."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvloop

from proxy.core.money import pusd_to_usd
from tests.durability.power_cut import PowerCuts, run_power_cuts
from tests.policy.quota_model import Tally as ModelTally
from tests.policy.quota_model import run_storm
from tests.quotas.bursts import Tally as BurstTally
from tests.quotas.bursts import run_bursts

from .draw import Plan, draw
from .ledger_kills import KillOutcome, kill_ledger_writers
from .limits import Filled, all_limited, some_limited
from .profile_storm import Outcome as ProfileOutcome
from .profile_storm import Sums, profile_storm
from .share import Job, Say, Shared, jobs, share
from .storm import Outcome, storm
from .zones import Tiled, tile, zones

Table = list[tuple[str, int | str]]

_ASKS_A_KILL = 200  # each client begins one at every start, and that many are under way at every kill
_SHORT_ASKS_A_KILL = 100
_BURST_WIDTH = 500
_ABOVE_MAX_PERCENT = 1.0  # of the bill, where the provider could be asked
_MODEL_JOB, _CUTS_JOB, _BURSTS_JOB, _KILLS_JOB = 50_000, 5_000, 20, 500


@dataclass(frozen=True, slots=True)
class Setting:
    """How a section is run. size: as it counts itself. folder: a new one of its own, on a real disk."""

    seed: int
    size: int
    folder: Path
    clients: int
    short: bool


@dataclass(slots=True)
class Result:
    """tables: titled counts. differences: what did not hold, in words; none means that the section passed."""

    tables: list[tuple[str, Table]]
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Section:
    """unit: what its size counts. about: what is done, and what must hold."""

    name: str
    title: str
    unit: str
    full: int
    short: int
    about: str
    run: Callable[[Setting, Say], Result]


# --- the whole proxy, with real processes


def _mixed(setting: Setting, say: Say) -> Result:
    kills = 3 if setting.short else max(1, setting.size // 700)
    stops = 2 if setting.short else max(2, kills // 4)  # while all is stopped, a request takes no time at all
    return _blow(draw(setting.seed, setting.size, kills, some_limited(setting.size), stops=stops), setting, say)


def _whole_kills(setting: Setting, say: Say) -> Result:
    requests = setting.size * (_SHORT_ASKS_A_KILL if setting.short else _ASKS_A_KILL)
    plan = draw(setting.seed, requests, setting.size, all_limited(requests), checks_starts=True)
    each = requests // setting.size
    return _blow(plan, setting, lambda done, what: say(min(done // each, setting.size), what))


def _blow(plan: Plan, setting: Setting, say: Say) -> Result:
    look_up_s = 5 if setting.short or plan.checks_starts else 20
    outcome = uvloop.run(storm(plan, setting.folder, clients=setting.clients, lookup_timeout_s=look_up_s, say=say))
    return storm_result(outcome)


def storm_result(outcome: Outcome) -> Result:
    tables: list[tuple[str, Table]] = [
        ("The run", list(outcome.facts.items())),
        ("Limits, each in its fullest window", [_filled(one) for one in outcome.filled]),
        ("What clients saw", sorted(outcome.clients.items())),
        ("Where the cost of a row is from", sorted(outcome.rows.items())),
    ]
    return Result(tables, [f"{one.session}: {one.text}" for one in outcome.differences])


def _filled(one: Filled) -> tuple[str, str]:
    limit = one.limit
    if limit.kind == "cost":
        name = f"{limit}: limit, booked, charged (USD)"
        amounts = ", ".join(f"{pusd_to_usd(amount)}" for amount in (limit.amount, one.booked, one.charged))
    else:
        name, amounts = f"{limit}: limit, counted", f"{limit.amount:,}, {one.booked:,}"
    if one.explained:
        unit = "USD" if limit.kind == "cost" else limit.kind
        name += f"; of it {one.explained:,} {unit} above the bounds of their requests"
    return name, amounts


def _profiles(setting: Setting, say: Say) -> Result:
    kills = 2 if setting.short else max(1, setting.size // 700)
    run = profile_storm(setting.seed, setting.size, kills, setting.folder, clients=setting.clients, say=say)
    return profiles_result(uvloop.run(run))


def profiles_result(outcome: ProfileOutcome) -> Result:
    differences = [f"{one.session}: {one.text}" for one in outcome.differences]
    if outcome.known.above_percent >= _ABOVE_MAX_PERCENT:
        differences.append(f"{outcome.known.above_percent:.2f} % above the bill where generation ids were known")
    money = [
        ("All requests", outcome.all),
        ("Whole answers", outcome.uncut),
        ("Generation ids known to a provider that can be asked", outcome.known),
    ]
    tables: list[tuple[str, Table]] = [
        ("The run", list(outcome.facts.items())),
        ("What clients saw", sorted(outcome.clients.items())),
        ("Rows", sorted(outcome.verdicts.items())),
        *((f"{title}: money", _sums(sums)) for title, sums in money),
        (
            "Booked above the bill, by the flags of the rows (USD)",
            [(name, pusd_to_usd(pusd)) for name, pusd in outcome.causes.most_common(8)],
        ),
    ]
    return Result(tables, differences)


def _sums(sums: Sums) -> Table:
    return [
        ("requests", sums.requests),
        ("billed by the servers (USD)", pusd_to_usd(sums.billed_pusd)),
        ("booked in the ledger (USD)", pusd_to_usd(sums.booked_pusd)),
        ("booked above the bill, in % of it", f"{sums.above_percent:.3f}"),
    ]


# --- without other processes of ours: shared over the cores


def _ledger_kills(setting: Setting, say: Say) -> Result:
    todo = jobs(setting.seed, setting.size, min(_KILLS_JOB, max(1, setting.size // 2)))
    done = share(partial(_kill_writers, setting.folder), todo, say)
    counts = _sum(
        {
            "SIGKILLs of the writer": one.kills,
            "acknowledged commits": one.acknowledged,
            "rows in the files": one.rows,
            "rows taken up after a kill": one.taken_up,
            "ledger files": one.files,
        }
        for one in done.found
    )
    differences = [f"{d.session}: {d.text}" for one in done.found for d in one.differences]
    return Result([("The run", counts)], done.failed + differences)


def _kill_writers(folder: Path, job: Job) -> KillOutcome:
    own = folder / f"seed-{job.seed}"
    own.mkdir()
    return kill_ledger_writers(job.seed, job.size, own, _silent)


def _bursts(setting: Setting, say: Say) -> Result:
    done = share(_burst, jobs(setting.seed, setting.size, min(_BURSTS_JOB, max(1, setting.size // 2))), say)
    counts = _sum(
        {
            f"bursts of {_BURST_WIDTH} requests at once": one.bursts,
            "requests": one.requests,
            "let in": one.admitted,
            "overspent (pico-USD)": one.overspent_pusd,
            "still set aside a second later (pico-USD)": one.reserved_left_pusd,
            "booked in the ledger (pico-USD)": one.ledger_pusd,
            "charged in the books (pico-USD)": one.books_pusd,
        }
        for one in done.found
    )
    return Result([("The run", counts)], done.failed + [text for one in done.found for text in _burst_faults(one)])


def _burst(job: Job) -> BurstTally:
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bursts-") as folder:
        return asyncio.run(run_bursts(Path(folder), job.seed, job.size, _BURST_WIDTH))


def _burst_faults(one: BurstTally) -> list[str]:
    texts = list(one.faults)
    if one.overspent_pusd:
        texts.append(f"overspent by {one.overspent_pusd} pico-USD")
    if one.reserved_left_pusd:
        texts.append(f"{one.reserved_left_pusd} pico-USD still set aside")
    if one.ledger_pusd != one.books_pusd:
        texts.append(f"{one.ledger_pusd} pico-USD in the ledger, {one.books_pusd} in the books")
    return texts


def _model(setting: Setting, say: Say) -> Result:
    done = share(_operate, jobs(setting.seed, setting.size, min(_MODEL_JOB, max(1, setting.size // 2))), say)
    counts = _sum(
        {
            "operations": one.operations,
            "requests let in": one.admitted,
            "requests refused": one.refused,
            "crashes": one.crashes,
            "clock steps": one.clock_steps,
            "overspent (pico-USD)": max(0, one.overspent_pusd),
        }
        for one in done.found
    )
    over = [f"overspent by {one.overspent_pusd} pico-USD" for one in done.found if one.overspent_pusd > 0]
    return Result([("The run", counts)], done.failed + over)


def _operate(job: Job) -> ModelTally:
    return run_storm(job.seed, job.size)


def _power_cuts(setting: Setting, say: Say) -> Result:
    size = min(_CUTS_JOB, max(1, setting.size // 2))
    done = share(_cut, jobs(setting.seed, setting.size, size), say)
    control = share(_cut_normal, [Job(setting.seed, min(3000, size))], _silent)
    texts = [text for one in done.found for text in one.texts]
    if not any(one.lost for one in control.found):
        texts.append("the control with synchronous=NORMAL lost nothing: this search cannot see")
    tables = [
        ("The run", _cut_counts(done)),
        ("The control: synchronous=NORMAL, which must lose", _cut_counts(control)),
    ]
    return Result(tables, done.failed + control.failed + texts)


def _cut(job: Job) -> PowerCuts:
    return run_power_cuts(job.seed, job.size, _silent)


def _cut_normal(job: Job) -> PowerCuts:
    return run_power_cuts(job.seed, job.size, _silent, synchronous="NORMAL")


def _cut_counts(done: Shared[PowerCuts]) -> Table:
    return _sum(
        {
            "states of the disk after a cut": one.states,
            "lives of a ledger": one.lives,
            "commits": one.commits,
            "writes": one.writes,
            "states that lost something acknowledged": one.lost,
            "states that could not be opened": one.unopened,
            "states that no sequence of commits ever had": one.wrong,
        }
        for one in done.found
    )


def _zones(setting: Setting, say: Say) -> Result:
    names = zones()
    chosen = names[:: max(1, len(names) // setting.size)][: setting.size]
    done = share(partial(_tile, chosen), [Job(n, 1) for n in range(len(chosen))], say)
    counts = _sum(
        {
            "zones (names of the same rules once)": 1,
            "windows walked through": one.windows,
            "changes of an offset, with hours and minutes around": one.changes,
        }
        for one in done.found
    )
    return Result([("The run", counts)], done.failed + [text for one in done.found for text in one.faults])


def _tile(names: list[str], job: Job) -> Tiled:
    return tile(names[job.seed])


def _silent(_done: int, _what: str) -> None:
    pass


def _sum(counts: Iterable[Mapping[str, int]]) -> Table:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return list(total.items())


SECTIONS = (
    Section(
        "mixed",
        "Requests with faults, hang-ups, limits and SIGKILLs",
        "requests",
        14_000,
        600,
        "Seven users, three of them with tight limits, and a limit for all that ends before the storm; a SIGKILL of"
        " the proxy each 700 requests, and now and then a stop by the operator. The simulator's books, the ledger and"
        " what clients saw must agree request by request; no window may hold more than its limit; a second after the"
        " last cost is known nothing may be set aside. Then the provider tells the costs that it kept to itself, and"
        " its bill is compared on the day and on the next one, with a SIGKILL among it: in the end what is booked is"
        " what was charged, to the pico-dollar.",
        _mixed,
    ),
    Section(
        "whole-kills",
        "SIGKILLs of the whole proxy under load",
        "kills",
        300,
        8,
        "As above, with limits on the money of users, of groups and of everyone. After each start, before the first"
        " request, `GET /v1/me/limits` must say what an SQL sum over the rows says, limit by limit.",
        _whole_kills,
    ),
    Section(
        "profiles",
        "All servers' dialects, with hang-ups and SIGKILLs",
        "requests",
        10_000,
        300,
        "Every profile of the simulator behind one proxy on default settings, with failures in each server's own"
        " words, answers that break off, and clients that leave. For every request the ledger must have what the server"
        " billed, or more with a flag that says so; never less. Where the generation's id was known to a provider that"
        " can be asked, what was booked above the bill must be below 1 % of it.",
        _profiles,
    ),
    Section(
        "ledger-kills",
        "SIGKILLs of the ledger's writer",
        "kills",
        10_000,
        50,
        "A process that only writes the ledger is killed within 60 ms, over and over. Every acknowledged row must be"
        " there with its amount, none twice, and the roll-up must be the sum of the rows.",
        _ledger_kills,
    ),
    Section(
        "bursts",
        "Bursts with headroom for exactly k",
        "bursts",
        200,
        4,
        "Requests at the same moment over HTTP, with headroom for exactly k of them in the limit of the user, of the"
        " group or of all: k must be let in, each time (in each fourth burst answers cost less than their"
        " reservation: at least k, and never more money than the limit).",
        _bursts,
    ),
    Section(
        "model",
        "The book of quotas beside a naive one",
        "operations",
        1_000_000,
        20_000,
        "Random requests, fallbacks, crashes, changes of prices and limits, clock steps, nested scopes and all kinds"
        " of windows; the book must answer as one that sums all rows each time.",
        _model,
    ),
    Section(
        "power-cuts",
        "Power cuts at every write",
        "states",
        100_000,
        1_500,
        "The power fails at every write and sync of the ledger; what was not synced is dropped, torn or reordered."
        " Each state is opened as at a start: all that was acknowledged must be there.",
        _power_cuts,
    ),
    Section(
        "zones",
        "Windows in all IANA zones, 2020 to 2040",
        "zones",
        len(zones()),
        30,
        "Days, weeks and months of every zone, and the hours and minutes around each change of its clock: each"
        " window begins where the one before ended, and days where a wall clock shows a new date.",
        _zones,
    ),
)


def run_section(section: Section, setting: Setting, say: Say) -> tuple[Result, float]:
    """Run it; give also how long it took, in seconds."""
    begun_s = time.monotonic()
    result = section.run(setting, say)
    return result, time.monotonic() - begun_s
