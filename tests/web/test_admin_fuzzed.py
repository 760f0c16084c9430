"""The operator's API keeps to its document, whatever it is asked: no fault of ours, no answer that is not in it."""

import asyncio
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.web.admin.openapi import openapi
from proxy.web.admin.resources import TABLE
from tests.support.installation import ADMIN_TOKEN
from tests.support.sampling import drawn
from tests.support.stand import Stand

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
_EXAMPLES = 4  # for each operation and phase
_TESTED = re.compile(r"([0-9]+) generated, ([0-9]+) passed")


async def made(stand: Stand, path: str, body: Mapping[str, Any]) -> Any:
    """Make something that is there when paths with its name or id are asked."""
    answer = await stand.ask("POST", f"/admin/v1/{path}", body, token=ADMIN_TOKEN)
    assert answer.status == 201, answer.body
    return answer.json()["data"]


async def test_no_fault_and_no_answer_outside_the_document(stand: Stand) -> None:
    for path in ("users", "groups", "operators"):
        await made(stand, path, {"name": "fuzzed"})
    token = await made(stand, "tokens", {"user": "fuzzed"})
    config = f'[parameters]\n"path.name" = "fuzzed"\n"path.id" = "{token["id"]}"\n'
    (stand.folder / "schemathesis.toml").write_text(config)
    operations = [each["operationId"] for path in openapi(TABLE)["paths"].values() for each in path.values()]
    asked = drawn(operations, 0.4, "operations of the operator's API")
    url = f"http://127.0.0.1:{stand.port}"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{url}/admin/v1/openapi.json",
        "--url",
        url,
        "--header",
        f"Authorization: Bearer {ADMIN_TOKEN}",
        "--checks",
        ",".join(_CHECKS),
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        str(_EXAMPLES),
        "--seed",
        "12",
        "--no-color",
        *(f"--include-operation-id={name}" for name in asked),
        cwd=stand.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    text = said.decode()
    assert process.returncode == 0, text[-20_000:]
    tested = _TESTED.search(text)
    assert tested is not None, text
    assert int(tested[1]) == int(tested[2]) > 8 * len(asked)
