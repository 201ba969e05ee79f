"""Every fault is reported, all of them at once, with its path and what is allowed; nothing else is ever raised."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.config import Config, ConfigError, ExitPolicy, FillModel, load_config, parse_config
from trio_grid.config.loading import structure
from trio_grid.domain.settings import Mode, OnLimit, Spacing, Trailing

SMALLEST = """
[grid]
symbol = "BTCUSDT"
interval = 30
[size]
quote_per_level = 200
"""


def faults_of(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, overrides)
    return caught.value.faults


def fault_of(*overrides: str) -> str:
    (fault,) = faults_of(SMALLEST, *overrides)
    return fault


def test_the_smallest_configuration_fills_the_rest_with_defaults() -> None:
    config = parse_config(SMALLEST)
    assert config.grid.mode is Mode.LONG
    assert config.grid.spacing is Spacing.ARITHMETIC
    assert config.grid.trailing is Trailing.BOTH
    assert config.grid.interval == Decimal(30)
    assert config.limits.on_limit is OnLimit.REDUCE
    assert config.limits.on_stop_loss is OnLimit.FLATTEN
    assert config.exit.policy is ExitPolicy.CANCEL_OPENING
    assert config.paper.fill_model is FillModel.QUEUE
    assert config.journal.path == Path("var/journal.sqlite3")


def test_all_faults_of_all_sections_are_reported_at_once() -> None:
    faults = faults_of(
        """
        [exchange]
        kind = "papper"
        [grid]
        levels = 0
        mode = "up"
        interval = "5"
        [size]
        quote_per_level = -1
        [risk]
        price_stale_s = 0.5
        [exits]
        policy = "keep"
        """,
        "limits.max_open_orders=3.9",
        "nonsense",
    )
    assert faults == (
        "--set: an override has no key; allowed: section.key=value, such as grid.interval=5",
        '$.exchange.kind: "papper" is refused; allowed: "paper" or "binance-usdm"',
        "$.grid.symbol: is missing; allowed: a text, a symbol such as BTCUSDT, in capitals",
        '$.grid.mode: "up" is refused; allowed: "long", "short" or "neutral"',
        '$.grid.interval: "5" is refused; allowed: a number, above 0',
        "$.grid.levels: 0 is refused; allowed: a whole number, at least 1, at most 10000",
        "$.size.quote_per_level: -1 is refused; allowed: a number, above 0",
        "$.limits.max_open_orders: 3.9 is refused; allowed: a whole number, at least 2, at most 10000",
        "$.risk.price_stale_s: 0.5 is refused; allowed: a number of seconds, at least 1, at most 86400",
        "$.exits: unknown key; did you mean exit?",
    )


def test_rules_between_settings_are_reported_with_faults_of_other_settings() -> None:
    faults = faults_of(SMALLEST, "grid.interval_percent=1", "size.base_per_level=1", "grid.levels=0")
    assert [fault.partition(":")[0] for fault in faults] == [
        "$.grid.levels",
        "$.grid",
        "$.grid.interval_percent",
        "$.size",
    ]


def test_a_rule_between_settings_is_silent_about_a_setting_that_is_faulty_itself() -> None:
    assert faults_of(SMALLEST, "limits.max_notional=100", "size.quote_per_level=true") == (
        "$.size.quote_per_level: true is refused; allowed: a number, above 0",
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("grid.levels=3.0", "3.0 is refused; allowed: a whole number"),
        ("grid.levels=true", "true is refused; allowed: a whole number"),
        ('grid.levels="3"', '"3" is refused; allowed: a whole number'),
        ("size.by_volatility=1", "1 is refused; allowed: true or false"),
        ("size.by_volatility=yes", '"yes" is refused; allowed: true or false'),
        ("grid.interval=nan", "NaN is refused"),
        ("grid.interval=inf", "Infinity is refused"),
        ("grid.interval=1e400", "1E+400 is refused"),
        ("grid.interval=1e-400", "1E-400 is refused"),
        ("grid.levels=99999999999999999999999999", "a number of many digits is refused"),
        ("grid.levels=[1]", "a list is refused"),
        ("grid.levels={a=1}", "a table is refused"),
        ("grid.interval=2022-09-21", "2022-09-21 is refused"),
        ("grid.skew=0.1234", "0.1234 is refused; allowed: a number, at least 0, at most 10, at most 3 decimals"),
        ("grid.symbol=btcusdt", '"btcusdt" is refused; allowed: a text, a symbol such as BTCUSDT, in capitals'),
        ('journal.path=""', '"" is refused; allowed: the path of a file'),
        ('journal.path="a\\u0000b"', '"a\\u0000b" is refused; allowed: the path of a file'),
        ("exit.policy=cancel", 'allowed: "keep", "cancel-opening", "cancel-all" or "flatten"'),
    ],
)
def test_types_are_strict(override: str, words: str) -> None:
    fault = fault_of(override)
    assert fault.startswith(f"$.{override.partition('=')[0]}: ")
    assert words in fault


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["grid.interval_percent=1"], "$.grid: interval and interval_percent are given"),
        (["grid.spacing=geometric"], "$.grid.interval: is refused with geometric spacing"),
        (["grid.range={lower=1,upper=2,levels=3}"], "$.grid: interval and range are given"),
        (["grid.levels_below=0"], "$.grid.levels_below: 0 is refused in mode long"),
        (["grid.mode=short", "grid.levels_above=0"], "$.grid.levels_above: 0 is refused in mode short"),
        (["grid.mode=neutral", "grid.levels_above=0", "grid.levels_below=0"], "$.grid.levels_below: 0 is refused"),
        (["size.base_per_level=1"], "$.size: both are given"),
        (["limits.stop_loss=50000", "limits.take_profit=40000"], "$.limits.stop_loss: 50000 is refused"),
        (
            ["grid.mode=short", "limits.stop_loss=40000", "limits.take_profit=50000"],
            "$.limits.stop_loss: 40000 is refused; allowed: above limits.take_profit 50000 in mode short",
        ),
        (
            ["limits.max_notional=199"],
            "$.limits.max_notional: 199 is refused; allowed: at least size.quote_per_level 200",
        ),
        (["risk.klines_stale_s=64"], "$.risk.klines_stale_s: 64.0 is refused; allowed: at least 65"),
        (["exchange.key_env=KEY"], "$.exchange.key_env: is refused; allowed: only with exchange.kind"),
        (
            ["exchange.rest_url=https://example.org"],
            "$.exchange.rest_url: is refused; allowed: only with exchange.kind",
        ),
    ],
)
def test_settings_that_do_not_fit_together(overrides: list[str], fault: str) -> None:
    assert any(line.startswith(fault) for line in faults_of(SMALLEST, *overrides))


RANGE = '[grid]\nsymbol="BTCUSDT"\n[grid.range]\nlower=100\nupper=200\nlevels=10\n[size]\nbase_per_level=1\n'


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["grid.range.upper=100"], "$.grid.range.upper: 100 is refused; allowed: above grid.range.lower 100"),
        (["grid.anchor=150"], "$.grid.anchor: 150 is refused with [grid.range]"),
        (["limits.stop_loss=100"], "$.limits.stop_loss: 100 is refused; allowed: below grid.range.lower 100"),
        (
            ["grid.mode=short", "limits.stop_loss=200"],
            "$.limits.stop_loss: 200 is refused; allowed: above grid.range.upper 200",
        ),
        (
            ["limits.max_inventory=0.5"],
            "$.limits.max_inventory: 0.5 is refused; allowed: at least size.base_per_level 1",
        ),
        (["grid.range.levels=x"], '$.grid.range.levels: "x" is refused; allowed: a whole number'),
        (["grid.range=5"], "$.grid.range: 5 is refused; allowed: a table"),
    ],
)
def test_a_fixed_range_that_does_not_fit(overrides: list[str], fault: str) -> None:
    (found,) = faults_of(RANGE, *overrides)
    assert found.startswith(fault)


BINANCE = """
[exchange]
kind = "binance-usdm"
rest_url = "https://example.org"
ws_url = "wss://example.org"
ws_api_url = "wss://example.org/ws-fapi/v1"
key_env = "KEY"
secret_env = "SECRET"
[limits]
max_inventory = 1
"""


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org",
        "http://10.0.0.1",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "http://0.0.0.0:80",
        "https://user:word@example.org",
        "https://example.org/path",
        "https://example.org?a=b",
        "https://example.org#a",
        "https://example.org:99999",
        "https://exa mple.org",
        "https://[::1",
        "ftp://example.org",
        "//example.org",
        "example.org",
        "https://",
    ],
)
def test_an_address_that_is_not_safe_is_refused(address: str) -> None:
    (fault,) = faults_of(SMALLEST + BINANCE, f'exchange.rest_url="{address}"')
    assert fault.startswith("$.exchange.rest_url: ")
    assert "allowed: a text, https://HOST, or http:// for a loopback host" in fault


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("rest_url", "http://127.0.0.1:8080"),
        ("rest_url", "http://localhost:8080/"),
        ("rest_url", "http://[::1]:8080"),
        ("rest_url", "http://127.8.8.8"),
        ("ws_url", "ws://127.0.0.1:9"),
        ("ws_api_url", "ws://127.0.0.1:9/ws-fapi/v1"),
    ],
)
def test_plain_addresses_are_for_this_machine_alone(key: str, address: str) -> None:
    config = parse_config(SMALLEST + BINANCE, [f"exchange.{key}={address}"])
    assert getattr(config.exchange, key) == address


def test_a_dead_mans_switch_needs_an_exchange_at_real_speed() -> None:
    assert fault_of("exchange.countdown_cancel_s=60", "paper.speed=30") == (
        "$.exchange.countdown_cancel_s: 60 is refused with paper.speed 30; allowed: only at speed 1"
    )
    assert parse_config(SMALLEST, ["exchange.countdown_cancel_s=60"]).exchange.countdown_cancel_s == 60
    assert "allowed: " in fault_of("exchange.countdown_cancel_s=9")


def test_addresses_and_keys_are_needed_for_the_real_exchange() -> None:
    faults = faults_of(SMALLEST, "exchange.kind=binance-usdm", "exchange.key_env=KEY")
    assert [fault.partition(":")[0] for fault in faults] == [
        "$.exchange.rest_url",
        "$.exchange.ws_url",
        "$.exchange.ws_api_url",
        "$.exchange",
    ]


@given(st.text(max_size=200))
def test_no_text_leads_to_another_exception(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text)


KEYS = [*(field.name for field in attrs.fields(Config)), "symbol", "interval", "range", "levels", "lower", "kind"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(),
    st.floats(),
    st.text(max_size=5),
    st.datetimes(),
    st.lists(st.integers(), max_size=2),
)
TABLES = st.recursive(VALUES, lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=5), max_leaves=20)


@given(st.dictionaries(st.sampled_from(KEYS), TABLES, max_size=8))
def test_no_tables_lead_to_another_exception(data: dict[str, Any]) -> None:
    config, faults = structure(data)
    assert (config is None) == bool(faults)
    assert all(path.startswith("$") and words for path, words in faults)


@given(
    st.text(max_size=60), st.sampled_from(["", "grid.interval", "grid.symbol", "exchange.key_env", "journal.path", "x"])
)
def test_no_override_leads_to_another_exception(value: str, key: str) -> None:
    faults: tuple[str, ...] = ()
    config = None
    try:
        config = parse_config(SMALLEST, [f"{key}={value}"])
    except ConfigError as error:
        faults = error.faults
    assert isinstance(config, Config) or faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[grid]\nlevels 12\n", "here.toml: line 2, column 8: Expected '=' after a key in a key/value pair"),
        ('[grid]\nsymbol = "BTC', "here.toml: end of the file: Unterminated string"),
        ("a = 1\na = 2\n", "here.toml: line 2, column 6: Cannot overwrite a value"),
        (f"a = {'1' * 5000}", "here.toml: Exceeds the limit"),
        (f"a = {'[' * 5000}", "here.toml: lists or tables lie too deep in each other"),
        ("a = 1e99999999999999999999", "here.toml: the number 1e999999999999999999 is beyond all bounds"),
    ],
)
def test_bad_toml_is_told_with_its_place(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, source="here.toml")
    (found,) = caught.value.faults
    assert found.startswith(fault)


def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file or directory"):
        load_config(missing)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: its name has characters"):
        load_config(Path("a\0b"))
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# \xe9\n")
    with pytest.raises(ConfigError, match="byte 2 is not UTF-8"):
        load_config(latin)
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="this is no configuration"):
        load_config(large)


def test_a_path_may_begin_with_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_config(SMALLEST, ["journal.path=~/grid/a.sqlite3"]).journal.path == tmp_path / "grid" / "a.sqlite3"
    assert fault_of("journal.path=~nobody-of-this-name/a").startswith("$.journal.path: ")


def test_overrides_are_toml_or_bare_words() -> None:
    overrides = ["grid.interval=5.10", "grid.mode=short", 'grid.symbol="ETHUSDT"', "journal.path=a b/c-d.sqlite3"]
    config = parse_config(SMALLEST, [*overrides, "size.by_volatility=false", "grid.interval = 7"])
    assert config.grid.interval == Decimal(7)
    assert config.grid.mode is Mode.SHORT
    assert config.grid.symbol == "ETHUSDT"
    assert config.journal.path == Path("a b/c-d.sqlite3")
    assert config.size.by_volatility is False


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("grid.interval", "--set: an override has no key"),
        ("=5", "--set: an override has no key"),
        ("grid..interval=5", "--set: an override has no key"),
        ("grid.interval=", "--set grid.interval: the value is not TOML"),
        ("grid.interval=[1", "--set grid.interval: the value is not TOML"),
        ("grid.interval=1\n[x]", "--set grid.interval: more than one value is given"),
        ("grid.interval=1\nlevels=2", "--set grid.interval: more than one value is given"),
        ("grid.symbol.name=2", "--set grid.symbol.name: $.grid.symbol is no table"),
        ("grid.intervall=2", "$.grid.intervall: unknown key; did you mean interval?"),
        ("gird.interval=2", "$.gird: unknown key; did you mean grid?"),
        ("zzz=2", "$.zzz: unknown key; allowed: exchange, paper, grid, size"),
    ],
)
def test_an_override_that_means_nothing_is_refused(override: str, fault: str) -> None:
    assert fault_of(override).startswith(fault)


@pytest.mark.parametrize(
    ("mode", "trailing", "grows"),
    [
        ("long", "both", True), ("long", "down", True), ("long", "up", False), ("long", "none", False),
        ("short", "both", True), ("short", "down", False), ("short", "up", True), ("short", "none", False),
        ("neutral", "both", True), ("neutral", "down", True), ("neutral", "up", True), ("neutral", "none", False),
    ],
)  # fmt: skip
def test_a_grid_that_could_grow_without_bound_needs_a_limit_where_it_costs(
    mode: str, trailing: str, grows: bool
) -> None:
    unbounded = SMALLEST + BINANCE.partition("[limits]")[0]
    grid = (f"grid.mode={mode}", f"grid.trailing={trailing}")
    path = "$.limits.max_inventory: is missing; needed on an exchange that is not on this machine"
    if grows:
        (fault,) = faults_of(unbounded, *grid)
        assert fault.startswith(path)
        assert f'with grid.trailing = "{trailing}"' in fault
    else:
        parse_config(unbounded, grid)
    for bound in ("limits.max_inventory=1", "limits.max_notional=1000", "exchange.rest_url=http://127.0.0.1:9"):
        parse_config(unbounded, [*grid, bound])
    assert parse_config(SMALLEST, grid).limits.max_inventory is None, "the embedded exchange costs nothing"


def test_a_fixed_range_bounds_itself() -> None:
    parse_config(RANGE + BINANCE.partition("[limits]")[0])
