"""A hold asked of another process: what is asked is answered once, and the books hold what was held."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from proxy.core.user_token import new_token, token_hash

BENCHMARK = Path(__file__).resolve().parents[2] / "scripts" / "benchmark"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench pins processes to cores")


@pytest.fixture
def hold_ipc(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARK.parents[1]))
    return import_module("hold_ipc")


def test_messages_are_whole_at_every_cut(hold_ipc: Any) -> None:
    sent = [(1, b"one"), (2, b""), (70_000, b"three")]
    data = b"".join(hold_ipc.message(*one) for one in sent)
    for cut in range(len(data) + 1):
        first, rest = hold_ipc.messages_of(data[:cut])
        second, nothing = hold_ipc.messages_of(rest + data[cut:])
        assert (first + second, nothing) == (sent, b"")


async def test_holds_are_made_here_and_in_another_process(hold_ipc: Any, tmp_path: Path) -> None:
    token = new_token()
    config = tmp_path / "config.yaml"
    config.write_text(
        "providers: {openrouter: {api_key: sk-or-v1-x}}\n"
        f'users: {{limited: {{token_hash: "sha256:{token_hash(token)}", limits: {{cost: $1000/day}}}}}}\n'
    )
    found = await hold_ipc.compare(str(config), token, tmp_path, "0", 0.1)
    assert found["faults"] == []
    assert tuple(found["ways"]) == hold_ipc.WAYS
    for way, by_number in found["ways"].items():
        for one in by_number.values():
            assert one["p50_us"] > 0
            assert one["here_us"] > 0
            assert (one["there_us"] > 0) == (way != hold_ipc.WAYS[0])


async def test_a_hold_that_is_refused_ends_the_run(hold_ipc: Any, tmp_path: Path) -> None:
    token = new_token()
    config = tmp_path / "config.yaml"
    config.write_text(
        "providers: {openrouter: {api_key: sk-or-v1-x}}\n"
        f'users: {{limited: {{token_hash: "sha256:{token_hash(token)}", limits: {{cost: $0.001/day}}}}}}\n'
    )
    error = import_module("machine").BenchError
    with pytest.raises(error, match="the other process is gone"):
        await hold_ipc.of_other([str(config), token, str(tmp_path), "holds"], "0", tmp_path / "socket", 0.1)
