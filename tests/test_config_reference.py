"""The reference, the smallest files, the page of limits and the models say the same."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from riskbot.config import load, shipped_sectors
from riskbot.config.docs import render, render_scenarios
from riskbot.config.models import OrdersConfig, Root
from riskbot.config.shape import Key, keys
from riskbot.core.limits import LIMITS, Limit
from riskbot.core.limits.presets import preset_limits
from riskbot.core.scenarios import parse_scenario
from tests.config_files import MINIMAL, limits_of, secret

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "config" / "riskbot.yaml"


def secret_files(data: Any) -> Iterator[str]:
    """Names of every secret file a document asks for."""
    if isinstance(data, dict):
        for key, value in data.items():
            if str(key).endswith("_file") and isinstance(value, str):
                yield value
            yield from secret_files(value)
    elif isinstance(data, list):
        for item in data:
            yield from secret_files(item)


def installed(source: Path, directory: Path) -> Path:
    """Copy a file and make up the secrets it names."""
    for name in secret_files(yaml.safe_load(source.read_text())):
        # Each another one: no two who ask may show the same.
        made = hashlib.sha256(name.encode()).hexdigest()
        secret(directory, name, "JBSWY3DPEHPK3PXP" if name in {"s", "totp.secret"} else made)
    return Path(shutil.copy(source, directory / "riskbot.yaml"))


def test_reference_when_loaded_has_no_fault(tmp_path: Path) -> None:
    config = load(installed(REFERENCE, tmp_path), {})
    assert {w.partition(":")[0] for w in config.warnings} <= {
        "http.investor_token",
        "notify.0.url",
        "strategies",
        "telegram.totp_secret",
    }


def missing(data: Any, model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Keys of the models that a document does not show, not even in a comment."""
    text = REFERENCE.read_text()
    for key in keys(model):
        below = next((data[form] for form in key.forms if form in data), None)
        where = f"{path}{key.name}"
        if not any(form in data for form in key.forms):
            if not any(f"# {form}: " in text for form in key.forms):
                yield where
        elif key.section is not None and key.section.__name__ != "OrdersConfig":
            for item in items(key, below):
                yield from missing(item, key.section, f"{where}.")


def items(key: Key, below: Any) -> list[Any]:
    if key.kind == "section":
        return [below]
    return list(below.values()) if isinstance(below, dict) else list(below)


def test_reference_shows_every_key_of_the_models() -> None:
    data = yaml.safe_load(REFERENCE.read_text())
    assert list(missing(data, Root)) == []
    assert set(data["portfolio"]["orders"]) == set(OrdersConfig.model_fields)


def test_reference_shows_every_limit_and_every_field() -> None:
    text = REFERENCE.read_text()
    shown = yaml.safe_load(text)["portfolio"]["limits"]
    assert list(shown) == [limit.name for limit in LIMITS]
    for limit in LIMITS:
        for field in limit.model_fields:
            assert f"{field}:" in text or f" {field}" in text, f"{limit.name}.{field}"


def test_reference_when_it_says_a_limit_says_what_the_preset_does() -> None:
    shown = yaml.safe_load(REFERENCE.read_text())["portfolio"]["limits"]
    preset = preset_limits("leveraged", has_hedges=False, venues=1)
    assert {name for name, fields in shown.items() if fields is not False} == set(preset)
    by_name = {limit.name: limit for limit in LIMITS}
    levels = dict.fromkeys(("yellow", "orange"))
    for name, fields in preset.items():
        cls = by_name[name]
        said, meant = cls(**shown[name]).model_dump(), cls(**fields).model_dump()
        assert {**said, **levels} == {**meant, **levels}


def test_reference_when_it_states_a_default_states_the_models() -> None:
    data = yaml.safe_load(REFERENCE.read_text())
    root = Root.model_validate(MINIMAL)
    assert data["monitor"] == root.monitor.model_dump()
    assert data["retention_days"] == root.retention_days.model_dump()
    assert data["portfolio"]["orders"] == root.portfolio.orders.model_dump()
    for key in ("assume_stop", "clear_for_s", "max_depth_share", "peak_usd", "capital"):
        assert data["portfolio"][key] == getattr(root.portfolio, key)
    main = data["accounts"]["main"]
    for key in ("spot", "exclusive", "deny_by_cancel", "cancel_rogue", "allow_withdraw_keys"):
        assert main[key] == getattr(root.accounts["main"], key)


@pytest.mark.parametrize("name", ["binance", "bybit", "okx", "paper"])
def test_minimal_file_when_loaded_has_neither_fault_nor_warning(tmp_path: Path, name: str) -> None:
    file = ROOT / "config" / f"minimal-{name}.yaml"
    config = load(installed(file, tmp_path), {"STATE_DIRECTORY": "/x"}, for_run=True)
    assert config.warnings == ()


