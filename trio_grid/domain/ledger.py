"""What the trading earned and cost, in two views that check each other.

Owns both views of the account's money on the symbol:

- *account*: the sum of what the exchange itself wrote per record (realized profit, fees by asset, funding). It equals
  the change of the wallet to the last digit, because nothing in it is computed here.
- *slots*: round trips at their own entries, exact in ticks x lots. It is what the grid earned, whatever average entry
  price the exchange nets the slots into.

Both rest on the same trades, so their cash is the same: bought and sold value on one side, finished round trips and
the value of open inventory on the other. When the account is flat they differ by the exchange's rounding alone, at
most one unit of 1e-8 per trade.

A ledger must never decide whether a trade is new (the books do, by trade id), round, or forget a booked amount. It is
an immutable value: each booking returns the next ledger.
"""

from __future__ import annotations

import bisect

import msgspec

from trio_grid.domain.events import Event, FundingRecord, Side, Trade
from trio_grid.domain.instrument import MoneyUnits

FUNDING_REMEMBERED = 256
"""Funding records kept by id: ten days of one payment an hour; the income history answers for seven at a time."""

AssetUnits = tuple[tuple[str, int], ...]
"""(asset, amount in units of 1e-8) sorted by asset; an asset appears once."""


class Ledger(Event, frozen=True):
    """The sums of everything booked so far. Values of trades are ticks x lots, money is in units of 1e-8 of its asset.

    `fees` paid and `funding` received are positive. `funding_seen` holds the newest records as (time_ms, record_id),
    ascending; everything up to `funding_watermark` was booked or is too old to be asked for again.
    """

    trades: int = 0
    maker_trades: int = 0
    bought_ticks_lots: int = 0
    sold_ticks_lots: int = 0
    exchange_realized_units: int = 0
    fees: AssetUnits = ()
    funding: AssetUnits = ()
    funding_records: int = 0
    funding_seen: tuple[tuple[int, int], ...] = ()
    funding_watermark: tuple[int, int] = (-1, -1)
    round_trips: int = 0
    slot_realized_ticks_lots: int = 0

    def book_trade(self, trade: Trade) -> Ledger:
        """Return the ledger with one trade of the account, ours or foreign; the caller has checked that it is new."""
        value = trade.price_ticks * trade.quantity_lots
        bought, sold = (value, 0) if trade.side is Side.BUY else (0, value)
        return msgspec.structs.replace(
            self,
            trades=self.trades + 1,
            maker_trades=self.maker_trades + trade.maker,
            bought_ticks_lots=self.bought_ticks_lots + bought,
            sold_ticks_lots=self.sold_ticks_lots + sold,
            exchange_realized_units=self.exchange_realized_units + trade.realized_pnl_units,
            fees=_added(self.fees, trade.fee_asset, trade.fee_units),
        )

    def book_funding(self, record: FundingRecord) -> Ledger:
        """Return the ledger with one funding payment; the same ledger if the record was booked before.

        Records are told apart by id. The newest 256 by time are remembered; one that is older than all of these is
        taken for booked, so the income history must be walked from `funding_since_ms` on, oldest record first.
        """
        key = (record.time_ms, record.record_id)
        place = bisect.bisect_left(self.funding_seen, key)
        if key <= self.funding_watermark or self.funding_seen[place : place + 1] == (key,):
            return self
        if any(record.record_id == record_id for _, record_id in self.funding_seen):
            return self  # the same record under another time
        seen = [*self.funding_seen[:place], key, *self.funding_seen[place:]]
        forgotten = seen[:-FUNDING_REMEMBERED]
        return msgspec.structs.replace(
            self,
            funding=_added(self.funding, record.asset, record.amount_units),
            funding_records=self.funding_records + 1,
            funding_seen=tuple(seen[-FUNDING_REMEMBERED:]),
            funding_watermark=forgotten[-1] if forgotten else self.funding_watermark,
        )

    def book_round_trip(self, entry_ticks_lots: int, exit_ticks_lots: int, sign: int) -> Ledger:
        """Return the ledger with one finished round trip of a slot, at its own prices.

        `sign` is the use's: +1 bought at the entry and sold at the exit, -1 the other way round.

        Raises:
            ValueError: sign is not +1 or -1, or a value is negative.
        """
        if sign not in (1, -1):
            raise ValueError(f"sign is {sign!r}; allowed: 1 (LONG) or -1 (SHORT)")
        if entry_ticks_lots < 0 or exit_ticks_lots < 0:
            raise ValueError(
                f"round trip values are {entry_ticks_lots} and {exit_ticks_lots} ticks x lots; allowed: at least 0"
            )
        return msgspec.structs.replace(
            self,
            round_trips=self.round_trips + 1,
            slot_realized_ticks_lots=self.slot_realized_ticks_lots + sign * (exit_ticks_lots - entry_ticks_lots),
        )

    def rescale(self, factor: int) -> Ledger:
        """Return the ledger with its ticks x lots in smaller units: `factor` new ones are one old one."""
        if factor < 1:
            raise ValueError(f"factor is {factor}; allowed: at least 1")
        return msgspec.structs.replace(
            self,
            bought_ticks_lots=self.bought_ticks_lots * factor,
            sold_ticks_lots=self.sold_ticks_lots * factor,
            slot_realized_ticks_lots=self.slot_realized_ticks_lots * factor,
        )

    @property
    def cash_ticks_lots(self) -> int:
        """Value sold less value bought: the cash that the trades moved, before fees and funding."""
        return self.sold_ticks_lots - self.bought_ticks_lots

    @property
    def funding_since_ms(self) -> int:
        """Time of the newest funding record booked: where the next walk of the income history starts; 0 if none."""
        return self.funding_seen[-1][0] if self.funding_seen else 0

    def fee_units(self, asset: str) -> MoneyUnits:
        """Return the fees paid in one asset, in units of 1e-8; rebates received make it negative."""
        return MoneyUnits(dict(self.fees).get(asset, 0))

    def funding_units(self, asset: str) -> MoneyUnits:
        """Return the funding received less paid in one asset, in units of 1e-8."""
        return MoneyUnits(dict(self.funding).get(asset, 0))

    def wallet_change_units(self, asset: str, margin_asset: str | None = None) -> MoneyUnits:
        """Return by how much the bot's records changed the wallet of an asset: realized + funding - fees.

        Profit is realized in the margin asset alone: give `margin_asset` when asking for another one (fees in BNB).
        """
        realized = self.exchange_realized_units if margin_asset in (None, asset) else 0
        return MoneyUnits(realized + self.funding_units(asset) - self.fee_units(asset))


def _added(sums: AssetUnits, asset: str, units: int) -> AssetUnits:
    """Add to one asset's sum; an asset with nothing yet appears only with an amount."""
    if units == 0:
        return sums
    if len(sums) == 1 and sums[0][0] == asset:  # the usual case: one asset, once per trade
        return ((asset, sums[0][1] + units),)
    totals = dict(sums)
    totals[asset] = totals.get(asset, 0) + units
    return tuple(sorted(totals.items()))
