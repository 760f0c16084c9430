"""The account behind the keys: credits, keys with their limits, activity by day, look-ups of generations.

Amounts are pico-USD inside and JSON numbers in USD on the wire. A key's window counts from its start in UTC.
"""

import hashlib
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson
from msgspec import Struct, field

from proxy.core.money import PUSD_PER_USD, pusd_to_usd, usd_to_pusd
from proxy.simulator.books import Generation
from proxy.simulator.budgets import SimulatedBudget

MANAGEMENT_PREFIX = "sk-or-v1-management"
_WORKSPACE = "00000000-0000-4000-8000-000000000001"
_CREDITS_PUSD = 1000 * PUSD_PER_USD
_KEPT_DAYS = 30  # /activity gives the last 30 completed days


def usd(pusd: int) -> Any:
    """Return a JSON number with the exact digits."""
    return orjson.Fragment(pusd_to_usd(pusd).encode())


def key_hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _iso(created: int) -> str:
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def window_start(now: int, reset: str | None) -> int:
    """Return the Unix second at which a daily, weekly (Monday) or monthly window began; 0 for none."""
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        "daily": day,
        "weekly": day - timedelta(days=day.weekday()),
        "monthly": day.replace(day=1),
    }
    return int(starts[reset].timestamp()) if reset in starts else 0


def window_end(now: int, reset: str | None) -> int | None:
    """Return the Unix second at which the running window ends; None for one that never does."""
    start = datetime.fromtimestamp(window_start(now, reset), UTC)
    ends = {
        "daily": start + timedelta(days=1),
        "weekly": start + timedelta(days=7),
        "monthly": (start + timedelta(days=32)).replace(day=1),
    }
    return int(ends[reset].timestamp()) if reset in ends else None


class AccountKey(Struct):
    """One API key; spent_pusd by day of the epoch is enough for every window."""

    hash: str
    label: str
    name: str
    created: int
    updated: int
    limit_pusd: int | None = None
    limit_reset: str | None = None
    include_byok: bool = False
    disabled: bool = False
    expires_at: str | None = None
    last_used: int | None = None
    listed: bool = True
    spent: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    byok_spent: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def used_pusd(self, now: int, reset: str | None, *, byok: bool = False) -> int:
        first_day = window_start(now, reset) // 86_400
        days = self.byok_spent if byok else self.spent
        return sum(amount for day, amount in days.items() if day >= first_day)

    def counted_pusd(self, now: int) -> int:
        used = self.used_pusd(now, self.limit_reset)
        return used + self.used_pusd(now, self.limit_reset, byok=True) if self.include_byok else used

    def remaining_pusd(self, now: int) -> int | None:
        return None if self.limit_pusd is None else max(0, self.limit_pusd - self.counted_pusd(now))

    def figures(self, now: int) -> dict[str, Any]:
        remaining = self.remaining_pusd(now)
        body: dict[str, Any] = {
            "limit": None if self.limit_pusd is None else usd(self.limit_pusd),
            "limit_remaining": None if remaining is None else usd(remaining),
            "limit_reset": self.limit_reset,
            "include_byok_in_limit": self.include_byok,
        }
        for prefix, byok in (("usage", False), ("byok_usage", True)):
            body[prefix] = usd(self.used_pusd(now, None, byok=byok))
            for reset in ("daily", "weekly", "monthly"):
                body[f"{prefix}_{reset}"] = usd(self.used_pusd(now, reset, byok=byok))
        return body

    def shown(self, now: int) -> dict[str, Any]:
        return {
            "hash": self.hash,
            "name": self.name,
            "label": self.label,
            "disabled": self.disabled,
            "created_at": _iso(self.created),
            "updated_at": _iso(self.updated),
            "last_used_at": None if self.last_used is None else _iso(self.last_used),
            "expires_at": self.expires_at,
            "creator_user_id": None,
            "external_user": None,
            "workspace_id": _WORKSPACE,
        } | self.figures(now)


