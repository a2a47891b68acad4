"""What Prometheus scrapes: its own tool reads it, and refusals count as approvals do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from riskbot.core.ordering import Code
from tests.frontends.http.stage import Stage, stage

GROSS = {"gross_exposure": {"max": 0.5, "on_breach": "deny"}}


async def test_answers_are_counted_by_decision_and_code(tmp_path: Path) -> None:
    async with stage(tmp_path, limits=GROSS) as door:
        assert (await door.check(quantity="0.1")).document["decision"] == "approve"
        for _ in range(2):
            assert (await door.check(quantity="5")).document["decision"] == "deny"
        assert (await door.check(quantity="5", allow_resize=True)).document["decision"] == "resize"

        async def told() -> dict[str, float]:
            answer = await door.ask("GET", "/metrics", who=None)
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            lines = [line for line in answer.document.splitlines() if "_total{" in line]
            return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

        name = "riskbot_gateway_decisions_total"
        limit = Code.LIMIT_EXCEEDED.value
        wanted = {
            f'{name}{{code="",decision="approve"}}': 1.0,
            f'{name}{{code="{limit}",decision="deny"}}': 2.0,
            f'{name}{{code="{limit}",decision="resize"}}': 1.0,
        }
        assert await told() == wanted
        text = (await door.ask("GET", "/metrics", who=None)).document
        assert not _lint(text)


def _lint(text: str) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    made = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    return made.stdout + made.stderr if made.returncode else ""


async def test_beyond_loopback_a_viewers_token_is_needed(door: Stage) -> None:
    metrics = door.http.metrics
    metrics._is_open = False  # noqa: SLF001 - no other address can be listened on here
    assert (await door.ask("GET", "/metrics", who=None)).status == 401
    assert (await door.ask("GET", "/metrics", who="grid")).status == 403
    assert (await door.ask("GET", "/metrics", who="viewer")).status == 200
