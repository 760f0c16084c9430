"""What a client says about its request stands in the row: use case, session, tags, metadata and user."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.core.text import fit_text
from proxy.pipeline.request.tags import pairs_of, read_tags
from proxy.pipeline.values.request_headers import RequestHeaders
from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

PRESET = {
    "targets": [MODEL],
    "system": "You are {character}.",
    "variables": {"character": {}},
    "use_case": "story",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("tags"), {"presets": {"tale": PRESET}}) as found:
        yield found


CASES: dict[str, tuple[list[tuple[str, str]], dict[str, Any], tuple[str | None, str | None, dict[str, str] | None]]] = {
    "nothing": ([], {}, (None, None, None)),
    "headers": (
        [("X-Tollkeeper-Use-Case", "sms"), ("X-Tollkeeper-Tags", "team=a, job=b"), ("x-session-id", "s1")],
        {},
        ("sms", "s1", {"team": "a", "job": "b"}),
    ),
    "session-id": ([("Session-Id", "s2")], {}, (None, "s2", None)),
    "session_id": ([("session_id", "s3")], {}, (None, "s3", None)),
    "a chat of Open WebUI": ([("X-OpenWebUI-Chat-Id", "c1")], {}, (None, "c1", None)),
    "the first of several": ([("X-OpenWebUI-Chat-Id", "c1"), ("x-session-id", "s1")], {}, (None, "s1", None)),
    "session in the body": ([("x-session-id", "s1")], {"session_id": "s4"}, (None, "s4", None)),
    "user": ([], {"user": "eva"}, (None, None, {"user": "eva"})),
    "metadata": ([], {"metadata": {"team": "a", "n": 3, "deep": {"a": "b"}}}, (None, None, {"team": "a"})),
    "no tags in metadata": ([], {"metadata": {"n": 3}}, (None, None, None)),
    "the header wins, then metadata, then user": (
        [("X-Tollkeeper-Tags", "team=a")],
        {"metadata": {"team": "b", "user": "meta", "x": "y"}, "user": "eva"},
        (None, None, {"team": "a", "user": "meta", "x": "y"}),
    ),
    "too long": ([], {"metadata": {"n" * 80: "v" * 600}}, (None, None, {"n" * 64: "v" * 256})),
    "a preset's prompt": (
        [],
        {"model": "tale", "metadata": {"character": "a secret pirate", "chapter": "2"}},
        ("story", None, {"chapter": "2"}),
    ),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES)
async def test_it_stands_in_the_row(stand: Stand, case: str) -> None:
    headers, fields, expected = CASES[case]
    await stand.clear()
    answer = await stand.chat(fields, headers=headers)
    assert answer.status == 200, answer.body
    (row,) = await stand.settled()
    tags = None if row["tags"] is None else json.loads(row["tags"])
    assert (row["use_case"], row["session_id"], tags) == expected


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "body"), [("responses", {"input": "Hej"}), ("messages", {"messages": MESSAGES, "max_tokens": 9})]
)
async def test_at_every_path(stand: Stand, path: str, body: dict[str, Any]) -> None:
    await stand.clear()
    fields = {"model": MODEL, "metadata": {"user_id": "u1"}, **body}
    answer = await stand.ask("POST", f"/v1/{path}", fields, headers=[("X-Tollkeeper-Tags", "team=a")])
    assert answer.status == 200, answer.body
    (row,) = await stand.settled()
    assert json.loads(row["tags"]) == {"team": "a", "user_id": "u1"}


_TEXTS = st.text(max_size=300)
_GIVEN = st.dictionaries(st.text(max_size=70), _TEXTS | st.none() | st.integers() | st.lists(st.text()), max_size=20)


@given(
    header=st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.from_regex(r"[a-z]{0,9}", fullmatch=True)),
        max_size=16,
    ),
    metadata=_GIVEN | st.none() | st.text() | st.lists(st.integers()),
    user=_TEXTS | st.none() | st.integers(),
)
def test_tags_are_few_short_and_text(header: list[tuple[str, str]], metadata: Any, user: Any) -> None:
    body = {"metadata": metadata, "user": user}
    headers = CIMultiDict(
        {"X-Tollkeeper-Tags": ",".join(f"{name}={value}" for name, value in header)} if header else {}
    )
    pairs = pairs_of(read_tags(RequestHeaders(headers), body), body)
    found = {} if pairs is None else json.loads(pairs)
    assert pairs != "{}"
    assert len(found) <= 16
    assert all(isinstance(value, str) and len(name) <= 64 and len(value) <= 256 for name, value in found.items())
    assert found.items() >= dict(header).items()
    if isinstance(user, str) and not header and not isinstance(metadata, dict):
        assert found == {"user": fit_text(user, 256)}
