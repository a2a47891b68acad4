"""Every command, in the order of the help text: one role table for every door."""

from __future__ import annotations

from riskbot.core.commands._base import Command, Plan, Reply
from riskbot.core.commands.ack import Ack
from riskbot.core.commands.alerts import Alerts
from riskbot.core.commands.audit import Audit
from riskbot.core.commands.cancel import Cancel
from riskbot.core.commands.correlation import Correlation
from riskbot.core.commands.deadman import DeadMan
from riskbot.core.commands.digest import Digest
from riskbot.core.commands.exposure import Exposure
from riskbot.core.commands.feeds import Feeds
from riskbot.core.commands.flatten import Flatten
from riskbot.core.commands.halt import Halt
from riskbot.core.commands.health import Health
from riskbot.core.commands.help import Help
from riskbot.core.commands.history import History
from riskbot.core.commands.limits import Limits
from riskbot.core.commands.orders import Orders
from riskbot.core.commands.override import Override
from riskbot.core.commands.pnl import Pnl
from riskbot.core.commands.positions import Positions
from riskbot.core.commands.reclassify import Reclassify
from riskbot.core.commands.reduce import Reduce
from riskbot.core.commands.reload import Reload
from riskbot.core.commands.resume import Resume
from riskbot.core.commands.setlimit import SetLimit
from riskbot.core.commands.silence import SilenceAlerts
from riskbot.core.commands.size import Size
from riskbot.core.commands.status import Status
from riskbot.core.commands.stress import Stress
from riskbot.core.commands.test import TestAlert
from riskbot.core.commands.unsilence import Unsilence
from riskbot.core.commands.users import Users
from riskbot.core.commands.var import Var
from riskbot.core.commands.whoami import WhoAmI

COMMANDS: tuple[type[Command], ...] = (
    Status,
    Positions,
    Exposure,
    Limits,
    Orders,
    Alerts,
    Pnl,
    History,
    Size,
    Var,
    Stress,
    Correlation,
    Health,
    Feeds,
    DeadMan,
    Digest,
    WhoAmI,
    Help,
    Ack,
    SilenceAlerts,
    Unsilence,
    TestAlert,
    Halt,
    Cancel,
    Resume,
    Reduce,
    Flatten,
    SetLimit,
    Reclassify,
    Override,
    Users,
    Audit,
    Reload,
)
"""The registry. A command that is not listed here does not exist."""

BY_NAME: dict[str, type[Command]] = {command.name: command for command in COMMANDS}

__all__ = ["BY_NAME", "COMMANDS", "Command", "Plan", "Reply"]
