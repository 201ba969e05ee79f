"""Fault files: what they may hold, what is refused and in which words, and what a seed draws."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from tools import fault_reference
from trio_grid.domain.events import Side
from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.server.disturbance import Transport
from trio_grid.testing.faults import (
    KINDS,
    PASSING,
    CloseConnections,
    Fault,
    FaultInjector,
    FaultPlan,
    LateAnswer,
    Match,
    NoAnswer,
    SilentStream,
    StalledStream,
    When,
    draw_plan,
    load_faults,
    parse_faults,
)
from trio_grid.testing.faults.plan import faults_of


def refusals(text: str) -> list[str]:
    """Return every line that a file is refused with, without the file's name."""
    with pytest.raises(ConfigError) as refused:
        parse_faults(text, source="file")
    assert all(line.startswith("file: ") for line in refused.value.faults)
    return [line.removeprefix("file: ") for line in refused.value.faults]


def of_one(rest: str) -> list[str]:
    """Return what is wrong with a file of one fault."""
    return [line.removeprefix("$.fault[0]") for line in refusals(f"[[fault]]\n{rest}")]


def test_a_file_becomes_a_plan_of_typed_faults(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        """
seed = 7
[[fault]]
kind = "late-answer"
delay_ms = 3000
when = { from_s = 1, to_s = 2.5, nth = 2, probability = 0.5 }
match = { transport = "ws-api", request = "order.place", side = "BUY", reduce_only = false }
[[fault]]
kind = "close-connections"
code = 1012
when = { from_s = 60, every_s = 30, times = 2 }
"""
    )
    assert load_faults(path) == FaultPlan(
        (
            LateAnswer(
                delay_ms=3000,
                when=When(from_s=1.0, to_s=2.5, nth=2, probability=Decimal("0.5")),
                match=Match(transport=Transport.WS_API, request="order.place", side=Side.BUY, reduce_only=False),
            ),
            CloseConnections(code=1012, when=When(from_s=60.0, every_s=30.0, times=2)),
        ),
        seed=7,
    )


