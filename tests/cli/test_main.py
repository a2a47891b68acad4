"""The command line as a whole: help, usage, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from riskbot import cli
from riskbot.__main__ import main
from riskbot.cli import exits
from tests.config_files import MINIMAL, with_, write


def test_main_when_asked_for_help_names_every_subcommand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, _, _ in cli.COMMANDS:
        assert f"  {name} " in shown


@pytest.mark.parametrize("argv", [[], ["fly"], ["check", "--nonsense"]])
def test_main_when_called_wrongly_exits_with_2(argv: list[str]) -> None:
    assert main(argv) == 2


def test_main_when_asked_for_the_version_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("riskbot ")


@pytest.mark.parametrize("name", ["report", "replay", "drill"])
def test_main_when_part_is_not_built_says_so(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 1
    assert "not built yet" in capsys.readouterr().err


def test_main_when_configuration_is_bad_tells_every_fault_and_exits_with_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, with_(mode="brave", timezone="Nowhere"))
    for name in ("check", "run"):
        assert main([name, "--config", str(file)]) == 78
        shown = capsys.readouterr().err
        assert "the configuration has 2 faults" in shown
        assert "mode: must be one of" in shown
        assert "timezone: no such IANA zone" in shown


def test_main_when_something_breaks_inside_exits_with_70(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A directory that is a file: nobody planned for that.
    (tmp_path / "state").write_text("")
    file = write(tmp_path, with_(state_dir="state"))
    (tmp_path / "riskbot.sock").write_text("")
    assert main(["ctl", "status", "--config", str(file)]) == 1
    assert main(["audit", "verify", "--config", str(file)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_command_when_shown_to_people_can_be_typed() -> None:
    python = Path(sys.executable)
    module, script = "/somewhere/riskbot/__main__.py", "/opt/riskbot/bin/riskbot"
    assert exits.command(script) == script
    assert exits.command(module, Path("/nowhere")) == f"{python} -m riskbot"
    near = python.relative_to(python.parents[2])
    assert exits.command(module, python.parents[2]) == f"{near} -m riskbot"


def test_check_when_good_says_how_accounts_are_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(
        tmp_path,
        with_(
            accounts={
                "main": {"exchange": "paper"},
                "other": {"exchange": "paper", "exclusive": True},
            },
            gateway={
                "strategies": {"grid": {"token": "5f0e2c91b7d84a63" * 4, "accounts": ["other"]}}
            },
        ),
    )
    assert main(["check", "--config", str(file)]) == 0
    captured = capsys.readouterr()
    assert "account main: paper, held by cancel only, spot: hold" in captured.out
    assert "account other: paper, held by gateway" in captured.out
    assert "strategy grid: on other, held by gateway" in captured.out


def test_audit_when_there_is_no_journal_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, MINIMAL)
    assert main(["audit", "verify", "--config", str(file)]) == 1
    assert "no journal at" in capsys.readouterr().err


def test_process_when_reader_goes_away_stays_quiet() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from riskbot.__main__ import main; sys.stdout.close();"
            "raise SystemExit(main(['--version']))",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in {1, 70}
