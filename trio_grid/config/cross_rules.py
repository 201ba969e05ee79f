"""Rules between settings: what fits together and what does not.

Each rule is a generator that yields (path, words). It may read any setting; where one that it reads is faulty itself,
the rule is passed over, since its answer would be about a value that the user has to change anyway.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from urllib.parse import urlsplit

from trio_grid.config.rules import is_loopback
from trio_grid.config.schema import Config, ExchangeKind
from trio_grid.config.secret import KeyType
from trio_grid.config.structure import shown
from trio_grid.domain.settings import Mode, Spacing, Trailing

Fault = tuple[str, str]
CrossRule = Callable[[Config], Iterator[Fault]]


def exchange_addresses(config: Config) -> Iterator[Fault]:
    """The real exchange needs its addresses; the embedded one has none."""
    exchange = config.exchange
    addresses = {"rest_url": exchange.rest_url, "ws_url": exchange.ws_url, "ws_api_url": exchange.ws_api_url}
    for name, address in addresses.items():
        if exchange.kind is ExchangeKind.PAPER and address is not None:
            yield f"$.exchange.{name}", 'is refused; allowed: only with exchange.kind = "binance-usdm"'
        if exchange.kind is ExchangeKind.BINANCE_USDM and address is None:
            yield f"$.exchange.{name}", 'is missing; needed with exchange.kind = "binance-usdm"'


def exchange_keys(config: Config) -> Iterator[Fault]:
    """Keys come from the environment or from files; the embedded exchange has its own."""
    exchange = config.exchange
    names = {
        "key_env": exchange.key_env,
        "secret_env": exchange.secret_env,
        "key_file": exchange.key_file,
        "private_key_file": exchange.private_key_file,
    }
    given = [name for name, value in names.items() if value is not None]
    if exchange.kind is ExchangeKind.PAPER:
        for name in given:
            yield f"$.exchange.{name}", 'is refused; allowed: only with exchange.kind = "binance-usdm"'
    elif given not in (["key_env", "secret_env"], ["key_file"], ["key_env", "private_key_file"]):
        found = " and ".join(given) or "none of them"
        yield (
            "$.exchange",
            f"{found} is given; allowed: key_env and secret_env together, or key_file alone, or key_env and"
            " private_key_file together",
        )
    elif exchange.private_key_file is not None and exchange.key_type is not KeyType.ED25519:
        yield "$.exchange.private_key_file", 'is refused; allowed: only with exchange.key_type = "ed25519"'


def countdown_at_real_speed(config: Config) -> Iterator[Fault]:
    """The countdown runs on the exchange's clock and the heartbeats on ours: both must go at one speed."""
    countdown_s = config.exchange.countdown_cancel_s
    if countdown_s is not None and config.exchange.kind is ExchangeKind.PAPER and config.paper.speed != 1:
        yield (
            "$.exchange.countdown_cancel_s",
            f"{countdown_s} is refused with paper.speed {config.paper.speed}; allowed: only at speed 1",
        )


def one_spacing(config: Config) -> Iterator[Fault]:
    """Exactly one setting says how far levels are apart, and it fits the spacing."""
    grid = config.grid
    ways = {"interval": grid.interval, "interval_percent": grid.interval_percent, "range": grid.range}
    given = [name for name, value in ways.items() if value is not None]
    wanted = "interval" if grid.spacing is Spacing.ARITHMETIC else "interval_percent"
    if not given:
        yield f"$.grid.{wanted}", f"is missing; needed with {grid.spacing} spacing, unless [grid.range] is given"
    if len(given) > 1:
        yield "$.grid", f"{' and '.join(given)} are given; allowed: one of {wanted} and [grid.range]"
    for name in given:
        if name not in {wanted, "range"}:
            yield f"$.grid.{name}", f"is refused with {grid.spacing} spacing; allowed: {wanted}, or [grid.range]"