class KeyFieldError(ValueError):
    """A field of a key has a wrong value; the text says which."""


class _Day(Struct):
    usage_pusd: int = 0
    byok_pusd: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0

    def add(self, other: "_Day") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class SimulatedAccount(Struct):
    """Everything that OpenRouter tells about money outside of an answer."""

    total_credits_pusd: int = _CREDITS_PUSD
    keys: dict[str, AccountKey] = field(default_factory=dict)
    used_pusd: int = 0
    budgets: tuple[SimulatedBudget, ...] = ()
    _days: dict[tuple[date, str, str, str, str], _Day] = field(default_factory=lambda: defaultdict(_Day))

    def key(self, secret: str, now: int) -> AccountKey:
        """Return the key; one that was never created by /keys is known too, without a limit."""
        hashed = key_hash(secret)
        found = self.keys.get(hashed)
        if found is None:
            label = f"{secret[:12]}...{secret[-3:]}"
            found = self.keys[hashed] = AccountKey(hashed, label, "simulator", now, now, listed=False)
        return found

    def charge(self, generation: Generation, permaslug: str) -> None:
        """Count a closed generation on its key, on the credits and in the activity of its day."""
        cost = generation.charged_pusd - generation.upstream_pusd
        day = generation.billed_s // 86_400
        key = self.keys.get(generation.key_sha256)
        if key is not None:
            key.spent[day] += cost
            key.byok_spent[day] += generation.upstream_pusd
            key.last_used = generation.created
        self.used_pusd += cost
        when = datetime.fromtimestamp(generation.billed_s, UTC).date()
        row = self._days[when, generation.model, permaslug, generation.provider, generation.key_sha256]
        row.usage_pusd += cost
        row.byok_pusd += generation.upstream_pusd
        row.requests += 1
        row.prompt_tokens += generation.prompt_tokens
        row.completion_tokens += generation.completion_tokens
        row.reasoning_tokens += generation.reasoning_tokens
        row.cached_tokens += generation.cached_tokens

    def change_charge(self, generation: Generation, permaslug: str, charged_pusd: int) -> None:
        """Count another amount for a generation, as a refund or a correction does, on the day of its bill."""
        moved = charged_pusd - generation.charged_pusd
        day = generation.billed_s // 86_400
        key = self.keys.get(generation.key_sha256)
        if key is not None:
            key.spent[day] += moved
        self.used_pusd += moved
        when = datetime.fromtimestamp(generation.billed_s, UTC).date()
        self._days[when, generation.model, permaslug, generation.provider, generation.key_sha256].usage_pusd += moved
        generation.charged_pusd = charged_pusd

    def forget(self) -> None:
        """Start over: no keys, nothing used."""
        self.keys.clear()
        self.budgets = ()
        self.total_credits_pusd = _CREDITS_PUSD
        self._days.clear()
        self.used_pusd = 0

    # --- bodies

    def credits(self) -> dict[str, Any]:
        return {"data": {"total_credits": usd(self.total_credits_pusd), "total_usage": usd(self.used_pusd)}}

    def key_info(self, secret: str, now: int) -> dict[str, Any]:
        key = self.key(secret, now)
        budgets = self.layers(key, now)
        effective = min(budgets, key=lambda layer: layer["left_pusd"], default=None)
        effective = next((layer for layer in budgets if layer["left_pusd"] <= 0), effective)
        management = secret.startswith(MANAGEMENT_PREFIX)
        return {
            "data": {
                "label": key.label,
                **key.figures(now),
                "is_free_tier": False,
                "is_management_key": management,
                "is_provisioning_key": management,
                "creator_user_id": None,
                "expires_at": key.expires_at,
                "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
                "free_model_daily_requests": {"used": 0, "limit": 1000, "remaining": 1000},
                "budgets": [_layer_shown(layer) for layer in budgets],
                "effective_budget": None if effective is None else _layer_shown(effective),
                "organization_id": None,
                "workspace_id": None,
                "allowed_data_regions": ["global"],
            }
        }

    def layers(self, key: AccountKey, now: int) -> list[dict[str, Any]]:
        """Return every budget that is checked for a key, in that order; its own limit is the last."""
        found = []
        for budget in self.budgets:
            keys = [key] if budget.is_of_a_key else list(self.keys.values())
            spent = sum(one.used_pusd(now, budget.reset) for one in keys)
            found.append(_layer(budget.scope, budget.limit_pusd, spent, budget.reset, now))
        if key.limit_pusd is not None:
            own = _layer("key_limit", key.limit_pusd, key.counted_pusd(now), key.limit_reset, now)
            found.append(own | {"include_byok": key.include_byok})
        return found

    def activity(self, now: int, only: str | None, key_sha256: str | None = None) -> dict[str, Any]:
        """Return the completed days, of one key or of all; raises KeyFieldError for a date that is not one of them."""
        today = datetime.fromtimestamp(now, UTC).date()
        first = today - timedelta(days=_KEPT_DAYS)
        if only is not None:
            try:
                wanted = date.fromisoformat(only)
            except ValueError:
                raise KeyFieldError("Date must be in YYYY-MM-DD format") from None
            if not first <= wanted < today:
                raise KeyFieldError("Date must be within the last 30 (completed) UTC days")
        sums: dict[tuple[date, str, str, str], _Day] = defaultdict(_Day)
        for (day, model, permaslug, provider, key), row in self._days.items():
            if first <= day < today and only in (None, day.isoformat()) and key_sha256 in (None, key):
                sums[day, model, permaslug, provider].add(row)
        rows = []
        for (day, model, permaslug, provider), row in sorted(sums.items(), key=lambda item: item[0], reverse=True):
            rows.append(
                {
                    "date": day.isoformat(),
                    "model": model,
                    "model_permaslug": permaslug,
                    "endpoint_id": endpoint_id(permaslug, provider),
                    "provider_name": provider,
                    "usage": usd(row.usage_pusd),
                    "byok_usage_inference": usd(row.byok_pusd),
                    "requests": row.requests,
                    "prompt_tokens": row.prompt_tokens,
                    "completion_tokens": row.completion_tokens,
                    "reasoning_tokens": row.reasoning_tokens,
                    "cached_tokens": row.cached_tokens,
                }
            )
        return {"data": rows}

    def list_keys(self, now: int, offset: int, *, include_disabled: bool) -> dict[str, Any]:
        shown = [k for k in self.keys.values() if k.listed and (include_disabled or not k.disabled)]
        return {"data": [key.shown(now) for key in shown[offset : offset + 100]]}

    def create_key(self, secret: str, fields: dict[str, Any], now: int) -> dict[str, Any]:
        """Create a key from the fields of POST /keys; raises KeyFieldError."""
        name = fields.get("name")
        if not isinstance(name, str) or not name:
            raise KeyFieldError("name: a non-empty string is required")
        hashed = key_hash(secret)
        key = AccountKey(hashed, f"{secret[:12]}...{secret[-3:]}", name, now, now)
        self._change(key, fields, now)
        key.expires_at = fields.get("expires_at")
        self.keys[hashed] = key
        return {"data": key.shown(now), "key": secret}

    def change_key(self, hashed: str, fields: dict[str, Any], now: int) -> dict[str, Any] | None:
        key = self.keys.get(hashed)
        if key is None:
            return None
        self._change(key, fields, now)
        return {"data": key.shown(now)}

    @staticmethod
    def _change(key: AccountKey, fields: dict[str, Any], now: int) -> None:
        if "limit" in fields:
            limit = fields["limit"]
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 0):
                raise KeyFieldError("limit: a non-negative number or null is required")
            key.limit_pusd = None if limit is None else usd_to_pusd(repr(limit))[0]
        reset = fields.get("limit_reset", key.limit_reset)
        if reset not in (None, "daily", "weekly", "monthly"):
            raise KeyFieldError("limit_reset: must be daily, weekly, monthly or null")
        key.limit_reset = reset
        key.name = fields.get("name", key.name)
        key.disabled = bool(fields.get("disabled", key.disabled))
        key.include_byok = bool(fields.get("include_byok_in_limit", key.include_byok))
        key.updated = now


