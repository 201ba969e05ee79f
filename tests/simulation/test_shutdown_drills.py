"""Shutdown drills: the whole bot is cancelled just before its k-th task step, for every k (or a sample of them).

After each cancellation: the exit policy holds in the exchange's own books, nothing of the bot is left, the journal is
sound and knew every order before the exchange did, and a bot that is started again on it agrees with the exchange.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trio

from tests.simulation.rig import ALL, run_simulation
from trio_grid.cli.summary import summary_lines
from trio_grid.config import ExitPolicy
from trio_grid.domain.actions import CancelOrder
from trio_grid.domain.inputs import TradingState
from trio_grid.domain.slot import Role
from trio_grid.errors import JournalError
from trio_grid.testing.bot import FIRST_BID_TICKS, INTERVAL_TICKS, USER_STREAM, Life, Simulation
from trio_grid.testing.drills import IN_BOT
from trio_grid.testing.paper import DEFAULT_BALANCE_UNITS

pytestmark = pytest.mark.drill

SEED = 7
POLICIES = (ExitPolicy.KEEP, ExitPolicy.CANCEL_OPENING, ExitPolicy.CANCEL_ALL, ExitPolicy.FLATTEN)
LEVELS = 3


class AtSteps(trio.abc.Instrument):
    """Counts the steps of the bot's tasks and acts just before some of them, once each."""

    def __init__(
        self, actions: Mapping[int, Callable[[Life], None]] | None = None, *, in_a_hurry: bool = False
    ) -> None:
        """`in_a_hurry`: the exit policy may not come to its end."""
        self.count = 0
        self.where = ""
        self.in_a_hurry = in_a_hurry
        self.crashed = False
        self.crashed_to: Path | None = None
        self.life: Life | None = None
        self._actions = dict(actions or {})

    @property
    def wanted(self) -> int:
        """Number of actions that have not come to their step."""
        return len(self._actions)

    def act_at(self, step: int, action: Callable[[Life], None]) -> None:
        """Act before a step."""
        self._actions[step] = action

    def begins(self, life: Life) -> None:
        """Watch the first life that begins, and no other."""
        if self.life is None:
            self.life = life

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count one step; the bot has one step at a time, and one life at a time."""
        if self.life is None or self.life.ended.is_set() or not task.context.get(IN_BOT, False):
            return
        self.count += 1
        action = self._actions.pop(self.count, None)
        if action is not None:
            self.where = f"{self.where} step {self.count} in {task.name}"
            action(self.life)


async def session(simulation: Simulation, life: Life) -> bool:
    """A ladder, a fill, a part of a fill, a lost user stream, a round trip; False if the life ended before."""
    if not (await life.until_trading() and await life.until_quiet()):
        return False
    await simulation.quote(FIRST_BID_TICKS - INTERVAL_TICKS - 100)
    if not await life.until_quiet():
        return False
    await simulation.trade(FIRST_BID_TICKS - 2 * INTERVAL_TICKS, 4, seller_takes=True)
    if not await life.until_quiet():
        return False
    for link in simulation.links(life, USER_STREAM):
        link.cut()
    await simulation.quote(FIRST_BID_TICKS - INTERVAL_TICKS - 50)
    if not (await life.until_trading() and await life.until_quiet()):
        return False
    await simulation.quote(FIRST_BID_TICKS + 100)
    return await life.until_quiet()


def check_policy(simulation: Simulation, life: Life) -> None:
    """The exchange's own books are what the exit policy wants."""
    report = life.report
    resting = {order.client_order_id: parts.role for order, parts in simulation.ours(simulation.resting())}
    if report is None:
        assert not simulation.orders(), "no session was begun, so nothing may have been placed"
        return
    assert report.exit.confirmed, report.exit
    if report.exit.asked and not report.exit.detail:
        assert {record.client_order_id for record in report.exit.resting} == set(resting)
    elif not report.exit.asked:
        assert "resting: not known, the exchange did not answer" in summary_lines(report)
    match report.exit.policy:
        case ExitPolicy.KEEP:
            cancelled = {order.client_order_id for order in simulation.orders() if order.status == "CANCELED"}
            decided = {action.client_order_id for action in simulation.decided() if isinstance(action, CancelOrder)}
            assert cancelled <= decided, f"cancelled although the policy is to keep: {cancelled - decided}"
        case ExitPolicy.CANCEL_OPENING:
            assert "o" not in resting.values(), resting
        case ExitPolicy.CANCEL_ALL:
            assert not resting
        case ExitPolicy.FLATTEN:
            assert not resting
            assert simulation.position_lots() == 0


