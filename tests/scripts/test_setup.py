"""scripts/setup on machines where it cannot work: it says what is wrong and what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cat", "cut", "df", "dirname", "grep", "head", "mv", "rm", "sed", "tail", "uname")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bash scripts")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give what scripts/setup reads, in a folder whose name has a space."""
    folder = tmp_path / "a checkout"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup", folder / "scripts" / "setup")
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Give a folder to be the whole PATH: the usual tools, no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path, f"this machine has no {tool}"
        (folder / tool).symlink_to(path)
    return folder


def run_setup(checkout: Path, tools: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": str(tools),
        "HOME": str(checkout.parent),
        "PYENV_ROOT": str(checkout.parent),
        **more,
    }
    return subprocess.run(
        [str(checkout / "scripts" / "setup"), *arguments],
        env=environment,
        cwd=checkout.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def own_python_elsewhere() -> bool:
    """Tell whether setup would find a Python in the places that it looks at beside PATH."""
    return any(Path(place).exists() for place in ("/opt/homebrew/bin/python3", "/usr/local/bin/python3"))


@pytest.mark.skipif(own_python_elsewhere(), reason="a Python lies outside PATH where setup looks too")
def test_no_python(checkout: Path, tools: Path) -> None:
    ran = run_setup(checkout, tools)
    assert ran.returncode == 1
    assert "no Python 3.11 or newer was found." in ran.stderr
    assert "apt-get install python3" in ran.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.skipif(own_python_elsewhere(), reason="a Python lies outside PATH where setup looks too")
def test_old_python_is_named(checkout: Path, tools: Path) -> None:
    fake_python(tools / "python3", 'case $1 in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    ran = run_setup(checkout, tools)
    assert ran.returncode == 1
    assert "too old:" in ran.stderr
    assert "python3 (Python 3.9.2)" in ran.stderr


@pytest.mark.skipif(own_python_elsewhere(), reason="a Python lies outside PATH where setup looks too")
def test_python_without_venv_module(checkout: Path, tools: Path) -> None:
    fake_python(tools / "python3", f'case "$*" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"')
    ran = run_setup(checkout, tools)
    assert ran.returncode == 1
    assert "has no venv module" in ran.stderr
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in ran.stderr


def test_index_out_of_reach(checkout: Path, tools: Path) -> None:
    """Nothing listens on port 1 of loopback, so pip is refused at once."""
    ran = run_setup(
        checkout,
        tools,
        TOLLKEEPER_PYTHON=sys.executable,
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="https://127.0.0.1:1/simple",
        PIP_RETRIES="0",
        PIP_NO_CACHE_DIR="1",
    )
    assert ran.returncode == 1
    assert "the package index could not be reached" in ran.stderr
    assert "HTTPS_PROXY" in ran.stderr
    assert not (checkout / ".venv" / "setup-stamp").exists(), "a failed setup must not count as done"


def test_unknown_argument(checkout: Path, tools: Path) -> None:
    ran = run_setup(checkout, tools, "--devel")
    assert ran.returncode == 2
    assert "unknown argument --devel" in ran.stderr


def test_missing_file_of_the_checkout(checkout: Path, tools: Path) -> None:
    (checkout / "requirements.lock").unlink()
    ran = run_setup(checkout, tools)
    assert ran.returncode == 1
    assert "requirements.lock is missing" in ran.stderr


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only /proc tells what an interpreter is linked to")
@pytest.mark.parametrize(("told", "is_static"), [("libpython3.11.so", False), ("ld-linux.so", True)])
def test_a_python_in_a_shared_library_is_known_for_one(tmp_path: Path, told: str, is_static: bool) -> None:
    """The library stands first and much follows, so that a reader that stops early would break the pipe."""
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho {told}\nexec head -c 4000000 /dev/zero\n")
    python.chmod(0o755)
    lines = (ROOT / "scripts" / "setup").read_text().splitlines()
    begin = lines.index("is_static() {")
    function = "\n".join(lines[begin : lines.index("}", begin) + 1])
    script = f'set -euo pipefail\n{function}\nif is_static "$1"; then exit 0; else exit 7; fi\n'
    ended = subprocess.run(["bash", "-c", script, "bash", str(python)], check=False)
    assert ended.returncode == (0 if is_static else 7)


@pytest.mark.parametrize("version", ["", "3", "3.x", "4.1", "3.13.0"])
def test_a_version_that_is_none(checkout: Path, tools: Path, version: str) -> None:
    ran = run_setup(checkout, tools, "--python", version)
    assert ran.returncode == 2
    assert "as in --python 3.13" in ran.stderr


def test_a_version_is_looked_for_by_its_name(checkout: Path, tools: Path) -> None:
    """The first python3.99 that there is, and no other; where there is none, the text says what to install."""
    fake_python(tools / "python3", "echo 3.98")
    ran = run_setup(checkout, tools, "--find", "--python", "3.99")
    assert ran.returncode == 1
    assert "no Python 3.99 with the venv module was found." in ran.stderr
    assert "apt-get install python3.99" in ran.stderr
    fake_python(tools / "python3.99", "echo 3.99")
    ran = run_setup(checkout, tools, "--find", "--python", "3.99")
    assert (ran.returncode, ran.stdout) == (0, f"{tools / 'python3.99'}\n")
    assert not (checkout / ".venv").exists()
