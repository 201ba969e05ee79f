"""Owns the embedded paper exchange of `run`: its market, its account, its loopback port, its file beside the journal.

It must never be reachable from another machine, and never trade: the bot reaches it over the same sockets as any other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from trio_grid.cli.connect import Venue
from trio_grid.config import Config
from trio_grid.domain.instrument import RATE_SCALE, Instrument, money_units
from trio_grid.errors import ConfigError, ExchangeError
from trio_grid.exchange.binance.usdm_futures import Endpoints
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperEvent, PaperExchange, UserEvent
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.paper.market.synthetic import CHARACTERS, SyntheticSettings
from trio_grid.exchange.paper.market_files import open_recording, replay_market
from trio_grid.exchange.paper.server.server import DEFAULT_KEY, DEFAULT_SECRET, PaperServer
from trio_grid.exchange.paper.server.server_clock import ServerClock
from trio_grid.exchange.paper.server.state_file import load_state, save_state
from trio_grid.exchange.protocol.signing import HmacSigner
from trio_grid.journal.archive import archives_of
from trio_grid.journal.lease import JournalLease
from trio_grid.services.log_line import line

log = logging.getLogger(__name__)

KEEP_EVERY_S = 5.0
"""How far the market may fall behind when the process is killed; what an account learned is kept at once."""
LOOPBACK = "127.0.0.1"
VENUE_NAME = "paper"


def exchange_file(journal_path: Path) -> Path:
    """Return where the embedded exchange keeps its accounts, orders and place in the market."""
    return journal_path.with_name(journal_path.name + ".exchange")


def start_over(config: Config) -> None:
    """Delete the journal and the exchange's file, so that both begin anew.

    Raises:
        JournalInUse: a bot is running on them.
    """
    path = config.journal.path
    if not path.parent.exists():
        return
    with JournalLease(path):
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", exchange_file(path).name):
            path.with_name(name).unlink(missing_ok=True)
        for archive in archives_of(path):
            archive.path.unlink(missing_ok=True)
    log.info(line("started over", journal=path))


def paper_instrument(config: Config) -> Instrument:
    """Return the instrument of the embedded exchange: the symbol's own filters, the fees of [paper].

    Raises:
        ConfigError: the recording that is to be replayed cannot be used.
    """
    paper = config.paper
    if paper.market is not None:
        instrument = open_recording([paper.market], symbol=config.grid.symbol).instrument
    else:
        instrument = default_instrument(config.grid.symbol)
    return msgspec.structs.replace(
        instrument,
        maker_fee_rate=int(paper.maker_fee * RATE_SCALE),
        taker_fee_rate=int(paper.taker_fee * RATE_SCALE),
    )


def first_half_ticks(config: Config, instrument: Instrument) -> int:
    """Return the first price of the embedded market, in half ticks."""
    if config.paper.market is None:
        return 2 * instrument.floor_price_ticks(config.paper.start_price)
    market = replay_market(open_recording([config.paper.market], instrument=instrument))
    step = market.step()
    while step.time_ms < market.start_ms and market.next_time_ms() is not None:
        step = market.step()
    return step.bid_ticks + step.ask_ticks


def market_character(volatility: float, character: str = "lively") -> SyntheticSettings:
    """Return the numbers of a synthetic market of a character, its movements multiplied by a factor."""
    usual = CHARACTERS[character]
    return msgspec.structs.replace(
        usual,
        fundamental_volatility=usual.fundamental_volatility * volatility,
        flow_deviation=usual.flow_deviation * volatility,
    )


class PaperHost:
    """The embedded exchange of one configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._file = exchange_file(config.journal.path)
        self._exchange: PaperExchange | None = None

    async def run(self, *, task_status: trio.TaskStatus[Venue] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; ready, with the venue, when requests are taken.

        Raises:
            ConfigError: the recording cannot be used.
        """
        exchange = self._exchange = self._build()
        self._restore(exchange)
        if exchange.ended:
            raise ConfigError([f"the {self._market_words()} is at its end: `run --fresh` starts it over"])
        begin_ms = max(exchange.start_ms, exchange.now_ms)
        if exchange.follows_wall_clock:
            begin_ms = max(begin_ms, int(time.time() * 1000))
        server = PaperServer(
            exchange,
            clock=ServerClock(begin_ms, float(self._config.paper.speed)),
            seed=self._config.paper.seed,
            before_telling=self._keep,
        )
        listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
        async with trio.open_nursery() as nursery:
            urls = await nursery.start(server.run, listeners)
            log.info(line("paper exchange is up", rest_url=urls.rest_url, market=self._market_words()))
            task_status.started(
                Venue(
                    name=VENUE_NAME,
                    endpoints=Endpoints(rest_url=urls.rest_url, ws_url=urls.ws_url, ws_api_url=urls.ws_api_url),
                    signer=HmacSigner(DEFAULT_KEY, DEFAULT_SECRET),
                )
            )
            try:
                await self._keep_in_step(exchange)
            finally:
                self._save()

    async def _keep_in_step(self, exchange: PaperExchange) -> None:
        """Write the place in the market down now and then; say it when a recording is over."""
        told = False
        while True:
            await trio.sleep(KEEP_EVERY_S)
            self._save()
            if exchange.ended and not told:
                told = True
                log.warning(
                    line(
                        "the recording has ended: no price will come, nothing is opened any more; stop the bot",
                        market=self._config.paper.market,
                    )
                )

    def _build(self) -> PaperExchange:
        paper = self._config.paper
        account = AccountSpec(name=DEFAULT_KEY, balance_units=money_units(paper.balance), leverage=paper.leverage)
        return build_exchange(
            start_ms=int(time.time() * 1000),
            seed=paper.seed,
            accounts=[account],
            symbol=self._config.grid.symbol,
            market_files=[] if paper.market is None else [paper.market],
            fill_model=paper.fill_model.value,
            instrument=paper_instrument(self._config),
            start_price=float(paper.start_price),
            settings=market_character(float(paper.volatility), paper.character.value),
            further=self._config.regime.watch_symbols,
        )

    def _restore(self, exchange: PaperExchange) -> None:
        """Go on where the last run stopped, if there was one."""
        try:
            document = load_state(self._file)
            if document is not None:
                restore_exchange(exchange, document)
        except (OSError, ValueError) as error:
            raise ConfigError(
                [f"{self._file}: {error}; `run --fresh` starts the paper exchange and its journal over"]
            ) from None

    def _keep(self, events: Sequence[PaperEvent]) -> None:
        """Make what an account is about to learn survive this process: the journal will hold it too."""
        if any(isinstance(event, UserEvent) for event in events):
            self._save()

    def _save(self) -> None:
        if self._exchange is not None:
            try:
                save_state(self._file, exchange_document(self._exchange))
            except OSError as error:
                raise ExchangeError(f"the paper exchange's file {self._file} cannot be written: {error}") from error

    def _market_words(self) -> str:
        market = self._config.paper.market
        paper = self._config.paper
        return f"synthetic ({paper.character.value}), seed {paper.seed}" if market is None else f"replay of {market}"
