"""A disk that is full when the proxy starts: one sentence and exit code 4, at whichever write it comes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installation import settings, write_config
from tests.support.process import clean_environment

# a limit on the size of files stands for the disk: writes beyond it fail, in blocks of 512 bytes
_SERVE = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
blocks = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (blocks * 512, blocks * 512))
from proxy.cli import main
sys.argv = ["tollkeeper", *sys.argv[1:]]
main()
"""


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("blocks", [0, 1, 8, 64])
@pytest.mark.parametrize("command", ["serve", "users add bo"])
def test_it_says_so(tmp_path: Path, blocks: int, command: str) -> None:
    write_config(tmp_path, settings("http://127.0.0.1:9"))
    ran = subprocess.run(
        [sys.executable, "-c", _SERVE, str(blocks), *command.split()],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    assert ran.returncode == 4, (ran.returncode, ran.stdout, ran.stderr)
    assert "ledger.db" in ran.stderr
