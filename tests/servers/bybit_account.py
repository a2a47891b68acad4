"""One Bybit account as its API key sees it: rights, settings, and the history REST hands out.

The ledger is the truth; here its events become the venue's executions, transaction log, deposit,
withdrawal and transfer records.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tests.servers import bybit_holdings as holdings
from tests.servers import bybit_wire as wire
from tests.servers.bybit_market import Row, name_of, priced, short, text
from tests.servers.ledger import Ledger
from tests.servers.ledger_types import (
    ZERO,
    Event,
    Fill,
    Filled,
    LedgerBooked,
    MarkChanged,
    Order,
    OrderChanged,
    Transfer,
    VenueError,
)

TRADE_RIGHTS: Final[dict[str, list[str]]] = {
    "ContractTrade": ["Order", "Position"],
    "Spot": ["SpotTrade"],
    "Wallet": [],
    "Options": ["OptionsTrade"],
    "Derivatives": ["DerivativesTrade"],
    "CopyTrading": [],
    "BlockTrade": [],
    "Exchange": ["ExchangeHistory"],
    "NFT": [],
    "Affiliate": [],
    "Earn": [],
    "FiatP2P": [],
    "FiatConvertBroker": [],
    "FiatBitPay": [],
    "BitCard": [],
    "ByXPost": [],
}
LOG_TYPES: Final = {"user": "TRADE", "liquidation": "LIQUIDATION", "adl": "ADL"}
DCP_PRODUCTS: Final = ("SPOT", "DERIVATIVES", "OPTIONS")


def new_id() -> str:
    """Return a fresh identifier in the venue's shape for contract orders and executions."""
    return str(uuid.uuid4())


@dataclass(slots=True)
class Rights:
    """What GET /v5/user/query-api says of a key.

    Attributes:
        ips: addresses the key is bound to; empty or "*" means any.
        expired: the key no longer works at all.
        deadline_days: remaining life, meaningful only without bound addresses.
    """

    permissions: dict[str, list[str]] = field(
        default_factory=lambda: {k: list(v) for k, v in TRADE_RIGHTS.items()}
    )
    is_read_only: bool = False
    ips: list[str] = field(default_factory=list)
    expired: bool = False
    expired_at: str = "2027-05-15T03:21:05Z"
    deadline_days: int = 83
    is_unified: bool = True
    is_master: bool = True

    def allows_ip(self, address: str) -> bool:
        """Return whether the key may be used from an address."""
        return not self.ips or "*" in self.ips or address in self.ips

    def allows_orders(self, category: str) -> bool:
        """Return whether the key may trade a category."""
        if self.is_read_only:
            return False
        if category == "spot":
            return "SpotTrade" in self.permissions.get("Spot", [])
        return "Order" in self.permissions.get("ContractTrade", [])

    def allows_transfers(self) -> bool:
        """Return whether the key may move money between the user's own wallets."""
        return not self.is_read_only and "AccountTransfer" in self.permissions.get("Wallet", [])


