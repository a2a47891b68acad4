"""/settings: what a person may set for themselves, as a page with buttons and in words.

Wrong words change nothing, and are told with one example that would do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from zoneinfo import available_timezones

from riskbot.clock import Clock
from riskbot.frontends.telegram.figures import WIDTH, clock, spread, width
from riskbot.frontends.telegram.keyboards import Choice, Keyboard, choice_keyboard
from riskbot.frontends.telegram.languages import catalogues
from riskbot.frontends.telegram.memory import Memory, Person
from riskbot.frontends.telegram.pages import escape, table
from riskbot.frontends.telegram.people import People
from riskbot.frontends.telegram.reader import DARK, LIGHT, phrase, reader, say
from riskbot.frontends.telegram.settings import Settings

QUIET = "22:00-07:00"
"""Quiet hours of who turns them on where the configuration has none."""

ZONES = ("UTC", "Europe/London", "Europe/Berlin", "America/New_York", "Asia/Singapore")
"""On buttons; every other one in words."""

_EXAMPLES = {
    "zone": "zone Europe/Berlin",
    "language": "language de",
    "quiet": f"quiet {QUIET}",
    "theme": "theme light",
}
_HOURS = re.compile(r"(\d{1,2})(?::(\d\d))?\s*[-–]\s*(\d{1,2})(?::(\d\d))?")
_THEMES = {DARK: phrase("dark"), LIGHT: phrase("light")}

_Change = Callable[[Person, str], Person]


class WishError(Exception):
    """What somebody wants to set makes no sense; the words are HTML, with an example."""

    def __init__(self, words: str, example: str) -> None:
        code = f"<code>/settings {_EXAMPLES[example]}</code>"
        super().__init__(f"{escape(words)}\n{escape(say('Example:'))} {code}")


class Preferences:
    """Shows and changes what people have set.

    Args:
        settings: the configuration's quiet hours.
        memory: keeps what is set.
        people: what that means.
        now: the clock.
        changed: told after each change.
    """

    def __init__(
        self,
        settings: Settings,
        memory: Memory,
        people: People,
        now: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._memory = memory
        self._people = people
        self._clock = now
        self._changed = changed

    def take(self, user: int, wish: str) -> tuple[str, Keyboard]:
        """Do what follows `/settings` and return the page, in the language that holds then.

        Raises:
            WishError: the words make no sense; nothing has changed.
        """
        if wish:
            name, _, value = wish.partition(" ")
            self._change(user, name.lower(), value.strip())
        with self._people.reading(user):
            return self._page(user)

    def _change(self, user: int, name: str, value: str) -> None:
        changes: dict[str, _Change] = {
            "zone": _zone,
            "language": _language,
            "quiet": self._quiet,
            "theme": _theme,
        }
        before = self._memory.person(user)
        if name == "default":
            after = Person(spoken=before.spoken)
        elif name in changes:
            if not value:
                raise WishError(say("✖ What to set it to is missing."), name)
            after = changes[name](before, value)
        else:
            raise WishError(say("✖ There is no setting {name}.", name=name), "zone")
        if after != before:
            self._memory.note_person(user, after)
            self._changed()

    def _quiet(self, person: Person, value: str) -> Person:
        if value.lower() == "off":
            return replace(person, quiet_hours="")
        if value.lower() == "on":
            return replace(person, quiet_hours=person.quiet_hours or self._usual())
        hours = hours_of(value)
        if hours is None:
            raise WishError(say("✖ Quiet hours are two times of day, or on, or off."), "quiet")
        return replace(person, quiet_hours=hours)

    def _usual(self) -> str:
        return self._settings.quiet_hours or QUIET

    def _page(self, user: int) -> tuple[str, Keyboard]:
        who, hours = reader(), self._people.quiet_hours(user)
        rows = [
            *_row(say("Zone"), str(who.zone)),
            *_row(say("Language"), catalogues()[who.language].name),
            *_row(say("Quiet hours"), hours or say("off")),
            *_row(say("Charts"), say(_THEMES[who.theme])),
        ]
        lines = [
            f"<b>{escape(say('⚙ Settings'))}</b> · {escape(clock(self._clock.now_ms()))}",
            table(rows),
            escape(say("Quiet hours hold yellow and orange for the morning; red always rings.")),
            escape(say("In words:")),
            *(f"<code>/settings {_EXAMPLES[name]}</code>" for name in ("zone", "quiet")),
        ]
        return "\n".join(lines), choice_keyboard(self._choices(hours))

    def _choices(self, hours: str | None) -> list[list[Choice]]:
        """Return the buttons; what is set already is marked."""
        who = reader()
        zones = dict.fromkeys((self._settings.timezone, *ZONES))
        quiet = Choice(say("🌙 Quiet on"), "quiet on")
        if hours:
            quiet = Choice(say("🔔 Quiet off"), "quiet off")
        charts = Choice(say("🎨 Light charts"), f"theme {LIGHT}")
        if who.theme == LIGHT:
            charts = Choice(say("🎨 Dark charts"), f"theme {DARK}")
        known = catalogues().items()
        places = [Choice(_city(z), f"zone {z}", is_set=z == str(who.zone)) for z in zones]
        return [
            *(places[n : n + 3] for n in range(0, len(places), 3)),
            [Choice(c.name, f"language {code}", is_set=code == who.language) for code, c in known],
            [quiet, charts],
            [Choice(say("↺ As configured"), "default")],
        ]


def _row(label: str, value: str) -> list[str]:
    """Return a line, or two where one is too narrow."""
    if width(label) + 1 + width(value) <= WIDTH:
        return [spread(label, value)]
    return [label, spread("", value)]


def _city(zone: str) -> str:
    return zone.rpartition("/")[2].replace("_", " ")


def _zone(person: Person, value: str) -> Person:
    zone = zone_of(value)
    if zone is None:
        raise WishError(say("✖ There is no time zone {name}.", name=value), "zone")
    return replace(person, zone=zone)


def _language(person: Person, value: str) -> Person:
    wanted = value.casefold()
    for code, catalogue in catalogues().items():
        if wanted in {code, catalogue.name.casefold()}:
            return replace(person, language=code)
    known = ", ".join(catalogues())
    words = say("✖ There is no language {name}, only {list}.", name=value, list=known)
    raise WishError(words, "language")


def _theme(person: Person, value: str) -> Person:
    if value.lower() not in _THEMES:
        raise WishError(say("✖ Charts are dark or light."), "theme")
    return replace(person, theme=value.lower())


def hours_of(text: str) -> str | None:
    """Return quiet hours as `HH:MM-HH:MM`, None = these are none."""
    found = _HOURS.fullmatch(text)
    if found is None:
        return None
    times = [(int(found[n]), int(found[n + 1] or 0)) for n in (1, 3)]
    if any(hour > 23 or minute > 59 for hour, minute in times) or times[0] == times[1]:
        return None
    return "-".join(f"{hour:02}:{minute:02}" for hour, minute in times)


def zone_of(text: str) -> str | None:
    """Return the IANA zone that is meant: by its name, or its city where there is one such."""
    wanted = text.replace(" ", "_").casefold()
    known = _zones()
    if wanted in known:
        return known[wanted]
    # Etc/GMT+1 is west of Greenwich, which nobody who writes GMT+1 means.
    cities = [name for key, name in known.items() if key.rpartition("/")[2] == wanted]
    cities = [name for name in cities if not name.startswith("Etc/")]
    return cities[0] if len(cities) == 1 else None


@cache
def _zones() -> dict[str, str]:
    # Looks at every file of the database, once.
    return {name.casefold(): name for name in sorted(available_timezones())}