def range_order(config: Config) -> Iterator[Fault]:
    """A fixed range has a lower end, an upper end above it, and no other anchor."""
    grid = config.grid
    if grid.range is None:
        return
    if grid.range.lower >= grid.range.upper:
        yield "$.grid.range.upper", f"{grid.range.upper} is refused; allowed: above grid.range.lower {grid.range.lower}"
    if grid.anchor is not None:
        yield (
            "$.grid.anchor",
            f"{grid.anchor} is refused with [grid.range]; allowed: none, grid.range.lower is the anchor",
        )


def some_level(config: Config) -> Iterator[Fault]:
    """At least one level can be opened in the mode that is set."""
    grid = config.grid
    if grid.levels_below == 0 and grid.levels_above == 0:
        yield "$.grid.levels_below", "0 is refused when levels_above is 0 too; allowed: at least 1 on one side"
    elif grid.mode is Mode.LONG and grid.levels_below == 0:
        yield "$.grid.levels_below", "0 is refused in mode long; allowed: at least 1, since long opens below the price"
    elif grid.mode is Mode.SHORT and grid.levels_above == 0:
        yield (
            "$.grid.levels_above",
            "0 is refused in mode short; allowed: at least 1, since short opens above the price",
        )


def one_size(config: Config) -> Iterator[Fault]:
    """Exactly one setting says how much a level trades."""
    given = [name for name in ("quote_per_level", "base_per_level") if getattr(config.size, name) is not None]
    if len(given) != 1:
        found = "both are" if given else "none is"
        yield "$.size", f"{found} given; allowed: exactly one of quote_per_level and base_per_level"


def thresholds(config: Config) -> Iterator[Fault]:
    """Stop-loss and take-profit lie on the sides on which they make sense."""
    limits, mode = config.limits, config.grid.mode
    if limits.stop_loss is None or limits.take_profit is None or mode is Mode.NEUTRAL:
        return
    if mode is Mode.LONG and limits.stop_loss >= limits.take_profit:
        allowed = f"below limits.take_profit {limits.take_profit} in mode long"
        yield "$.limits.stop_loss", f"{limits.stop_loss} is refused; allowed: {allowed}"
    if mode is Mode.SHORT and limits.stop_loss <= limits.take_profit:
        allowed = f"above limits.take_profit {limits.take_profit} in mode short"
        yield "$.limits.stop_loss", f"{limits.stop_loss} is refused; allowed: {allowed}"


def stop_loss_outside_range(config: Config) -> Iterator[Fault]:
    """A stop-loss inside of a fixed range would end the grid while it works as meant."""
    limits, fixed = config.limits, config.grid.range
    if limits.stop_loss is None or fixed is None:
        return
    if config.grid.mode is Mode.LONG and limits.stop_loss >= fixed.lower:
        allowed = f"below grid.range.lower {fixed.lower} in mode long"
        yield "$.limits.stop_loss", f"{limits.stop_loss} is refused; allowed: {allowed}"
    if config.grid.mode is Mode.SHORT and limits.stop_loss <= fixed.upper:
        allowed = f"above grid.range.upper {fixed.upper} in mode short"
        yield "$.limits.stop_loss", f"{limits.stop_loss} is refused; allowed: {allowed}"


def notional_covers_a_level(config: Config) -> Iterator[Fault]:
    """A limit below the size of one level would never let anything open."""
    limits, size = config.limits, config.size
    if limits.max_notional is not None and size.quote_per_level is not None:
        yield from at_least_one_level("max_notional", limits.max_notional, "quote_per_level", size.quote_per_level)
    if limits.max_inventory is not None and size.base_per_level is not None:
        yield from at_least_one_level("max_inventory", limits.max_inventory, "base_per_level", size.base_per_level)


def at_least_one_level(limit: str, bound: Decimal, size: str, amount: Decimal) -> Iterator[Fault]:
    """Yield a fault when one level alone exceeds a limit."""
    if bound < amount:
        yield f"$.limits.{limit}", f"{bound} is refused; allowed: at least size.{size} {amount}"