class Account:
    """One account of the server.

    Attributes:
        executions: category and row of GET execution/list, oldest first.
        log: rows of GET account/transaction-log, oldest first.
        deposits, withdrawals, transfers: rows of the asset records, oldest first.
        funding_wallet: coin -> amount in the FUND account, apart from the ledger.
        hedged: symbol -> whether it is in hedge mode, where it differs from the ledger's mode.
        dcp_granted: products for which the venue has switched disconnection protection on;
            without that, setting it has no effect although the venue answers success.
        dcp_windows: product -> seconds, for granted products that were set.
        refuses_far_prices: whether a contract limit price outside the band is refused; by default
            the venue moves it to the band's edge.
        watchers: called with order events the ledger does not know of.
    """

    def __init__(self, key: str, secret: str, ledger: Ledger, uid: int) -> None:
        self.key = key
        self.secret = secret
        self.ledger = ledger
        self.uid = uid
        self.rights = Rights()
        self.margin_mode = "REGULAR_MARGIN"
        self.hedged: dict[str, bool] = {}
        self.executions: list[tuple[str, Row]] = []
        self.log: list[Row] = []
        self.deposits: list[Row] = []
        self.withdrawals: list[Row] = []
        self.transfers: list[Row] = []
        self.funding_wallet: dict[str, Decimal] = {}
        self.dcp_granted: set[str] = set()
        self.dcp_windows: dict[str, int] = {}
        self.refuses_far_prices = False
        self.watchers: list[Callable[[Event], None]] = []
        self.sequence = 5_723_621_632
        self._spot_ids = itertools.count(1_321_003_749_386_327_552)
        self._legs: dict[str, list[Transfer]] = {}
        self._funded: dict[tuple[str, int], int] = {}
        self._is_own_transfer = False
        ledger.multi_asset = True
        ledger.client_ids_unique_ever = True
        for name in ledger.instruments:
            ledger.leverage.setdefault(name, 10)
        ledger.subscribe(self._record)

    def is_hedged(self, symbol: str) -> bool:
        """Return whether a contract is in hedge mode; only USDT perpetuals can be."""
        instrument = self.ledger.instruments.get(symbol)
        if instrument is None or instrument.kind != "linear" or instrument.settle != "USDT":
            return False
        return self.hedged.get(symbol, self.ledger.hedge_mode)

    def in_mode(self, symbol: str, act: Callable[[], Order]) -> Order:
        """Run an order action under the symbol's own position mode; the ledger knows only one."""
        usual = self.ledger.hedge_mode
        self.ledger.hedge_mode = self.is_hedged(symbol)
        try:
            return act()
        finally:
            self.ledger.hedge_mode = usual

    def move(self, coin: str, amount: Decimal, *, inward: bool) -> Row:
        """Move money between the FUND wallet and the unified wallet; returns the record.

        Raises:
            VenueError: INSUFFICIENT_BALANCE of the wallet it leaves.
        """
        free = self.funding_wallet.get(coin, ZERO)
        if inward and amount > free:
            raise VenueError("INSUFFICIENT_BALANCE", coin)
        self._is_own_transfer = True
        try:
            if inward:
                self.ledger.deposit(coin, amount)
            else:
                self.ledger.withdraw(coin, amount)
        finally:
            self._is_own_transfer = False
        self.funding_wallet[coin] = free + (-amount if inward else amount)
        row: Row = {
            "transferId": f"selfTransfer_{new_id()}",
            "coin": coin,
            "amount": text(amount),
            "fromAccountType": "FUND" if inward else "UNIFIED",
            "toAccountType": "UNIFIED" if inward else "FUND",
            "timestamp": str(self._now()),
            "status": "SUCCESS",
        }
        self.transfers.append(row)
        return row

    def spot_id(self) -> str:
        """Return a new spot order id; contracts have UUIDs instead."""
        return str(next(self._spot_ids))

    # ---- history --------------------------------------------------------------------------------

    def _now(self) -> int:
        return self.ledger.market.now_ms()

    def next_sequence(self) -> int:
        """Return the next cross sequence number."""
        self.sequence += 1
        return self.sequence

    def _record(self, event: Event) -> None:
        if isinstance(event, LedgerBooked):
            self._record_money(event.transfer)
        elif isinstance(event, Filled):
            self._record_fill(event.fill, event.order)
        elif isinstance(event, OrderChanged) and event.reason == "triggered":
            self.ledger.orders[event.order.id].meta["triggered"] = True
            event.order.meta["triggered"] = True
        elif isinstance(event, MarkChanged):
            self.ledger.leverage.setdefault(event.instrument, 10)

    def _record_money(self, row: Transfer) -> None:
        if row.kind in ("commission", "realized_pnl", "trade"):
            self._legs.setdefault(row.ref, []).append(row)
        elif row.kind == "funding":
            self._record_funding(row)
        else:
            inward = row.amount > 0
            kind = "TRANSFER_IN" if inward else "TRANSFER_OUT"
            self.log.append(self._log_row(row, kind, cash_flow=row.amount))
            if not self._is_own_transfer and row.kind in ("deposit", "withdraw"):
                self._record_chain(row, inward=inward)

    def _record_chain(self, row: Transfer, *, inward: bool) -> None:
        amount, when = text(abs(row.amount)), str(row.time_ms)
        hashed = f"0x{int(row.id):064x}"
        if inward:
            self.deposits.append(holdings.deposit_row(row, amount, when, hashed))
        else:
            self.withdrawals.append(holdings.withdrawal_row(row, amount, when, hashed))

    def _log_row(
        self,
        row: Transfer,
        kind: str,
        *,
        cash_flow: Decimal = ZERO,
        fee: Decimal = ZERO,
        funding: Decimal | None = None,
    ) -> Row:
        change = cash_flow + (funding or ZERO) - fee
        instrument = self.ledger.instruments.get(row.instrument)
        return {
            "transSubType": "",
            "id": f"{self.uid}_{name_of(row.instrument) or row.asset}_{row.id}",
            "symbol": name_of(row.instrument),
            "side": "None",
            "funding": "" if funding is None else short(funding),
            "orderLinkId": "",
            "orderId": "",
            "fee": short(fee),
            "change": short(change),
            "cashFlow": short(cash_flow),
            "transactionTime": str(row.time_ms),
            "type": kind,
            "feeRate": "0",
            "bonusChange": "",
            "size": "0",
            "qty": text(abs(row.amount)) if not row.instrument else "0",
            "cashBalance": short(row.balance_after),
            "currency": row.asset,
            "category": instrument.kind if instrument else "",
            "tradePrice": "0",
            "tradeId": "",
            "extraFees": "",
        }

    def _record_funding(self, row: Transfer) -> None:
        # The ledger books one row per position of the instrument, in the order of its positions.
        instrument = self.ledger.instruments[row.instrument]
        mark = self.ledger.marks[row.instrument]
        held = [p for p in self.ledger.open_positions() if p.instrument == row.instrument]
        turn = self._funded.get((row.instrument, row.time_ms), 0)
        self._funded[row.instrument, row.time_ms] = turn + 1
        position = held[turn % len(held)]
        size = abs(position.quantity)
        rate = row.amount / instrument.notional(size, mark)
        shared: Row = {
            "symbol": row.instrument,
            "side": "Buy" if position.quantity > 0 else "Sell",
            "feeRate": text(-round(rate, 10)),
            "orderId": f"{row.time_ms}-{row.instrument}-{position.side}",
            "orderLinkId": "",
        }
        trade = new_id()
        settlement: Row = {
            "size": text(position.quantity),
            "qty": text(size),
            "tradePrice": priced(mark, instrument),
            "tradeId": trade,
        }
        log = self._log_row(row, "SETTLEMENT", funding=row.amount)
        self.log.append(log | shared | settlement)
        execution = self._funding_row(row, size, mark, trade) | shared
        self.executions.append((instrument.kind, execution))

    def _funding_row(self, row: Transfer, size: Decimal, mark: Decimal, trade: str) -> Row:
        instrument = self.ledger.instruments[row.instrument]
        names = ("underlyingPrice", "indexPrice", "feeCurrency", "tradeIv", "blockTradeId")
        return dict.fromkeys((*names, "markIv", "closedSize", "extraFees"), "") | {
            "orderType": "UNKNOWN",
            "stopOrderType": "UNKNOWN",
            "leavesQty": "0",
            "execTime": str(row.time_ms),
            "isMaker": False,
            "execFee": short(-row.amount),
            "execId": trade,
            "markPrice": priced(mark, instrument),
            "execPrice": priced(mark, instrument),
            "orderQty": "0",
            "orderPrice": "0",
            "execValue": short(instrument.notional(size, mark)),
            "execType": "Funding",
            "execQty": text(size),
            "createType": "UNKNOWN",
            "seq": self.next_sequence(),
        }

    def _record_fill(self, fill: Fill, order: Order) -> None:
        sequence = self.next_sequence()
        order.meta[f"closed:{fill.id}"] = self._closed_size(fill, order)
        row = wire.execution_row(self.ledger, fill, order, sequence=sequence)
        self.executions.append((self.ledger.instruments[fill.instrument].kind, row))
        legs = self._legs.pop(fill.id, [])
        fees = {leg.asset: -leg.amount for leg in legs if leg.kind == "commission"}
        instrument = self.ledger.instruments[fill.instrument]
        assets = [instrument.settle]
        if instrument.kind == "spot":
            assets = [instrument.base, instrument.quote]
        for asset in assets:
            mine = [leg for leg in legs if leg.asset == asset]
            if mine or instrument.kind != "spot":
                self.log.append(self._trade_row(fill, order, asset, mine, fees.get(asset, ZERO)))

    def _trade_row(
        self, fill: Fill, order: Order, asset: str, legs: list[Transfer], fee: Decimal
    ) -> Row:
        instrument = self.ledger.instruments[fill.instrument]
        flow = sum((leg.amount for leg in legs if leg.kind != "commission"), ZERO)
        last = legs[-1] if legs else None
        balance = last.balance_after if last else self.ledger.balances.get(asset, ZERO)
        ident = last.id if last else fill.id
        head = Transfer(ident, "trade", asset, flow, fill.time_ms, fill.instrument, "", balance)
        position = self.ledger.positions.get((fill.instrument, fill.position_side))
        is_spot = instrument.kind == "spot"
        rate = self.ledger.maker_fee if fill.is_maker else self.ledger.taker_fee
        return self._log_row(head, LOG_TYPES[order.origin], cash_flow=flow, fee=fee) | {
            "side": wire.SIDES[fill.side],
            "orderLinkId": fill.client_id,
            "orderId": fill.order_id,
            "feeRate": text(rate),
            "size": text(position.quantity) if position and not is_spot else "0",
            "qty": text(flow if is_spot else fill.quantity),
            "tradePrice": priced(fill.price, instrument),
            "tradeId": fill.id,
        }

    def _closed_size(self, fill: Fill, order: Order) -> Decimal:
        position = self.ledger.positions.get((fill.instrument, fill.position_side))
        if position is None:
            return ZERO
        before = position.quantity - fill.quantity * order.sign
        return ZERO if before * order.sign >= 0 else min(fill.quantity, abs(before))
