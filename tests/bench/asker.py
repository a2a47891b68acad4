"""A strategy as a process of its own: `python -m tests.bench.asker URL TOKEN ROUNDS`.

Asks for checks one after the other, gives each back, and prints the ms of every check as JSON.
"""

from __future__ import annotations

import json
import sys
import time

from riskbot.client import Client


def main(url: str, token: str, rounds: int) -> None:
    """Ask, and print what it took."""
    found = []
    client = Client(token, url)
    for _ in range(rounds):
        started = time.perf_counter()
        answer = client.check("main", "BTC/USDT:USDT", "buy", "0.001")
        found.append((time.perf_counter() - started) * 1e3)
        client.cancel(str(answer.client_order_id))
    client.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
