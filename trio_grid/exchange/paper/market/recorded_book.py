"""Owns the strangers' book of a replay: the recorded one as far as it is recorded, a shape behind it where it is not.

The best prices are the newest that the recording says, by a quote or by the depth; where neither is recorded they
follow the trades. Behind them stand the recorded levels, else the recorded depth by distance, else the shape of
`book_shape`.
It must never open a file and never draw from a generator.
"""

from __future__ import annotations

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.paper.market.book_rows import BandsRow, DepthRow, LotScale, QuoteRow, band_level_lots
from trio_grid.exchange.paper.market.book_shape import level_lots
from trio_grid.exchange.paper.market.rows import TradeRow
from trio_grid.exchange.protocol.order_book import BookSnapshot, BookState, OrderBook

LEVEL_QUOTE_UNITS = 3_000 * 100_000_000
QUOTES_END_MS = 60_000
"""A trade this long after the last recorded quote moves the price again: where somebody trades, quotes change too."""


class RecordedBook:
    """Best prices and levels at one place of a recording."""

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._unit = instrument.tick_lot_units
        self._scale = LotScale(instrument)
        self._seed = seed
        self._levels = OrderBook()
        self._bands = BandsRow(0, (), ())
        self._quoted_ms: int | None = None
        self._quote_id = 0
        self._bid = self._ask = 0
        self._recorded_lots = (0, 0)
        self._shown = QuoteRow(0, 0, 0)

    def take(self, row: TradeRow | QuoteRow | BandsRow | DepthRow) -> None:
        """Take the next row of the recording."""
        if isinstance(row, TradeRow):
            self._trade(row)
        elif isinstance(row, QuoteRow):
            if row.update_id >= self._quote_id:
                self._set(row, row.update_id)
        elif isinstance(row, BandsRow):
            self._bands = row
        else:
            self._depth(row)

    def _set(self, quote: QuoteRow, update_id: int) -> None:
        self._quoted_ms, self._quote_id = quote.time_ms, update_id
        self._bid, self._ask = quote.bid_ticks, quote.ask_ticks
        self._recorded_lots = (quote.bid_lots, quote.ask_lots)

    def _trade(self, row: TradeRow) -> None:
        """Let the quote follow a trade, unless quotes are recorded."""
        if self._quoted_ms is not None and row.time_ms - self._quoted_ms < QUOTES_END_MS:
            return
        bid, ask = self._bid, self._ask
        if row.buyer_is_maker:
            bid = row.price_ticks
            ask = ask if bid < ask <= bid + 3 else bid + 1
        else:
            ask = max(2, row.price_ticks)
            bid = bid if ask - 3 <= bid < ask else ask - 1
        self._bid, self._ask = bid, ask
        self._recorded_lots = (0, 0)

    def _depth(self, row: DepthRow) -> None:
        """Take a depth message; where it is newer than the last quote, the book's best prices are the quote."""
        if isinstance(row.change, BookSnapshot):
            self._levels.take_snapshot(row.change)
        else:
            self._levels.apply(row.change)
        bid, ask = self._levels.best(Side.BUY), self._levels.best(Side.SELL)
        if bid is not None and ask is not None and self._levels.last_id >= self._quote_id:
            bid_lots, ask_lots = self._scale.lots_up(bid[1]), self._scale.lots_up(ask[1])
            self._set(QuoteRow(row.time_ms, bid[0], ask[0], bid_lots, ask_lots), self._levels.last_id)

    def quote(self, time_ms: int) -> QuoteRow:
        """Return the best prices after the last row; quantities that are not recorded are shaped, anew at each time."""
        bid_lots, ask_lots = self._recorded_lots
        if not bid_lots or not ask_lots:
            top = self._top_lots(self._bid)
            bid_lots = level_lots(self._seed ^ time_ms, Side.BUY, self._bid, 0, top)
            ask_lots = level_lots(self._seed ^ time_ms, Side.SELL, self._ask, 0, top)
        self._shown = QuoteRow(time_ms, self._bid, self._ask, bid_lots, ask_lots)
        return self._shown

    def _top_lots(self, price_ticks: int) -> int:
        return max(1, LEVEL_QUOTE_UNITS // (price_ticks * self._unit))

    def level_lots(self, side: Side, price_ticks: int) -> int:
        """Return the quantity at a price of a side: 0 inside the best prices."""
        shown, is_bid = self._shown, side is Side.BUY
        best = shown.bid_ticks if is_bid else shown.ask_ticks
        distance = (best - price_ticks) * side.sign
        if distance < 0:
            return 0
        if distance == 0:
            return shown.bid_lots if is_bid else shown.ask_lots
        if self._levels.state is not BookState.NEEDS_SNAPSHOT:
            return self._scale.lots_up(self._levels.units_at(side, price_ticks))
        bands = self._bands.bids if is_bid else self._bands.asks
        if bands:
            return band_level_lots(bands, self._seed, side, price_ticks, distance, best)
        return level_lots(self._seed, side, price_ticks, distance, self._top_lots(price_ticks))

    def next_price(self, side: Side, price_ticks: int) -> int | None:
        """Return the nearest price at or behind one where there may be a level."""
        if self._levels.state is BookState.NEEDS_SNAPSHOT:
            return price_ticks if price_ticks > 0 else None
        best = self._shown.bid_ticks if side is Side.BUY else self._shown.ask_ticks
        if (price_ticks - best) * side.sign >= 0:
            return best
        return self._levels.next_price(side, price_ticks)
