"""Hold an export of a made ledger against the validator of the FinOps Foundation. Started by scripts/focus."""

import csv
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from proxy.storage.adjustment import Correction, UnattachedCost
from proxy.storage.sqlite.adjustments import book_unattached, correct
from tests.storage.made_rows import START_MS, fill, ledger

# What the columns claim to support: a rule that depends on anything else is not asked.
CRITERIA = "ACCOUNT_NAMING_SUPPORTED,SUB_ACCOUNT_SUPPORTED,TAGGING_SUPPORTED"
# Of the two rules on InvoiceId, null without an invoice and not null with one, the validator cannot tell which holds
# and asks both, so that one of them always fails; their parent (InvoiceId-C-003-C) is content with either.
NOT_FOR_US = {"InvoiceId-C-005-C"}
PASSED_MIN = 140


def make(path: Path) -> None:
    with ledger(path) as connection:
        rows = fill(connection, 1500)
        late = [row for row in rows if row["state"] == "settled"][::17]
        correct(
            connection, [Correction(row["id"], (row["cost_pusd"] or 0) // 2, "late", "bill") for row in late], START_MS
        )
        lost = UnattachedCost(START_MS, "2026-09-21", "openrouter", "openai/o3", "main", 5, "lost row", "bill", "gen-1")
        book_unattached(connection, [lost], START_MS + 40 * 86_400_000)


def export(database: Path, target: Path) -> None:
    command = ["-m", "proxy", "export", "--database", database, "--format", "focus", "--focus-version", "1.2"]
    subprocess.run([sys.executable, *map(str, command), "-o", str(target)], check=True)


def failed(venv: Path, file: Path, *more: str) -> tuple[set[str], int]:
    """Return the rules that a file breaks, and how many it passes."""
    [packages] = venv.glob("lib/python3*/site-packages")
    ran = subprocess.run(
        [venv / "bin" / "focus-validator", "--data-file", file, "--validate-version", "1.2", "--block-download", *more],
        cwd=packages,  # it looks for its list of currencies below the working directory
        capture_output=True,
        text=True,
        check=False,
    )
    total = re.search(r"Total: \d+ \| Pass: (\d+) \| Fail: (\d+)", ran.stdout)
    if total is None:
        sys.exit(f"the validator said nothing (exit {ran.returncode}):\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}")
    found = set(re.findall(r"^\S+ ([\w-]+): FAIL", ran.stdout, re.MULTILINE))
    if len(found) != int(total[2]):
        sys.exit(f"{total[0]}, but these lines tell of a failure: {sorted(found)}")
    return found, int(total[1])


def main() -> None:
    venv = Path(sys.argv[1])
    with TemporaryDirectory() as folder:
        database, file = Path(folder) / "tollkeeper.db", Path(folder) / "focus.csv"
        make(database)
        export(database, file)
        broken, passed = failed(venv, file, "--applicability-criteria", CRITERIA)
        if broken - NOT_FOR_US or passed < PASSED_MIN:
            sys.exit(f"{passed} rules hold, at least {PASSED_MIN} should; broken: {sorted(broken - NOT_FOR_US)}")
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        rows[0]["BillingCurrency"] = "money"
        with file.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        if not any(
            rule.startswith("BillingCurrency") for rule in failed(venv, file, "--filter-rules", "BillingCurrency")[0]
        ):
            sys.exit("the validator finds nothing wrong with a currency called money")
    print(f"focus: {passed} rules of FOCUS 1.2 hold, and a file that breaks one is found")


if __name__ == "__main__":
    main()
