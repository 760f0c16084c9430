"""The command llm, pointed by extra-openai-models.yaml and a key of its own name."""

import os
import tempfile
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner
from llm.cli import cli
from turns import WORDS, Turn, answer_turns

_TOOL = 'def weather(city: str) -> str:\n    "Tell the weather in a city."\n    return f"Rain in {city}."\n'


def take(turn: Turn) -> Any:
    model = {
        "model_id": "tolled",
        "model_name": turn.model,
        "api_base": turn.base_url,
        "api_key_name": "tollkeeper",
        "supports_tools": True,
        "responses": turn.endpoint == "responses",
    }
    (Path(os.environ["LLM_USER_PATH"]) / "extra-openai-models.yaml").write_text(yaml.safe_dump([model]))
    _run("keys", "set", "tollkeeper", "--value", turn.token)
    options = ["--functions", _TOOL, "--td"] if turn.tool else []
    return _run("-n", "-m", "tolled", "-u", *([] if turn.stream else ["--no-stream"]), *options, WORDS)


def _run(*arguments: str) -> dict[str, str]:
    """Run the command and give what stands on the terminal; raises where it ends with an error."""
    ended = CliRunner().invoke(cli, arguments)
    if ended.exit_code == 0:
        return {"stdout": ended.stdout, "stderr": ended.stderr}
    raise RuntimeError(ended.stderr.strip())


with tempfile.TemporaryDirectory() as folder:
    os.environ["LLM_USER_PATH"] = folder
    answer_turns(take)
