"""`riskbot demo`: the whole daemon on a paper account, through the fall of January 2022."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from riskbot.cli import exits

if TYPE_CHECKING:
    from riskbot.app import App
    from riskbot.config import Config
    from riskbot.console.lines import Lines
    from riskbot.console.screen import Screen

STUCK_S = 300.0
"""Real time after which the story counts as stuck, at speed 1 or faster."""


def main(name: str, argv: list[str]) -> int:
    """Play; 0 = it ended flat and halted (or the operator ended it), 1 = it did not."""
    parser = argparse.ArgumentParser(
        prog=f"riskbot {name}",
        description="A levered portfolio, real prices of January 2022, and riskbot guarding it. "
        "No account, no key, no money; takes a minute.",
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="N", help="times as fast; default 1"
    )
    parser.add_argument("--port", type=_port, metavar="P", help="of the HTTP server on loopback")
    parser.add_argument("--exit", action="store_true", help="end after the story, without waiting")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="riskbot-demo-") as folder:
        return _play(Path(folder), options)


def _speed(text: str) -> float:
    words = {"low": 0.5, "normal": 1.0, "high": 20.0}
    try:
        speed = words[text] if text in words else float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1_000:
        message = f"a number above 0, or {', '.join(words)}; not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return speed


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65_536:
        message = f"a port from 1 to 65535, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _play(folder: Path, options: argparse.Namespace) -> int:
    import uvloop

    from riskbot import demo
    from riskbot.config import load

    file = folder / "demo.yaml"
    file.write_text(demo.configuration(folder / "state", options.port), encoding="utf-8")
    file.chmod(0o600)
    config = load(file)
    config.state_dir.mkdir(mode=0o700)
    # The screen is the story's; the log of the daemon goes to a file beside its journal.
    logging.basicConfig(filename=folder / "demo.log", level=logging.INFO)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_guard(config, options))


async def _guard(config: Config, options: argparse.Namespace) -> int:
    from riskbot import demo
    from riskbot.app import App
    from riskbot.journal import Journal
    from riskbot.watchdog import Notifier, Watchdog

    clock = demo.LapseClock(demo.START_MS)
    journal = await Journal.open(config.journal_path, clock.now_ms())
    try:
        app = App(config, clock, journal)
        # Leaps of time are no silence: what must be done in time is timed by the real clock.
        app.watchdog = Watchdog(clock.real, Notifier({}))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, app.stop.set)
        guarding = asyncio.create_task(app.run(), name="app")
        try:
            code = await _story(app, clock, guarding, options)
        finally:
            app.stop.set()
            await guarding
    finally:
        await journal.close()
    return code


async def _story(
    app: App, clock: object, guarding: asyncio.Task[None], options: argparse.Namespace
) -> int:
    """Play the story beside the running daemon, then wait for the operator."""
    from riskbot import demo

    assert isinstance(clock, demo.LapseClock)  # noqa: S101 - for the type checker
    with _view() as view:
        stage = demo.Stage(app.feeds["paper"].exchange, clock)  # type: ignore[arg-type]
        await app.door.is_listening.wait()
        director = demo.Director(
            clock,
            lambda name: app.runner.latest_view().get(name),
            stage.order,
            view.show,
            options.speed,
        )
        playing = asyncio.create_task(director.run(), name="story")
        stopping = asyncio.create_task(app.stop.wait(), name="stop")
        limit_s = STUCK_S / min(options.speed, 1.0)
        await asyncio.wait(
            {playing, stopping, guarding},
            timeout=limit_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not playing.done():
            playing.cancel()
            view.end(["", "ended before the story did"])
            return exits.NOT_DONE if options.exit or not stopping.done() else exits.OK
        faults = playing.result()
        view.end(director.summary(faults))
        if options.exit or faults or stopping.done():
            stopping.cancel()
            return exits.NOT_DONE if faults else exits.OK
        view.end(_what_now(app.config))
        watching = asyncio.create_task(director.watch(), name="watch")
        await asyncio.wait({stopping, guarding, watching}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
    return exits.OK


def _view() -> Lines | Screen:
    from riskbot.console.lines import Lines
    from riskbot.console.screen import Screen

    if sys.stdout.isatty():
        return Screen()
    return Lines(lambda line: print(line, flush=True))


def _what_now(config: Config) -> list[str]:
    command = f"{exits.command()} ctl --config {config.path}"
    return [
        "",
        "riskbot goes on guarding the account and waits for you. In another terminal:",
        f"  {command} status",
        f"  {command} resume --yes",
        "Ctrl-C ends the demo.",
    ]
