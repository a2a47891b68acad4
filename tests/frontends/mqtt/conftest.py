"""Brokers for each test, or the reason why there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.frontends.mqtt.desk import USERS
from tests.servers import mosquitto
from tests.servers.mosquitto import Mosquitto

MakeBroker = Callable[..., Awaitable[Mosquitto]]


@pytest.fixture
async def brokers(tmp_path: Path) -> AsyncIterator[MakeBroker]:
    """Start brokers as a test wants them; the test is skipped where there are none."""
    if mosquitto.MISSING:
        pytest.skip(mosquitto.MISSING)
    made: list[Mosquitto] = []

    async def make(**options: object) -> Mosquitto:
        folder = tmp_path / f"broker-{len(made)}"
        broker = Mosquitto(folder, **{"users": USERS, **options})  # type: ignore[arg-type]
        made.append(broker)
        await broker.start()
        return broker

    yield make
    for broker in made:
        await broker.kill()


@pytest.fixture
async def broker(brokers: MakeBroker) -> Mosquitto:
    return await brokers()
