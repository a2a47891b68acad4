"""Days and weeks of an IANA zone, as UTC milliseconds.

A day starts at local midnight, also where the clock is changed: it may have 23 or 25 hours.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


class Periods:
    """Boundaries in one zone; a week starts on Monday.

    Args:
        timezone: IANA name.

    Raises:
        ZoneInfoNotFoundError: no such zone; the configuration checks it before.
    """

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._known = (0, 0)

    def day_start_ms(self, now_ms: int) -> int:
        """Return when the day of a moment started."""
        return self._day(now_ms)[0]

    def next_day_start_ms(self, now_ms: int) -> int:
        """Return when the day after a moment's starts."""
        return self._day(now_ms)[1]

    def week_start_ms(self, now_ms: int) -> int:
        """Return when the week of a moment started."""
        today = self._date(now_ms)
        return self._midnight(today - timedelta(days=today.weekday()))

    def iso_date(self, now_ms: int) -> str:
        """Return the date of a moment, `2026-01-20`."""
        return self._date(now_ms).isoformat()

    def at_ms(self, now_ms: int, hour: int) -> int:
        """Return when this hour of the clock comes on the day of a moment."""
        today = self._date(now_ms)
        local = datetime(today.year, today.month, today.day, hour, tzinfo=self._zone)
        return round(local.timestamp() * 1000)

    def _day(self, now_ms: int) -> tuple[int, int]:
        start, end = self._known
        if not start <= now_ms < end:
            today = self._date(now_ms)
            self._known = (self._midnight(today), self._midnight(today + timedelta(days=1)))
        return self._known

    def _date(self, now_ms: int) -> date:
        return datetime.fromtimestamp(now_ms / 1000, self._zone).date()

    def _midnight(self, day: date) -> int:
        # Where midnight is skipped or comes twice, its first instant (fold=0) is meant.
        local = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return round(local.timestamp() * 1000)
