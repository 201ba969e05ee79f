"""Outcomes that nobody knows (R4), late and strange answers, restarts, strays."""

from __future__ import annotations

import pytest

from tests.domain.grid_bench import (
    BOT,
    LEVEL_LOTS,
    START_MS,
    Bench,
    cancelled,
    placed,
    settings,
)
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import (
    CancelOutcomeLost,
    CancelRefused,
    OrderAbsent,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    OrderUpdate,
    RecordStatus,
    RejectReason,
    Side,
)
from trio_grid.domain.inputs import Condition, ConditionChanged, Correction, TradesWalked
from trio_grid.domain.slot import OrderStatus

RECV_WINDOW_MS = 5_000


def lost_opening(bench: Bench, reached: bool) -> PlaceOrder:
    """Open the one level of a bench and lose the answer; `reached` says whether the exchange has the order."""
    opening = placed(bench.open_door())[-1]
    bench.actions.clear()
    if reached:
        bench.exchange.accept(opening)
    bench.tell(
        OrderOutcomeLost(
            client_order_id=opening.client_order_id,
            request_time_ms=bench.now_ms,
            recv_window_ms=RECV_WINDOW_MS,
            detail="timeout",
        )
    )
    assert bench.status(-1) is OrderStatus.UNKNOWN
    return opening


def one_level() -> Bench:
    return Bench(settings(levels_below=1))


def absent(bench: Bench, name: str, asked_at_ms: int) -> None:
    """Deliver the answer "does not exist" to a query that was sent at a time."""
    bench.now_ms = max(bench.now_ms, asked_at_ms)
    answer = OrderAbsent(client_order_id=name, asked_at_ms=asked_at_ms)
    bench.tell(Correction(rung=-1, version=bench.slot(-1).version, evidence=answer))


# Absence -------------------------------------------------------------------------------------------------------------

FIRST_PROOF_MS = START_MS + RECV_WINDOW_MS + 1_000 + 1


def test_s10_f1_a_lost_answer_is_no_failure() -> None:
    """F1, S10: the slot is not freed, nothing is sent again, and the order's fill is booked when it shows."""
    bench = one_level()
    opening = lost_opening(bench, reached=True)
    assert bench.pass_time(3_600_000) == []
    closing = placed(bench.tell(bench.exchange.fill(opening.client_order_id)))[-1]
    assert closing.quantity_lots == LEVEL_LOTS
    bench.settle()
    bench.check_books()


def test_r4_absence_is_proved_by_two_late_answers_two_seconds_apart() -> None:
    bench = one_level()
    opening = lost_opening(bench, reached=False)
    absent(bench, opening.client_order_id, FIRST_PROOF_MS)
    assert bench.status(-1) is OrderStatus.UNKNOWN
    absent(bench, opening.client_order_id, FIRST_PROOF_MS + 1_999)
    assert bench.status(-1) is OrderStatus.UNKNOWN, "not two seconds apart"
    absent(bench, opening.client_order_id, FIRST_PROOF_MS + 2_000)
    again = placed(bench.actions)[-1]
    assert again.client_order_id != opening.client_order_id, "a new generation, never the old id"
    assert bench.state.grid.fields.counters.never_existed == 1
    bench.settle()
    bench.check_books()


def test_r4_an_answer_within_the_requests_window_proves_nothing() -> None:
    bench = one_level()
    opening = lost_opening(bench, reached=False)
    for asked_at_ms in (START_MS, START_MS + 2_500, FIRST_PROOF_MS - 1, FIRST_PROOF_MS):
        absent(bench, opening.client_order_id, asked_at_ms)
    assert bench.status(-1) is OrderStatus.UNKNOWN, "only the last of them counts, and one is not enough"


def test_r4_an_order_that_was_seen_is_never_proved_absent() -> None:
    bench = one_level()
    opening = lost_opening(bench, reached=True)
    bench.tell(OrderUpdate(order=bench.exchange.record(opening.client_order_id)))
    assert bench.status(-1) is OrderStatus.LOCKED
    bench.tell(CancelOutcomeLost(client_order_id=opening.client_order_id, detail="timeout"))
    assert bench.status(-1) is OrderStatus.UNKNOWN
    for later_ms in (0, 10_000, 86_400_000):
        absent(bench, opening.client_order_id, FIRST_PROOF_MS + later_ms)
    assert bench.status(-1) is OrderStatus.UNKNOWN


