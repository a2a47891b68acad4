"""A tool that knows the OpenAPI document alone: what it allows is taken, the rest is refused."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from riskbot.frontends._gateway.tokens import Failures
from tests.frontends.http.conftest import GROSS
from tests.frontends.http.stage import stage, token

# As fast as it can: nothing here is about the pace.
STRATEGIES = {
    name: {"token": token(name), "accounts": ["main"], "request_rate": 10**6}
    for name in ("grid", "trend")
}
READS = "positions|exposure|limits|alerts|decisions|history|status|openapi.json"


class Patient(Failures):
    """Counts nothing: a tool that tries wrong tokens all day still learns that they are wrong."""

    def note(self, peer: str, now_ms: int) -> int:
        del peer, now_ms
        return 1


@pytest.mark.parametrize(
    ("who", "routes", "phases", "rounds"),
    [
        ("grid", "^/v1/(orders|size|status)", "coverage,fuzzing", 5),
        ("viewer", f"^/v1/({READS})$|^/(healthz|readyz)$", "fuzzing", 5),
        pytest.param(
            "grid",
            "^/v1/(orders|size|status)",
            "examples,coverage,fuzzing",
            1_000,
            marks=pytest.mark.nightly,
        ),
        pytest.param("admin", "^/v1/commands/", "coverage,fuzzing", 100, marks=pytest.mark.nightly),
        pytest.param(
            "viewer", f"^/v1/({READS})$", "coverage,fuzzing", 100, marks=pytest.mark.nightly
        ),
    ],
)
async def test_all_checks_pass(
    tmp_path: Path, who: str, routes: str, phases: str, rounds: int
) -> None:
    async with stage(tmp_path, limits=GROSS, gateway={"strategies": STRATEGIES}) as door:
        door.gateway.logins._failures = Patient()  # noqa: SLF001 - see there
        code, said = await schemathesis(
            tmp_path,
            f"{door.url}/v1/openapi.json",
            *("--header", f"Authorization: Bearer {token(who)}"),
            *("--include-path-regex", routes, "--phases", phases),
            *("--max-examples", str(rounds), "--seed", "1", "--generation-database", "none"),
        )
        assert code == 0, said
        assert "Tested: 0" not in said
        # And it serves on.
        assert (await door.ask("GET", "/v1/status")).status == 200


async def schemathesis(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the tool as its user does; it leaves its files in a folder that goes."""
    process: Any = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, said.decode()
