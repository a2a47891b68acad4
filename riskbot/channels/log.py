"""Alerts as lines of the log: the channel that is always there."""

from __future__ import annotations

import logging

from riskbot.channels._words import body, headline, severity
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import Level

LOGGER = logging.getLogger("riskbot.alerts")

_LOG_LEVELS = {Level.RED: logging.ERROR, Level.ORANGE: logging.WARNING}


class LogChannel:
    """Writes one line per alert and change."""

    name = "log"

    def wants(self, alert: Alert, *, is_loud: bool) -> bool:
        """Take everything, the daily digest too."""
        del alert, is_loud
        return True

    async def send(self, alert: Alert, *, is_loud: bool) -> None:
        """Log the alert, as loud as its level."""
        del is_loud
        level = _LOG_LEVELS.get(severity(alert), logging.INFO)
        if alert.status is AlertStatus.RESOLVED:
            level = logging.INFO
        LOGGER.log(level, "%s | %s", headline(alert), body(alert).replace("\n", " | "))

    async def close(self) -> None:
        """Do nothing: the log is not this channel's."""
