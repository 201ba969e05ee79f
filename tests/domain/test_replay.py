"""Replay (R13): the same rows give the same decisions, any other row is told, and an image is a place to start from."""

from __future__ import annotations

import msgspec
import pytest

from tests.domain.grid_bench import ANCHOR, INSTRUMENT, Bench, rung_price, settings
from tests.domain.seeded_world import World
from tests.domain.test_quiet_band import drive
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.grid_state import GridState, ReplayDiffers
from trio_grid.domain.inputs import Decision, JournalRecord
from trio_grid.domain.instrument import PriceTicks
from trio_grid.domain.settings import Mode


def lived() -> Bench:
    """Return a grid with some history."""
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    for rung in (-1, 0, -1, 1, 0):
        bench.price(rung_price(rung))
        bench.settle()
        bench.fill_and_settle(rung)
    return bench


def replayed(rows: list[JournalRecord], state: GridState | None = None) -> GridState:
    state = state or GridState.fresh()
    for row in rows:
        state.replay(row)
    return state


def test_the_rows_give_the_same_state() -> None:
    bench = lived()
    assert replayed(bench.rows).image() == bench.state.image()


def test_rows_that_went_through_json_replay_as_well() -> None:
    bench = lived()
    rows = [msgspec.json.decode(msgspec.json.encode(row), type=JournalRecord) for row in bench.rows]
    assert rows == bench.rows
    assert replayed(rows).image() == bench.state.image()


def test_an_image_anywhere_and_the_tail_after_it_give_the_same_state() -> None:
    bench = lived()
    for place in range(1, len(bench.rows), 5):
        image = replayed(bench.rows[:place]).image()
        recovered = replayed(bench.rows[place:], GridState.from_image(image))
        assert recovered.image() == bench.state.image()


def a_decision(rows: list[JournalRecord]) -> int:
    return next(
        place for place, row in enumerate(rows) if isinstance(row.entry, Decision) and len(row.entry.actions) > 1
    )


def test_a_decision_that_was_changed_is_told() -> None:
    rows = lived().rows
    place = a_decision(rows)
    entry = rows[place].entry
    assert isinstance(entry, Decision)
    first = entry.actions[0]
    assert isinstance(first, PlaceOrder)
    dearer = msgspec.structs.replace(first, price_ticks=PriceTicks((first.price_ticks or 0) + 1))
    for changed in (
        msgspec.structs.replace(entry, actions=(dearer, *entry.actions[1:])),
        msgspec.structs.replace(entry, actions=entry.actions[:-1]),
        msgspec.structs.replace(entry, centre=(entry.centre or 0) + 1),
        msgspec.structs.replace(entry, budget_orders=1),
    ):
        row = msgspec.structs.replace(rows[place], entry=changed)
        with pytest.raises(ReplayDiffers, match=f"record {row.sequence}"):
            replayed([*rows[:place], row])


def test_a_decision_of_which_nothing_follows_is_told() -> None:
    rows = lived().rows
    place = a_decision(rows)
    again = msgspec.structs.replace(rows[place], sequence=rows[place].sequence + 1)
    with pytest.raises(ReplayDiffers, match="replay gives None"):
        replayed([*rows[: place + 1], again])


def test_a_missing_row_is_told() -> None:
    rows = lived().rows
    with pytest.raises(ReplayDiffers, match="follows"):
        replayed([*rows[:5], *rows[6:]])


@pytest.mark.parametrize("image", [b"", b"{}", b"not json", b'{"type": "StateImage"}'])
def test_bytes_that_are_no_image_are_refused(image: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        GridState.from_image(image)


def test_equal_histories_give_equal_bytes_in_a_lively_world() -> None:
    """Two runs of one seed end in the same bytes: nothing depends on hashing, identity or the order of sets."""
    images = []
    for _ in range(2):
        a, _ = drive(World(11, settings(Mode.NEUTRAL), INSTRUMENT, 3, 2 * ANCHOR), 300)
        images.append(a.state.image())
    assert images[0] == images[1]
