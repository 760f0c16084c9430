"""Checks that span several settings, on the data of a file whose single values may still be wrong.

They run beside the checks of the schema, so that a file with a bad number and an unknown group shows both at
once; whatever has not the expected shape is the schema's to report and is passed over here.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from proxy.config.alerts import LOG
from proxy.config.limit_checks import group_mistakes, limit_mistakes
from proxy.config.on_spent import read_words
from proxy.config.schema import default_base_url
from proxy.config.values import is_loopback
from proxy.core.close_name import close_name

Path = tuple[str | int, ...]
Finding = tuple[Path, str]


def mistakes_across(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield (path, whole sentences) for each reference to nothing and each contradiction."""
    yield from _groups(data)
    yield from group_mistakes(data)
    yield from limit_mistakes(data)
    yield from _tokens(data)
    yield from _targets(data)
    yield from _keys(data)
    yield from _several_keys(data)
    yield from _own_keys(data)
    yield from _use_cases(data)
    yield from _preferences(data)
    yield from _auto(data)
    yield from _handed_over(data)
    yield from _alerted(data)
    yield from _currency(data)


def warnings_across(data: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _plain_http(data)
    yield from _near_providers(data)
    yield from _odd_models(data)
    yield from _rate_of_usd(data)


def _block(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, Mapping) else {}


def _blocks(data: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in _block(data, name).items():
        if isinstance(value, Mapping):
            yield key, value


def _suggest(word: str, words: Mapping[str, Any]) -> str:
    close = close_name(word, words)
    return f' Did you mean "{close}"?' if close else ""


def _groups(data: Mapping[str, Any]) -> Iterator[Finding]:
    groups = _block(data, "groups")
    for name, user in _blocks(data, "users"):
        group = user.get("group")
        if isinstance(group, str) and group not in groups:
            hint = _suggest(group, groups) or " Add it under groups:."
            yield ("users", name, "group"), f'there is no group "{group}".{hint}'
    group = _block(data, "end_users").get("group")
    if isinstance(group, str) and group not in groups:
        hint = _suggest(group, groups) or " Add it under groups:."
        yield ("end_users", "group"), f'there is no group "{group}".{hint}'


def _hashes(user: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    if isinstance(user.get("token_hash"), str):
        yield ("token_hash",), user["token_hash"]
    for name in ("token_hashes", "tokens"):
        listed = user.get(name)
        for number, item in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(item, str):
                yield (name, number), item
            elif isinstance(item, Mapping) and isinstance(item.get("hash"), str):
                yield (name, number, "hash"), item["hash"]


def _tokens(data: Mapping[str, Any]) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for name, user in _blocks(data, "users"):
        for path, digits in _hashes(user):
            first = owners.setdefault(digits.lower(), name)
            if first != name:
                yield (
                    ("users", name, *path),
                    f'is the token of user "{first}" too. Each user needs their own.',
                )
            elif any(digits.lower() == other.lower() for at, other in _hashes(user) if at < path and at[0] == path[0]):
                yield ("users", name, *path), "is in this list twice."


def _targets_of(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    for name, preset in _block(data, "presets").items():
        targets = preset.get("targets") if isinstance(preset, Mapping) else preset
        listed = targets if isinstance(targets, list) else [targets]
        for number, target in enumerate(listed):
            if isinstance(target, str):
                yield ("presets", name, "targets", number), target
            elif isinstance(target, Mapping) and isinstance(target.get("target"), str):
                yield ("presets", name, "targets", number, "target"), target["target"]


def _targets(data: Mapping[str, Any]) -> Iterator[Finding]:
    providers = _block(data, "providers")
    presets = _block(data, "presets")
    if not providers:
        return
    default = next(iter(providers))
    for path, target in _targets_of(data):
        first, slash, rest = target.partition("/")
        if first in providers and slash:
            if not rest:
                yield path, f'names no model. Write {first}/ and a model of provider "{first}".'
        elif target in presets:
            yield path, f'"{target}" is a preset itself. Write its models here.'
        elif _is_openrouter(default, providers[default]) and not (slash and first and rest):
            hint = _suggest(target, {**presets, **{f"{name}/": None for name in providers}})
            yield path, f'"{target}" is unknown: models of {default} are written maker/model.{hint}'


def _is_openrouter(name: str, provider: object) -> bool:
    kind = provider.get("kind") if isinstance(provider, Mapping) else None
    return (kind or ("openrouter" if name == "openrouter" else "openai")) == "openrouter"


def _keys(data: Mapping[str, Any]) -> Iterator[Finding]:
    for name, provider in _block(data, "providers").items():
        block = provider if isinstance(provider, Mapping) else {}
        if provider is not None and not isinstance(provider, Mapping):
            continue
        if str(block.get("enabled")).lower() == "false":  # one that is not asked needs no key
            continue
        kind = "openrouter" if _is_openrouter(name, block) else "openai"
        hosted = default_base_url(name, kind)
        if hosted is None or (block.get("base_url") or hosted) != hosted:
            continue
        if block.get("api_key") is None and block.get("api_key_file") is None and block.get("keys") is None:
            url = "https://openrouter.ai/keys" if kind == "openrouter" else "https://platform.openai.com/api-keys"
            variable = "OPENROUTER_API_KEY" if kind == "openrouter" else "OPENAI_API_KEY"
            advice = f"Write api_key: ${{{variable}}}, or use api_key_file:. Create a key at {url}"
            yield ("providers", name, "api_key"), f"is missing. {advice}"


def _several_keys(data: Mapping[str, Any]) -> Iterator[Finding]:
    for name, provider in _blocks(data, "providers"):
        keys = provider.get("keys")
        listed = keys if isinstance(keys, list) else []
        if listed and (provider.get("api_key") is not None or provider.get("api_key_file") is not None):
            yield ("providers", name, "keys"), "is set together with api_key. Make that one of the keys, or remove it."
        for number, key in enumerate(listed):
            if isinstance(key, Mapping) and key.get("api_key") is None and key.get("api_key_file") is None:
                yield ("providers", name, "keys", number), "has no key. Write api_key: ${VAR}, or use api_key_file:."


def _own_keys(data: Mapping[str, Any]) -> Iterator[Finding]:
    providers = _block(data, "providers")
    for name, user in _blocks(data, "users"):
        for provider in _block(user, "provider_keys"):
            if provider not in providers:
                text = f'there is no provider "{provider}".{_suggest(provider, providers)}'
                yield ("users", name, "provider_keys", provider), text


def _use_cases(data: Mapping[str, Any]) -> Iterator[Finding]:
    presets = _block(data, "presets")
    for name, preset in _block(data, "use_cases").items():
        if isinstance(preset, str) and preset not in presets:
            hint = _suggest(preset, presets) or " Add it under presets:."
            yield ("use_cases", name), f'there is no preset "{preset}".{hint}'


def _preferences(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the presets that users, groups and all prefer, and that do not exist."""
    presets = _block(data, "presets")
    holders: list[tuple[Path, Mapping[str, Any]]] = [
        ((name,), _block(data, name)) for name in ("defaults", "end_users")
    ]
    holders += [((kind, name), block) for kind in ("groups", "users") for name, block in _blocks(data, kind)]
    for path, block in holders:
        named: list[tuple[Path, Any]] = [(("default_preset",), block.get("default_preset"))]
        named += [(("use_cases", name), preset) for name, preset in _block(block, "use_cases").items()]
        for end, preset in named:
            if isinstance(preset, str) and preset not in presets:
                hint = _suggest(preset, presets) or " Add it under presets:."
                yield (*path, *end), f'there is no preset "{preset}".{hint}'


def _auto(data: Mapping[str, Any]) -> Iterator[Finding]:
    if _block(data, "auto").get("models") and "auto" in _block(data, "presets"):
        yield ("presets", "auto"), "has the name of the virtual model that auto.models makes. Give it another one."


def _currency(data: Mapping[str, Any]) -> Iterator[Finding]:
    block = _block(data, "currency")
    sources = [name for name in ("usd_rate", "rates", "ecb_file") if block.get(name) is not None]
    if len(sources) > 1:
        yield ("currency", sources[-1]), f"stands beside {sources[0]}. Keep one of usd_rate, rates and ecb_file."
    if block.get("code", "USD") != "USD" and all(block[name] == {} for name in sources):
        yield ("currency", "code"), "has no rate: 1 USD would count as 1 of it. Set usd_rate, rates or ecb_file."
    if block.get("ecb_url") is not None and block.get("ecb_file") is None:
        yield ("currency", "ecb_url"), "has no place to go. Name the file that it is written to with ecb_file."


def _rate_of_usd(data: Mapping[str, Any]) -> Iterator[Finding]:
    block = _block(data, "currency")
    is_rated = block.get("usd_rate") not in (None, 1, "1") or block.get("rates") or block.get("ecb_file") is not None
    if is_rated and block.get("code", "USD") == "USD":
        yield ("currency",), "gives a rate for USD, which the ledger is in. Name the currency that it is of with code."


def _handed_over(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where hand_over is set for targets that OpenRouter cannot pass from one to the next."""
    providers = _block(data, "providers")
    default = next(iter(providers), None)
    for name, preset in _blocks(data, "presets"):
        hand_over = preset.get("hand_over")
        if not isinstance(hand_over, str) or hand_over.lower() not in ("true", "yes", "on"):
            continue
        heads = [target.partition("/")[0] for path, target in _targets_of(data) if path[1] == name]
        asked = {head if head in providers else default for head in heads}
        if not any(one is not None and _is_openrouter(one, providers[one]) for one in asked):
            yield ("presets", name, "hand_over"), "needs targets at OpenRouter; none of these is."


def _alerted(data: Mapping[str, Any]) -> Iterator[Finding]:
    alerts, presets = _block(data, "alerts"), _block(data, "presets")
    known = {LOG: None, **_block(alerts, "destinations")}
    for name, rule in _blocks(alerts, "rules"):
        to = rule.get("to")
        for number, one in enumerate(to if isinstance(to, list) else [to]):
            if isinstance(one, str) and one not in known:
                hint = _suggest(one, known) or " Add it under alerts.destinations:."
                yield ("alerts", "rules", name, "to", number), f'there is no destination "{one}".{hint}'
        word, preset = read_words(rule.get("action"))
        if word == "downgrade" and preset is not None and preset not in presets:
            hint = _suggest(preset, presets) or " Add it under presets:."
            yield ("alerts", "rules", name, "action"), f'there is no preset "{preset}".{hint}'


def _plain_http(data: Mapping[str, Any]) -> Iterator[Finding]:
    for name, provider in _blocks(data, "providers"):
        url = provider.get("base_url")
        if not isinstance(url, str) or not url.startswith("http://") or provider.get("api_key") is None:
            continue
        try:
            host = urlsplit(url).hostname
        except ValueError:
            continue
        if host and not is_loopback(host):
            yield (
                ("providers", name, "base_url"),
                "the key and all prompts cross the network unencrypted. Use https.",
            )


def _near_providers(data: Mapping[str, Any]) -> Iterator[Finding]:
    providers = _block(data, "providers")
    for path, target in _targets_of(data):
        first, slash, _ = target.partition("/")
        if slash and first not in providers:
            close = close_name(first, (name for name in providers if name != "openrouter"), 0.8)
            if close:
                hint = f'Did you mean "{close}/"?'
                yield path, f'"{first}" is not a provider, so this is a model of the first one. {hint}'


def _odd_models(data: Mapping[str, Any]) -> Iterator[Finding]:
    presets = _block(data, "presets")
    providers = _block(data, "providers")
    if not providers or not _is_openrouter(*next(iter(providers.items()))):
        return
    holders: list[tuple[Path, Mapping[str, Any]]] = [(("defaults",), _block(data, "defaults"))]
    holders += [((kind, name), block) for kind in ("groups", "users") for name, block in _blocks(data, kind)]
    for path, block in holders:
        listed = block.get("models")
        for number, model in enumerate(listed if isinstance(listed, list) else [listed]):
            is_auto = model == "auto" and bool(_block(data, "auto").get("models"))
            if isinstance(model, str) and not is_auto and not set("/*?[") & set(model) and model not in presets:
                text = f'"{model}" is neither a preset nor maker/model, so it allows nothing.'
                yield (*path, "models", number), text + _suggest(model, presets)
