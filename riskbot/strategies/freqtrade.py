"""A freqtrade bot: told to stop entries by its own API, and started again if riskbot stopped it.

From 2025.3 on `stopentry` pauses the bot and `start` ends the pause. Before, it set the number of
open trades to 0 until the configuration was read again; before 2022.5 it was called `stopbuy`.
A bot that a person stopped or paused is left alone: `stopentry` would even start it, paused.
"""

from __future__ import annotations

from riskbot.core.model import TradingState
from riskbot.errors import StrategyError
from riskbot.strategies._base import Answer, Standing
from riskbot.strategies._memory import Mark, Memory
from riskbot.strategies.freqtrade_api import PAUSED, STOPPED, Api, MissingRouteError, Shown

HALTED_LOOK_S, ACTIVE_LOOK_S = 15.0, 60.0
"""A restart of the bot forgets the pause, so it is looked after; a wrong password shows early."""


class FreqtradeBot:
    """One bot.

    Args:
        name: in documents and alerts.
        scope: whose trading state it obeys.
        url: of its API, its name in the memory.
        api: of the bot.
        memory: knows who stopped it.
    """

    via = "freqtrade"

    def __init__(self, name: str, scope: str, url: str, api: Api, memory: Memory) -> None:
        self.name, self.scope = name, scope
        self._url, self._api, self._memory = url.rstrip("/"), api, memory
        self._has_reloaded = False

    def look_again_s(self, standing: Standing) -> float:
        """Return when to look again."""
        is_active = standing.of_scope(self.scope) is TradingState.ACTIVE
        return ACTIVE_LOOK_S if is_active else HALTED_LOOK_S

    async def owes(self, standing: Standing) -> bool:
        """Return whether it must be stopped, or given back."""
        if standing.of_scope(self.scope) is not TradingState.ACTIVE:
            return True
        return await self._memory.get(self._url) is not None

    async def tell(self, standing: Standing) -> Answer:
        """Stop entries, or give the bot back if riskbot stopped it.

        Raises:
            StrategyError: it cannot be asked, or does not do it.
        """
        wanted, shown = standing.of_scope(self.scope), await self._api.show()
        mark = await self._memory.get(self._url)
        if wanted is not TradingState.ACTIVE:
            return await self._stop(wanted, shown, mark)
        if mark is not None and standing.may_start:
            shown = await self._give_back(shown, mark)
        elif mark is not None:
            return Answer(None, "kept stopped: the journal takes no writes")
        if shown.takes_entries:
            return Answer(TradingState.ACTIVE, "takes entries")
        return Answer(None, f"{_word(shown)}, not by riskbot: left so")

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    # ------------------------------------------------------------ stop

    async def _stop(self, wanted: TradingState, shown: Shown, mark: Mark | None) -> Answer:
        self._has_reloaded = False
        if shown.takes_entries:
            # Before it is asked: a crash in between must not leave it stopped for ever.
            await self._memory.set(self._url, Mark.ASKED)
            await self._ask_to_stop()
            shown = await self._api.show()
            if shown.takes_entries:
                message = "it took the request, but takes entries still"
                raise StrategyError(message)
            mark = Mark.ASKED
        if mark is Mark.ASKED:
            await self._memory.set(self._url, Mark.STOPPED)
        elif mark is Mark.STOPPED and shown.state == STOPPED:
            # riskbot only pauses: a person went further, and so starts it again.
            await self._memory.set(self._url, None)
        return Answer(wanted, _word(shown))

    async def _ask_to_stop(self) -> None:
        try:
            try:
                await self._api.post("stopentry")
            except MissingRouteError:
                await self._api.post("stopbuy")
        except StrategyError as error:
            if not error.is_ambiguous:
                # It did not arrive: whatever stops the bot now, it is not riskbot.
                await self._memory.set(self._url, None)
            raise

    # ------------------------------------------------------------ start

    async def _give_back(self, shown: Shown, mark: Mark) -> Shown:
        """Undo what riskbot did, and no more."""
        if shown.state == PAUSED:
            shown = await self._start()
        elif shown.is_capped and shown.state != STOPPED and not self._has_reloaded:
            await self._reload()
        elif shown.state == STOPPED and mark is Mark.RELOADING:
            # It starts as `initial_state` says, which may be stopped; it ran before.
            shown = await self._start()
        self._has_reloaded = False
        await self._memory.set(self._url, None)
        return shown

    async def _start(self) -> Shown:
        await self._api.post("start")
        shown = await self._api.show()
        if shown.state in {PAUSED, STOPPED}:
            message = "it took the request to start, but does not run"
            raise StrategyError(message)
        return shown

    async def _reload(self) -> None:
        await self._memory.set(self._url, Mark.RELOADING)
        await self._api.post("reload_config")
        self._has_reloaded = True
        message = "it reads its configuration again"
        raise StrategyError(message)


def _word(shown: Shown) -> str:
    return "no entries" if shown.is_capped and shown.state != STOPPED else shown.state