def check_books(simulation: Simulation, life: Life) -> None:
    """The life's ledger is the exchange's account, from the account's first day on."""
    snapshot = life.snapshot()
    held = sum(slot.inventory_lots * slot.use.sign for slot in snapshot.slots)
    assert snapshot.position_lots == held == simulation.position_lots()
    change = simulation.wallet_units() - DEFAULT_BALANCE_UNITS
    assert snapshot.ledger.wallet_change_units("USDT") == change


async def restart(simulation: Simulation, policy: ExitPolicy) -> None:
    """A new life on the same journal agrees with the exchange, trades on, and stops in order."""
    life = await simulation.start_bot(policy=policy)
    assert await life.until(lambda: life.trading and life.quiet(), "trading"), life.error
    if life.snapshot().trading_state is TradingState.REDUCING:
        # A flattening that was cut off is finished first, and the operator has the next word.
        assert policy is ExitPolicy.FLATTEN
        assert await life.until(lambda: simulation.position_lots() == 0, "flat")
    else:
        assert await life.until_trading(), life.error
        assert await life.until_quiet(), life.error
        openings = [parts.rung for order, parts in simulation.ours(simulation.resting()) if parts.role == "o"]
        assert openings, "the restarted bot opens nothing"
    check_books(simulation, life)
    for slot in life.snapshot().slots:
        if slot.inventory_lots:
            assert slot.order is not None, f"slot {slot.rung} holds inventory and has no closing"
            assert slot.order.role is Role.CLOSE
    report = await life.stopped()
    assert report.tie_out.checked
    assert not report.tie_out.differences
    check_policy(simulation, life)
    check_books(simulation, life)


async def drill(simulation: Simulation, steps: AtSteps, policy: ExitPolicy) -> None:
    """One drill: a session that the steps cut off, the checks, the market's move meanwhile, the next start."""
    life = await simulation.start_bot(policy=policy, begins=steps.begins)
    if await session(simulation, life):
        life.stop.request("the script is over")
    await life.until_ended()
    assert life.error is None or steps.crashed, life.error
    if steps.crashed_to is not None:
        simulation.journal_path = steps.crashed_to
    simulation.check_nothing_left(life.owner)
    if steps.crashed:
        pass  # the process is gone: no exit policy was applied, whatever the remains of it did
    elif not steps.in_a_hurry or (life.report is not None and life.report.exit.confirmed):
        check_policy(simulation, life)
    await simulation.quote(FIRST_BID_TICKS - 2 * INTERVAL_TICKS - 100)
    await simulation.quote(FIRST_BID_TICKS - INTERVAL_TICKS + 200)
    await restart(simulation, policy)


def run_drill(folder: Path, steps: AtSteps, policy: ExitPolicy) -> None:
    """Run one drill, and say which one it was if it fails."""

    async def script(simulation: Simulation) -> None:
        await drill(simulation, steps, policy)

    try:
        run_simulation(script, folder, f"grid.levels={LEVELS}", seed=SEED, instruments=(steps,))
    except BaseException as error:
        error.add_note(f"policy {policy.value}: {steps.where}")
        raise
    assert steps.where or not steps.wanted, "the session is not the same twice"


