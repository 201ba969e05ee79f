"""Rules by which Hypothesis drives a grid: an honest exchange behind a bad network.

Answers and reports are held back, doubled, reordered, lost, and come after the process has started anew. What has to
hold all the while is in `test_grid_machine`.
"""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from tests.domain.grid_bench import (
    ANCHOR,
    INSTRUMENT,
    INTERVAL,
    LEVEL_LOTS,
    Bench,
    instrument,
    reading,
    settings,
)
from trio_grid.domain.actions import Action, CancelOrder, PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import (
    CancelOutcomeLost,
    CancelRefused,
    Liquidity,
    OrderAbsent,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    OrderUpdate,
    RecordStatus,
    RejectReason,
    Side,
    Trend,
    Volatility,
)
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Correction,
    Input,
    StraySeen,
    TradesWalked,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots
from trio_grid.domain.settings import Mode
from trio_grid.domain.slot import OrderStatus, Role, Use

MAX_INVENTORY = 35


class NetworkMachine(RuleBasedStateMachine):
    """One grid, one honest exchange, a bad network."""

    def __init__(self) -> None:
        super().__init__()
        self.air: list[Input] = []
        self.seen_ids: set[str] = set()
        self.stray_number = 0
        self.disturbed = False

    @initialize(mode=st.sampled_from(list(Mode)), small=st.booleans(), room=st.sampled_from([3, 8]))
    def begin(self, mode: Mode, small: bool, room: int) -> None:
        units = instrument(min_notional_units=MoneyUnits(250 * 10**8)) if small else INSTRUMENT
        chosen = settings(
            mode,
            max_inventory_lots=QuantityLots(MAX_INVENTORY),
            max_open_orders=room,
            volatility_scale_milli=1_000,
            stride_dwell_ms=0,
            skew_milli=500,
        )
        self.bench = Bench(chosen, units)
        self.mode = mode
        self.bench.open_door()

    def tell(self, *entries: Input) -> None:
        self.check_actions(self.bench.tell(*entries))

    def check_actions(self, actions: list[Action]) -> None:
        """Check what a decision asks for: ids are new, no closing is forbidden to reduce, openings fit the limits."""
        grid = self.bench.state.grid
        orders = [action for action in actions if isinstance(action, PlaceOrder)]
        for order in orders:
            assert order.client_order_id not in self.seen_ids, "a client order id was used twice"
            self.seen_ids.add(order.client_order_id)
            assert not (order.post_only and order.reduce_only)
            if order.post_only:
                opened = Use.LONG if order.side is Side.BUY else Use.SHORT
                assert grid.worst_lots(opened) <= MAX_INVENTORY
        if self.mode is not Mode.NEUTRAL:
            under_way = grid.sum("reduce_only_sell_lots") + grid.sum("reduce_only_buy_lots")
            assert not any(order.reduce_only for order in orders) or under_way <= abs(grid.position_lots)

    # Prices, time, doors --------------------------------------------------------------------------------------------

    @rule(cells=st.integers(-6, 6), part=st.integers(0, INTERVAL * 2 - 1), ms=st.sampled_from([0, 100, 3_000, 60_000]))
    def price(self, cells: int, part: int, ms: int) -> None:
        self.bench.now_ms += ms
        self.bench.exchange.now_ms = self.bench.now_ms
        self.check_actions(self.bench.price(ANCHOR + cells * INTERVAL + part / 2))

    @rule(condition=st.sampled_from(list(Condition)), active=st.booleans())
    def condition(self, condition: Condition, active: bool) -> None:
        if condition is Condition.STARTING and not active:
            self.reconcile()
        self.tell(ConditionChanged(condition=condition, active=active))

    @rule()
    def all_doors_open(self) -> None:
        self.reconcile()
        self.tell(TradingStateChanged(state=TradingState.ACTIVE, reason="resume"))
        for condition in self.bench.state.grid.fields.conditions:
            self.tell(ConditionChanged(condition=condition, active=False))
        self.tell(reading())

    @rule(
        trend=st.sampled_from(list(Trend)),
        volatility=st.sampled_from(list(Volatility)),
        liquidity=st.sampled_from(list(Liquidity)),
        brake=st.booleans(),
        atr=st.sampled_from([50, 900, 2_000]),
    )
    def regime(self, trend: Trend, volatility: Volatility, liquidity: Liquidity, brake: bool, atr: int) -> None:
        self.tell(reading(trend=trend, volatility=volatility, liquidity=liquidity, brake=brake, atr_ticks=atr))

    @rule(state=st.sampled_from([TradingState.ACTIVE] * 2 + [TradingState.REDUCING]), flatten=st.booleans())
    def trading_state(self, state: TradingState, flatten: bool) -> None:
        self.tell(TradingStateChanged(state=state, reason="told", flatten=flatten and state is TradingState.REDUCING))

    # The wire -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.bench.actions)
    @rule(
        fate=st.sampled_from(["taken"] * 5 + ["refused", "not sent", "lost", "lost and taken"]),
        reason=st.sampled_from(list(RejectReason)),
        which=st.integers(0, 20),
    )
    def send(self, fate: str, reason: RejectReason, which: int) -> None:
        self.send_one(self.bench.actions.pop(which % len(self.bench.actions)), fate, reason)

    @precondition(lambda self: self.bench.actions)
    @rule(refusals=st.lists(st.sampled_from(list(RejectReason)), max_size=2), count=st.integers(1, 30))
    def send_many(self, refusals: list[RejectReason], count: int) -> None:
        """Send what waits, as a good network does; the last few are refused."""
        batch, self.bench.actions = self.bench.actions[:count], self.bench.actions[count:]
        reasons = [None] * (len(batch) - len(refusals)) + list(refusals)
        for action, reason in zip(batch, reasons, strict=False):
            self.send_one(action, "taken" if reason is None else "refused", reason or RejectReason.OTHER)

    def send_one(self, action: Action, fate: str, reason: RejectReason) -> None:
        exchange, name = self.bench.exchange, action.client_order_id
        if isinstance(action, CancelOrder):
            lost = CancelOutcomeLost(client_order_id=name, detail="timeout")
            if fate in ("lost", "not sent"):
                self.air.append(lost)
            else:
                answer = exchange.cancel(name)
                self.air.append(lost if fate == "lost and taken" else answer)
        elif fate == "taken":
            self.air.append(exchange.accept(action))
        elif fate == "refused":
            self.air.append(OrderRefused(client_order_id=name, reason=reason, code=-1, message="no"))
        elif fate == "not sent":
            self.air.append(OrderNotSent(client_order_id=name, detail="no"))
        else:
            if fate == "lost and taken":
                exchange.accept(action)
            self.air.append(
                OrderOutcomeLost(
                    client_order_id=name, request_time_ms=self.bench.now_ms, recv_window_ms=5_000, detail="timeout"
                )
            )

    @precondition(lambda self: self.air)
    @rule(which=st.integers(0, 50), again=st.booleans())
    def deliver(self, which: int, again: bool) -> None:
        """Deliver any message, and perhaps keep it to deliver it once more. The answer to a request comes once."""
        message = self.air.pop(which % len(self.air))
        if again and isinstance(message, OrderUpdate):
            self.air.append(message)
        self.tell(message)

    @precondition(lambda self: self.air)
    @rule(count=st.integers(1, 30))
    def deliver_many(self, count: int) -> None:
        """Deliver the oldest messages in order."""
        batch, self.air = self.air[:count], self.air[count:]
        for message in batch:
            self.tell(message)

    @precondition(lambda self: self.air)
    @rule(which=st.integers(0, 50))
    def lose(self, which: int) -> None:
        """Lose a report; an answer that is lost becomes an outcome that nobody knows."""
        message = self.air.pop(which % len(self.air))
        if isinstance(message, OrderAcknowledged):
            self.air.append(
                OrderOutcomeLost(
                    client_order_id=message.order.client_order_id,
                    request_time_ms=self.bench.now_ms,
                    recv_window_ms=5_000,
                    detail="timeout",
                )
            )
        elif not isinstance(message, OrderUpdate):
            self.air.append(message)

    # The exchange ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.bench.exchange.live_orders())
    @rule(which=st.integers(0, 50), lots=st.integers(1, LEVEL_LOTS + 3), whole=st.booleans())
    def fill(self, which: int, lots: int, whole: bool) -> None:
        exchange = self.bench.exchange
        live = exchange.live_orders()
        name = live[which % len(live)]
        order = exchange.orders[name]
        left = order.action.quantity_lots - order.executed_lots
        lots = left if whole else min(lots, left)
        if order.action.reduce_only:
            room = max(0, -exchange.position_lots * order.action.side.sign)
            if room < left:
                self.air.append(exchange.end(name, RecordStatus.EXPIRED, 4))
                return
        self.air.append(exchange.fill(name, lots))

    @precondition(lambda self: self.bench.exchange.live_orders())
    @rule(which=st.integers(0, 50))
    def trade_through(self, which: int) -> None:
        """Let the price come to an order, fill it, and everything be heard at once."""
        live = self.bench.exchange.live_orders()
        name = live[which % len(live)]
        self.check_actions(self.bench.price(self.bench.exchange.orders[name].action.price_ticks or ANCHOR))
        if self.bench.exchange.orders[name].live:
            self.fill(which, 1, True)
        self.calm_down()

    @rule()
    def calm_down(self) -> None:
        """Let a good network bring everything to rest."""
        for _ in range(4):
            self.send_many([], 100)
            self.deliver_many(100)

    @precondition(lambda self: self.bench.exchange.live_orders())
    @rule(
        which=st.integers(0, 50),
        status=st.sampled_from([RecordStatus.CANCELED, RecordStatus.EXPIRED, RecordStatus.EXPIRED_IN_MATCH]),
    )
    def end(self, which: int, status: RecordStatus) -> None:
        live = self.bench.exchange.live_orders()
        self.air.append(self.bench.exchange.end(live[which % len(live)], status))

    @rule(side=st.sampled_from(list(Side)), lots=st.integers(1, 7), seen=st.booleans())
    def foreign(self, side: Side, lots: int, seen: bool) -> None:
        self.disturbed = True
        trade = self.bench.exchange.foreign_trade(side, lots)
        if seen:
            self.tell(TradesWalked(trades=(trade,), watermark=0))

    @precondition(lambda self: Condition.STARTING in self.bench.state.grid.fields.conditions)
    @rule(rung=st.integers(-3, 2), lots=st.integers(1, LEVEL_LOTS), fills=st.integers(0, LEVEL_LOTS))
    def lost_intent(self, rung: int, lots: int, fills: int) -> None:
        """An order of ours rests on the exchange of which the journal, which lost its tail, knows nothing."""
        bench = self.bench
        slot = bench.state.grid.book.get(rung)
        use = Use.LONG if self.mode is Mode.LONG or (self.mode is Mode.NEUTRAL and rung < 0) else Use.SHORT
        if slot is not None and (slot.use is not use or slot.order is not None):
            return
        self.stray_number += 1
        self.disturbed = True
        action = PlaceOrder(
            client_order_id=encode(
                OrderIdParts(
                    bot=bench.state.grid.fields.bot_id,
                    session=bench.session,
                    generation=900_000 + self.stray_number,
                    role="o",
                    rung=rung,
                    stride=1,
                )
            ),
            side=use.side(Role.OPEN),
            quantity_lots=QuantityLots(lots),
            price_ticks=PriceTicks(ANCHOR + (rung if use is Use.LONG else rung + 1) * INTERVAL),
            post_only=True,
            reduce_only=False,
        )
        bench.exchange.accept(action)
        if fills:
            self.air.append(bench.exchange.fill(action.client_order_id, min(fills, lots)))

    # Reconciliation -------------------------------------------------------------------------------------------------

    @rule()
    def walk(self) -> None:
        self.tell(self.bench.exchange.walk(self.bench.state.grid.fields.trade_watermark))

    @rule(hold=st.booleans())
    def observe(self, hold: bool) -> None:
        """Read the position after a walk of the trades; the answer may come late."""
        self.walk()
        seen = self.bench.exchange.observe(self.bench.state.sequence)
        if hold:
            self.air.append(seen)
        else:
            self.tell(seen)

    @rule(hold=st.booleans(), wait_ms=st.sampled_from([0, 3_000, 70_000]))
    def ask(self, hold: bool, wait_ms: int) -> None:
        """Ask about every order that is not settled; the answers come now, or later with an old version."""
        bench = self.bench
        bench.now_ms += wait_ms
        for slot in bench.state.grid.book.in_order():
            if slot.order is None or slot.order.status is OrderStatus.PENDING:
                continue
            name = slot.order.client_order_id
            if name in bench.exchange.orders:
                found = Correction(rung=slot.rung, version=slot.version, evidence=bench.exchange.record(name))
            else:
                absent = OrderAbsent(client_order_id=name, asked_at_ms=bench.now_ms)
                found = Correction(rung=slot.rung, version=slot.version, evidence=absent)
            if hold:
                self.air.append(found)
            else:
                self.tell(found)
        self.check_actions(bench.decide())

    def reconcile(self) -> None:
        """Do what has to be done before STARTING is lifted (R11)."""
        self.observe(False)
        self.find_strays()

    @rule()
    def find_strays(self) -> None:
        bench = self.bench
        known = {slot.order.client_order_id for slot in bench.state.grid.book.in_order() if slot.order is not None}
        for name in bench.exchange.live_orders():
            if name in known or name in {action.client_order_id for action in bench.actions}:
                continue
            self.tell(StraySeen(order=bench.exchange.record(name)))
            if name not in {s.order.client_order_id for s in bench.state.grid.book.in_order() if s.order is not None}:
                answer = bench.exchange.cancel(name)
                assert not isinstance(answer, CancelRefused)
                self.air.append(answer)

    @rule(rung=st.integers(-4, 4), age=st.integers(1, 60))
    def stale_correction(self, rung: int, age: int) -> None:
        """R8: a correction with an old version changes nothing but the counter."""
        bench = self.bench
        slot = bench.state.grid.book.get(rung)
        names = list(bench.exchange.orders)
        if not names:
            return
        version = (0 if slot is None else slot.version) - age
        evidence = bench.exchange.record(names[age % len(names)])
        before = msgspec.json.decode(bench.state.image())
        bench.rows.append(bench.state.apply(Correction(rung=rung, version=version, evidence=evidence), bench.now_ms))
        after = msgspec.json.decode(bench.state.image())
        assert after["fields"]["counters"].pop("stale_corrections") == (
            before["fields"]["counters"].pop("stale_corrections") + 1
        )
        assert after["fields"].pop("sequence") == before["fields"].pop("sequence") + 1
        assert after == before
        self.check_actions(bench.decide())

    # Sessions -------------------------------------------------------------------------------------------------------

    @rule(sent=st.integers(0, 3), reconciled=st.booleans())
    def restart(self, sent: int, reconciled: bool) -> None:
        """The process dies; some of what was decided had left, everything in the air is gone."""
        for action in self.bench.actions[:sent]:
            if isinstance(action, PlaceOrder):
                self.bench.exchange.accept(action)
            else:
                self.bench.exchange.cancel(action.client_order_id)
        self.air.clear()
        self.bench.restart()
        self.check_actions(self.bench.price(ANCHOR))
        if reconciled:
            self.ask(False, 70_000)
            self.ask(False, 3_000)
            self.all_doors_open()