def endpoint_id(permaslug: str, provider: str) -> str:
    """Return the id of the endpoint that serves a model at a provider, the same in every list."""
    return str(uuid5(NAMESPACE_URL, f"{permaslug}@{provider}"))


def _layer(scope: str, limit_pusd: int, spent_pusd: int, reset: str | None, now: int) -> dict[str, Any]:
    return {
        "scope": scope,
        "limit_pusd": limit_pusd,
        "spent_pusd": spent_pusd,
        "left_pusd": limit_pusd - spent_pusd,
        "reset": reset,
        "resets_at": window_end(now, reset),
        "include_byok": False,
    }


def _layer_shown(layer: dict[str, Any]) -> dict[str, Any]:
    resets_at, is_guardrail = layer["resets_at"], layer["scope"] in ("member", "api_key")
    return {
        "scope": layer["scope"],
        "limit_usd": usd(layer["limit_pusd"]),
        "spend_usd": usd(layer["spent_pusd"]),
        "remaining_usd": usd(layer["left_pusd"]),
        "reset_interval": layer["reset"],
        "resets_at": None if resets_at is None else _iso(resets_at),
        "include_byok": layer["include_byok"],
        "guardrail_id": _WORKSPACE if is_guardrail else None,
        "budget_id": None,
    }