def test_an_empty_file_is_a_plan_of_nothing() -> None:
    assert parse_faults("") == FaultPlan((), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_written_with_its_defaults(kind: str) -> None:
    needed = {"stalled-stream": "when.to_s = 9", "maintenance": "when.to_s = 9", "change-filters": "min_notional = 70"}
    plan = parse_faults(f'[[fault]]\nkind = "{kind}"\n{needed.get(kind, "")}')
    assert [type(fault) for fault in plan.faults] == [KINDS[kind]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_it_is(kind: str) -> None:
    cls = KINDS[kind]
    assert cls.kind == kind
    assert cls.__doc__
    assert cls.rows
    assert set(cls.matches) <= {field.name for field in attrs.fields(Match)}
    assert set(cls.triggers) <= {field.name for field in attrs.fields(When)}
    assert ("transport" in cls.matches) <= bool(cls.transports)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('kind = "no-answr"', '.kind: "no-answr" is refused; did you mean no-answer?'),
        ("kind = 3", f".kind: 3 is refused; allowed: {', '.join(KINDS)}"),
        ("delay_ms = 3", f".kind: is missing; allowed: {', '.join(KINDS)}"),
        ('kind = "no-answer"\ndelay_ms = 3', ".delay_ms: unknown key; allowed: when, match"),
        ('kind = "no-answer"\nwhen = { evry = 3 }', ".when.evry: unknown key; did you mean every?"),
        ('kind = "no-answer"\nwhen = 3', ".when: 3 is refused; allowed: a table"),
        ('kind = "no-answer"\nwhen.nth = 0', ".when.nth: 0 is refused; allowed: a whole number, at least 1"),
        ('kind = "no-answer"\nwhen.nth = 1.0', ".when.nth: 1.0 is refused; allowed: a whole number, at least 1"),
        (
            'kind = "no-answer"\nwhen.probability = 1.5',
            ".when.probability: 1.5 is refused; allowed: a number, above 0, at most 1",
        ),
        (
            'kind = "no-answer"\nwhen = { from_s = 5, to_s = 5 }',
            ".when.to_s: 5 is not after from_s; allowed: above 5",
        ),
        (
            'kind = "no-answer"\nmatch.side = "buy"',
            '.match.side: "buy" is refused; allowed: "BUY" or "SELL"',
        ),
        (
            'kind = "no-answer"\nmatch.transport = "user"',
            '.match.transport: "user" has no no-answer fault; allowed: rest, ws-api',
        ),
        (
            'kind = "gateway-error"\nmatch.transport = "ws-api"',
            '.match.transport: "ws-api" has no gateway-error fault; allowed: rest',
        ),
        (
            'kind = "no-answer"\nmatch.request = "POST /fapi/v1/oder"',
            '.match.request: "POST /fapi/v1/oder" is no request of this exchange; allowed: a route or method of it',
        ),
        (
            'kind = "firewall"\nmatch.request = "order.place"',
            '.match.request: "order.place" goes by ws-api; allowed: a request by rest',
        ),
        (
            'kind = "no-answer"\nmatch = { transport = "rest", request = "order.place" }',
            '.match.request: "order.place" goes by ws-api; allowed: a request by rest',
        ),
        (
            'kind = "stale-read"\nmatch.request = "POST /fapi/v1/order"',
            '.match.request: "POST /fapi/v1/order" reads no account; allowed: a signed GET route of /fapi',
        ),
        (
            'kind = "silent-stream"\nmatch.side = "BUY"',
            ".match.side: means nothing to a silent-stream fault; allowed: transport, path, account",
        ),
        (
            'kind = "close-connections"\nwhen.nth = 2',
            ".when.nth: means nothing to a close-connections fault; allowed: from_s, to_s, times, every_s",
        ),
        (
            'kind = "lost-event"\nmatch.event = "ORDER_UPDATE"',
            '.match.event: "ORDER_UPDATE" is no user event; allowed: TRADE_LITE, ACCOUNT_UPDATE, ORDER_TRADE_UPDATE, '
            "ACCOUNT_CONFIG_UPDATE, ALGO_UPDATE, MARGIN_CALL",
        ),
        ('kind = "stalled-stream"', ".when.to_s: is missing; allowed: when the stall ends"),
        ('kind = "maintenance"', ".when.to_s: is missing; allowed: when the maintenance ends"),
        (
            'kind = "change-filters"',
            ".kind: changes nothing; allowed: at least one of min_notional, min_quantity, max_quantity, "
            "max_open_orders",
        ),
        (
            'kind = "close-connections"\ncode = 1006',
            ".code: 1006 never stands in a close frame; allowed: another code",
        ),
        (
            'kind = "malformed-answer"\nform = "odd"',
            '.form: "odd" is refused; allowed: "truncated", "garbage", "empty", "other-type" or "no-fields"',
        ),
    ],
)
def test_what_is_wrong_is_told_with_path_value_and_what_is_allowed(text: str, wanted: str) -> None:
    assert of_one(text) == [wanted]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = 'sed = 1\nseed = "x"\n[[fault]]\nkind = "x"\n[[fault]]\nkind = "ban"\nban_s = 0\nwhen.nth = -1'
    assert [line.split(": ")[0] for line in refusals(text)] == [
        "$.sed",
        "$.seed",
        "$.fault[0].kind",
        "$.fault[1].when.nth",
        "$.fault[1].ban_s",
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fault = 3", "$.fault: 3 is refused; allowed: at most 10000 tables [[fault]]"),
        ("fault = [3]", "$.fault[0]: 3 is refused; allowed: a table"),
        ("a = ", "end of the file: Invalid value"),
    ],
)
def test_what_is_no_list_of_faults_is_refused(text: str, wanted: str) -> None:
    assert refusals(text) == [wanted]


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_faults(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="byte 0 is not UTF-8"):
        load_faults(binary)
    binary.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1000000 bytes"):
        load_faults(binary)


def test_a_fault_that_means_nothing_is_not_injected() -> None:
    with pytest.raises(ValueError, match=r"silent-stream: match\.side: means nothing"):
        FaultInjector(FaultPlan((SilentStream(match=Match(side=Side.BUY)),)))
    with pytest.raises(ValueError, match=r"stalled-stream: when\.to_s: is missing"):
        FaultInjector().inject(StalledStream())


