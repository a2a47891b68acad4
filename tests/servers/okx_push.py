"""What OKX pushes over websockets: prices to whoever subscribed, account events to their owners.

Operations of clients (login, subscribe, orders) are in `okx_socket.py`.
"""

from __future__ import annotations

import time
import zlib
from typing import Any, Final

from tests.servers.ledger_types import (
    AccountChanged,
    Event,
    Filled,
    Instrument,
    LeverageChanged,
    MarkChanged,
    OrderChanged,
    Position,
)
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_catalog import family_of, kind_of, num
from tests.servers.okx_money import balance_body, position_row
from tests.servers.okx_public import funding_rate, index_row, levels, mark_row, ticker_row
from tests.servers.okx_rows import Row, algo_push, order_push
from tests.servers.okx_venue import OkxVenue
from tests.servers.sockets import Connection

BOOK_DEPTH: Final = {"bbo-tbt": 1, "books5": 5, "books": 20}
# why the money moved -> eventType of balance_and_position
CAUSES: Final = {
    "order": "filled",
    "liquidation": "liquidation",
    "adl": "adl",
    "funding": "funding_fee",
    "deposit": "transferred",
    "withdraw": "transferred",
    "seed": "filled",
}
EXECUTIONS: Final = frozenset({"order", "liquidation", "adl"})
# Kinds of algo orders that the venue tells on a channel of their own.
PROGRAMS: Final = frozenset({"iceberg", "twap", "move_order_stop"})
PRICES: Final = frozenset(
    {"askPx", "bidPx", "high24h", "idxPx", "last", "low24h", "markPx", "open24h"}
)


