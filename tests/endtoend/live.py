"""The bot on its embedded exchange over loopback sockets, composed as `trio-grid run` composes it, in this process."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import attrs
import trio

from tests.endtoend.books import compare
from tests.endtoend.processes import PATIENCE_S, Account
from trio_grid.cli.connect import Venue, open_client
from trio_grid.cli.paper_host import PaperHost
from trio_grid.config import Config, parse_config
from trio_grid.domain.instrument import money_decimal
from trio_grid.domain.snapshot import PositionSnapshot
from trio_grid.journal.recovery import replay_all, verify
from trio_grid.journal.sqlite_journal import open_journal
from trio_grid.services.run_report import RunReport
from trio_grid.services.stop_request import StopRequest
from trio_grid.supervisor import Bot, RunOptions

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
HISTORY_MINUTES = 180
MINUTE_MS = 60_000


def at(text: str) -> int:
    """Epoch milliseconds of a UTC time such as `2022-09-21 18:00`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def cut(source: Path, target: Path, begin: str, minutes: int) -> Path:
    """Cut a window of recorded klines: the history that the exchange wants before it, and the minutes to be traded."""
    first, last = at(begin) - HISTORY_MINUTES * MINUTE_MS, at(begin) + minutes * MINUTE_MS
    kept: list[str] = []
    with gzip.open(source, "rt") as lines:
        for line in lines:
            time_ms = line.partition(",")[0]
            if time_ms.isdigit() and first <= int(time_ms) < last:
                kept.append(line)
    target.write_text("".join(kept))
    return target


@attrs.define
class Running:
    """A bot that trades, and the account as a stranger's client sees it."""

    bot: Bot
    stop: StopRequest
    venue: Venue
    over: trio.Event = attrs.Factory(trio.Event)

    def snapshot(self) -> PositionSnapshot:
        assert self.bot.desk is not None
        return self.bot.desk.manager.snapshot()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds; it is an error if the bot ends before, or has nothing more to trade on."""
        with trio.move_on_after(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
                assert not self.over.is_set(), f"the bot ended before: {what}"
                await trio.sleep(0.02)
            return
        raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")

    @property
    def report(self) -> RunReport:
        assert self.bot.report is not None
        return self.bot.report


def replay_config(market: Path, journal: Path, speed: float, grid: str, *overrides: str) -> Config:
    """The configuration of a bot on a recording; what it holds and what rests stays as it is when it stops."""
    return parse_config(
        f"""
[exchange]
kind = "paper"
[paper]
market = "{market}"
speed = {speed}
[exit]
policy = "cancel-all"
[journal]
path = "{journal}"
{grid}
""",
        ("risk.startup_timeout_s=600", "risk.shutdown_deadline_s=300", *overrides),
    )


@asynccontextmanager
async def trading(config: Config) -> AsyncIterator[Running]:
    """Trade while the context is open; at its end stop in order, and compare books and account to the last digit."""
    stop = StopRequest()
    async with trio.open_nursery() as nursery:
        with open_journal(config.journal.path) as journal:
            venue = await nursery.start(PaperHost(config).run)
            account = await trio.to_thread.run_sync(Account, venue.endpoints.rest_url, config.grid.symbol)
            async with open_client(config, venue) as client:
                bot = Bot(
                    config,
                    RunOptions(venue=venue.name),
                    market=client,
                    execution=client,
                    journal=journal,
                    stop=stop,
                    jitter=lambda: 0.5,
                )
                running = Running(bot, stop, venue)

                async def live() -> None:
                    try:
                        await bot.run()
                    finally:
                        running.over.set()

                nursery.start_soon(live)
                await running.until(lambda: bot.board.phase == "trading", "trading")
                yield running
                stop.request("the test is over")
                await running.over.wait()
            await trio.to_thread.run_sync(compare_with_account, running.report, account, config.paper.balance)
        nursery.cancel_scope.cancel(reason="the test is over")
    assert verify(config.journal.path).problems == ()
    assert replay_all(config.journal.path) is None


def compare_with_account(report: RunReport, account: Account, balance: Decimal) -> None:
    """Assert that the report's books are the account's; nothing of the bot rests any more, so nothing trades."""
    assert report.exit.confirmed
    assert account.open_orders() == []
    while True:
        later, wallet = funding_after(report, account), account.wallet()
        if funding_after(report, account) == later:
            break
    compare(report.after, account.trades(), account.position(), wallet - later, balance)
    assert report.tie_out.words == "yes"


def funding_after(report: RunReport, account: Account) -> Decimal:
    """Return the funding that the account got (or, negative, paid) after the report: the recording goes on.

    All older payments must be in the books; the last hour is a second of real time and less.
    """
    rows = account.ask("/fapi/v1/income", incomeType="FUNDING_FEE", startTime=1, limit=1000)
    amounts = [Decimal(row["income"]) for row in sorted(rows, key=lambda row: int(row["time"]))]
    booked = money_decimal(report.after.ledger.funding_units("USDT"))
    surely = sum(int(row["time"]) <= report.after.now_ms - 3_600_000 for row in rows)
    for count in range(surely, len(amounts) + 1):
        if sum(amounts[:count], Decimal(0)) == booked:
            return sum(amounts[count:], Decimal(0))
    raise AssertionError(f"the books have {booked} of funding, the account {amounts}")


async def until_exchange(running: Running, time_ms: int) -> None:
    """Wait until the bot has seen a price of that exchange time."""

    def seen() -> bool:
        desk = running.bot.desk
        return desk is not None and desk.board.ticker is not None and desk.board.ticker.time_ms >= time_ms

    await running.until(seen, f"a price of {time_ms}")
