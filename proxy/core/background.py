"""python -m proxy.core.background MODULE [ARGUMENT …]: what python -m MODULE does, in a process that gives way to all.

It puts itself back before it imports anything more: that takes a tenth of a second, in which requests would wait for a
processor. Whoever started it cannot do so for it, for then no thread of it would be left that wakes in time.
"""

import runpy
import sys

from proxy.core.process_priority import put_back


def main() -> None:
    """Run the module with its arguments."""
    prompt = put_back()
    from proxy.core.pacer import Pacer  # noqa: PLC0415 - what it imports comes after the step back

    prompt.call(Pacer(prompt).start)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