class Drills:
    """A folder for each drill, the steps to take, and what was done."""

    def __init__(
        self, counts: dict[ExitPolicy, int], factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._counts = counts
        self._factory = factory
        self._capsys = capsys
        self._began_at = time.monotonic()
        self.count = max(counts.values())
        self.taken = 0
        self.stride = 1

    def folder(self) -> Path:
        return self._factory.mktemp("drill")

    def sample(self, size: int) -> Iterator[tuple[int, ExitPolicy]]:
        """Yield every step, or about `size` of them evenly spread, with policies in turn."""
        self.stride = 1 if ALL else max(1, self.count // size)
        for k in range((self.stride + 1) // 2, self.count + 1, self.stride):
            policy = POLICIES[self.taken % len(POLICIES)]
            if k <= self._counts[policy]:
                yield k, policy
            self.taken += 1

    def tell(self, what: str) -> None:
        """Print what was done."""
        seconds = time.monotonic() - self._began_at
        with self._capsys.disabled():
            print(  # noqa: T201
                f"\n{what}: {self.taken} drills, at each {self.stride}. of {self.count} steps, in {seconds:.1f} s"
            )


@pytest.fixture(scope="module")
def step_counts(tmp_path_factory: pytest.TempPathFactory) -> dict[ExitPolicy, int]:
    """The steps of a session that nothing cuts off, its exit policy included."""
    counts: dict[ExitPolicy, int] = {}
    for policy in POLICIES:
        steps = AtSteps()
        run_drill(tmp_path_factory.mktemp("undisturbed"), steps, policy)
        counts[policy] = steps.count
    assert min(counts.values()) >= 500
    return counts


@pytest.fixture
def drills(
    step_counts: dict[ExitPolicy, int], tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Drills:
    return Drills(step_counts, tmp_path_factory, capsys)


def cancel(life: Life) -> None:
    life.session_scope.cancel(reason="drill")


def first_signal(life: Life) -> None:
    """What `StopRequest.watch` does with a SIGINT."""
    life.stop.signals = 1
    life.stop.request("SIGINT")


def second_signal(life: Life) -> None:
    life.stop.signals = 2
    life.stop.hurry("SIGINT again")


def cut_off(life: Life) -> None:
    """The exit policy's time is over."""
    if life.stop.grace is not None:
        life.stop.grace.cancel(reason="drill")


def test_the_bot_is_cancelled_at_every_step(drills: Drills) -> None:
    for k, policy in drills.sample(36):
        run_drill(drills.folder(), AtSteps({k: cancel}), policy)
    drills.tell("cancelled")


def test_f23_a_second_signal_at_every_step(drills: Drills) -> None:
    """The exit policy has less time then; what it says that it did is still true."""
    for k, policy in drills.sample(12):
        later = 1 + k * 7 % 120
        run_drill(drills.folder(), AtSteps({k: first_signal, k + later: second_signal}, in_a_hurry=True), policy)
    drills.tell("signalled twice")


def test_f23_the_exit_policy_is_cut_off_at_every_step(drills: Drills) -> None:
    """Nothing is confirmed that was not done, and the next start finds out what was."""
    for k, policy in drills.sample(12):
        later = 1 + k * 11 % 120
        run_drill(drills.folder(), AtSteps({k: cancel, k + later: cut_off}, in_a_hurry=True), policy)
    drills.tell("cut off")


def crash(steps: AtSteps, folder: Path, *, deliver: bool) -> Callable[[Life], None]:
    """What SIGKILL leaves: the journal as it is in this moment, and the bytes that the kernel has already taken.

    `deliver`: those arrive, as they do when only the process dies; else the machine's network dies with it.
    """

    def act(life: Life) -> None:
        network = life.simulation.network
        steps.crashed = True
        if life.journal is not None and not life.ended.is_set():
            with contextlib.suppress(JournalError):  # it is closed already: what is on the disk is the journal
                life.journal.copy_to(folder / "crashed.sqlite3")
                steps.crashed_to = folder / "crashed.sqlite3"
        network.refuse(life.owner)
        if deliver:
            network.watch(lambda link, direction, data: None if link.owner == life.owner else data)
        else:
            network.cut(life.owner)
        life.session_scope.cancel(reason="drill")

    return act


def test_r13_the_process_is_killed_at_every_step(drills: Drills) -> None:
    """The journal knew every order before the exchange did, and the next start finds out what became of each (F2)."""
    for k, policy in drills.sample(20):
        folder = drills.folder()
        steps = AtSteps(in_a_hurry=True)
        steps.act_at(k, crash(steps, folder, deliver=drills.taken % 2 == 0))
        run_drill(folder, steps, policy)
    drills.tell("killed")
