"""Reading the file anew: who makes it happen, what is told of it, and what is handed on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from riskbot.channels._base import Channel
from riskbot.channels.apprise import AppriseChannel
from riskbot.config import Config, load
from riskbot.config.reloader import Reloader
from riskbot.core import actions, events
from riskbot.core.model import Actor, Level, Role
from tests.alerts import alert
from tests.config_files import MINIMAL, with_, write
from tests.fakes import FakeChannel

ADMIN = Actor("ctl:0", Role.ADMIN, "ctl")
TELEGRAM = {"token": "1:a", "users": {7: "viewer", 8: "admin"}}


class Doors:
    """Telegram's side, as far as users go."""

    def __init__(self, *, has_door: bool = True) -> None:
        self.channels: tuple[Channel, ...] = (FakeChannel("telegram"),) if has_door else ()
        self.users: list[dict[int, Role]] = []

    def set_users(self, users: Mapping[int, Role]) -> None:
        self.users.append(dict(users))


class Stage:
    """One configuration file, and what riskbot was started with."""

    def __init__(self, directory: Path, **sections: Any) -> None:
        self.directory = directory
        self.told: list[Any] = []
        self.routes: dict[type, Any] = {}
        config = load(write(directory, with_(**sections)))
        self.doors = Doors(has_door="telegram" in sections)
        self.channel = AppriseChannel("notify", lambda: "json://a/", Level.ORANGE)
        self.made = Reloader(
            config,
            self.doors,
            [FakeChannel("log"), self.channel],
            self.told.append,
            self.routes.__setitem__,
            self.read,
        )

    def read(self) -> Config:
        return load(self.directory / "riskbot.yaml")

    async def ask(self, actor: Actor = ADMIN, **args: Any) -> events.ConfigRead | None:
        command = events.CommandReceived(request_id="r", name="reload", args=args, actor=actor)
        self.told.clear()
        await self.made.before(command)
        return self.told[0] if self.told else None

    async def change(self, **sections: Any) -> events.ConfigRead:
        write(self.directory, with_(**sections))
        read = await self.ask()
        assert read is not None
        return read

    def apply(self, read: events.ConfigRead, **fields: Any) -> None:
        action = actions.ApplyConfig(
            **{
                "config_hash": read.config_hash,
                "limits": read.limits,
                "users": read.users,
                **fields,
            }
        )
        self.routes[actions.ApplyConfig](action)


async def test_only_an_admin_who_asks_makes_the_file_be_read(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert await stage.ask() is not None
    assert await stage.ask(Actor("eve", Role.OPERATOR, "telegram")) is None
    assert await stage.ask(plan_id="p1") is None
    other = events.CommandReceived(request_id="r", name="status", actor=ADMIN)
    await stage.made.before(other)
    assert not stage.told


async def test_file_that_says_the_same_differs_in_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, telegram=TELEGRAM, notify=[{"url": "json://a/"}])
    read = await stage.ask()
    assert read is not None
    assert (read.restart, read.applies, read.faults) == ((), (), ())
    assert ("telegram", "8", "admin") in read.users
    assert read.limits


async def test_faults_are_told_and_nothing_else(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    read = await stage.change(timezone="Nowhere/Land")
    assert any(fault.startswith("timezone") for fault in read.faults)
    assert (read.limits, read.users, read.config_hash) == ((), (), "")


async def test_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    stage = Stage(tmp_path, telegram=TELEGRAM, notify=[{"url": "json://a/"}])
    read = await stage.change(
        telegram={**TELEGRAM, "quiet_hours": "22:00-07:00", "users": {9: "admin"}},
        notify=[{"url": "json://b/", "min_level": "red"}],
        monitor={"price_stale_s": 7},
        accounts={**MINIMAL["accounts"], "more": {"exchange": "paper"}},
        webhooks=[{"url": "http://127.0.0.1:1/"}],
        portfolio={
            "preset": "leveraged",
            "limits": {"underlying_concentration": {"max": 0.2, "gross_floor": 0.5}},
        },
    )
    assert read.restart == (
        "accounts.more",
        "monitor.price_stale_s",
        "notify.0.url",
        "portfolio.limits.underlying_concentration.gross_floor",
        "telegram.quiet_hours",
        "webhooks",
    )
    assert read.applies == (), "levels of other addresses are no matter of this run"
    assert [row for row in read.users if row[0] == "telegram"] == [("telegram", "9", "admin")]


async def test_limits_and_users_need_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path, telegram=TELEGRAM)
    read = await stage.change(
        telegram={**TELEGRAM, "users": {8: "admin"}},
        portfolio={"preset": "cautious", "limits": {"drawdown": {"max": 0.2}}},
        accounts={"main": {"exchange": "paper", "limits": {"leverage": {"max": 2}}}},
    )
    assert read.restart == ()
    stage.apply(read)
    assert stage.doors.users == [{8: Role.ADMIN}]


