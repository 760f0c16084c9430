"""Every setting: its type, its default, what it does and why the default is what it is.

The models are frozen and refuse unknown names. They check one value at a time; what spans several (a group
that does not exist, two users with one token) is checked in cross_checks.py, and load.py is the door that does
both. Reading files, ``${VAR}`` and the environment happen before: here values are text, numbers and blocks.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from proxy.config.alerts import AlertDestination, AlertRule, Alerts, QuietHoursSettings
from proxy.config.auto import AutoSettings, AutoWeights
from proxy.config.block import DAY_S, Block, check_field, setting
from proxy.config.check import EditorSchema, Reader
from proxy.config.diagnostic import SettingError
from proxy.config.end_users import EndUsers
from proxy.config.model import ModelSettings
from proxy.config.preferences import PreferenceSettings
from proxy.config.preset import Checks, Preset, PresetTarget, VariableSettings
from proxy.config.provider import (
    BASE_URLS,
    Attribution,
    BreakerSettings,
    KeyLimits,
    PriceSettings,
    Provider,
    ProviderKey,
    Retry,
    Timeouts,
    default_base_url,
    split_target,
    with_kind,
)
from proxy.config.reconcile import ReconcileSettings
from proxy.config.user import Defaults, Group, Limits, Token, User, UserLimits
from proxy.config.values import (
    BaseUrl,
    CurrencyCode,
    DatabasePath,
    Day,
    FilePath,
    Flag,
    HostName,
    ListenAddress,
    ModelPattern,
    Number,
    Origin,
    PresetName,
    ProviderName,
    Rate,
    Seconds,
    SecretText,
    Size,
    UserName,
    Whole,
    Zone,
    is_loopback,
    listen_at,
)

__all__ = [
    "BASE_URLS",
    "AlertDestination",
    "AlertRule",
    "Alerts",
    "Attribution",
    "AutoSettings",
    "AutoWeights",
    "Block",
    "BreakerSettings",
    "Checks",
    "Currency",
    "Defaults",
    "EndUsers",
    "Group",
    "KeyLimits",
    "LedgerSettings",
    "Limits",
    "Log",
    "MetricsSettings",
    "ModelSettings",
    "Preset",
    "PresetTarget",
    "PriceSettings",
    "Provider",
    "ProviderKey",
    "QuietHoursSettings",
    "Quotas",
    "RetentionSettings",
    "Retry",
    "RoutingSettings",
    "Server",
    "Settings",
    "Timeouts",
    "Token",
    "User",
    "UserLimits",
    "VariableSettings",
    "default_base_url",
    "split_target",
]

MIB = 2**20
FOREVER = "forever"
_NOBODY: Mapping[str, PreferenceSettings] = MappingProxyType({})
_DAYS = re.compile(r"[1-9][0-9]{0,4}d", re.ASCII)


def _kept_for(value: object) -> str:
    if isinstance(value, str) and (value == FOREVER or _DAYS.fullmatch(value)):
        return str(value)
    raise SettingError("must be a number of days like 400d, or forever")


KeptFor = Annotated[
    str,
    Reader(_kept_for),
    EditorSchema({"type": "string", "pattern": r"^([1-9][0-9]{0,4}d|forever)$"}),
]


class Server(Block):
    allow_insecure: Flag = setting(
        False,
        "Listen beyond loopback without TLS (older name: i_know_this_is_plain).",
        "Tokens and prompts would cross the network unencrypted, so this must be intended.",
    )
    host: HostName = setting(
        "127.0.0.1",
        "Address to listen on.",
        "Only this machine reaches loopback; a TLS proxy in front serves others.",
        restart=True,
    )
    port: Whole = setting(
        8787,
        "Port to listen on; 0 takes a free one.",
        "Free of well-known services.",
        restart=True,
        ge=0,
        le=65535,
    )
    hosts: tuple[HostName, ...] = setting(
        (),
        "Names that a Host header may carry besides localhost and server.host; beyond loopback also any address.",
        "A web page can point a name of its own at 127.0.0.1; an unknown Host is answered with 421.",
    )
    origins: tuple[Origin, ...] = setting(
        (),
        "Browser origins that may call the API, like https://app.example.com; also http://localhost:*,"
        ' https://*.example.com, app://obsidian.md, vscode-webview://* and "null".',
        "No web page may spend money by default.",
    )
    body_max_bytes: Size = setting(
        32 * MIB,
        "Largest body of a request; more is answered with 413 before it is parsed.",
        "Room for several images as data URLs, and a bound on memory for each request.",
        ge=1024,
        le=1024 * MIB,
    )
    head_timeout_s: Seconds = setting(
        10,
        "Longest wait for the head of a request.",
        "A head is one packet; half-sent ones hold a connection.",
        gt=0,
        le=DAY_S,
    )
    body_timeout_s: Seconds = setting(
        30,
        "Longest wait for the body of a request.",
        "32 MiB in 30 s is 9 Mbit/s; slower than that is a stall.",
        gt=0,
        le=DAY_S,
    )
    write_timeout_s: Seconds = setting(
        60,
        "Longest time that a client may leave its answer unread before it counts as gone.",
        "A laptop that slept for a moment still gets its answer; one that is gone holds nothing for long.",
        gt=0,
        le=DAY_S,
    )
    keep_alive_s: Seconds = setting(
        3,
        "How long a client hears nothing while a stream that a provider has begun waits for its first content; then a"
        " comment is sent, after the head of the response, and again each time.",
        "Longer than most first tokens take, so that the head still tells which target answered; clients wait longer.",
        gt=0,
        le=DAY_S,
    )
    silence_max_s: Seconds = setting(
        30,
        "How long a streamed request may wait while no provider answers at all; then the head and a comment go out, and"
        " what fails after that is reported within the stream.",
        "Half of the 60 s after which many clients and proxies on the way give up, and ask and pay again.",
        gt=0,
        le=DAY_S,
    )
    fast_path: Flag = setting(
        True,
        "Answer plain chat completions on a fast path, which costs a fraction of the general one (older name: lane).",
        "Answers are the same on both paths; false helps to find out whether a fault lies in it.",
        restart=True,
    )
    metrics: Literal["loopback", "token", "open"] = setting(
        "loopback",
        "Who reads /metrics and /readyz?verbose: programs on this machine, those with admin_token, or everybody."
        " With admin_token they are read from anywhere.",
        "They name providers, models and keys. Behind another server set token: all that it passes on comes from here.",
    )
    dashboard: Flag = setting(
        True,
        "Serve pages for people: /dashboard for operators, where /admin/v1 is, and /me for each user.",
        "Both ask for a token; nobody needs a page to be there who uses neither.",
    )
    shutdown_timeout_s: Seconds = setting(
        120,
        "Longest wait for open requests after SIGTERM; what is left then is aborted and settled.",
        "Most streams end within two minutes. Give a service manager a little longer (systemd: TimeoutStopSec).",
        ge=0,
        le=DAY_S,
    )

    @check_field("host", mode="beside")
    @classmethod
    def _beyond_loopback_is_meant(cls, before_it: Mapping[str, Any], host: str) -> str:
        if not is_loopback(host) and before_it.get("allow_insecure") is False:
            raise SettingError(
                f"{host} can be reached from other machines, and tokens would travel unencrypted",
                "Listen on 127.0.0.1 behind a proxy that speaks TLS (Caddy, nginx), "
                "or set server.allow_insecure: true.",
                show=False,
            )
        return host


class Currency(Block):
    code: CurrencyCode = setting("USD", "Currency of reports (ISO 4217).", "The ledger itself is in USD.")
    usd_rate: Number = setting(
        Decimal(1),
        "What 1 USD costs in that currency.",
        "1 for USD; another currency needs a rate.",
        gt=0,
        le=10**9,
    )
    rates: dict[Day, Rate] = setting(
        {},
        "In place of usd_rate: what 1 USD costs from each of these dates on (`{2026-11-01: 0.92, 2026-12-01: 0.93}`)."
        " Before the first one the ledger's own rate stays; where it has none yet, the first one holds for all that was"
        " before, too.",
        "usd_rate holds at any time.",
    )
    ecb_file: FilePath | None = setting(
        None,
        "In place of usd_rate: a file of reference rates as the ECB publishes them (XML or CSV), relative to this file."
        " It is read again when it changes; a rate holds from the day after the one that it is dated.",
        "No file is read.",
    )
    ecb_url: BaseUrl | None = setting(
        None,
        "Where ecb_file is fetched from every six hours, such as"
        " https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist-90d.xml.",
        "Nothing is fetched: the file is brought by whoever runs the proxy.",
    )


class Log(Block):
    level: Literal["debug", "info", "warning", "error"] = setting(
        "info",
        "The least important level that is written.",
        "info writes a line for each request: docs/reference/logging.md.",
    )
    format: Literal["auto", "text", "json"] = setting(
        "auto",
        "text for people, json for machines.",
        "auto writes text on a terminal and JSON lines elsewhere.",
        restart=True,
    )


class LedgerSettings(Block):
    settlement_timeout_s: Seconds = setting(
        5,
        "Longest time that the last bytes of an answer wait for a settlement that cannot be written"
        " (older name: settle_wait_s).",
        "Long enough for a slow disk, short for a client; the settlement is retried afterwards.",
        ge=0,
        le=600,
    )
    queue_max: Whole = setting(
        10_000,
        "Writes that may wait for the disk; beyond that new requests get 503.",
        "Some seconds of a busy proxy; a waiting row takes about a kilobyte.",
        restart=True,
        ge=10,
        le=1_000_000,
    )
    busy_timeout_s: Seconds = setting(
        5,
        "Longest wait for another program that holds the database's write lock.",
        "A shell with an open transaction is usually closed within seconds; requests wait meanwhile.",
        restart=True,
        ge=0,
        le=600,
    )
    after_crash: Literal["charge", "release"] = setting(
        "charge",
        "What happens to the reservation of a request that was open in a crash, if its cost cannot be found"
        " (older name: crash_reservation).",
        "It may have been billed, and no crash may free money.",
    )
    idempotency_kept_s: Seconds = setting(
        DAY_S,
        "How long the Idempotency-Key of a request that is over is remembered, a day at most.",
        "Longer than any program retries; only hashes are kept, about 100 bytes each.",
        ge=0,
        le=DAY_S,
    )
    lookup_timeout_s: Seconds = setting(
        600,
        "How long the provider is asked what an aborted request cost, before its reservation is booked.",
        "OpenRouter answers 404 at first and may need minutes; after ten it will never know.",
        ge=0,
        le=7 * DAY_S,
    )


class RetentionSettings(Block):
    """What is removed from the ledger with time; sums by the hour stay forever."""

    rows: KeptFor = setting(
        "forever",
        "How long single requests are kept, in days like 400d, or forever; their sums by the hour stay.",
        "Nothing is removed unless you say so; a million requests take about 350 MB.",
    )

    refusals: KeptFor = setting(
        "90d",
        "How long refused requests and failed authentications are kept, in days like 90d, or forever.",
        "A quarter, in which somebody may still ask why.",
    )
    refusals_max: Whole = setting(
        200_000,
        "How many of them are kept at most, the newest.",
        "About 60 MB; a flood of wrong tokens fills no disk.",
        ge=1000,
        le=100_000_000,
    )

    @property
    def rows_days(self) -> int | None:
        """Return for how many days rows are kept; None: forever."""
        return _days(self.rows)

    @property
    def refusals_days(self) -> int | None:
        """Return for how many days refusals are kept; None: forever."""
        return _days(self.refusals)


def _days(kept: str) -> int | None:
    return None if kept == FOREVER else int(kept.removesuffix("d"))


def typed_status(value: object) -> object:
    """Return a whole number for one written as text, as in an environment variable."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