class Publisher:
    """Sends frames to the connections of one server.

    Attributes:
        page_size: how many positions fit into one frame of a snapshot.
    """

    def __init__(self, venue: OkxVenue, connections: list[Connection]) -> None:
        self.venue = venue
        self.connections = connections
        self.page_size = 20
        self._held: dict[str, AccountChanged] = {}
        venue.market.subscribe(self.on_price)

    def _send(self, connection: Connection, frame: Row) -> None:
        connection.state["active"] = time.monotonic()
        connection.push(frame, event=frame["arg"]["channel"])

    # ---- prices ---------------------------------------------------------------------------------

    def on_price(self, event: Event) -> None:
        """Push a new price to everybody who follows the instrument or its index."""
        if isinstance(event, MarkChanged):
            self.push_prices(self.venue.market.instruments[event.instrument])

    def push_prices(self, instrument: Instrument, *, books: bool = True) -> None:
        """Push the present prices of an instrument."""
        for connection in list(self.connections):
            for arg in list(connection.state.get("args", [])):
                name, channel = arg.get("instId"), arg["channel"]
                if name not in {instrument.id, family_of(instrument)}:
                    continue
                # Rates of funding are told by the minute, whatever prices do.
                if channel != "funding-rate" and (books or channel not in BOOK_DEPTH):
                    self.push_price(connection, arg, instrument)

    def push_price(self, connection: Connection, arg: Row, instrument: Instrument) -> None:
        """Push what one subscription wants to know of an instrument, if it is about it."""
        channel, venue = arg["channel"], self.venue
        if channel == "index-tickers" and arg["instId"] == family_of(instrument):
            rows = [index_row(venue, instrument)]
        elif arg["instId"] != instrument.id:
            return
        elif channel == "tickers":
            rows = [ticker_row(venue, instrument)]
        elif channel == "mark-price":
            rows = [mark_row(venue, instrument)]
        elif channel == "funding-rate":
            rows = funding_rate(venue, {"instId": instrument.id})
        elif channel in BOOK_DEPTH:
            self._push_book(connection, arg, instrument)
            return
        else:
            return
        self._send(connection, {"arg": arg, "data": self._spoil(rows, instrument, channel)})

    def _spoil(self, rows: list[Row], instrument: Instrument, channel: str) -> list[Row]:
        faults = self.venue.faults
        context = {"symbol": instrument.id, "event": channel, "socket": "market"}
        frozen = faults.take("timestamps_frozen", **context)
        garbage = faults.take("price_garbage", **context)
        for row in rows:
            if frozen is not None:
                row["ts"] = str(frozen.params["ms"])
            if garbage is not None:
                value = str(garbage.params.get("value", "0"))
                row.update(dict.fromkeys(PRICES & row.keys(), value))
        return rows

    def _push_book(self, connection: Connection, arg: Row, instrument: Instrument) -> None:
        channel = arg["channel"]
        asks, bids = levels(self.venue, instrument, BOOK_DEPTH[channel])
        known = connection.state.setdefault("books", {})
        before = known.get((channel, instrument.id))
        sequence = before[2] + 1 if before else 1_000_000
        known[channel, instrument.id] = (asks, bids, sequence)
        row: Row = {"asks": asks, "bids": bids, "ts": str(self.venue.now_ms())}
        frame: Row = {"arg": arg, "data": [row]}
        row["seqId"] = sequence
        if channel == "books5":
            row["instId"] = instrument.id
        if channel == "books":
            frame["action"] = "update" if before else "snapshot"
            row |= {"checksum": checksum(asks, bids), "prevSeqId": before[2] if before else -1}
            if before:
                row |= {"asks": changes(before[0], asks), "bids": changes(before[1], bids)}
        self._spoil([row], instrument, channel)
        self._send(connection, frame)

    # ---- accounts -------------------------------------------------------------------------------

    def on_account(self, account: OkxAccount, event: Event) -> None:
        """Push what an event of an account means on its private channels.

        The money of an execution waits for its order, so that it can name the trade.
        """
        if isinstance(event, AccountChanged) and event.reason in EXECUTIONS:
            self._held[account.key] = event
            return
        if isinstance(event, OrderChanged):
            self._push_order(account, event)
        held = None if isinstance(event, Filled) else self._held.pop(account.key, None)
        if held is not None:
            self._push_change(account, held)
        if isinstance(event, AccountChanged):
            self._push_change(account, event)
        elif isinstance(event, LeverageChanged):
            positions = [
                p for p in account.ledger.open_positions() if p.instrument == event.instrument
            ]
            self._push_positions(account, positions)

    def _subscriptions(self, account: OkxAccount, channel: str) -> list[tuple[Connection, Row]]:
        return [
            (connection, arg)
            for connection in list(self.connections)
            if connection.api_key == account.key
            for arg in list(connection.state.get("args", []))
            if arg["channel"] == channel
        ]

    def _push_order(self, account: OkxAccount, event: OrderChanged) -> None:
        order = event.order
        instrument = self.venue.market.instruments[order.instrument]
        channel = "orders"
        if order.conditional:
            is_program = order.meta.get("ordType") in PROGRAMS
            channel = "algo-advance" if is_program else "orders-algo"
        for connection, arg in self._subscriptions(account, channel):
            if not concerns(arg, instrument):
                continue
            if order.conditional:
                row = algo_push(account, order, event.reason)
            else:
                row = order_push(account, order, event.reason, event.fill)
            self._send(connection, {"arg": with_uid(arg, account), "data": [row]})
        if not order.conditional and event.reason != "fill":
            # Resting orders hold money back: the account channel tells.
            self._push_account(account, [instrument.settle])

    def _push_change(self, account: OkxAccount, event: AccountChanged) -> None:
        market = self.venue.market
        positions = [change.position for change in event.positions]
        assets = list(dict.fromkeys(change.asset for change in event.balances))
        settles = [market.instruments[position.instrument].settle for position in positions]
        self._push_both(account, event, assets, positions)
        self._push_positions(account, positions)
        self._push_account(account, list(dict.fromkeys(assets + settles)))

    def _push_both(
        self,
        account: OkxAccount,
        event: AccountChanged,
        assets: list[str],
        positions: list[Position],
    ) -> None:
        row = both_row(account, CAUSES.get(event.reason, "filled"), assets, positions)
        for connection, arg in self._subscriptions(account, "balance_and_position"):
            self._send(connection, {"arg": with_uid(arg, account), "data": [row]})

    def _push_positions(self, account: OkxAccount, positions: list[Position]) -> None:
        for connection, arg in self._subscriptions(account, "positions"):
            rows = [
                pushed_position(account, position)
                for position in positions
                if concerns(arg, self.venue.market.instruments[position.instrument])
            ]
            if rows:
                frame = {"arg": with_uid(arg, account), "eventType": "event_update", "data": rows}
                self._send(connection, frame)

    def _push_account(self, account: OkxAccount, assets: list[str]) -> None:
        for connection, arg in self._subscriptions(account, "account"):
            wanted = [a for a in assets if arg.get("ccy") in {None, "", a}]
            if not wanted:
                continue
            body = pushed_balance(account, wanted)
            frame = {"arg": with_uid(arg, account), "eventType": "event_update", "data": [body]}
            self._send(connection, frame)

    # ---- snapshots ------------------------------------------------------------------------------

    def welcome(self, connection: Connection, arg: Row, account: OkxAccount | None) -> None:
        """Push what a new subscription starts with: prices, or the account as it stands."""
        if account is not None:
            self.snapshot(connection, arg, account)
            return
        for instrument in self.venue.market.instruments.values():
            if arg.get("instId") in {instrument.id, family_of(instrument)}:
                self.push_price(connection, arg, instrument)
                if arg["channel"] == "index-tickers":
                    return

    def snapshot(self, connection: Connection, arg: Row, account: OkxAccount) -> None:
        """Push the whole state a private channel reports; orders channels have none."""
        channel = arg["channel"]
        if channel == "account":
            wanted = [arg["ccy"]] if arg.get("ccy") else None
            self._pages(connection, arg, account, [pushed_balance(account, wanted)])
        elif channel == "positions":
            rows = [
                pushed_position(account, position)
                for position in account.ledger.open_positions()
                if concerns(arg, self.venue.market.instruments[position.instrument])
            ]
            self._pages(connection, arg, account, rows)
        elif channel == "balance_and_position":
            assets = [a for a, amount in account.ledger.balances.items() if amount]
            row = both_row(account, "snapshot", assets, account.ledger.open_positions())
            self._send(connection, {"arg": with_uid(arg, account), "data": [row]})

    def _pages(
        self, connection: Connection, arg: Row, account: OkxAccount, rows: list[Row]
    ) -> None:
        fault = self.venue.faults.take("positions_paged", event=arg["channel"])
        size = self.page_size if fault is None else int(fault.params.get("size", 1))
        parts = [rows[n : n + size] for n in range(0, len(rows), size)] or [[]]
        for number, part in enumerate(parts, start=1):
            frame = {
                "arg": with_uid(arg, account),
                "eventType": "snapshot",
                "curPage": number,
                "lastPage": number == len(parts),
                "data": part,
            }
            self._send(connection, frame)

    def regular(self) -> None:
        """Push the regular snapshots of the account and positions channels."""
        for account in self.venue.accounts.values():
            for channel in ("account", "positions"):
                for connection, arg in self._subscriptions(account, channel):
                    if "updateInterval" not in str(arg.get("extraParams", "")):
                        self.snapshot(connection, arg, account)