def test_r4_a_seen_order_without_trades_counts_as_cancelled_after_three_days() -> None:
    bench = one_level()
    opening = lost_opening(bench, reached=True)
    bench.tell(OrderUpdate(order=bench.exchange.record(opening.client_order_id)))
    bench.exchange.cancel(opening.client_order_id)
    bench.restart()
    bench.open_door()
    bench.tell(CancelOutcomeLost(client_order_id=opening.client_order_id, detail="timeout"))
    three_days = START_MS + 3 * 86_400_000
    absent(bench, opening.client_order_id, three_days)
    assert bench.status(-1) is OrderStatus.UNKNOWN
    absent(bench, opening.client_order_id, three_days + 1)
    assert placed(bench.actions)[-1].client_order_id != opening.client_order_id


def test_r4_an_order_that_rested_when_the_bot_stopped_and_was_cancelled_long_ago_frees_its_slot() -> None:
    """Stopped with `keep`, cancelled by hand, started again four days later: the exchange has forgotten the order."""
    bench = one_level()
    bench.ladder()
    name = bench.order(-1).client_order_id
    bench.exchange.cancel(name)
    bench.now_ms += 2 * 86_400_000
    bench.restart()
    bench.open_door()
    assert bench.status(-1) is OrderStatus.LOCKED
    absent(bench, name, bench.now_ms)
    assert bench.status(-1) is OrderStatus.LOCKED, "two days: it may be a replica that lags"
    absent(bench, name, bench.now_ms + 2 * 86_400_000)
    assert placed(bench.actions)[-1].client_order_id != name


def test_r4_a_seen_order_with_trades_is_not_forgotten_after_three_days() -> None:
    bench = one_level()
    opening = lost_opening(bench, reached=True)
    bench.tell(bench.exchange.fill(opening.client_order_id, 3))
    bench.tell(CancelOutcomeLost(client_order_id=opening.client_order_id, detail="timeout"))
    absent(bench, opening.client_order_id, START_MS + 10 * 86_400_000)
    assert bench.status(-1) is OrderStatus.UNKNOWN


def test_r4_a_trade_forbids_the_proof_of_absence() -> None:
    """The trades show the order although no query does: it existed."""
    bench = one_level()
    opening = lost_opening(bench, reached=True)
    absent(bench, opening.client_order_id, FIRST_PROOF_MS)
    bench.exchange.fill(opening.client_order_id, 2)
    bench.tell(bench.exchange.walk(0))
    absent(bench, opening.client_order_id, FIRST_PROOF_MS + 60_000)
    absent(bench, opening.client_order_id, FIRST_PROOF_MS + 120_000)
    assert bench.status(-1) is OrderStatus.UNKNOWN
    assert bench.slot(-1).inventory_lots == 2


def test_absence_says_nothing_while_the_answer_to_the_placement_is_under_way() -> None:
    bench = one_level()
    opening = placed(bench.open_door())[-1]
    for asked_at_ms in (FIRST_PROOF_MS + 60_000, FIRST_PROOF_MS + 120_000):
        absent(bench, opening.client_order_id, asked_at_ms)
    assert bench.status(-1) is OrderStatus.PENDING
    assert bench.order(-1).absent_at_ms is None


def test_a_record_between_two_absences_starts_the_proof_anew() -> None:
    bench = one_level()
    opening = lost_opening(bench, reached=True)
    absent(bench, opening.client_order_id, FIRST_PROOF_MS)
    bench.tell(OrderUpdate(order=bench.exchange.record(opening.client_order_id)))
    assert bench.order(-1).absent_at_ms is None
    assert bench.status(-1) is OrderStatus.LOCKED


def test_an_absence_of_another_order_changes_nothing() -> None:
    bench = one_level()
    lost_opening(bench, reached=False)
    other = encode(OrderIdParts(bot=BOT, session=1, generation=99, role="o", rung=-1, stride=1))
    absent(bench, other, FIRST_PROOF_MS)
    absent(bench, other, FIRST_PROOF_MS + 10_000)
    assert bench.status(-1) is OrderStatus.UNKNOWN


# Cancels -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-2011, -2013])
def test_f7_a_refused_cancel_is_a_question_and_no_blind_retry(code: int) -> None:
    """F7: filled, cancelled or absent? Only the exchange's record says."""
    bench = one_level()
    bench.ladder()
    name = bench.order(-1).client_order_id
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    bench.exchange.fill(name)
    bench.actions.clear()
    assert bench.tell(CancelRefused(client_order_id=name, code=code, message="Unknown order sent.")) == []
    assert bench.status(-1) is OrderStatus.UNKNOWN
    assert bench.pass_time(60_000) == []
    record = bench.exchange.record(name)
    bench.tell(Correction(rung=-1, version=bench.slot(-1).version, evidence=record))
    assert bench.status(-1) is OrderStatus.SETTLING, "filled, but not booked"
    assert set(placed(bench.tell(bench.exchange.walk(0)))) == {-1}
    bench.settle()
    bench.check_books()


