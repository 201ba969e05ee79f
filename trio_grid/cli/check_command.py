"""`trio-grid check CONFIG`: everything that can be checked before trading. It asks and computes; it sends no order.

The ladder is planned by the bot's own decision code on empty books, so that what is printed is what would be placed.
"""

from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path

import attrs
import trio

from trio_grid.cli.connect import Venue, open_client, venue_of
from trio_grid.cli.output import complain, say, table
from trio_grid.cli.paper_host import first_half_ticks, paper_instrument
from trio_grid.config import Config, KeyType, grid_settings, load_config
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.events import Liquidity, RegimeReading, Side, Trend, Volatility
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import Condition, ConditionChanged, Decision, LatticeAnchored, SessionStarted
from trio_grid.domain.instrument import RATE_SCALE, Instrument, PriceTicks, money_decimal
from trio_grid.domain.lattice import Lattice
from trio_grid.domain.settings import GridSettings, Mode, Trailing
from trio_grid.domain.snapshot import LadderRow, ladder
from trio_grid.errors import ConfigError, ExchangeUnreachable, RequestRefused
from trio_grid.exchange.binance.usdm_futures import UsdmFutures

ASK_TIMEOUT_S = 30.0
MAINTENANCE_RATE = Decimal("0.005")
"""Maintenance margin that the liquidation estimate assumes: the exchange's second bracket of its largest symbols."""


@attrs.frozen
class Facts:
    """What the exchange says: units, filters, fees, the price in half ticks, and the account if there is a key."""

    instrument: Instrument
    half_ticks: int
    balance: Decimal | None
    leverage: int | None
    source: str
    faults: tuple[str, ...] = ()
    order_entry: str = ""


