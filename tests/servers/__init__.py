"""Protocol servers that speak the venues' own wire formats; nothing here imports riskbot.

A server holds one `Market` (prices, instruments, phase) and one `Ledger` per API key, which is the
account's truth: tests read and move it, unmodified clients see it over REST and websockets.

    server = BinanceUsdmServer()
    ledger = server.add_account("key", "secret", balance={"USDT": Decimal(100_000)})
    await server.start()
    client = ccxt.pro.binanceusdm({"apiKey": "key", "secret": "secret", **server.ccxt_config()})
    ledger.set_position("BTCUSDT", Decimal(1), Decimal(40_000))    # a state, without any event
    server.market.set_price("BTCUSDT", Decimal(39_000))            # frames, triggers, fills
    server.faults.add("reply_lost", match={"order": True})         # see faults.KINDS
    server.market.phase = "cancel_only"
    assert len(server.orders_received()) == 1
    await server.stop()                                            # start() returns on this port

`python -m tests.servers.<name>` runs one alone, steered over its /control route (control.py).
"""
