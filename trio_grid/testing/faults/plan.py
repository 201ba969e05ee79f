"""A plan of faults: what a fault file holds, and what a seed can draw.

Owns the list of kinds. It must never know a file's form (`files`) or a server (`injector`).
"""

import random
from collections.abc import Iterator, Sequence

import attrs

from trio_grid.testing.faults import acts, events, links, maintenance, refusals, requests
from trio_grid.testing.faults.model import Fault, Match, When

KINDS: dict[str, type[Fault]] = {
    cls.kind: cls
    for cls in (
        requests.LostRequest,
        requests.LateRequest,
        requests.NoAnswer,
        requests.LateAnswer,
        requests.ResetBefore,
        requests.ResetAfter,
        requests.CutAnswer,
        requests.MalformedAnswer,
        requests.StaleRead,
        refusals.UnknownError,
        refusals.ServiceUnavailable,
        refusals.Throttled,
        refusals.InternalError,
        refusals.UnexpectedResponse,
        refusals.BackendTimeout,
        refusals.GatewayError,
        refusals.Firewall,
        refusals.Refused,
        refusals.TooManyRequests,
        refusals.TooManyOrders,
        refusals.Ban,
        refusals.SymbolStatus,
        links.RefusedHandshake,
        links.SilentHandshake,
        links.SilentStream,
        links.StalledStream,
        links.MalformedFrame,
        links.CutFrame,
        events.LostEvent,
        events.DuplicatedEvent,
        events.DelayedEvent,
        events.ReorderedEvents,
        events.StrangeEvent,
        acts.CloseConnections,
        acts.ResetConnections,
        acts.ExpireListenKey,
        acts.JumpClock,
        acts.ChangeFilters,
        acts.EndOrders,
        acts.ForeignOrder,
        acts.ForeignTrade,
        acts.MovePosition,
        acts.PayFunding,
        acts.Liquidate,
        maintenance.Maintenance,
    )
}
"""Every kind by the name that fault files use, in the order of the documentation."""


@attrs.frozen
class FaultPlan:
    """Faults, and the seed from which everything that is left to chance is drawn."""

    faults: tuple[Fault, ...] = ()
    seed: int = 1


def faults_of(fault: Fault) -> Iterator[tuple[str, str]]:
    """Yield (path below the fault, words) for what is wrong between the values of a fault."""
    for part, used in (("when", fault.triggers), ("match", fault.matches)):
        values = getattr(fault, part)
        for field in attrs.fields(type(values)):
            if getattr(values, field.name) != field.default and field.name not in used:
                allowed = ", ".join(used) or "nothing"
                yield f"{part}.{field.name}", f"means nothing to a {fault.kind} fault; allowed: {allowed}"
    when = fault.when
    if when.to_s is not None and when.to_s <= when.from_s:
        yield "when.to_s", f"{when.to_s:g} is not after from_s; allowed: above {when.from_s:g}"
    transport = fault.match.transport
    if transport is not None and "transport" in fault.matches and transport not in fault.transports:
        yield "match.transport", f'"{transport}" has no {fault.kind} fault; allowed: {", ".join(fault.transports)}'
    yield from fault.wrong()


PASSING: tuple[Fault, ...] = (
    requests.LostRequest(),
    requests.LateRequest(delay_ms=3_000),
    requests.NoAnswer(),
    requests.LateAnswer(),
    requests.ResetBefore(),
    requests.ResetAfter(),
    requests.CutAnswer(),
    requests.MalformedAnswer(),
    requests.StaleRead(),
    refusals.UnknownError(),
    refusals.UnknownError(executed=False, form=refusals.BodyForm.PATH),
    refusals.ServiceUnavailable(),
    refusals.Throttled(),
    refusals.InternalError(),
    refusals.UnexpectedResponse(),
    refusals.BackendTimeout(executed=False),
    refusals.GatewayError(executed=True),
    refusals.TooManyRequests(retry_after_s=2),
    refusals.TooManyOrders(retry_after_s=2),
    links.RefusedHandshake(),
    links.SilentHandshake(),
    links.SilentStream(),
    links.MalformedFrame(),
    links.CutFrame(),
    events.LostEvent(),
    events.DuplicatedEvent(delay_ms=1_000),
    events.DelayedEvent(),
    events.ReorderedEvents(),
    events.StrangeEvent(),
    acts.CloseConnections(),
    acts.ResetConnections(),
    acts.ExpireListenKey(),
    acts.ExpireListenKey(told=False),
    acts.JumpClock(jump_ms=900),
    acts.JumpClock(jump_ms=8_000),
    acts.EndOrders(),
)
"""Faults that pass: a bot gets over each of them by itself, and trades on."""


def draw_plan(
    seed: int, *, count: int, horizon_s: float, kinds: Sequence[Fault] = PASSING, longest_s: float = 8.0
) -> FaultPlan:
    """Return so many faults within a horizon of exchange seconds, drawn from a seed; each lasts `longest_s` at most.

    The same seed gives the same plan. What happens once begins at its time; everything else has a window and a chance.
    """
    chance = random.Random(f"faults {seed}")  # noqa: S311 - chance that repeats is the purpose
    drawn = []
    for _ in range(count):
        fault = chance.choice(kinds)
        begin_s = round(chance.uniform(0, horizon_s), 3)
        end_s = round(begin_s + chance.uniform(0.1, longest_s), 3)
        once = "nth" not in fault.triggers and "every_s" in fault.triggers
        when = When(from_s=begin_s) if once else When(from_s=begin_s, to_s=end_s, every=chance.choice((None, 2, 3)))
        drawn.append(attrs.evolve(fault, when=when))
    return FaultPlan(tuple(drawn), seed)


__all__ = ["KINDS", "PASSING", "Fault", "FaultPlan", "Match", "When", "draw_plan", "faults_of"]