class SecretSettings(Block):
    """How secrets in the database are kept."""

    master_key_file: FilePath | None = setting(
        None,
        "The file of the master key, which seals all secrets in the database; made when the first one is kept.",
        "Beside the database: its name with .master-key. TOLLKEEPER_MASTER_KEY or systemd's credential"
        " tollkeeper-master-key may hold the key instead.",
        restart=True,
    )


class Quotas(Block):
    """How limits refuse; the limits themselves are in limits, defaults, groups and users."""

    wait_s: Seconds = setting(
        3,
        "Longest wait of a request that only the reservations of other open requests keep from fitting.",
        "Tools that send two requests at once get both answers; a client notices no more than a slow model.",
        ge=0,
        le=60,
    )
    on_over_budget: Literal["clamp", "refuse"] = setting(
        "clamp",
        "clamp lowers max_tokens to what a hard cost limit can still pay; refuse answers 402 instead"
        " (older name: on_unaffordable).",
        "Clients that ask for 32000 tokens each time would be refused with most of their money left.",
    )
    budget_status: Annotated[Literal[400, 402, 429], Reader(typed_status)] = setting(
        402,
        "Status of a refusal because a budget is spent: 402, 429 or 400.",
        "402 is OpenRouter's own for no credits; hardly any client retries it.",
    )


