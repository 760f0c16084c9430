"""What is sent, in the form of each receiver."""

import orjson
import pytest

from proxy.core.alert_kinds import ALERT_KINDS, AlertKind
from proxy.policy.alerts.alert_message import AlertMessage, alert_line, body_of, message_json, value_text

MESSAGE = AlertMessage(
    "fired",
    "budget",
    "limit_share",
    "user:<!channel> & @here",
    1_795_000_000_000,
    "it is spent",
    "$5 of $5",
    100.0,
    100.0,
)


def test_values_as_people_read_them() -> None:
    texts = [value_text("percent", 82.5), value_text("percent", 312.0), value_text("seconds", 31.25)]
    assert texts == ["82.5 %", "312 %", "31.2 s"]
    assert [value_text("bytes", size) for size in (999, 1000, 2_500_000_000)] == ["999 B", "1.0 kB", "2.5 GB"]
    assert value_text("count", 20) == "20"
    assert [value_text("usd", value) for value in (19.99, 5, -0.25)] == ["$19.99", "$5.00", "-$0.25"]


@pytest.mark.parametrize("kind", ALERT_KINDS, ids=lambda kind: kind.name)
def test_each_kind_has_a_line_of_its_own(kind: AlertKind) -> None:
    fired = alert_line(kind, "fired", kind.example, 1.0)
    recovered = alert_line(kind, "recovered", kind.example, 0.0)
    assert fired != recovered
    assert "{" not in fired + recovered


def test_a_name_from_a_client_is_cut_and_made_printable() -> None:
    kind = ALERT_KINDS[6]
    line = alert_line(kind, "fired", "x\n\x1b" + "y" * 5000, 1.0)
    assert "\n" not in line
    assert "\x1b" not in line
    assert len(line) < 300


def test_the_generic_body_is_that_of_standard_webhooks() -> None:
    body = orjson.loads(body_of("webhook", MESSAGE))
    assert body["type"] == "alert.fired"
    assert body["timestamp"] == "2026-11-18T08:26:40Z" or body["timestamp"].endswith("Z")
    assert body == message_json(MESSAGE)
    assert body["data"]["rule"] == "budget"
    assert len(body_of("webhook", MESSAGE)) < 20_000


def test_slack_shows_names_and_rings_nobody() -> None:
    message = MESSAGE._replace(line="<!channel> & <https://x|y>")
    assert orjson.loads(body_of("slack", message)) == {
        "text": "ALERT budget: &lt;!channel&gt; &amp; &lt;https://x|y&gt;\n$5 of $5"
    }


def test_mattermost_and_discord_ring_nobody() -> None:
    message = MESSAGE._replace(line="@all " + "x" * 3000)
    assert "@all" not in orjson.loads(body_of("mattermost", message))["text"]
    discord = orjson.loads(body_of("discord", message))
    assert discord["allowed_mentions"] == {"parse": []}
    assert len(discord["content"]) == 2000
