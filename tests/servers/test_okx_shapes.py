"""Field names of the OKX server's rows against those of the venue's public documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers.faults import Faults
from tests.servers.ledger import Fill, Order
from tests.servers.okx import OkxServer
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_algo import place_algo
from tests.servers.okx_bills import bills
from tests.servers.okx_client import ID, D
from tests.servers.okx_money import balance_body, config_row, position_row
from tests.servers.okx_push import both_row, pushed_balance
from tests.servers.okx_rows import algo_row, fill_row, order_push, order_row
from tests.servers.okx_trade import place_order

ORDER = """accFillSz algoClOrdId algoId attachAlgoClOrdId attachAlgoOrds avgPx cTime cancelSource
    cancelSourceReason category ccy clOrdId fee feeCcy fillPx fillSz fillTime instId instType
    isTpLimit lever linkedAlgoOrd ordId ordType pnl posSide px pxType pxUsd pxVol quickMgnType
    rebate rebateCcy reduceOnly side slOrdPx slTriggerPx slTriggerPxType source state stpId stpMode
    sz tag tdMode tgtCcy tpOrdPx tpTriggerPx tpTriggerPxType tradeId tradeQuoteCcy uTime"""
PUSHED_ONLY = """amendResult amendSource code execType fillFee fillFeeCcy fillFwdPx fillIdxPx
    fillMarkPx fillMarkVol fillNotionalUsd fillPnl fillPxUsd fillPxVol lastPx msg notionalUsd
    reqId"""
ALGO = """activePx actualPx actualSide actualSz algoClOrdId algoId amendPxOnTriggerType
    attachAlgoOrds cTime callbackRatio callbackSpread ccy chaseType chaseVal clOrdId closeFraction
    failCode instId instType isTradeBorrowMode last lever linkedOrd maxChaseType maxChaseVal
    moveTriggerPx ordId ordIdList ordPx ordType posSide pxLimit pxSpread pxVar quickMgnType
    reduceOnly side slOrdPx slTriggerPx slTriggerPxType state sz szLimit tag tdMode tgtCcy
    timeInterval tpOrdPx tpTriggerPx tpTriggerPxType tradeQuoteCcy triggerPx triggerPxType
    triggerTime uTime"""
FILL = """billId clOrdId execType fee feeCcy feeRate fillFwdPx fillIdxPx fillMarkPx fillMarkVol
    fillPnl fillPx fillPxUsd fillPxVol fillSz fillTime instId instType ordId posSide side subType
    tag tradeId tradeQuoteCcy ts"""
POSITION = """adl availPos avgPx baseBal baseBorrowed baseInterest bePx bizRefId bizRefType cTime
    ccy clSpotInUseAmt closeOrderAlgo deltaBS deltaPA fee fundingFee gammaBS gammaPA idxPx imr
    instId instType interest last lever liab liabCcy liqPenalty liqPx margin markPx
    maxSpotInUseAmt mgnMode mgnRatio mmr nonSettleAvgPx notionalUsd optVal pendingCloseOrdLiabVal
    pnl pos posCcy posId posSide quoteBal quoteBorrowed quoteInterest realizedPnl settledPnl
    spotInUseAmt spotInUseCcy thetaBS thetaPA tradeId uTime upl uplLastPx uplRatio uplRatioLastPx
    usdPx vegaBS vegaPA"""
BALANCE = """adjEq availEq borrowFroz details imr isoEq mgnRatio mmr notionalUsd
    notionalUsdForBorrow notionalUsdForFutures notionalUsdForOption notionalUsdForSwap ordFroz
    totalEq uTime upl"""
DETAIL = """accAvgPx autoLendMtAmt autoLendStatus availBal availEq borrowFroz cashBal ccy
    clSpotInUseAmt colBorrAutoConversion colRes collateralEnabled collateralRestrict crossLiab
    disEq eq eqUsd fixedBal frozenBal imr interest isoEq isoLiab isoUpl liab maxLoan maxSpotInUse
    mgnRatio mmr notionalLever openAvgPx ordFrozen rewardBal smtSyncEq spotBal spotCopyTradingEq
    spotInUseAmt spotIsoBal spotUpl spotUplRatio stgyEq totalPnl totalPnlRatio twap uTime upl
    uplLiab"""
CONFIG = """acctLv acctStpMode autoLoan ctIsoMode enableSpotBorrow feeType greeksType ip kycLv label
    level levelTmp liquidationGear mainUid mgnIsoMode opAuth perm posMode roleType settleCcy
    settleCcyList spotBorrowAutoRepay spotOffsetType spotRoleType spotTraderInsts stgyType
    traderInsts type uid"""
BILL = """bal balChg billId ccy clOrdId execType fee fillFwdPx fillIdxPx fillMarkPx fillMarkVol
    fillPxUsd fillPxVol fillTime from instId instType interest mgnMode notes ordId pnl posBal
    posBalChg px subType sz tag to tradeId ts type"""
INSTRUMENT = """alias auctionEndTime baseCcy category contTdSwTime ctMult ctType ctVal ctValCcy
    expTime futureSettlement instFamily instId instIdCode instType lever listTime lotSz
    maxIcebergSz maxLmtAmt maxLmtSz maxMktAmt maxMktSz maxStopSz maxTriggerSz maxTwapSz minSz
    openType optType quoteCcy ruleType settleCcy state stk tickSz tradeQuoteCcyList uly"""
BOTH_POSITION = """avgPx ccy instId instType mgnMode nonSettleAvgPx pos posCcy posId posSide
    settledPnl tradeId uTime"""


class Scene:
    """An account that has traded: one fill, one open position, one waiting algo order."""

    def __init__(self) -> None:
        self.server = OkxServer()
        self.server.add_account("key", "secret", balance={"USDT": D(100000)})
        self.account: OkxAccount = self.server.accounts["key"]
        order = {"instId": ID, "side": "buy", "tdMode": "cross", "sz": "1"}
        placed = place_order(self.account, order | {"ordType": "market"}, Faults())
        trigger = {"ordType": "trigger", "triggerPx": "30000", "orderPx": "-1"}
        waiting = place_algo(self.account, order | trigger)
        self.order: Order = self.account.ledger.orders[placed["ordId"]]
        self.algo: Order = self.account.ledger.orders[waiting["algoId"]]
        self.fill: Fill = self.account.ledger.fills[0]

    def rows(self) -> dict[str, dict[str, Any]]:
        """One row of every kind."""
        account = self.account
        position = account.ledger.open_positions()[0]
        balance = balance_body(account)
        return {
            "order": order_row(account, self.order),
            "pushed order": order_push(account, self.order, "fill", self.fill),
            "algo": algo_row(account, self.algo),
            "fill": fill_row(account, self.fill),
            "position": position_row(account, position),
            "balance": balance,
            "detail": balance["details"][0],
            "pushed detail": pushed_balance(account, None)["details"][0],
            "config": config_row(account),
            "bill": bills(account)[0],
            "instrument": self.server.venue.listing()[0][1],
            "both": both_row(account, "filled", ["USDT"], [position])["posData"][0],
        }


PUSHED_DETAIL = set(DETAIL.split()) - {"autoLendMtAmt", "autoLendStatus", "maxSpotInUse"}
DOCUMENTED = {
    "order": set(ORDER.split()),
    "pushed order": set((ORDER + " " + PUSHED_ONLY).split()) - {"cancelSourceReason"},
    "algo": set(ALGO.split()),
    "fill": set(FILL.split()),
    "position": set(POSITION.split()),
    "balance": set(BALANCE.split()),
    "detail": set(DETAIL.split()),
    "pushed detail": PUSHED_DETAIL | {"coinUsdPrice", "maxSpotInUseAmt"},
    "config": set(CONFIG.split()),
    "bill": set(BILL.split()),
    "instrument": set(INSTRUMENT.split()),
    "both": set(BOTH_POSITION.split()),
}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_rows_have_exactly_the_documented_fields(kind: str) -> None:
    assert set(Scene().rows()[kind]) == DOCUMENTED[kind]


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_numbers_travel_as_text(kind: str) -> None:
    row = Scene().rows()[kind]
    assert {k for k, v in row.items() if isinstance(v, int | float)} <= {
        "autoLoan",
        "collateralEnabled",
        "collateralRestrict",
        "enableSpotBorrow",
        "futureSettlement",
        "instIdCode",
        "spotBorrowAutoRepay",
    }