# Triggers -------------------------------------------------------------------------------------------------------------


def happenings(when: When, times: list[float], seed: int = 1) -> list[float]:
    """Return at which of some times a fault with this trigger happens."""
    injection = FaultInjector(FaultPlan(seed=seed)).inject(NoAnswer(when=when))
    return [time for time in times if injection.happens(round(1000 * time))]


SECONDS = [float(second) for second in range(10)]


@pytest.mark.parametrize(
    ("when", "wanted"),
    [
        (When(), SECONDS),
        (When(from_s=7), [7, 8, 9]),
        (When(to_s=2), [0, 1]),
        (When(from_s=3, to_s=5), [3, 4]),
        (When(nth=4), [3]),
        (When(from_s=5, nth=1), [5]),
        (When(every=4), [3, 7]),
        (When(times=2), [0, 1]),
        (When(every=3, times=2), [2, 5]),
    ],
)
def test_a_trigger_says_which_matches_are_meant(when: When, wanted: list[float]) -> None:
    assert happenings(when, SECONDS) == wanted


def test_chance_comes_from_the_seed() -> None:
    times = [float(second) for second in range(400)]
    when = When(probability=Decimal("0.25"))
    first = happenings(when, times, seed=3)
    assert first == happenings(when, times, seed=3)
    assert first != happenings(when, times, seed=4)
    assert 60 < len(first) < 140


# Plans that are drawn -------------------------------------------------------------------------------------------------


def test_a_seed_draws_one_plan_and_every_fault_of_it_means_something() -> None:
    plan = draw_plan(5, count=300, horizon_s=60)
    assert plan == draw_plan(5, count=300, horizon_s=60)
    assert plan.faults != draw_plan(6, count=300, horizon_s=60).faults
    assert {fault.kind for fault in plan.faults} == {fault.kind for fault in PASSING}
    for fault in plan.faults:
        assert not list(faults_of(fault))
        assert 0 <= fault.when.from_s <= 60
        assert fault.when.to_s is None or fault.when.from_s < fault.when.to_s <= fault.when.from_s + 8


def test_a_plan_can_be_drawn_of_some_kinds_alone() -> None:
    kinds: tuple[Fault, ...] = (NoAnswer(), SilentStream())
    assert {type(fault) for fault in draw_plan(1, count=50, horizon_s=1, kinds=kinds).faults} == {
        NoAnswer,
        SilentStream,
    }


# The documentation ----------------------------------------------------------------------------------------------------


def test_the_documented_kinds_are_those_of_the_code() -> None:
    text = fault_reference.TARGET.read_text(encoding="utf-8")
    assert fault_reference.updated(text) == text
    assert all(f"| `{kind}` |" in text for kind in KINDS)


def test_a_documentation_that_is_out_of_date_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = fault_reference.TARGET.read_text(encoding="utf-8")
    copy = tmp_path / "faults.md"
    copy.write_text(text.replace("| `no-answer` |", "| `noanswer` |"), encoding="utf-8")
    monkeypatch.setattr(fault_reference, "TARGET", copy)
    assert fault_reference.main([]) == 1
    assert "is not what the code says" in capsys.readouterr().out
    assert fault_reference.main(["--write"]) == 0
    assert copy.read_text(encoding="utf-8") == text
    assert fault_reference.main([]) == 0


def test_every_kind_has_its_test_over_the_wire() -> None:
    folder = Path(__file__).resolve().parent.parent / "simulation" / "faults"
    tests = "".join(path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))
    assert [cls.__name__ for cls in KINDS.values() if f"{cls.__name__}(" not in tests] == []


def test_the_file_of_the_documentation_is_one() -> None:
    text = fault_reference.TARGET.read_text(encoding="utf-8")
    block = text.split("```toml\n")[1].split("```")[0]
    assert [fault.kind for fault in parse_faults(block).faults] == ["no-answer", "delayed-event", "maintenance"]
