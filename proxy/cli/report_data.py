"""A finance report for programs: one table as CSV, everything as JSON. Amounts are exact, as texts and in pico-USD."""

import json
from typing import Any

from proxy.cli.report_tables import exact_local, spending_tables
from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import plain_text
from proxy.storage.export import csv_lines, safe_cell
from proxy.storage.finance import MonthReport
from proxy.storage.spending import SpendingRow
from proxy.web.admin.moment import moment_text

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
    """Return the whole report."""
    question, outlook = report.question, report.outlook
    document = {
        "month": question.name,
        "since": moment_text(question.start_ms),
        "until": moment_text(question.end_ms),
        "timezone": question.zone.key,
        "made_at": moment_text(report.made_ms),
        "is_over": report.is_over,
        "currency": currency,
        "total": _figures(report.total, report),
        "people": [{"user": row.key[0], "group": row.key[1], **_figures(row, report)} for row in report.people],
        "groups": [{"group": row.key[0], **_figures(row, report)} for row in report.groups],
        "projects": {
            "by": question.project,
            "rows": [{"project": row.key[0], **_figures(row, report)} for row in report.projects],
        },
        "models": [{"provider": row.key[0], "model": row.key[1], **_figures(row, report)} for row in report.models],
        "days": [
            {"day": day, "cost_pusd": pusd, "cost_usd": pusd_to_usd(pusd)} for day, pusd in sorted(report.days.items())
        ],
        "late_costs": [
            {
                "reason": late.reason,
                "source": late.source,
                "number": late.number,
                **_amount("amount", late.pusd),
                "amount_local": exact_local(late.local) or None,
            }
            for late in report.late
        ],
        "bill": _bill(report),
        "history": [
            {
                "provider": one.provider,
                "model": one.model,
                "requests": one.requests,
                "input_tokens": one.input_tokens,
                "output_tokens": one.output_tokens,
                **_amount("cost", one.cost_pusd),
            }
            for one in report.history
        ],
        "open": report.rest.open,
        "pending": report.rest.pending,
        "flagged": report.rest.flagged,
        "run_rate": {"days": outlook.rate_days, **_amount("day", outlook.day_pusd)},
        "forecast": None if outlook.forecast_pusd is None else _amount("month", outlook.forecast_pusd),
        "projection": {
            "growth_per_month": plain_text(outlook.projection.growth - 1),
            **_amount("month", outlook.projection.month_pusd),
            "months": {str(months): _amount("cost", pusd) for months, pusd in outlook.projection.sums_pusd.items()},
        },
        "break_even": _break_even(report),
    }
    return json.dumps(document, indent=2) + "\n"


def _bill(report: MonthReport) -> dict[str, Any] | None:
    bill = report.bill
    if bill is None:
        return None
    return {
        "days": bill.days,
        "broken_days": bill.broken,
        **_amount("booked", bill.booked_pusd),
        **_amount("billed", bill.billed_pusd),
        **_amount("difference", bill.billed_pusd - bill.booked_pusd),
        "classes": [
            {
                "name": one.drift_class,
                "number": one.number,
                **_amount("amount", one.amount_pusd),
                **_amount("adjusted", one.adjusted_pusd),
            }
            for one in bill.classes
        ],
    }


def _break_even(report: MonthReport) -> dict[str, Any] | None:
    found, part = report.outlook.break_even, report.question.part
    if found is None:
        return None
    return {
        "cost_of": None if part is None else {part[0]: part[1]},
        **_amount("revenue", found.revenue_pusd),
        **_amount("cost", found.cost_pusd),
        **_amount("margin", found.margin_pusd),
        "return": None if found.returned is None else plain_text(found.returned),
        "requests": found.requests,
        "lost_in_months": found.lost_in,
    }


def _figures(row: SpendingRow, report: MonthReport) -> dict[str, Any]:
    return {
        "requests": row.requests,
        "errors": row.errors,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        **_amount("cost", row.cost_pusd),
        "cost_local": exact_local(row.cost_local) or None,
        **row.ratios(report.total),
    }


def _amount(name: str, pusd: int | None) -> dict[str, Any]:
    return {f"{name}_usd": None if pusd is None else pusd_to_usd(pusd), f"{name}_pusd": pusd}
