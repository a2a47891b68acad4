"""After a start on a clock that was set back: nothing that happened may lie ahead.

It would count as fresh, or keep what waits for it waiting, until the clock has caught up. What a
venue stated is left alone, and so is what lies ahead by the calendar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from riskbot.core.state import State

_OF_VENUES = frozenset({"venue_ms", "venue_as_of_ms", "created_ms", "expiry_ms", "expires_ms"})
_OF_THE_CALENDAR = frozenset({"until_ms", "day_ms", "week_ms"})
_LEFT = _OF_VENUES | _OF_THE_CALENDAR

_WAITS = frozenset({"deadline_ms", "not_before_ms", "next_query_ms", "retry_ms"})
"""What was to come so long after the last moment known; it still is."""

_SIGHTINGS = frozenset({"seen_ms", "moved_ms"})
"""When a price was seen: how old it is nobody knows, so that it is no source any more."""

_UNNAMED = frozenset(
    {
        "answered",
        "blinds",
        "deliveries",
        "samples",
        "orders",
        "position_stamps",
        "balance_stamps",
        "order_stamps",
    }
)
"""Fields whose moments stand in tuples, without a name of their own."""


def rewind(state: State, now_ms: int) -> int:
    """Bring what was stamped by a clock that was ahead down to this one.

    Returns:
        How far this clock is behind the last moment known, ms, >= 0.
    """
    heard = [max(a.read_ms, a.frame_ms) for a in state.accounts.by_name.values()]
    newest_ms = max(state.feeds.started_ms, state.history.timer_ms, *heard)
    if newest_ms > now_ms:
        state.load(rewound(state.dump(), now_ms, newest_ms))
    return max(newest_ms - now_ms, 0)


_OF_APPROVALS = frozenset({"created_ms", "expires_ms"})
_OWN_WAITS = frozenset({"expires_ms", "expires_at_ms"})
"""When an approval lapses: a moment of riskbot's own, whose name a venue's moments have, too."""


def rewound(data: Any, now_ms: int, newest_ms: int) -> Any:
    """Return the JSON values of a dumped state in which nothing that happened lies ahead.

    Args:
        data: what `State.dump` returned.
        now_ms: UTC ms, earlier than `newest_ms`.
        newest_ms: the last moment known.
    """
    return _walk(data, "", now_ms, newest_ms - now_ms)


def _walk(value: Any, name: str, now_ms: int, back_ms: int, *, is_own: bool = False) -> Any:
    if isinstance(value, dict):
        # A moment's name goes on to what stands in it: `asked_ms` by account, `answered` by key.
        return {
            key: _walk(
                item,
                key if _is_moment(key) else name,
                now_ms,
                back_ms,
                is_own=is_own or key == "reservations",
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_walk(item, name, now_ms, back_ms, is_own=is_own) for item in value]
    if not isinstance(value, int) or value <= now_ms or not name:
        return value
    waits = _WAITS | _OWN_WAITS if is_own else _WAITS
    if name in _LEFT and not (is_own and name in _OF_APPROVALS):
        return value
    if name in _SIGHTINGS:
        return 0
    return max(value - back_ms, now_ms) if name in waits else now_ms


def _is_moment(key: str) -> bool:
    return key.endswith("_ms") or key in _UNNAMED