def patience(config: Config) -> Iterator[Fault]:
    """Klines come once a minute: a shorter patience would call every market stale."""
    if config.risk.klines_stale_s < 65:
        value = shown(config.risk.klines_stale_s)
        yield "$.risk.klines_stale_s", f"{value} is refused; allowed: at least 65, since a kline closes once a minute"


def regime_thresholds(config: Config) -> Iterator[Fault]:
    """A state is left at a threshold on the nearer side of the one at which it is entered."""
    regime = config.regime
    if regime.high_leave > regime.high_enter:
        yield "$.regime.high_leave", f"{regime.high_leave} is refused; allowed: at most high_enter {regime.high_enter}"
    if regime.thin_leave < regime.thin_enter:
        yield "$.regime.thin_leave", f"{regime.thin_leave} is refused; allowed: at least thin_enter {regime.thin_enter}"
    if regime.volume_klines > regime.average_klines:
        allowed = f"at most average_klines {regime.average_klines}"
        yield "$.regime.volume_klines", f"{regime.volume_klines} is refused; allowed: {allowed}"


def watched_symbols(config: Config) -> Iterator[Fault]:
    """The traded symbol votes anyway; a recording has no other market; a brake that is off watches nothing."""
    regime, traded = config.regime, config.grid.symbol
    if not regime.watch_symbols:
        return
    given, path = shown(regime.watch_symbols), "$.regime.watch_symbols"
    if traded in regime.watch_symbols:
        yield path, f"{given} is refused; allowed: symbols other than {traded}, which is always watched"
    if not regime.anomaly_brake:
        yield path, f"{given} is refused; allowed: only with anomaly_brake = true, which alone looks at them"
    if config.exchange.kind is ExchangeKind.PAPER and config.paper.market is not None:
        yield path, f"{given} is refused; allowed: none with paper.market, since the recording holds {traded} alone"


def bounded_where_it_costs(config: Config) -> Iterator[Fault]:
    """A window that follows the price against the position opens more and more: with real money that needs a limit."""
    exchange, grid, limits = config.exchange, config.grid, config.limits
    if exchange.kind is ExchangeKind.PAPER or exchange.rest_url is None or grid.range is not None:
        return
    against = {Mode.LONG: (Trailing.DOWN,), Mode.SHORT: (Trailing.UP,), Mode.NEUTRAL: (Trailing.DOWN, Trailing.UP)}
    grows = grid.trailing is Trailing.BOTH or grid.trailing in against[grid.mode]
    bounded = limits.max_inventory is not None or limits.max_notional is not None
    if grows and not bounded and not is_loopback(urlsplit(exchange.rest_url).hostname or ""):
        yield (
            "$.limits.max_inventory",
            "is missing; needed on an exchange that is not on this machine with"
            f' grid.trailing = "{grid.trailing.value}": the position could grow without bound'
            " (limits.max_notional would bound it as well)",
        )


CROSS_RULES: tuple[CrossRule, ...] = (
    exchange_addresses,
    exchange_keys,
    countdown_at_real_speed,
    one_spacing,
    range_order,
    some_level,
    one_size,
    thresholds,
    stop_loss_outside_range,
    notional_covers_a_level,
    patience,
    regime_thresholds,
    watched_symbols,
    bounded_where_it_costs,
)


def faults_between(config: Config) -> Iterable[Fault]:
    """Yield the faults between the settings of a whole configuration."""
    for rule in CROSS_RULES:
        yield from rule(config)


def faults_between_what_is_known(config: Config) -> Iterable[Fault]:
    """Yield the same of a partial configuration; a rule that reads an unset field is passed over (`partial`)."""
    for rule in CROSS_RULES:
        try:
            found = list(rule(config))
        except AttributeError:
            continue
        yield from found