class RoutingSettings(Block):
    """How long, and how often, targets of a route are tried."""

    deadline_s: Seconds = setting(
        600,
        "Longest time until an answer begins, over all targets of a route.",
        "OpenAI's SDKs wait as long for a first byte.",
        gt=0,
        le=DAY_S,
    )
    attempts_max: Whole = setting(
        10,
        "After this many attempts for one request no target is asked a second time; every target is still asked once.",
        "Six targets, and some of them twice.",
        ge=1,
        le=100,
    )
    retry_after_max_s: Seconds = setting(
        20,
        "Honour a provider's Retry-After up to this many seconds; above it, try the next target.",
        "For longer waits another target, or the client's own retry, is better.",
        ge=0,
        le=600,
    )
    refused_content: Literal["next_target", "stop"] = setting(
        "next_target",
        "What follows where a provider refuses the content: the next target, or the refusal itself.",
        "Filters differ, and refuse much that is harmless.",
    )


class MetricsSettings(Block):
    """What /metrics shows; who reads it is server.metrics."""

    users: Flag = setting(
        False,
        "Name users in metrics: their spending, tokens and limits.",
        "On this machine every program reads /metrics without a token, unless server.metrics says otherwise.",
    )
    labels_max: Whole = setting(
        500,
        "How many sets of provider, model and user have figures of their own, and how many limits are shown; what is"
        " beyond that is counted as other.",
        "Some hundred kilobytes a reading; names of models come from callers, and a flood of them must fill no memory.",
        ge=10,
        le=10_000,
    )


