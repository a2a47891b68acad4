"""Price history: asked for by underlying, read from venues, kept on disk, told as an event."""

from riskbot.history.service import HistoryService

__all__ = ["HistoryService"]