def with_uid(arg: Row, account: OkxAccount) -> Row:
    """Return the arg of a push on a private channel."""
    shown = {k: v for k, v in arg.items() if k != "extraParams"}
    return shown | {"uid": account.uid}


def concerns(arg: Row, instrument: Instrument) -> bool:
    """Return whether a private subscription covers an instrument."""
    if arg.get("instType") not in {None, "", "ANY", kind_of(instrument)}:
        return False
    if arg.get("instFamily") not in {None, "", family_of(instrument)}:
        return False
    return arg.get("instId") in {None, "", instrument.id}


def pushed_position(account: OkxAccount, position: Position) -> Row:
    """Return a position as the positions channel pushes it."""
    return position_row(account, position) | {"pTime": str(account.now_ms)}


def pushed_balance(account: OkxAccount, assets: list[str] | None) -> Row:
    """Return the balance as the account channel pushes it; details differ a little from REST."""
    body = balance_body(account, assets)
    for detail in body["details"]:
        for name in ("autoLendMtAmt", "autoLendStatus", "maxSpotInUse"):
            del detail[name]
        detail["maxSpotInUseAmt"] = ""
        detail["coinUsdPrice"] = num(account.market.asset_price(detail["ccy"]))
    return body


def both_row(account: OkxAccount, cause: str, assets: list[str], positions: list[Position]) -> Row:
    """Return the row of balance_and_position."""
    rows = [position_row(account, position) for position in positions]
    fields = ("avgPx", "ccy", "instId", "instType", "mgnMode", "nonSettleAvgPx", "pos", "posCcy")
    fields += ("posId", "posSide", "settledPnl", "tradeId", "uTime")  # type: ignore[assignment]
    now = str(account.now_ms)
    balances = account.ledger.balances
    return {
        "balData": [
            {"cashBal": num(balances[asset]), "ccy": asset, "uTime": now}
            for asset in assets
            if asset in balances
        ],
        "eventType": cause,
        "pTime": now,
        "posData": [{name: row[name] for name in fields} for row in rows],
        "trades": [
            {"instId": row["instId"], "tradeId": row["tradeId"]} for row in rows if row["tradeId"]
        ]
        if cause == "filled"
        else [],
    }


def checksum(asks: list[Any], bids: list[Any]) -> int:
    """Return the signed CRC32 of the best 25 levels, bid and ask in turn."""
    parts: list[str] = []
    for n in range(25):
        for side in (bids, asks):
            if n < len(side):
                parts += side[n][:2]
    value = zlib.crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


def changes(before: list[Any], now: list[Any]) -> list[Any]:
    """Return the levels that turn one side of a book into another: size 0 removes a level."""
    kept = {level[0] for level in now}
    gone = [[level[0], "0", "0", "0"] for level in before if level[0] not in kept]
    return gone + [level for level in now if level not in before]
