"""The controller of docs/howto-hummingbot.md, by the interfaces that hummingbot documents."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.frontends.http.stage import Stage, free_port, stage, token

HOWTO = Path(__file__).parents[2] / "docs" / "howto-hummingbot.md"
GROSS = {"gross_exposure": {"max": 1.0, "on_breach": "deny"}}


class TradeType(Enum):
    BUY = 1
    SELL = 2


class PositionAction(Enum):
    OPEN = "OPEN"
    CLOSE = "CLOSE"


@dataclass
class OrderExecutorConfig:
    """What the gateway is asked about."""

    side: TradeType
    amount: Decimal | None
    price: Decimal | None = None
    position_action: PositionAction = PositionAction.OPEN
    trading_pair: str = "BTC-USDT"
    connector_name: str = "binance_perpetual"
    type: str = "order_executor"


@dataclass
class CreateExecutorAction:
    executor_config: OrderExecutorConfig


@dataclass
class StopExecutorAction:
    executor_id: str


class ControllerBase:
    """Hands actions to the strategy."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send_actions(self, executor_actions: list[Any]) -> None:
        self.sent += executor_actions

    @classmethod
    def logger(cls) -> logging.Logger:
        return logging.getLogger("hummingbot")


@contextmanager
def importable() -> Iterator[None]:
    """Have the howto's imports work, where no hummingbot is."""
    contents: dict[str, dict[str, Any]] = {
        "hummingbot.core.data_type.common": {
            "PositionAction": PositionAction,
            "TradeType": TradeType,
        },
        "hummingbot.strategy_v2.models.executor_actions": {
            "CreateExecutorAction": CreateExecutorAction
        },
    }
    names = {".".join(n.split(".")[: i + 1]) for n in contents for i in range(n.count(".") + 1)}
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = module = ModuleType(name)
        module.__dict__.update(contents.get(name, {}))
    try:
        yield
    finally:
        for name, known in before.items():
            if known is None:
                del sys.modules[name]
            else:
                sys.modules[name] = known


def gated() -> type[Any]:
    """Return the class of the howto, before the base it is for."""
    (source,) = re.findall(r"```python\n(.*?)```", HOWTO.read_text(), re.DOTALL)
    space: dict[str, Any] = {}
    with importable():
        exec(compile(source, HOWTO.name, "exec"), space)  # the file a user would write
    return type("Mine", (space["Gated"], ControllerBase), {})


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, limits=GROSS) as made:
        yield made


@pytest.fixture
async def mine(tmp_path: Path, door: Stage) -> AsyncIterator[Any]:
    (tmp_path / "grid.token").write_text(token("grid"))
    made = gated()()
    made.token_file, made.url = str(tmp_path / "grid.token"), door.url
    yield made
    if made._gateway is not None:  # noqa: SLF001 - its own
        await made._gateway.close()  # noqa: SLF001


def create(*args: Any, **fields: Any) -> CreateExecutorAction:
    return CreateExecutorAction(OrderExecutorConfig(*args, **fields))


async def test_wish_is_approved_resized_and_denied(
    mine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await mine.send_actions([create(TradeType.BUY, Decimal("1.5"), Decimal(50_000))])
    await mine.send_actions([create(TradeType.BUY, Decimal(1))])
    assert [a.executor_config.amount for a in mine.sent] == [Decimal("1.5"), Decimal("0.5")]
    await mine.send_actions([create(TradeType.BUY, Decimal(1)), StopExecutorAction("x")])
    assert mine.sent[2:] == [StopExecutorAction("x")]
    assert "LIMIT_EXCEEDED" in caplog.text


async def test_halt_denies_what_opens(mine: Any, door: Stage) -> None:
    await door.command("halt")
    await mine.send_actions([create(TradeType.SELL, Decimal("0.1"))])
    assert mine.sent == []


async def test_without_the_gateway_only_what_closes_goes_on(mine: Any) -> None:
    mine.url = f"http://127.0.0.1:{free_port()}"
    closing = create(TradeType.SELL, Decimal("0.1"), position_action=PositionAction.CLOSE)
    await mine.send_actions([create(TradeType.BUY, Decimal("0.1")), closing])
    assert mine.sent == [closing]


async def test_what_cannot_be_asked_about_is_refused(mine: Any) -> None:
    await mine.send_actions([create(TradeType.BUY, None, type="grid_executor")])
    assert mine.sent == []
