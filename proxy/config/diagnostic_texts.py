"""What checks find in settings, in words that tell what to write."""

from collections.abc import Iterable

from proxy.config.check import KEY, Fault, Path
from proxy.config.diagnostic import SettingError
from proxy.config.schema import Limits, Settings
from proxy.config.setting_path import block_at
from proxy.core.close_name import close_name

_LIMIT_WORDS = {
    "rpm": "requests: 60/minute",
    "rpm_limit": "requests: 60/minute",
    "tpm": "tokens: 100k/minute",
    "tpm_limit": "tokens: 100k/minute",
    "max_parallel": "concurrency: 4",
    "max_parallel_requests": "concurrency: 4",
    "parallel": "concurrency: 4",
    "budget": "cost: $10/month",
    "max_budget": "cost: $10/month",
    "spend": "cost: $10/month",
    "budget_duration": "cost: $10/30d",
    "duration": "cost: $10/30d",
}
_OTHER_WORDS = {
    "api_base": "base_url",
    "apibase": "base_url",
    "baseurl": "base_url",
    "api_url": "base_url",
    "url": "base_url",
    "apikey": "api_key",
    "key": "api_key",
    "key_file": "api_key_file",
    "model_list": "presets",
    "models": "targets",
    "fallbacks": "targets",
    "master_key": "admin_token",
    "db": "database",
    "tz": "timezone",
    "general_settings": "server",
    "litellm_params": "targets",
    "token": "token_hash",
    "rate": "usd_rate",
    "params": "defaults",
    "parameters": "defaults",
    "system_prompt": "system",
    "team": "group",
    "expires": "expires_at",
}


class Finding:
    """One thing that is wrong: where, the text, and what decides how it is shown."""

    __slots__ = ("advice", "at_key", "must", "path", "show")

    def __init__(self, path: Path, must: str, advice: str, *, at_key: bool, show: bool) -> None:
        self.path = path
        self.must = must
        self.advice = advice
        self.at_key = at_key  # the name is at fault, not the value
        self.show = show  # the value found may stand in the text


def findings(faults: Iterable[Fault]) -> list[Finding]:
    """Put faults in words; a misspelt name and the missing setting that it stands for become one."""
    found = []
    missing: dict[Path, Finding] = {}
    stands_for: set[Path] = set()
    for fault in faults:
        path = fault.path
        if fault.is_unknown:
            name, text, advice = _unknown(path)
            if name is not None:
                stands_for.add((*path[:-1], name))
            found.append(Finding(path, text, advice, at_key=True, show=False))
        elif fault.is_missing:
            missing[path] = Finding(path, fault.error.must, _help(path), at_key=True, show=False)
        else:
            found.append(_finding(path, fault.error))
    return found + [finding for path, finding in missing.items() if path not in stands_for]


def _finding(path: Path, error: SettingError) -> Finding:
    at_key = path[-1:] == (KEY,)
    path = (*path, error.key) if error.key is not None else path
    return Finding(path, error.must, error.advice, at_key=at_key, show=error.show)


def _help(path: Path) -> str:
    block = block_at(path[:-1])
    field = block.fields.get(str(path[-1])) if block is not None else None
    return (field.description or "") if field is not None else ""


def _unknown(path: Path) -> tuple[str | None, str, str]:
    """Return (the name that was probably meant, what is wrong, what to write)."""
    name = str(path[-1])
    block = block_at(path[:-1])
    known = list(block.fields) if block is not None else []
    text = f'unknown key "{name}"'
    word = name.lower().replace("-", "_")
    if word in _LIMIT_WORDS and (block is Limits or "limits" in known):
        example = _LIMIT_WORDS[word]
        return None, text, f"Write {example}." if block is Limits else f"Write limits: {{{example}}}."
    if name == "<<":
        return None, text, "Merge keys belong to YAML 1.1. Write the settings out."
    meant = next((other for other in known if other == _OTHER_WORDS.get(word)), None)
    if meant is None:
        meant = close_name(word, known)
    if meant is not None:
        return meant, text, f'Did you mean "{meant}"?'
    if block is Settings:
        return None, text, _belongs(word)
    return None, text, f"Known here: {', '.join(known)}." if known else ""


def _belongs(word: str) -> str:
    for section in Settings.fields:
        block = block_at((section,))
        if block is not None and word in block.fields:
            return f"It belongs under {section}:."
    return f"Known here: {', '.join(Settings.fields)}."
