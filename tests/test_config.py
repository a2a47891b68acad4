"""What a file says becomes settings; what is wrong with it is told in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riskbot.config import find_state_dir, load, load_accounts
from riskbot.core.model import Mode, Response
from riskbot.core.settings import HedgeSettings, OrderRules, PairLeg, PairSettings
from riskbot.errors import ConfigError
from tests.config_files import (
    MINIMAL,
    account,
    faults_of,
    limits_of,
    loaded,
    portfolio,
    with_,
    write,
)

LEG = {"account": "main", "instrument": "BTC/USDT:USDT"}
HEDGE = {"BTC": {**LEG, "max_usd": 50_000}}
HOLDER = "portfolio: {preset: holder}\n"
TOKEN = "5f0e2c91b7d84a63" * 4
GRID = {"token": TOKEN, "accounts": ["main"]}


def bot(**fields: str) -> dict[str, dict[str, str]]:
    """Return an entry of a freqtrade bot."""
    login = {"url": "http://127.0.0.1:8080", "username": "u", "password": "p"}
    return {"freqtrade": {**login, **fields}}


def test_load_when_file_is_minimal_takes_every_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, MINIMAL)
    core = config.core()
    assert core.mode is Mode.SHADOW
    assert (core.timezone, core.startup_breach, core.capital) == ("UTC", "ask", "equity")
    assert core.monitor.price_stale_s == 5.0
    assert core.accounts["main"].orders == core.orders == OrderRules()
    assert core.sectors["BTC"] == "layer1"
    assert set(limits_of(core, "account:main")) == {
        "maintenance_margin",
        "liquidation_distance",
    }
    assert config.state_dir == tmp_path / "state"
    assert config.socket_path == tmp_path / "state" / "riskbot.sock"
    assert config.warnings == ()


FULL: dict[str, Any] = {
    "instance": "vps-1",
    "mode": "enforce",
    "timezone": "Europe/Berlin",
    "startup_breach": "act",
    "accounts": {
        "main": {
            "exchange": "paper",
            "spot": "trade",
            "instruments": ["BTC/USDT:USDT"],
            "exclusive": True,
            "cancel_rogue": True,
            "deny_by_cancel": True,
            "dead_man": {"policy": "all", "timeout_s": 90},
            "orders": {"max_trade": 0.5},
            "limits": {"leverage": {"max": 3}},
        }
    },
    "portfolio": {
        "preset": "market_neutral",
        "capital": "fixed",
        "capital_usd": 1000,
        "off_exchange": {"usd": 5, "assets": {"BTC": 0.5}},
        "sectors": {"mine": ["BTC"]},
        "groups": {"majors": ["BTC", "ETH"]},
        "hedges": HEDGE,
        "assume_stop": 0.2,
        "orders": {"max_trade": 0.2, "price_collar": False, "order_rate": "off"},
        "pairs": [{"name": "basis", "legs": [LEG, {**LEG, "instrument": "BTC/USDT"}]}],
        "limits": {"underlying_concentration": {"max": 0.1, "gross_floor": 0.5}},
        "peak_usd": 7,
        "initial_capital_usd": 6,
        "clear_for_s": 1,
        "max_depth_share": 0.5,
    },
    "monitor": {"price_move": 0.05, "reconcile_s": 20},
    "gateway": {"strategies": {"grid": {**GRID, "capital_usd": 9, "orders": {}}}},
}


def test_core_when_everything_is_set_carries_it_over(tmp_path: Path) -> None:
    core = loaded(tmp_path, FULL).core()
    main = core.accounts["main"]
    assert (core.instance, core.mode, core.timezone) == ("vps-1", Mode.ENFORCE, "Europe/Berlin")
    assert (main.spot, main.instruments) == ("trade", ("BTC/USDT:USDT",))
    assert (main.exclusive, main.cancel_rogue, main.deny_by_cancel) == (True, True, True)
    assert (main.dead_man.policy, main.dead_man.timeout_s) == ("all", 90)
    assert (core.capital, core.capital_usd, core.off_exchange_usd) == ("fixed", 1000, 5)
    assert core.off_exchange_assets == {"BTC": 0.5}
    assert (core.sectors["BTC"], core.sectors["ETH"]) == ("mine", "layer1")
    assert core.groups == {"majors": ("BTC", "ETH")}
    assert core.hedges == {"BTC": HedgeSettings("main", "BTC/USDT:USDT", 50_000)}
    legs = (PairLeg("main", "BTC/USDT:USDT"), PairLeg("main", "BTC/USDT"))
    assert core.pairs == (PairSettings("basis", legs),)
    assert core.orders == OrderRules(max_trade=0.2, price_collar=None, order_rate=None)
    assert main.orders == OrderRules(max_trade=0.5, price_collar=None, order_rate=None)
    assert core.strategies["grid"].orders == core.orders
    assert (core.strategies["grid"].accounts, core.strategies["grid"].capital_usd) == (("main",), 9)
    assert (core.assume_stop, core.gross_floor, core.clear_for_s) == (0.2, 0.5, 1)
    assert (core.peak_usd, core.initial_capital_usd, core.max_depth_share) == (7, 6, 0.5)
    assert (core.monitor.price_move, core.monitor.reconcile_s) == (0.05, 20)
    by_name = limits_of(core, "portfolio")
    assert by_name["net_exposure"].on_breach is Response.HEDGE
    assert "leverage" in set(limits_of(core, "account:main"))


# content, what one fault begins with, what it holds
FAULTS: list[tuple[dict[str, Any], str, str]] = [
    (with_(instnace="x"), "instnace", "no such key; did you mean `instance`?"),
    (account(api_kee_file="x"), "accounts.main.api_kee_file", "did you mean `api_key_file`?"),
    (with_(instance="a b"), "instance", "must look like a name"),
    (with_(mode="enforced"), "mode", "'shadow', 'enforce', is 'enforced'"),
    (with_(timezone="Mars/Base"), "timezone", "no such IANA zone, is 'Mars/Base'"),
    (with_(timezone="../../etc"), "timezone", "no such IANA zone"),
    (with_(monitor={"price_stale_s": "5"}), "monitor.price_stale_s", "must be a number, is '5'"),
    (with_(monitor={"price_move": 2}), "monitor.price_move", "written 0.02, not 2"),
    (with_(monitor={"reconcile_s": 0}), "monitor.reconcile_s", "at least 1, is 0"),
    (with_(monitor=5), "monitor", "must be a mapping of keys, is a number"),
    (with_(retention_days={"decisions": 1.5}), "retention_days.decisions", "a whole number"),
    (with_(accounts={}), "accounts", "needs at least 1"),
    (with_(accounts={"a|b": {"exchange": "paper"}}), "accounts.a|b", "cannot be a name here"),
    (account(exchange="bonance"), "accounts.main.exchange", "did you mean `binance`?"),
    (account(exchange=5), "accounts.main.exchange", "must be text"),
    (account(exchange="bybit"), "accounts.main.api_key", "is missing (give api_key, api_key_file"),
    (account(markets=["swap"]), "accounts.main.markets.0", "is 'swap'"),
    (account(spot="sell"), "accounts.main.spot", "'hold', 'trade', is 'sell'"),
    (account(instruments=["BTCUSDT"]), "accounts.main.instruments.0", "BTC/USDT:USDT"),
    (account(exclusive="yes"), "accounts.main.exclusive", "must be true or false, is 'yes'"),
    (account(cancel_rogue=True), "accounts.main.cancel_rogue", "needs `exclusive: true`"),
    (account(limits={"x": {}}), "accounts.main.limits.x", "no such limit"),
    (account(limits=[1]), "accounts.main.limits", "must be a mapping, is a list"),
    (with_(portfolio={}), "portfolio.preset", "is missing"),
    ({"accounts": MINIMAL["accounts"]}, "portfolio", "is missing"),
    (portfolio(preset="brave"), "portfolio.preset", "is 'brave'"),
    (portfolio(capital="fixed"), "portfolio.capital_usd", "is missing"),
    (portfolio(capital_usd=5), "portfolio.capital_usd", "with `capital: fixed` only"),
    (portfolio(peak_usd=-5), "portfolio.peak_usd", "must be above 0, is -5"),
    (portfolio(orders={"max_trade": 3}), "portfolio.orders.max_trade", "at most 2.5, is 3"),
    (portfolio(orders={"price_collar": 3}), "portfolio.orders.price_collar", "written 0.03, not 3"),
    (portfolio(sectors={"a": ["X"], "b": ["X"]}), "portfolio.sectors.b", "in sector a already"),
    (portfolio(limits={"daily_loss": {"max": 3}}), "portfolio.limits.daily_loss.max", "0.03, not"),
    (portfolio(hedges={"BTC": LEG}), "portfolio.hedges.BTC.max_usd", "is missing"),
    (
        portfolio(hedges={"BTC": {**HEDGE["BTC"], "account": "mian"}}),
        "portfolio.hedges.BTC.account",
        "no such account, is 'mian'; did you mean `main`?",
    ),
    (
        portfolio(hedges={"BTC": {**HEDGE["BTC"], "instrument": "BTC/USDT"}}),
        "portfolio.hedges.BTC.instrument",
        "must be a perpetual or future",
    ),
    (
        portfolio(hedges={**HEDGE, "ETH": HEDGE["BTC"]}),
        "portfolio.hedges.ETH.instrument",
        "hedges BTC already",
    ),
    (
        {
            **account(instruments=["ETH/USDT:USDT"]),
            "portfolio": portfolio(hedges=HEDGE)["portfolio"],
        },
        "portfolio.hedges.BTC.instrument",
        "not among accounts.main.instruments",
    ),
    (
        portfolio(limits={"net_exposure": {"max": 0.1, "on_breach": "hedge"}}),
        "portfolio.limits.net_exposure.on_breach",
        "needs an entry in portfolio.hedges",
    ),
    (portfolio(pairs=[{"name": "a", "legs": [LEG]}]), "portfolio.pairs.0.legs", "at least 2"),
    (
        portfolio(pairs=[{"name": "a", "legs": [LEG, LEG]}, {"name": "a", "legs": [LEG, LEG]}]),
        "portfolio.pairs.1.name",
        "given twice",
    ),
    (
        portfolio(pairs=[{"name": "a", "legs": [LEG, {**LEG, "account": "x"}]}]),
        "portfolio.pairs.0.legs.1.account",
        "no such account, is 'x'",
    ),
    (with_(http={"listen": 8700}), "http.listen", "must be text"),
    (with_(http={"listen": "8700"}), "http.listen", "must look like host:port"),
    (with_(http={"listen": "127.0.0.1:70000"}), "http.listen", "must have a port of 1 to 65535"),
    (with_(http={"listen": "0.0.0.0:8700"}), "http.listen", "open to the network"),
    (with_(http={"listen": "trader.example:8700"}), "http.listen", "must be an IP address"),
    (with_(http={"admin_token": "a1b2c3d4" * 3}), "http.admin_token", "is too weak"),
    (with_(http={"admin_token": "a" * 80}), "http.admin_token", "is too weak"),
    (with_(http={"admin_token": "a b" + TOKEN}), "http.admin_token", "a header cannot carry"),
    (
        with_(http={"viewer_token": TOKEN}, gateway={"strategies": {"g": GRID}}),
        "gateway.strategies.g.token",
        "is the same as http.viewer_token",
    ),
    (
        with_(gateway={"strategies": {"g": {"token": "a"}}}),
        "gateway.strategies.g.accounts",
        "missi",
    ),
    (
        with_(gateway={"strategies": {"g": {"accounts": ["main"]}}}),
        "gateway.strategies.g.token",
        "is missing",
    ),
    (
        with_(gateway={"strategies": {"g": {**GRID, "accounts": ["x"]}}}),
        "gateway.strategies.g.accounts",
        "no such account",
    ),
    (
        with_(gateway={"strategies": {"g": {**GRID, "limits": {"gross_exposure": {"max": 1}}}}}),
        "gateway.strategies.g.limits.gross_exposure",
        "gateway.strategies.g.capital_usd is needed",
    ),
    (
        with_(
            gateway={
                "strategies": {
                    "g": {**GRID, "limits": {"trades_per_day": {"max": 1, "on_breach": "flatten"}}},
                    "h": {**GRID, "token": TOKEN[::-1]},
                }
            }
        ),
        "gateway.strategies.g.limits.trades_per_day.on_breach",
        "other strategies trade on main too",
    ),
    (with_(telegram={"users": {1: "admin"}}), "telegram.token", "is missing"),
    (with_(telegram={"token": "a", "users": {"bob": "admin"}}), "telegram.users.bob", "whole num"),
    (with_(telegram={"token": "a", "users": {1: "boss"}}), "telegram.users.1", "is 'boss'"),
    (
        with_(telegram={"token": "a", "users": {1: "admin"}, "quiet_hours": "22-7"}),
        "telegram.quiet_hours",
        "HH:MM",
    ),
    (with_(notify=[{"min_level": "red"}]), "notify.0.url", "is missing"),
    (with_(webhooks=[{"url": "ftp://x"}]), "webhooks.0.url", "must look like http:// or https://"),
    (with_(strategies=[{}]), "strategies.0", "is empty"),
    (
        with_(strategies=[{"freqtrade": {"url": "http://a", "username": "u"}}]),
        "strategies.0.freqtrade.password",
        "is missing",
    ),
    (with_(strategies=[bot(scope="main")]), "strategies.0.freqtrade.scope", "is 'main'"),
    (with_(strategies=[bot(scope="account:x")]), "strategies.0.freqtrade.scope", "x"),
    (
        with_(strategies=[bot(scope="strategy:x")]),
        "strategies.0.freqtrade.scope",
        "'x' is not in gateway.strategies",
    ),
    (
        with_(strategies=[bot(), bot(url="http://127.0.0.1:8080/")]),
        "strategies.1.freqtrade.url",
        "is given twice",
    ),
    (with_(mqtt={"port": 99999}), "mqtt.port", "at most 65535, is 99999"),
    (with_(mqtt={"topic_prefix": "a/#"}), "mqtt.topic_prefix", "no wildcards, no empty level"),
    (with_(mqtt={"topic_prefix": "$SYS"}), "mqtt.topic_prefix", "is '$SYS'"),
    (with_(mqtt={"topic_prefix": "a//b"}), "mqtt.topic_prefix", "is 'a//b'"),
    (with_(mqtt={"host": "mqtt://x"}), "mqtt.host", "a host name or an address, is 'mqtt://x'"),
]


@pytest.mark.parametrize(("content", "key", "part"), FAULTS)
def test_load_when_a_value_is_wrong_names_key_value_and_line(
    tmp_path: Path, content: dict[str, Any], key: str, part: str
) -> None:
    (fault,) = [f for f in faults_of(tmp_path, content) if f.startswith(f"{key}: ")]
    assert part in fault


def test_load_when_one_value_is_wrong_tells_nothing_else(tmp_path: Path) -> None:
    for content, key, _ in FAULTS:
        if "bybit" not in str(content):
            assert [f.partition(": ")[0] for f in faults_of(tmp_path, content)] == [key]


def test_load_when_many_values_are_wrong_tells_all_at_once(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path,
        """
        instnace: x
        timezone: Nowhere
        accounts:
          main: {exchange: paper, cancel_rogue: true, spot: 5, markets: [linear, 7]}
          other: text
        portfolio:
          preset: brave
          limits: {gross_exposure: {max: -1}, dayly_loss: off}
          pairs: [{name: a, legs: 5}, 7]
          hedges: {BTC: {account: x, instrument: BTC/USDT:USDT, max_usd: 1}}
        telegram: 123:ABC
        """,
    )
    assert {fault.partition(": ")[0] for fault in faults} == {
        "instnace",
        "timezone",
        "accounts.main.cancel_rogue",
        "accounts.main.spot",
        "accounts.main.markets.1",
        "accounts.other",
        "portfolio.preset",
        "portfolio.limits.gross_exposure.max",
        "portfolio.limits.dayly_loss",
        "portfolio.pairs.0.legs",
        "portfolio.pairs.1",
        "portfolio.hedges.BTC.account",
        "telegram",
    }
    assert "ABC" not in "".join(faults)
    assert "timezone: no such IANA zone, is 'Nowhere' (as in Europe/Berlin) (line 3)" in faults


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "is no mapping of keys"),
        ("a: [1\nb: 2\n", "is no YAML: line 2"),
        ("a: 1\n\tb: 2\n", "is no YAML: line 2, column 1"),
        ("mode: shadow\nmode: enforce\n", "mode: given twice (lines 1 and 2)"),
        ("a: !!python/object:os.system {}\n", "is no YAML"),
        ("a: \x00\n", "is no YAML"),
        ("# " + "x" * 1_000_001, "larger than"),
    ],
)
def test_load_when_file_is_no_configuration_says_where(
    tmp_path: Path, text: str, part: str
) -> None:
    assert part in faults_of(tmp_path, text)[0]


def test_load_when_duplicate_key_stands_deep_is_refused(tmp_path: Path) -> None:
    text = "accounts: {main: {exchange: paper, spot: hold, spot: trade}}\n" + HOLDER
    (fault,) = faults_of(tmp_path, text)
    assert fault.startswith("accounts.main.spot: given twice (lines 1 and 1)")


def test_load_when_file_is_not_there_or_no_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*No such file"):
        load(tmp_path / "none.yaml", {})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="no UTF-8 text"):
        load(tmp_path / "binary.yaml", {})


@pytest.mark.parametrize("word", [False, "off"])
def test_load_when_off_is_given_anywhere_means_off(tmp_path: Path, word: object) -> None:
    config = loaded(
        tmp_path,
        with_(
            accounts={"main": {"exchange": "paper", "dead_man": {"policy": word}, "limits": word}},
            portfolio={
                "preset": "leveraged",
                "limits": {"trades_per_day": word},
                "orders": {"max_trade_risk": word},
            },
        ),
    )
    core = config.core()
    assert core.accounts["main"].dead_man.policy == "off"
    assert core.orders.max_trade_risk is None
    assert "trades_per_day" not in set(limits_of(core, "portfolio"))


def test_load_when_section_is_written_but_empty_takes_defaults(tmp_path: Path) -> None:
    config = loaded(
        tmp_path, "accounts: {main: {exchange: paper}}\nportfolio: {preset: holder}\nmonitor:\n"
    )
    assert config.core().monitor.price_stale_s == 5.0


def test_state_dir_when_relative_is_beside_the_file(tmp_path: Path) -> None:
    assert loaded(tmp_path, with_(state_dir="here")).state_dir == tmp_path / "here"
    assert loaded(tmp_path, with_(state_dir="/var/lib/x")).state_dir == Path("/var/lib/x")
    assert loaded(tmp_path, MINIMAL, STATE_DIRECTORY="/run/s:/run/t").state_dir == Path("/run/s")


def test_run_when_systemd_gives_a_state_directory_wants_it_in_the_file(tmp_path: Path) -> None:
    env = {"STATE_DIRECTORY": "/var/lib/riskbot"}
    with pytest.raises(ConfigError, match="write `state_dir: /var/lib/riskbot`"):
        load(write(tmp_path, MINIMAL), env, for_run=True)
    file = write(tmp_path, with_(state_dir="/var/lib/riskbot"))
    assert load(file, env, for_run=True).state_dir == Path("/var/lib/riskbot")
    assert load(write(tmp_path, MINIMAL), {}, for_run=True).state_dir == tmp_path / "state"


@pytest.mark.parametrize(
    ("exchange", "missing"),
    [("okx", ["api_password"]), ("hyperliquid", ["wallet_address", "private_key"])],
)
def test_run_when_exchange_needs_other_credentials_names_them(
    tmp_path: Path, exchange: str, missing: list[str]
) -> None:
    file = write(tmp_path, account(exchange=exchange, api_key="k", api_secret="s"))
    with pytest.raises(ConfigError) as caught:
        load(file, {}, for_run=True)
    keys = [fault.partition(":")[0] for fault in caught.value.faults]
    assert sorted(keys) == sorted(f"accounts.main.{key}" for key in missing)


def test_load_accounts_when_other_keys_are_wrong_still_returns_the_usable(tmp_path: Path) -> None:
    keys = {"exchange": "bybit", "api_key": "k", "api_secret": "s"}
    content = {
        "accounts": {
            "good": {**keys, "limits": {"nonsense": {}}},
            "keyless": {"exchange": "bybit", "api_key_file": "none.key", "api_secret": "s"},
            "typo": {**keys, "exchnge": "x"},
            "odd": 5,
        },
        "portfolio": {"preset": "brave"},
    }
    accounts, faults = load_accounts(write(tmp_path, content), {})
    assert set(accounts) == {"good"}
    assert {fault.partition(":")[0] for fault in faults} == {
        "accounts.keyless.api_key_file",
        "accounts.typo.exchnge",
        "accounts.odd",
    }
    with pytest.raises(ConfigError):
        load_accounts(write(tmp_path, "[]"), {})


def test_find_state_dir_when_file_has_faults_still_finds_it(tmp_path: Path) -> None:
    file = write(tmp_path, "state_dir: here\nmode: nonsense\naccounts: 5\n")
    assert find_state_dir(file, {}) == tmp_path / "here"
    assert find_state_dir(write(tmp_path, "state_dir: 5\n"), {}) == tmp_path / "state"
    with pytest.raises(ConfigError):
        find_state_dir(tmp_path / "none.yaml", {})


def test_warnings_when_parts_are_not_built_or_cannot_work_name_them(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        with_(
            accounts={"main": {"exchange": "paper"}},
            portfolio={"preset": "market_neutral", "limits": {"value_at_risk": {"max": 0.1}}},
            mqtt={"host": "broker"},
            telegram={"token": "1:a"},
        ),
    )
    keys = [warning.partition(":")[0] for warning in config.warnings]
    assert keys == [
        "telegram.users",
        "telegram.totp_secret",
        "mqtt.tls",
        "mqtt.username",
        "accounts.main.spot",
    ]


def test_hash_when_meaning_changes_changes_and_secrets_do_not_count(tmp_path: Path) -> None:
    def of(**fields: Any) -> str:
        return loaded(tmp_path, account(exchange="bybit", **fields)).hash

    base = of(api_key="one", ccxt={"secret": "x", "hostname": "h"})
    assert base == of(api_key="two", ccxt={"secret": "y", "hostname": "h"})
    assert base != of(api_key="one", ccxt={"secret": "x", "hostname": "other"})
    assert base != of(api_key="one", ccxt={"secret": "x", "hostname": "h"}, spot="trade")
    assert len(base) == 16


def test_door_that_is_open_to_the_network_is_warned_of(tmp_path: Path) -> None:
    http = {"listen": "[::]:8700", "admin_token": TOKEN, "investor_token": TOKEN[::-1]}
    config = load(write(tmp_path, with_(http=http), mode=0o600))
    assert [w.partition(": ")[0] for w in config.warnings] == ["http.listen", "http.investor_token"]
    near = {"listen": "[::1]:8700", "admin_token": TOKEN}
    assert load(write(tmp_path, with_(http=near), mode=0o600)).warnings == ()


def test_users_of_every_door_reach_the_core(tmp_path: Path) -> None:
    config = load(
        write(
            tmp_path,
            with_(
                telegram={"token": "1:a", "users": {7: "viewer", 8: "admin"}},
                http={"operator_token": TOKEN},
                mqtt={"commands": {"desk": {"secret": "s" * 40}}},
            ),
            mode=0o600,
        )
    )
    found = {(user.door, user.name, user.role.value) for user in config.core().users}
    assert found == {
        ("telegram", "7", "viewer"),
        ("telegram", "8", "admin"),
        ("http", "operator token", "operator"),
        ("mqtt", "desk", "operator"),
    }
    assert load(write(tmp_path, with_())).core().users == ()
