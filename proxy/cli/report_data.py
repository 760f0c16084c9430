"""A finance report for programs: one table as CSV, everything as JSON. Amounts are exact, as texts and in pico-USD."""

import json
from typing import Any

from proxy.cli.report_tables import exact_local, spending_tables
from proxy.core.money import pusd_to_usd
from proxy.storage.export import csv_lines, safe_cell
from proxy.storage.finance import MonthReport
from proxy.storage.spending import SpendingRow
from proxy.web.admin.report import month_json

_HEAD = (
    *("month", "section", "name", "part", "requests", "errors", "input_tokens", "output_tokens"),
    *("cost_pusd", "cost_usd", "cost_local", "currency"),
)


def report_csv(report: MonthReport, currency: str) -> str:
    """Return rows of all tables, each with the name of its table, adjustments and the total.

    name and part: what the table is by, such as a person and the group, or a provider and a model.
    """
    month = report.question.name

    def line(section: str, name: str, part: str, row: SpendingRow) -> tuple[Any, ...]:
        tokens = (row.input_tokens, row.output_tokens)
        amounts = (row.cost_pusd, pusd_to_usd(row.cost_pusd), exact_local(row.cost_local))
        return (month, section, safe_cell(name), safe_cell(part), row.requests, row.errors, *tokens, *amounts, currency)

    lines: list[tuple[Any, ...]] = [_HEAD]
    for table in spending_tables(report):
        for row in table.rows:
            name, part = (*row.key, "")[:2]
            lines.append(line(table.name, name, part, row))
    for late in report.late:
        amounts = (late.pusd, pusd_to_usd(late.pusd), exact_local(late.local))
        names = (safe_cell(late.reason), safe_cell(late.source))
        lines.append((month, "late cost", *names, late.number, None, None, None, *amounts, currency))
    lines.append(line("total", "", "", report.total))
    return csv_lines(lines)


def report_json(report: MonthReport, currency: str) -> str:
    """Return the whole report, as the operator's API shows it."""
    return json.dumps(month_json(report, currency), indent=2) + "\n"