class AdminSettings(Block):
    listen: ListenAddress | None = setting(
        None,
        "Address and port of a listener of its own for /admin/v1, like 127.0.0.1:8788; the port of users then answers"
        " nothing there.",
        "None: the port of users.",
        restart=True,
    )


class Settings(Block):
    server: Server = setting(Server, "How requests come in.")
    database: DatabasePath = setting(
        Path("tollkeeper.db"),
        "The ledger's file. A relative path begins at the folder of the configuration file.",
        "Beside the configuration, or in $STATE_DIRECTORY where systemd gives one.",
        restart=True,
    )
    timezone: Zone = setting(
        "UTC",
        "Where days and months begin, like Europe/Stockholm.",
        "The same on every machine.",
        restart=True,
    )
    currency: Currency = setting(Currency, "What reports show beside USD.")
    admin_token: SecretText | None = setting(
        None,
        "Opens /admin/v1, and what only the operator may read, to whoever sends it.",
        "Without it /admin/v1 is closed; the command line uses its socket.",
    )
    admin: AdminSettings = setting(AdminSettings, "Where the operator's API is.")
    log: Log = setting(Log, "What is written to stderr.")
    metrics: MetricsSettings = setting(MetricsSettings, "What /metrics shows.")
    ledger: LedgerSettings = setting(LedgerSettings, "How spending is put on disk.")
    retention: RetentionSettings = setting(RetentionSettings, "What is removed from the ledger with time.")
    reconcile: ReconcileSettings = setting(ReconcileSettings, "How the ledger is compared with the provider's bill.")
    secrets: SecretSettings = setting(SecretSettings, "How secrets in the database are kept.")
    quotas: Quotas = setting(Quotas, "How limits refuse.")
    providers: dict[ProviderName, Provider] = setting(
        {},
        "Where answers come from, by name. Models without a provider's name go to the first.",
        "openrouter, when OPENROUTER_API_KEY is set.",
    )
    models: dict[ModelPattern, ModelSettings] = setting(
        {},
        "What is said of models, by provider/model, or by model for the first provider; * stands for any text, and a"
        " name without it counts first.",
        "None.",
    )
    auto: AutoSettings = setting(AutoSettings, "The virtual model auto, which picks a model for each request.")
    routing: RoutingSettings = setting(RoutingSettings, "What happens when a target fails.")
    presets: dict[PresetName, Preset] = setting({}, "Virtual models by name.", "None.")
    use_cases: dict[UserName, PresetName] = setting(
        {},
        "Presets by use case: for requests with the header X-Tollkeeper-Use-Case whose model is not a preset.",
        "None.",
    )
    limits: Limits = setting(Limits, "What everyone may use together.", "No limit.")
    use_case_limits: dict[UserName, Limits] = setting(
        {}, "What everyone may use together under a use case, by its name, beside the limits of presets.", "No limit."
    )
    defaults: Defaults = setting(Defaults, "What applies to each user.", "No limit.")
    groups: dict[UserName, Group] = setting({}, "Users who share limits, by name.", "None.")
    end_users: EndUsers = setting(EndUsers, "People behind a service, whom its token names.")
    alerts: Alerts = setting(Alerts, "What is watched, and who is told.")
    users: dict[UserName, User] = setting({}, "Who may call, by name. Further users may live in the database.", "None.")

    @property
    def preferred(self) -> Mapping[str, PreferenceSettings]:
        """Return what users have set for themselves, by name: it comes from the database alone (overlay.py)."""
        found: Mapping[str, PreferenceSettings] = self.__dict__.get("_preferred", _NOBODY)
        return found

    def preferring(self, preferred: Mapping[str, PreferenceSettings]) -> Self:
        """Return the settings with other preferences of users."""
        return self.replaced({"_preferred": preferred})

    @check_field("admin", mode="beside")
    @classmethod
    def _beyond_loopback_is_meant(cls, before_it: Mapping[str, Any], admin: AdminSettings) -> AdminSettings:
        server = before_it.get("server")
        if admin.listen is not None and isinstance(server, Server) and not server.allow_insecure:
            host, _ = listen_at(admin.listen)
            if not is_loopback(host):
                raise SettingError(
                    f"{host} can be reached from other machines, and operators' tokens would travel unencrypted",
                    "Listen on 127.0.0.1 behind a proxy that speaks TLS, or set server.allow_insecure: true.",
                    key="listen",
                    show=False,
                )
        return admin

    @check_field("providers", mode="before")
    @classmethod
    def _known_by_name(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: with_kind(name, block) for name, block in value.items()}
