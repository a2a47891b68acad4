"""A stage that most stories share: one limit of the portfolio's gross, 2 BTC of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.frontends.http.stage import Stage, stage

GROSS = {"gross_exposure": {"max": 1.0, "on_breach": "deny"}}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, limits=GROSS) as made:
        yield made
