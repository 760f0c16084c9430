"""A proxy's memory holds keys: no core dump is written of it, and its environment is nobody else's to read."""

import subprocess
import sys

import pytest

_LOOK = """
import ctypes, resource
from proxy.core.core_dumps import forbid_core_dumps
forbid_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_process_asks_for_none() -> None:
    ran = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["(0,", "0)", "0"]