def generation_body(generation: Generation) -> dict[str, Any]:
    """Write ``GET /generation``: total_cost is what was charged, times follow from the tokens."""
    other = generation.lookup is not None and generation.lookup.generation_other_id
    took_ms = 100 + 10 * generation.completion_tokens
    upstream = usd(generation.upstream_pusd) if generation.is_byok else 0
    total = orjson.Fragment(generation.total_json.encode())
    return {
        "data": {
            "id": generation.id[::-1] if other else generation.id,
            "model": generation.model,
            "created_at": _iso(generation.created),
            "total_cost": total,
            "usage": total,
            "upstream_inference_cost": upstream,
            "cache_discount": None,
            "is_byok": generation.is_byok,
            "tokens_prompt": generation.prompt_tokens,
            "tokens_completion": generation.completion_tokens,
            "native_tokens_prompt": generation.prompt_tokens,
            "native_tokens_completion": generation.completion_tokens,
            "native_tokens_reasoning": generation.reasoning_tokens,
            "native_tokens_cached": generation.cached_tokens,
            "native_tokens_completion_images": 0,
            "cancelled": generation.cancelled,
            "streamed": generation.streamed,
            "latency": 100,
            "generation_time": took_ms,
            "moderation_latency": None,
            "finish_reason": generation.finish_reason,
            "native_finish_reason": generation.native_finish_reason,
            "provider_name": generation.provider,
            "provider_responses": [
                {
                    "status": generation.status,
                    "provider_name": generation.provider,
                    "endpoint_id": endpoint_id(generation.permaslug, generation.provider),
                    "latency": 100,
                    "is_byok": generation.is_byok,
                    "model_permaslug": generation.permaslug,
                }
            ],
            "origin": "",
            "app_id": None,
            "http_referer": None,
            "user_agent": generation.user_agent,
            "external_user": generation.user,
            "session_id": generation.session_id,
            "request_id": None,
            "preset_id": None,
            "router": None,
            "service_tier": None,
            "data_region": "global",
            "api_type": "embeddings" if generation.endpoint == "embeddings" else "completions",
            "upstream_id": None,
            "workspace_id": None,
            "num_media_prompt": 0,
            "num_media_completion": 0,
            "num_search_results": 0,
            "num_fetches": 0,
            "num_input_audio_prompt": 0,
            "web_search_engine": None,
            "response_cache_source_id": None,
        }
    }
