"""Scenarios of one's own: read with every fault at once, over those that ship."""

from __future__ import annotations

from pathlib import Path

from tests.config_files import faults_of, loaded, with_

MINE = """\
title: A bad week
description: Everything falls, what is borrowed against falls further.
source: our own
shocks:
  DEFAULT: -0.3
  sector:defi: -0.5
"""


def folder(directory: Path, **files: str) -> Path:
    made = directory / "mine"
    made.mkdir(exist_ok=True)
    for name, text in files.items():
        (made / f"{name}.yaml").write_text(text)
    return made


OWN = with_(scenarios_dir="mine")


def test_own_scenario_is_one_file_and_stands_beside_those_that_ship(tmp_path: Path) -> None:
    (folder(tmp_path, bad_week=MINE) / "notes.txt").write_text("no scenario")
    config = loaded(tmp_path, OWN)
    found = {scenario.name: scenario for scenario in config.scenarios}
    assert found["bad_week"].shock_of("UNI", "defi") == (-0.5, "sector:defi")
    assert found["bad_week"].kind == "custom"
    assert {"march_2020", "venue_lost"} < set(found)
    assert config.warnings == ()


def test_core_knows_every_scenario_and_that_of_its_extremes(tmp_path: Path) -> None:
    names = [scenario.name for scenario in loaded(tmp_path, with_()).core().scenarios]
    assert names[names.index("october_2025") + 1] == "october_2025_extremes"
    # What happened comes first, what might happen last.
    assert names[0] == "ftx"
    assert names[-1] == "venue_lost"
    assert len(names) == len(set(names)) == 24


def test_own_scenario_of_a_shipped_name_takes_its_place_and_is_told(tmp_path: Path) -> None:
    folder(tmp_path, mine=f"name: march_2020\n{MINE}")
    config = loaded(tmp_path, OWN)
    (march,) = [s for s in config.scenarios if s.name == "march_2020"]
    assert march.title == "A bad week"
    assert config.warnings == (
        "scenarios_dir: march_2020 is your own, in place of the one that ships",
    )


def test_every_fault_of_every_file_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    folder(
        tmp_path,
        a_week=MINE.replace("-0.3", "-30").replace("title", "titel"),
        b_empty="",
        c_broken="shocks: [",
        d_sector=MINE.replace("sector:defi", "sector:deffi"),
        e_nowhere=MINE.replace("sector:defi", "sector:xyz"),
        f_first=f"name: twice\n{MINE}",
        g_second=f"name: twice\n{MINE}",
        h_clash=f"name: ftx_data_extremes\n{MINE}",
    )
    assert faults_of(tmp_path, OWN) == [
        "scenarios_dir/a_week.yaml: title: is missing",
        "scenarios_dir/a_week.yaml: shocks.DEFAULT: must be between -1 (all is lost) and 10 "
        "(a share is written -0.3), is -30 (line 5)",
        "scenarios_dir/a_week.yaml: titel: no such field; did you mean `title`? (line 1)",
        "scenarios_dir/b_empty.yaml: the file is empty",
        "scenarios_dir/c_broken.yaml: the file is no YAML: line 1, column 10: expected the node "
        "content, but found '<stream end>'",
        "scenarios_dir/d_sector.yaml: shocks.sector:deffi: no coin is in sector 'deffi'; did you "
        "mean `defi`?",
        "scenarios_dir/e_nowhere.yaml: shocks.sector:xyz: no coin is in sector 'xyz'",
        "scenarios_dir/g_second.yaml: name: twice is that of f_first.yaml already",
        "scenarios_dir: ftx_data_extremes: is the name of another scenario's extremes already "
        "(line 6)",
    ]


def test_directory_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, OWN)
    assert fault == f"scenarios_dir: no such directory, is '{tmp_path / 'mine'}' (line 6)"


def test_hash_changes_with_a_scenario(tmp_path: Path) -> None:
    folder(tmp_path, bad_week=MINE)
    before = loaded(tmp_path, OWN).hash
    assert loaded(tmp_path, OWN).hash == before
    folder(tmp_path, bad_week=MINE.replace("-0.5", "-0.6"))
    assert loaded(tmp_path, OWN).hash != before