def test_page_of_limits_is_what_the_models_say() -> None:
    page = (ROOT / "docs" / "limits.md").read_text()
    assert page == render(), "run: python -m riskbot.config --docs docs/limits.md"


def test_page_of_scenarios_lists_those_that_ship_and_every_field() -> None:
    page = (ROOT / "docs" / "scenarios.md").read_text()
    assert render_scenarios() in page, "run: python -m riskbot.config --scenarios"


def test_scenario_on_the_page_is_one_that_loads() -> None:
    page = (ROOT / "docs" / "scenarios.md").read_text()
    example = page.partition("```yaml\n")[2].partition("```")[0]
    faults: list[str] = []
    scenario = parse_scenario({"name": "example", **yaml.safe_load(example)}, faults)
    assert scenario is not None, faults
    assert scenario.shock_of("UNI", "defi") == (-0.5, "sector:defi")


def test_page_of_limits_describes_every_key_and_field() -> None:
    rows = [line.split(" | ") for line in render().splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows if row[-1].strip(" |") == ""] == []
    text = render()
    for limit in LIMITS:
        assert f"| `{limit.name}` |" in text
        for field in set(limit.model_fields) - set(Limit.model_fields):
            assert f"| `{limit.name}` | `{field}` |" in text


def test_sector_map_covers_the_data_and_the_well_known() -> None:
    sectors = shipped_sectors()
    known = (
        "PEPE AAVE ADA APT ARB ATOM AVAX AXS BCH BNB BTC COMP CRV DOGE DOT ENA ETC ETH FIL GALA "
        "GRT ICP INJ LDO LINK LTC NEAR OP SAND SHIB SOL SUI TIA TON TRX UNI WIF XLM XRP"
    ).split()
    assert [name for name in known if name not in sectors] == []
    assert len(known) == 39
    assert len(sectors) >= 139
    assert not {"USDT", "USDC", "DAI"} & set(sectors)


# The file of the public contract, with names for its ellipses.
CONTRACT = """
instance: vps-1
mode: shadow
timezone: UTC
state_dir: /var/lib/riskbot
startup_breach: ask
accounts:
  main:
    exchange: binanceusdm
    api_key_file: main.key
    api_secret_file: main.secret
    markets: [linear]
    ccxt: {}
    spot: hold
    instruments: []
    exclusive: false
    deny_by_cancel: false
    cancel_rogue: false
    allow_withdraw_keys: false
    dead_man: {policy: off, timeout_s: 60}
    limits: {leverage: {max: 3}}
portfolio:
  preset: leveraged
  capital: equity
  off_exchange: {usd: 0, assets: {}}
  limits:
    gross_exposure: {max: 2.0, on_breach: reduce, within_s: 60, on_approach: [scale, throttle]}
    drawdown: {max: 0.15, on_breach: flatten, latch: true}
    trades_per_day: off
  sectors: {layer1: [BTC, ETH, SOL], defi: [AAVE, UNI], memes: [DOGE]}
  groups: {majors: [BTC, ETH]}
  hedges: {BTC: {account: main, instrument: BTC/USDT:USDT, max_usd: 50000}}
  assume_stop: 0.10
  orders: {max_trade: 0.10, max_trade_risk: 0.02, price_collar: 0.03, max_order_value: null,
           max_order_quantity: {}, order_rate: 60, duplicate_window_s: 0, require_stop: false}
  pairs: []
  peak_usd: null
monitor: {price_move: 0.02, price_stale_s: 5, account_stale_s: 15, reconcile_s: 10}
http: {listen: 127.0.0.1:8700, viewer_token_file: v, operator_token_file: o,
       admin_token_file: a, investor_token_file: i}
gateway: {strategies: {grid: {token_file: g, accounts: [main], capital_usd: 20000,
                              limits: {gross_exposure: {max: 0.5}}, orders: {max_trade: 0.05}}}}
telegram: {token_file: t, api_base_url: https://api.telegram.org,
           users: {123456789: admin, 987654321: viewer}, groups: [-1001234], totp_secret_file: s,
           quiet_hours: "22:00-07:00"}
notify: [{url: "ntfy://...", min_level: orange}]
webhooks: [{url: "https://example.org", secret_file: w}]
strategies: [{freqtrade: {url: http://127.0.0.1:8080, username: u, password_file: p}}]
mqtt: {host: 127.0.0.1, port: 1883, username: riskbot, password_file: m, tls: false,
       topic_prefix: riskbot}
heartbeat_url: null
retention_days: {observations: 30, decisions: 3650}
scenarios_dir: null
"""


def test_file_of_the_contract_when_loaded_has_no_fault(tmp_path: Path) -> None:
    source = tmp_path / "contract.yaml"
    source.write_text(CONTRACT)
    core = load(installed(source, tmp_path), {}).core()
    assert core.strategies["grid"].orders.max_trade == 0.05
    assert core.strategies["grid"].orders.price_collar == 0.03
    assert "trades_per_day" not in set(limits_of(core, "portfolio"))
