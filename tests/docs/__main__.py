"""python -m tests.docs --write: write the tables of configuration, alerts and admin-api in docs/reference anew."""

import argparse
import sys

from .admin_tables import written as with_resources
from .alert_tables import alert_page
from .pages import ROOT
from .settings_tables import written

ALERTS = ROOT / "docs" / "reference" / "alerts.md"
CONFIGURATION = ROOT / "docs" / "reference" / "configuration.md"
ADMIN_API = ROOT / "docs" / "reference" / "admin-api.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="write the tables")
    parser.parse_args()
    CONFIGURATION.write_text(written(CONFIGURATION.read_text(encoding="utf-8")), encoding="utf-8")
    ALERTS.write_text(alert_page(ALERTS.read_text(encoding="utf-8")), encoding="utf-8")
    ADMIN_API.write_text(with_resources(ADMIN_API.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
