"""Bugs of charts: sums that lose something, and names that are more than text."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_CHARTS: Final = "tests/dashboard/charts/test_charts.py"

MUTATIONS: Final = (
    Mutation(
        "a-chart-of-the-largest-alone",
        "What is not among the largest series is in no sum: a chart shows less than was spent.",
        (Patch("top_series", "rest = ranked[most - 1 :]", "rest = ranked[most - 1 : most]"),),
        (f"{_CHARTS}::test_layers_add_up",),
    ),
    Mutation(
        "refunds-that-count-as-nothing",
        "A refund is left out of the sums of a chart.",
        (Patch("charts.series:amount", "known(value) or 0", "max(0, known(value) or 0)"),),
        (f"{_CHARTS}::test_refunds",),
    ),
    Mutation(
        "a-point-for-several-with-the-value-of-one",
        "Of neighbours that are drawn as one only the largest counts.",
        (Patch("charts.series:joined", "join(found)", "max(found)"),),
        (f"{_CHARTS}::test_many_points_are_joined",),
    ),
    Mutation(
        "a-bar-without-what-is-set-aside",
        "The bar of a limit leaves out what is reserved: it looks as if that could be spent again.",
        (Patch("limit_bar", "min(100 * reserved / most, 100 - used_part)", "0.0"),),
        (f"{_CHARTS}::test_limit_bars",),
    ),
    Mutation(
        "a-name-that-is-markup",
        "The name of a model becomes a part of the page.",
        (Patch("charts.element:_plain", "escape(text)", "Markup(text)"),),
        (f"{_CHARTS}::test_names_are_text[<script>alert(1)</script>]",),
    ),
)
