"""A sampled run is a part of everything, the same for the same seed; without a seed everything runs."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sampling import VARIABLE, Sample, read

ROOT = Path(__file__).parents[1]
FAMILY = """
import pytest
from tests.support.sampling import count, drawn

@pytest.mark.sampled(0.1)
@pytest.mark.parametrize("n", range(50))
def test_family(n): pass

@pytest.mark.parametrize("n", range(3))
def test_no_family(n): pass

@pytest.mark.sampled(0.5, "long")
def test_long_search(): pass

@pytest.mark.sampled(0.5, "long")
def test_another_long_search(): pass

def test_loops():
    print("loop", drawn(range(40), 0.1, "loop"), count(1000, 0.1))
"""


def run(folder: Path, sample: str | None, *arguments: str) -> tuple[list[int], str]:
    """Return which cases of a family of fifty ran, and what its loop took."""
    file = folder / "test_family.py"
    file.write_text(FAMILY)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = sampled\n")
    command = [sys.executable, "-m", "pytest", "-vs", "-p", "no:cacheprovider", "-p", "tests.support.sampling"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", VARIABLE))}
    if sample is not None:
        environ[VARIABLE] = sample
    ran = subprocess.run(
        [*command, *arguments, str(file)],
        env={**environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    if not arguments:
        assert ran.stdout.count("test_no_family[") == 3
        assert ran.stdout.count("long_search PASSED") == (2 if sample in (None, "7*3", "7*10") else 1)
    loop = next((line for line in ran.stdout.splitlines() if "loop [" in line), "")
    return [int(n) for n in re.findall(r"test_family\[(\d+)\]", ran.stdout)], loop.partition("loop ")[2]


def test_everything_runs_without_a_seed(tmp_path: Path) -> None:
    assert run(tmp_path, None) == (list(range(50)), f"{list(range(40))} 1000")


def test_a_seed_draws_a_part_and_draws_it_again(tmp_path: Path) -> None:
    cases, loop = first = run(tmp_path, "7")
    assert len(cases) == 5
    assert loop.count(",") == 3
    assert loop.endswith("] 100")
    assert run(tmp_path, "7") == first
    assert run(tmp_path, "8") != first


def test_a_larger_sample(tmp_path: Path) -> None:
    assert len(run(tmp_path, "7*3")[0]) == 15
    assert run(tmp_path, "7*10") == run(tmp_path, None)


def test_a_case_that_is_asked_for_runs(tmp_path: Path) -> None:
    """Whatever the seed: otherwise a failure of a sampled run could not be run alone."""
    for n in (3, 31):
        assert run(tmp_path, "7", "-k", f"test_family and [{n}]")[0] == [n]


@given(st.lists(st.integers(), max_size=60), st.floats(0.001, 1), st.integers(0, 9), st.floats(0.1, 20))
def test_a_sample_keeps_the_order_and_is_never_empty(cases: list[int], share: float, seed: int, times: float) -> None:
    numbered = list(enumerate(cases))
    found = Sample(seed, times).drawn(numbered, share, "x")
    assert found == sorted(set(found))
    assert set(found) <= set(numbered)
    assert bool(found) == bool(cases)
    assert len(found) <= len(cases) * share * times + 1


def test_every_case_is_drawn_by_some_seed() -> None:
    drawn = [Sample(seed).drawn(range(30), 0.1, "x") for seed in range(200)]
    assert {case for each in drawn for case in each} == set(range(30))
    assert Sample(1).drawn(range(30), 0.1, "x") != Sample(1).drawn(range(30), 0.1, "another family")


def test_what_the_variable_says() -> None:
    assert read(None) is read("") is None
    assert read("7") == Sample(7)
    assert read("7*3") == Sample(7, 3.0)
    for text in ("x", "7*", "7*x", "7*0", "7*-1", "7*nan", "7*inf", "*3"):
        with pytest.raises(ValueError):  # noqa: PT011 - int(), float() and our own
            read(text)


# scripts/test, its steps replaced by programs that only say how they were called


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a checkout"
    (root / "scripts").mkdir(parents=True)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "scripts" / "test").write_text((ROOT / "scripts" / "test").read_text())
    python = f"""#!/bin/bash
case "$*" in
    "-c import os"*) echo 2; exit ;;
    "-c import socket"*) echo 9; exit ;;
esac
echo "called $* with ${{{VARIABLE}-nothing}}"
case "$*" in
    "-m hatchling"*) mkdir -p "${{@: -1}}" && touch "${{@: -1}}/x.whl" ;;
    "-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/tollkeeper" ;;
esac
"""
    for script in (ROOT / "scripts").iterdir():
        if script.is_file() and script.name != "test":
            no_other_python = 'case "$*" in --find*) exit 1 ;; esac\n' if script.name == "setup" else ""
            (root / "scripts" / script.name).write_text(f"#!/bin/bash\n{no_other_python}")
    for name in ("python", "ruff", "mypy", "lint-imports"):
        (root / ".venv" / "bin" / name).write_text(python)
    for path in root.rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return root


def scripts_test(root: Path, *arguments: str) -> tuple[int, str, str]:
    """Return the exit code, how pytest was called, and all that was printed."""
    ran = subprocess.run(
        [str(root / "scripts" / "test"), *arguments],
        env={"PATH": os.environ["PATH"], VARIABLE: "5"},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = [line for line in ran.stdout.splitlines() if line.startswith("called -m pytest")]
    return ran.returncode, calls[0] if calls else "", ran.stdout + ran.stderr


def test_the_script_prints_its_seed_and_takes_it_back(checkout: Path) -> None:
    code, call, text = scripts_test(checkout)
    assert code == 0, text
    found = re.search(r"== tests, --seed (\d+)\n", text)
    assert found is not None
    assert f"--hypothesis-seed={found[1]}" in call
    assert "--durations=20" in call
    assert call.endswith(f"with {found[1]}*1")
    assert scripts_test(checkout, "--seed", found[1])[1] == call
    assert scripts_test(checkout, "--seed", "7", "--times", "3", "-k", "x")[1].endswith("=7 -k x with 7*3")


def test_the_script_runs_everything(checkout: Path) -> None:
    code, call, _ = scripts_test(checkout, "--full", "-x")
    assert (code, call.endswith("--durations=20 -x with nothing")) == (0, True)


@pytest.mark.parametrize(
    "wrong", [["--seed"], ["--seed", "x"], ["--seed", "-x"], ["--times", "0"], ["--full", "--times", "2"]]
)
def test_what_the_script_refuses(checkout: Path, wrong: list[str]) -> None:
    code, call, text = scripts_test(checkout, *wrong)
    assert (code, call) == (2, "")
    assert text.startswith("test: ")
