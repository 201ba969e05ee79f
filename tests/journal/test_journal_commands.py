"""`trio-grid journal show | verify | replay | prune` on real journals."""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from tests.journal.journal_samples import INSTRUMENT, START_MS, order_id, records
from tests.journal.journaled_grid import JournaledGrid
from trio_grid.cli.journal_commands import add_journal_parser
from trio_grid.config import load_config
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelOutcomeLost,
    CancelRefused,
    FundingRecord,
    Liquidity,
    OrderAbsent,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRecord,
    OrderRefused,
    OrderUpdate,
    RecordStatus,
    RegimeReading,
    RejectReason,
    Side,
    Trade,
    Trend,
    Volatility,
)
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Correction,
    Decision,
    Entry,
    FiltersChanged,
    InventoryWrittenOff,
    JournalRecord,
    LatticeAnchored,
    PositionAccepted,
    PositionObserved,
    StraySeen,
    TradesWalked,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots
from trio_grid.errors import JournalError, JournalInUse
from trio_grid.journal.display import KINDS, line, lines, rungs_of, select
from trio_grid.journal.pruning import prune
from trio_grid.journal.reader import read_journal
from trio_grid.journal.rows import encode_row
from trio_grid.journal.sqlite_journal import open_journal


def run(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_journal_parser(parser.add_subparsers())
    parsed = parser.parse_args(["journal", *map(str, arguments)])
    return int(parsed.handler(parsed))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        grid = JournaledGrid(journal, 1)
        grid.run(40)
        journal.save_image(grid.state.sequence, grid.state.image())
        grid.run(20)
    return path


def test_show_gives_a_heading_and_the_last_records(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", path, "--limit", "5") == 0
    shown = capsys.readouterr().out.splitlines()
    with read_journal(path) as reader:
        identity, last = reader.identity(), reader.last_sequence()
    assert identity is not None
    assert shown[0] == f"# bot {identity.bot_id}, BTCUSDT on paper"
    assert shown[1] == f"# session 1, records 1..{last}"
    assert [int(one.split()[0]) for one in shown[2:]] == list(range(last - 4, last + 1))


def test_show_limits_itself_to_fifty_unless_told_otherwise(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("show", path)
    assert len(capsys.readouterr().out.splitlines()) == 52
    run("show", path, "--limit", "0")
    with read_journal(path) as reader:
        assert len(capsys.readouterr().out.splitlines()) == 2 + reader.count()


def test_show_filters_by_kind_in_any_case(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("show", path, "--kind", "sessionstarted", "--kind", "LatticeAnchored")
    shown = capsys.readouterr().out.splitlines()[2:]
    assert [one.split()[3] for one in shown] == ["SessionStarted", "LatticeAnchored"]
    assert "session 1, BTCUSDT, mode neutral, baseline 0.000" in shown[0]
    assert shown[1].endswith("at 60000.00")


def test_show_filters_by_slot(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with read_journal(path) as reader:
        wanted = [record.sequence for record in reader.records() if -1 in rungs_of(record.entry)]
    run("show", path, "--slot", "-1", "--limit", "0")
    shown = capsys.readouterr().out.splitlines()[2:]
    assert [int(one.split()[0]) for one in shown] == wanted
    assert wanted
    run("show", path, "--slot", "-1", "--limit", "2", "--kind", "OrderAcknowledged")
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_show_as_json_gives_records_that_decode_to_themselves(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("show", path, "--json", "--limit", "0")
    shown = [msgspec.json.decode(one, type=JournalRecord) for one in capsys.readouterr().out.splitlines()]
    with read_journal(path) as reader:
        assert shown == list(reader.records())


def test_show_works_beside_a_running_bot(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_journal(path) as journal:
        before = journal.last_sequence
        journal.commit(records(before + 1, 1))
        assert run("show", path, "--limit", "1") == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[0] == str(before + 1)


def test_show_of_a_pruned_journal_still_knows_the_units(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prune(path)
    run("show", path, "--kind", "Decision", "--limit", "1")
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].endswith(", 1 archive(s)")
    assert " ticks" not in shown[2]
    assert "at 6" in shown[2] or "at 5" in shown[2]


def test_show_falls_back_to_ticks_where_the_units_cannot_be_known(path: Path) -> None:
    prune(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE images SET image = x'00'")
    with read_journal(path) as reader:
        shown = list(lines(reader, select(reader, kinds=("Decision",), limit=1)))
    assert "half ticks" in shown[0]


def test_the_journal_is_that_of_a_configuration_or_of_the_default_one(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = path.with_name("mine.toml")
    text = resources.files("trio_grid.config").joinpath("paper.toml").read_text(encoding="utf-8")
    default = load_config().journal.path
    config.write_text(text.replace(f'"{default}"', f'"{path}"'))
    assert run("verify", config) == 0
    assert capsys.readouterr().out.startswith(f"{path}: ")
    monkeypatch.chdir(path.parent)
    default.parent.mkdir(parents=True)
    path.rename(default)
    assert run("verify") == 0
    assert capsys.readouterr().out.startswith(f"{default}: ")


@pytest.mark.parametrize("verb", ["show", "verify", "replay", "prune"])
def test_a_missing_journal_is_an_error_for_every_verb(verb: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        run(verb, tmp_path / "none.sqlite3")


@pytest.mark.parametrize(
    "arguments", [["show", "--kind", "Teleported"], ["show", "--limit", "-1"], ["show", "--slot", "x"], [], ["burn"]]
)
def test_wrong_usage_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_verify_says_sound_with_code_0_and_problems_with_code_4(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", path) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "sound"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM records WHERE sequence = 30")
    assert run("verify", path) == 4
    shown = capsys.readouterr().out
    assert "record 30 is missing" in shown
    assert shown.splitlines()[-1] == "1 problem(s)"


def test_replay_says_no_difference_with_code_0_and_the_first_one_with_code_4(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", path) == 0
    assert "no difference up to record" in capsys.readouterr().out
    with read_journal(path) as reader:
        record = next(record for record in reader.records() if isinstance(record.entry, Decision))
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        assert isinstance(record.entry, Decision)
        altered = msgspec.structs.replace(record, entry=msgspec.structs.replace(record.entry, centre=17))
        row = encode_row(altered)
        db.execute("UPDATE records SET entry = ?, checksum = ? WHERE sequence = ?", (row[3], row[4], row[0]))
    assert run("replay", path) == 4
    assert capsys.readouterr().out.startswith(f"first difference: record {record.sequence} (Decision)")


def test_prune_says_what_it_did(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prune", path) == 0
    assert "were moved to" in capsys.readouterr().out
    assert run("prune", path) == 0
    assert "nothing to prune" in capsys.readouterr().out
    with open_journal(path), pytest.raises(JournalInUse):
        run("prune", path)


# Wording ------------------------------------------------------------------------------------------------------------

ORDER = OrderRecord(
    client_order_id=order_id(-3),
    order_id=7,
    side=Side.BUY,
    price_ticks=PriceTicks(598_500),
    quantity_lots=QuantityLots(20),
    executed_lots=QuantityLots(5),
    status=RecordStatus.PARTIALLY_FILLED,
    reduce_only=False,
    update_time_ms=START_MS,
)
TRADE = Trade(
    trade_id=9,
    order_id=7,
    client_order_id=order_id(-3),
    side=Side.BUY,
    price_ticks=PriceTicks(598_500),
    quantity_lots=QuantityLots(5),
    realized_pnl_units=MoneyUnits(0),
    fee_units=MoneyUnits(59_850),
    fee_asset="USDT",
    maker=True,
    time_ms=START_MS,
)
READING = RegimeReading(
    close_time_ms=START_MS,
    trend=Trend.BULL,
    volatility=Volatility.HIGH,
    liquidity=Liquidity.NORMAL,
    brake=True,
    stale=False,
    atr_ticks=450,
    size_factor_milli=875,
    rsi_milli=71_300,
)
NAME = f"[{order_id(-3)} slot -3 opening]"
FOREIGN = msgspec.structs.replace(TRADE, client_order_id="web_77")

WORDS: list[tuple[Entry, str, set[int]]] = [
    (OrderAcknowledged(order=ORDER), f"{NAME} BUY 0.005 of 0.020 @ 59850.00 PARTIALLY_FILLED", {-3}),
    (CancelAcknowledged(order=ORDER), f"{NAME} BUY 0.005 of 0.020 @ 59850.00 PARTIALLY_FILLED", {-3}),
    (StraySeen(order=ORDER), f"{NAME} BUY 0.005 of 0.020 @ 59850.00 PARTIALLY_FILLED", {-3}),
    (OrderUpdate(order=ORDER, trade=TRADE), "; trade 9 " + NAME + " BUY 0.005 @ 59850.00, fee 0.00059850 USDT", {-3}),
    (OrderUpdate(order=ORDER), "PARTIALLY_FILLED", {-3}),
    (
        OrderRefused(client_order_id=order_id(-3), reason=RejectReason.POST_ONLY, code=-5022, message="would take"),
        f"{NAME} POST_ONLY: would take (code -5022)",
        {-3},
    ),
    (
        OrderOutcomeLost(client_order_id=order_id(-3), request_time_ms=1, recv_window_ms=2, detail="timed out"),
        f"{NAME}: timed out",
        {-3},
    ),
    (OrderNotSent(client_order_id=order_id(-3), detail="no link"), f"{NAME}: no link", {-3}),
    (CancelRefused(client_order_id=order_id(-3), code=-2011, message="unknown"), f"{NAME}: unknown (code -2011)", {-3}),
    (CancelOutcomeLost(client_order_id=order_id(-3), detail="no answer"), f"{NAME}: no answer", {-3}),
    (Correction(rung=-3, version=12, evidence=ORDER), f"slot -3 at version 12: {NAME} BUY", {-3}),
    (
        Correction(rung=-3, version=12, evidence=OrderAbsent(client_order_id=order_id(-3), asked_at_ms=1)),
        f"slot -3 at version 12: {NAME} does not exist",
        {-3},
    ),
    (TradesWalked(trades=(TRADE, FOREIGN), watermark=9), "watermark 9; trade 9", {-3}),
    (TradesWalked(trades=(FOREIGN,), watermark=9), "[web_77: not ours] BUY", set()),
    (READING, "BULL HIGH NORMAL BRAKE, RSI 71.3, ATR 45.00, size x0.875", set()),
    (LatticeAnchored(anchor_ticks=PriceTicks(600_000)), "at 60000.00", set()),
    (FiltersChanged(instrument=INSTRUMENT), "tick size 0.10, lot size 0.001", set()),
    (ConditionChanged(condition=Condition.PAUSED, active=True, reason="lunch"), "PAUSED begins: lunch", set()),
    (ConditionChanged(condition=Condition.PAUSED, active=False), "PAUSED ends", set()),
    (
        TradingStateChanged(state=TradingState.REDUCING, reason="drawdown", flatten=True),
        "REDUCING, flatten: drawdown",
        set(),
    ),
    (PositionObserved(position_lots=-30, fence=8), "-0.030, fence 8", set()),
    (PositionAccepted(difference_lots=10, words="mine"), "0.010 as foreign: mine", set()),
    (InventoryWrittenOff(rungs=(4, 5), words="liquidated"), "slots 4, 5: liquidated", {4, 5}),
    (
        FundingRecord(record_id=3, amount_units=MoneyUnits(-150), asset="USDT", time_ms=1),
        "-0.00000150 USDT (record 3)",
        set(),
    ),
]


@pytest.mark.parametrize(("entry", "words", "rungs"), WORDS, ids=[type(entry).__name__ for entry, _, _ in WORDS])
def test_every_entry_has_words_and_slots(entry: Entry, words: str, rungs: set[int]) -> None:
    shown = line(JournalRecord(sequence=12, now_ms=START_MS + 45, entry=entry), INSTRUMENT)
    assert shown.startswith(f"       12  2023-11-14 22:13:20.045  {type(entry).__name__}")
    assert words in shown
    assert "\n" not in shown
    assert rungs_of(entry) == rungs
    assert line(JournalRecord(sequence=12, now_ms=START_MS, entry=entry), None)


def test_a_decision_names_each_action(path: Path) -> None:
    entry = records(1, 1)[0].entry
    shown = line(JournalRecord(sequence=1, now_ms=START_MS, entry=entry), INSTRUMENT)
    assert "at 60000.05, centre 0; place [" in shown
    assert "BUY 0.010 @ 59050.00 post-only; cancel [" in shown
    assert rungs_of(entry) == {-19, -18}


def test_no_kind_of_entry_is_without_words() -> None:
    worded = {type(entry).__name__ for entry, _, _ in WORDS} | {"SessionStarted", "Decision"}
    assert worded == set(KINDS)
