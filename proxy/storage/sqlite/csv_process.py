"""One of the processes of csv_processes.py: is told its parts on stdin, and writes their lines to stdout."""

import signal
import sqlite3
import sys
from contextlib import closing

from proxy.core.errors import LedgerError
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.csv_lines import CsvLines
from proxy.storage.sqlite.csv_processes import HEAD, PART_END, CsvPart


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it comes to all of a terminal: the one that asked decides
    told = CsvPart.read(sys.stdin.buffer.read())
    pipe = sys.stdout.buffer
    try:
        with closing(open_reader(told.path)) as connection:
            lines = CsvLines(connection, told.selection)
            for part in told.parts:
                for _, chunk in lines.of(part):
                    pipe.write(HEAD.pack(len(chunk.data), chunk.rows))
                    pipe.write(chunk.data)
                pipe.write(HEAD.pack(PART_END, 0))
        pipe.flush()
    except BrokenPipeError:  # who asked has gone
        return 1
    except (LedgerError, sqlite3.DatabaseError) as error:
        sys.stderr.write(f"{told.path}: {error}\n")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