def add_check_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `check`."""
    parser = commands.add_parser(
        "check",
        help="check a configuration before trading: faults, ladder, fees, worst case",
        description="Prints every fault of the configuration at once; then the whole ladder with each skipped level and"
        " its reason, the fees against the spacing, and the worst case if every level fills. Sends no order.",
    )
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="a TOML file (default: that of `run`)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting, such as grid.interval=5; may be given several times",
    )
    parser.set_defaults(handler=check_command)


def check_command(arguments: argparse.Namespace) -> int:
    """Check and print; return 0 when the bot could start with this, 2 when a setting or level forbids it."""
    config = load_config(arguments.config, arguments.overrides)
    venue = venue_of(config)
    facts = _paper_facts(config) if venue is None else trio.run(_ask, config, venue)
    settings = grid_settings(config, facts.instrument)
    plan = LadderPlan(settings, facts)
    say("\n".join([*_head(config, facts), "", *plan.ladder_lines(), "", *plan.fee_lines(), "", *plan.worst_lines()]))
    if plan.faults:
        for fault in plan.faults:
            complain(f"fault: {fault}")
        return ConfigError.exit_code
    say("\nno faults found")
    return 0


def _paper_facts(config: Config) -> Facts:
    instrument = paper_instrument(config)
    return Facts(
        instrument=instrument,
        half_ticks=first_half_ticks(config, instrument),
        balance=config.paper.balance,
        leverage=config.account.leverage or config.paper.leverage,
        source="the embedded paper exchange",
    )


async def _ask(config: Config, venue: Venue) -> Facts:
    async with open_client(config, venue) as client:
        with trio.move_on_after(ASK_TIMEOUT_S):
            return await _ask_client(config, venue, client)
    raise ExchangeUnreachable(
        f"{venue.name} did not answer all questions within {ASK_TIMEOUT_S:g} s: check the addresses in [exchange]"
    )


async def _ask_client(config: Config, venue: Venue, client: UsdmFutures) -> Facts:
    await client.synchronize_clock()
    instrument = await client.instrument(config.grid.symbol)
    unwatched = [text for symbol in config.regime.watch_symbols if (text := await _unwatchable(client, symbol))]
    half_ticks = 0
    async with client.book_tickers(instrument) as tickers:
        async for ticker in tickers:
            half_ticks = ticker.half_ticks
            break
    if venue.signer is None:
        leverage = config.account.leverage
        return Facts(instrument, half_ticks, None, leverage, f"{venue.name}, without a key", tuple(unwatched))
    account = await client.account(instrument)
    if account.hedge_mode:
        complain("fault: the account is in hedge mode; a grid needs one-way mode")
    await client.wait_order_entry()
    session = config.exchange.key_type is KeyType.ED25519
    return Facts(
        instrument,
        half_ticks,
        money_decimal(account.wallet_balance_units),
        config.account.leverage or account.leverage,
        venue.name,
        tuple(unwatched),
        "a session of the WebSocket API, logged on" if session else "signed requests on the WebSocket API",
    )


async def _unwatchable(client: UsdmFutures, symbol: str) -> str:
    """Return why the anomaly brake could not watch a symbol; empty if the exchange has its 1-minute klines."""
    where = f"$.regime.watch_symbols: {symbol}"
    try:
        klines = await client.klines(await client.instrument(symbol), limit=2)
    except RequestRefused as error:
        return f"{where} is refused by the exchange: {error.message}; allowed: symbols that it trades"
    return "" if klines else f"{where} has no 1-minute klines; allowed: symbols that are traded"


class LadderPlan:
    """The first ladder, as the bot would decide it on empty books at the present price."""

    def __init__(self, settings: GridSettings, facts: Facts) -> None:
        self._settings = settings
        self._facts = facts
        state = GridState.fresh()
        anchor = settings.lattice.anchor_ticks or PriceTicks(facts.half_ticks // 2)
        state.apply(
            SessionStarted(
                bot_id="check0",
                session=1,
                instrument=facts.instrument,
                settings=settings,
                baseline_lots=0,
                trade_watermark=0,
            ),
            0,
        )
        state.apply(LatticeAnchored(anchor_ticks=anchor), 0)
        state.apply(_quiet_market(), 0)
        state.apply(ConditionChanged(condition=Condition.STARTING, active=False), 0)
        record = state.decide(facts.half_ticks, 0, 10**6, 1)
        decided = record.entry.actions if record is not None and isinstance(record.entry, Decision) else ()
        self.orders = [action for action in decided if isinstance(action, PlaceOrder)]
        self.rows: tuple[LadderRow, ...] = ladder(state.grid)
        self.notices = record.entry.notices if record is not None and isinstance(record.entry, Decision) else ()
        lattice = Lattice(settings.lattice, anchor)
        self.narrow = [
            row
            for row in self.rows
            if row.in_window and not lattice.cell_is_viable(row.rung, row.stride, facts.instrument.maker_fee_rate)
        ]
        self.faults = self._faults()

    def _faults(self) -> list[str]:
        faults = list(self._facts.faults)
        if self.narrow:
            faults.append(
                f"$.grid: {len(self.narrow)} cells of the first window cannot earn their fees (one tick plus a"
                " maker fee each way); allowed: a wider interval"
            )
        if not self.orders and not self.notices:
            faults.append("no level of the first window can be opened; the ladder above says why for each")
        return faults

    def ladder_lines(self) -> list[str]:
        """Return the whole ladder, the highest price first, with each skipped level and its reason."""
        instrument = self._facts.instrument
        placed = {order.client_order_id: order for order in self.orders}
        lines = [("slot", "use", "opens at", "exits at", "quantity", "notional", "")]
        for row in self.rows:
            order = placed.get(row.order_id or "")
            quantity = "-" if order is None else str(instrument.quantity(order.quantity_lots))
            notional = "-" if order is None else f"{self._notional(order):f}"
            why = "" if order is not None else f"skipped: {row.remark or self._beyond(row)}"
            lines.append(
                (
                    str(row.rung),
                    str(row.use),
                    str(instrument.price(row.open_price_ticks)),
                    str(instrument.price(row.exit_price_ticks)),
                    quantity,
                    notional,
                    why,
                )
            )
        return [
            f"ladder at {instrument.price(self._facts.half_ticks) / 2}: {len(self.orders)} of {len(self.rows)} levels"
            " would be placed",
            *table(lines, right=frozenset({0, 2, 3, 4, 5})),
            *(f"note: {notice}" for notice in self.notices),
        ]

    def _beyond(self, row: LadderRow) -> str:
        """Return why a level that no filter stops is not placed now."""
        gap = abs(2 * row.open_price_ticks - self._facts.half_ticks)
        if gap * 5 < abs(row.exit_price_ticks - row.open_price_ticks):
            return "nearer to the price than a tenth of its interval"
        return "a limit of [limits] is reached: max_open_orders, max_inventory, max_notional or the trigger price"

    def _notional(self, order: PlaceOrder) -> Decimal:
        if order.price_ticks is None:
            return Decimal(0)
        return money_decimal(self._facts.instrument.notional_units(order.price_ticks, order.quantity_lots)).normalize()

    def fee_lines(self) -> list[str]:
        """Return what a round trip earns on the narrowest cell, before and after fees."""
        instrument = self._facts.instrument
        rows = [row for row in self.rows if row.in_window]
        if not rows:
            return ["fees: no level in the window"]
        row = min(rows, key=lambda row: abs(row.exit_price_ticks - row.open_price_ticks) / row.open_price_ticks)
        opens, exits = instrument.price(row.open_price_ticks), instrument.price(row.exit_price_ticks)
        rate = Decimal(instrument.maker_fee_rate) / RATE_SCALE
        gross, fees = abs(exits - opens), (opens + exits) * rate
        return [
            f"fees: maker {rate * 100:.4f} %, taker {Decimal(instrument.taker_fee_rate) / RATE_SCALE * 100:.4f} %",
            f"narrowest cell: {opens} -> {exits}, {gross / opens * 100:.4f} % of the price",
            f"one round trip there, per {instrument.base_asset}: spread {gross:f}, maker fees {fees:.4f},"
            f" left {gross - fees:.4f} ({(gross - fees) / gross * 100:.1f} % of the spread)",
        ]

    def worst_lines(self) -> list[str]:
        """Return position, notional, margin and distance to liquidation if every level of a side is filled."""
        lines = ["worst case if every level fills, and the price then goes on:"]
        for side in Side:
            orders = [order for order in self.orders if order.side is side and order.price_ticks is not None]
            if orders:
                lines += self._worst(side, orders)
        return [*lines, *self._beyond_the_window()] if len(lines) > 1 else [*lines, "  nothing would be placed"]

    def _beyond_the_window(self) -> list[str]:
        """Return what a window that follows the price against the position adds to the worst case."""
        settings, instrument = self._settings, self._facts.instrument
        falls = settings.mode is not Mode.SHORT and settings.trailing in (Trailing.BOTH, Trailing.DOWN)
        rises = settings.mode is not Mode.LONG and settings.trailing in (Trailing.BOTH, Trailing.UP)
        if not (falls or rises):
            return []
        bounds = []
        if settings.max_inventory_lots is not None:
            lots = settings.max_inventory_lots
            value = money_decimal(instrument.notional_units(self._facts.half_ticks, lots) // 2)
            bounds.append(
                f"limits.max_inventory: {instrument.quantity(lots)} {instrument.base_asset}, {value:.2f}"
                f" {instrument.quote_asset} at the present price"
            )
        if settings.max_notional_units is not None:
            bounds.append(f"limits.max_notional: {money_decimal(settings.max_notional_units).normalize():f}")
        way = "falls or rises" if falls and rises else "falls" if falls else "rises"
        return [
            f"  when the price {way} further, the window follows it and opens more"
            + (f", up to {' and '.join(bounds)}" if bounds else ": no limit bounds that, set limits.max_inventory")
        ]

    def _worst(self, side: Side, orders: list[PlaceOrder]) -> list[str]:
        instrument, facts = self._facts.instrument, self._facts
        quantity = instrument.quantity(sum(order.quantity_lots for order in orders))
        notional = sum((self._notional(order) for order in orders), Decimal(0))
        entry = notional / quantity
        text = (
            f"  {side}: position {quantity * side.sign:+f} {instrument.base_asset}, notional {notional:f}"
            f" {instrument.quote_asset}, average entry {entry:.2f}"
        )
        if facts.leverage is not None:
            text += f", initial margin {notional / facts.leverage:.2f} at leverage {facts.leverage}"
        lines = [text]
        if facts.balance is None:
            return [*lines, "  distance to liquidation: not known without a key"]
        # Cross margin, this position alone: balance + sign x quantity x (p - entry) = rate x quantity x p.
        sign = side.sign
        liquidation = (entry * sign - facts.balance / quantity) / (sign - MAINTENANCE_RATE)
        if liquidation <= 0:
            return [*lines, f"  no liquidation above a price of 0 with a balance of {facts.balance:f}"]
        distance = abs(entry - liquidation) / entry * 100
        lines.append(
            f"  liquidation at about {liquidation:.2f}, {distance:.1f} % from the average entry, with a balance of"
            f" {facts.balance:f} and {MAINTENANCE_RATE * 100:f} % maintenance margin"
        )
        if facts.leverage is not None and notional / facts.leverage > facts.balance:
            self.faults.append(f"the initial margin of every {side} level is more than the balance")
        return lines


def _quiet_market() -> RegimeReading:
    return RegimeReading(
        close_time_ms=0,
        trend=Trend.RANGE,
        volatility=Volatility.NORMAL,
        liquidity=Liquidity.NORMAL,
        brake=False,
        stale=False,
        atr_ticks=0,
        size_factor_milli=1_000,
        rsi_milli=50_000,
    )


def _head(config: Config, facts: Facts) -> list[str]:
    instrument = facts.instrument
    return [
        f"{instrument.symbol} on {facts.source}: mode {config.grid.mode}, tick size {instrument.tick_size}, lot size"
        f" {instrument.lot_size}, minimum notional {money_decimal(instrument.min_notional_units).normalize():f},"
        f" at most {instrument.max_open_orders} open orders",
        "keys: "
        + (
            "the embedded exchange needs none"
            if facts.source.startswith("the embedded")
            else "not given"
            if facts.balance is None
            else f"accepted; orders go by {facts.order_entry}"
        ),
        f"exit policy {config.exit.policy.value}; journal {config.journal.path}",
        _watched(config),
    ]


def _watched(config: Config) -> str:
    if not config.regime.anomaly_brake:
        return "the anomaly brake is off"
    symbols = [config.grid.symbol, *config.regime.watch_symbols]
    return f"the anomaly brake watches the 1-minute klines of {', '.join(symbols)}"
