"""The stress scenarios there are: one YAML file each, those that ship and the user's own.

What may stand in a file is `core.scenarios`; what a scenario does to a book, `core.stressing`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from riskbot.config.document import read_document
from riskbot.config.faults import with_lines
from riskbot.core.scenarios import SECTOR, Scenario, expanded, parse_scenario

KEY = "scenarios_dir"

# The order people read them in: what happened, what was measured of it, what might happen.
_KINDS = ("historical", "data", "custom", "hypothetical")


@cache
def shipped_scenarios() -> tuple[Scenario, ...]:
    """Return the scenarios that ship, in the order of their files."""
    folder = resources.files("riskbot.data").joinpath("scenarios")
    faults: list[str] = []
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        with resources.as_file(file) as path:
            found.append(read_scenario(path, faults))
    scenarios = tuple(scenario for scenario in found if scenario is not None)
    if faults:
        raise ValueError("\n".join(faults))
    return scenarios


def read_scenario(file: Path, faults: list[str]) -> Scenario | None:
    """Read one file.

    Args:
        file: YAML; `name` may be left out, then it is the file's.
        faults: every fault is appended: file, field, sentence, line.

    Returns:
        None when there is a fault.
    """
    found: list[str] = []
    document = read_document(file, found)
    scenario = None
    if document is not None:
        scenario = parse_scenario({"name": file.stem, **document.data}, found)
        found = with_lines(found, document)
    faults += [_told(file, fault.replace(str(file), "the file")) for fault in found]
    return None if found else scenario


def _told(file: Path, fault: str) -> str:
    # No key of the configuration, whose line would be added to it.
    return f"{KEY}/{file.name}: {fault}"


def load_scenarios(
    named: str | None,
    beside: Path,
    sectors: Mapping[str, str],
    faults: list[str],
    notes: list[str],
) -> tuple[Scenario, ...]:
    """Return all scenarios, the user's own over those that ship.

    Args:
        named: directory with the user's own files, `*.yaml`; None = none.
        beside: the configuration, which a relative directory is beside.
        sectors: sector by underlying: a shock may name these.
        faults: every fault of every file is appended.
        notes: what is right, but should be known, is appended.
    """
    known = {scenario.name: scenario for scenario in shipped_scenarios()}
    own = {}
    if named is not None:
        directory = (beside.parent / Path(named).expanduser()).resolve()
        own = _read_own(directory, sectors, faults)
    notes += [
        f"{KEY}: {name} is your own, in place of the one that ships"
        for name in own
        if name in known
    ]
    scenarios = sorted((known | own).values(), key=lambda s: (_KINDS.index(s.kind), s.name))
    names = [scenario.name for scenario in expanded(scenarios)]
    faults += [
        f"{KEY}: {name}: is the name of another scenario's extremes already"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    return tuple(scenarios)


def _read_own(
    directory: Path, sectors: Mapping[str, str], faults: list[str]
) -> dict[str, Scenario]:
    if not directory.is_dir():
        faults.append(f"{KEY}: no such directory, is {str(directory)!r}")
        return {}
    found: dict[str, Scenario] = {}
    files: dict[str, str] = {}
    for file in sorted(directory.iterdir()):
        if file.suffix not in {".yaml", ".yml"}:
            continue
        scenario = read_scenario(file, faults)
        if scenario is None:
            continue
        faults += [_told(file, fault) for fault in _strange_sectors(scenario, sectors)]
        if scenario.name in files:
            other = files[scenario.name]
            faults.append(_told(file, f"name: {scenario.name} is that of {other} already"))
        files[scenario.name] = file.name
        found[scenario.name] = scenario
    return found


def _strange_sectors(scenario: Scenario, sectors: Mapping[str, str]) -> Iterable[str]:
    """Yield what is wrong with sectors that nothing is in: such a shock would move nothing."""
    known = {*sectors.values()}
    for field in ("shocks", "extremes"):
        for key in getattr(scenario, field):
            name = key.removeprefix(SECTOR)
            if key.startswith(SECTOR) and name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean `{close[0]}`?" if close else ""
                yield f"{field}.{key}: no coin is in sector {name!r}{hint}"
