"""config.example.yaml as it is shipped, moved to the simulator of a test."""

from pathlib import Path

from tests.support.installation import OPENAI_KEY, PROVIDER_KEY, token_hash_of

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
CI_HASH = "sha256:" + "1" * 64  # the placeholder of the user ci, who may use every model
MOVED = {  # what a test must move to its own machine; all else stays as shipped
    "https://openrouter.ai/api/v1": "{sim}/api/v1",
    "https://api.openai.com/v1": "{sim}/openai/v1",
    "http://127.0.0.1:11434/v1": f"{{sim}}/openai/v1\n    api_key: {OPENAI_KEY}",
    CI_HASH: token_hash_of("ci"),
}
ENVIRONMENT = {
    "OPENROUTER_API_KEY": PROVIDER_KEY,
    **{f"OPENAI_KEY_{name}": OPENAI_KEY for name in "ABC"},
    "TOLLKEEPER_PORT": "0",
}


def write_shipped(folder: Path, simulator_url: str) -> Path:
    """Write the shipped example with its providers at the simulator; return its path."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in MOVED.items():
        assert old in text
        text = text.replace(old, new.replace("{sim}", simulator_url))
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path
