"""The scene as a fixture: server and door up, no process yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.frontends.telegram.scene import Scene


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    await made.server.start()
    door = asyncio.create_task(made.door.run())
    await made.door.is_listening.wait()
    yield made
    door.cancel()
    await asyncio.gather(door, return_exceptions=True)
    await made.server.stop()