def test_a_lost_cancel_is_repeated_once_the_order_is_seen_alive() -> None:
    bench = one_level()
    bench.ladder()
    name = bench.order(-1).client_order_id
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    bench.actions.clear()
    bench.tell(CancelOutcomeLost(client_order_id=name, detail="timeout"))
    record = bench.exchange.record(name)
    assert cancelled(bench.tell(Correction(rung=-1, version=bench.slot(-1).version, evidence=record))) == [-1]
    bench.settle()
    assert bench.status(-1) is OrderStatus.FREE


# Answers that come late or twice -------------------------------------------------------------------------------------


def test_s12_answers_never_move_a_slot_backwards() -> None:
    bench = Bench()
    bench.open_door()
    opening = placed(bench.actions)[-1]
    answer = bench.exchange.accept(opening)
    part = bench.exchange.fill(opening.client_order_id, 4)
    bench.tell(part)
    bench.tell(answer)
    assert bench.order(-1).executed_lots == 4, "an executed quantity never falls"
    end = bench.exchange.end(opening.client_order_id, RecordStatus.CANCELED)
    bench.tell(end)
    closing = bench.order(-1)
    bench.tell(part, answer, end)
    assert bench.order(-1) == closing
    assert bench.slot(-1).inventory_lots == 4
    assert bench.state.grid.fields.counters.duplicate_trades == 1


def test_f20_a_trade_is_booked_once_whatever_way_it_comes() -> None:
    bench = one_level()
    bench.ladder()
    report = bench.fill_silently(-1, 4)
    bench.tell(report)
    bench.tell(report)
    bench.tell(bench.exchange.walk(0))
    bench.tell(TradesWalked(trades=tuple(bench.exchange.trades), watermark=0))
    assert bench.slot(-1).inventory_lots == 4
    assert bench.state.grid.fields.counters.fills == 1
    bench.check_books()


@pytest.mark.parametrize("answer", ["refused", "not sent"])
def test_an_order_that_was_seen_alive_and_is_then_called_refused_becomes_a_question(answer: str) -> None:
    bench = one_level()
    opening = placed(bench.open_door())[-1]
    bench.actions.clear()
    bench.exchange.accept(opening)
    bench.tell(OrderUpdate(order=bench.exchange.record(opening.client_order_id)))
    name = opening.client_order_id
    if answer == "refused":
        bench.tell(OrderRefused(client_order_id=name, reason=RejectReason.OTHER, code=-1, message="no"))
    else:
        bench.tell(OrderNotSent(client_order_id=name, detail="no"))
    assert bench.status(-1) is OrderStatus.UNKNOWN
    assert bench.all_actions == [opening]


@pytest.mark.parametrize("answer", ["refused", "not sent"])
def test_an_order_of_which_a_trade_is_known_is_not_freed_by_a_late_no(answer: str) -> None:
    """The walk of the trades was faster than report and answer; the answer contradicts it, so the exchange is asked."""
    bench = one_level()
    opening = placed(bench.open_door())[-1]
    bench.actions.clear()
    name = opening.client_order_id
    bench.exchange.accept(opening)
    bench.exchange.fill(name, 4)
    bench.tell(bench.exchange.walk(0))
    assert bench.status(-1) is OrderStatus.PENDING
    if answer == "refused":
        bench.tell(OrderRefused(client_order_id=name, reason=RejectReason.OTHER, code=-1, message="no"))
    else:
        bench.tell(OrderNotSent(client_order_id=name, detail="no"))
    assert bench.status(-1) is OrderStatus.UNKNOWN
    assert bench.slot(-1).inventory_lots == 4
    bench.check_books()


def test_a_terminal_record_before_its_trades_waits_for_them() -> None:
    bench = one_level()
    bench.ladder()
    name = bench.order(-1).client_order_id
    report = bench.fill_silently(-1)
    assert bench.tell(OrderUpdate(order=report.order)) == []
    assert bench.status(-1) is OrderStatus.SETTLING
    assert bench.state.grid.sum("unbooked") == LEVEL_LOTS
    assert bench.pass_time(60_000) == []
    assert report.trade is not None
    follows = bench.tell(TradesWalked(trades=(report.trade,), watermark=report.trade.trade_id))
    assert placed(follows)[-1].side is Side.SELL
    assert bench.state.grid.settled.keys() >= {name}
    bench.check_books()
