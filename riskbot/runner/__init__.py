"""The runner: takes events, stamps them, asks the engine, journals, then dispatches.

`Runner` is the loop, `lanes` the two bounded queues before it, `recovery` the fold at start,
`contract` what the runner needs of the engine and of the journal. Nothing else calls the engine.
"""

from __future__ import annotations

from riskbot.runner.contract import Engine, Journal
from riskbot.runner.lanes import Inbox
from riskbot.runner.recovery import recover
from riskbot.runner.runner import Runner, RunnerSettings

__all__ = ["Engine", "Inbox", "Journal", "Runner", "RunnerSettings", "recover"]