async def test_levels_of_channels_follow(tmp_path: Path) -> None:
    stage = Stage(tmp_path, notify=[{"url": "json://a/"}])
    read = await stage.change(notify=[{"url": "json://a/", "min_level": "red", "digest": True}])
    assert read.applies == ("levels of notify",)
    orange = alert("A1", Level.ORANGE)
    assert stage.channel.wants(orange, is_loud=True)
    stage.apply(read)
    assert not stage.channel.wants(orange, is_loud=True)
    again = await stage.ask()
    assert again is not None
    assert again.applies == ()


async def test_channel_that_came_or_went_keeps_the_levels(tmp_path: Path) -> None:
    stage = Stage(tmp_path, notify=[{"url": "json://a/"}])
    both = [{"url": "json://a/", "min_level": "red"}, {"url": "json://b/"}]
    read = await stage.change(notify=both)
    assert (read.restart, read.applies) == (("notify",), ())
    stage.apply(read)
    assert stage.channel.wants(alert("A1", Level.ORANGE), is_loud=True)


async def test_file_that_was_read_again_meanwhile_hands_on_no_levels(tmp_path: Path) -> None:
    stage = Stage(tmp_path, notify=[{"url": "json://a/"}])
    read = await stage.change(notify=[{"url": "json://a/", "min_level": "red"}])
    stage.apply(read, config_hash="another")
    assert stage.channel.wants(alert("A1", Level.ORANGE), is_loud=True)


async def test_list_of_users_that_is_empty_now_leaves_those_there_are(tmp_path: Path) -> None:
    stage = Stage(tmp_path, telegram=TELEGRAM)
    read = await stage.change(telegram={"token": "1:a", "users": {}})
    assert "telegram.users: is empty" in read.restart
    assert ("telegram", "8", "admin") in read.users


async def test_without_a_bot_nobody_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    read = await stage.ask()
    assert read is not None
    assert read.users == ()


def test_file_is_read_as_run_reads_it(tmp_path: Path) -> None:
    write(tmp_path, with_())
    made = Reloader(load(tmp_path / "riskbot.yaml"), Doors(), [], print, lambda *_: None)
    assert made._read().hash == load(tmp_path / "riskbot.yaml").hash  # noqa: SLF001


async def test_tokens_are_handed_on_once_the_core_has_decided(tmp_path: Path) -> None:
    def gateway(*names: str, **fields: Any) -> dict[str, Any]:
        tokens = {name: hashlib.sha256(name.encode()).hexdigest() for name in (*names, "y")}
        return {
            "gateway": {
                "strategies": {
                    n: {"token": tokens[n], "accounts": ["main"], **fields} for n in names
                }
            },
            "http": {"viewer_token": tokens["y"]},
        }

    stage = Stage(tmp_path, **gateway("grid"))
    taken: list[Any] = []
    stage.made.tell(taken.append)
    read = await stage.change(**gateway("grid", hmac_secret="s" * 32))
    assert (read.restart, read.applies) == ((), ("tokens and signing secrets",))
    assert not taken
    stage.apply(read)
    assert taken[0].gateway.strategies["grid"].hmac_secret is not None
    # Nothing has changed since; a strategy that goes or comes is one for a restart, its token not.
    read = await stage.change(**gateway("grid", hmac_secret="s" * 32))
    assert (read.restart, read.applies) == ((), ())
    read = await stage.change(**gateway("other"))
    assert read.restart == ("gateway.strategies.grid", "gateway.strategies.other")
    assert read.applies == ("tokens and signing secrets",)
