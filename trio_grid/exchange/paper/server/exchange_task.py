"""The one task that owns the `PaperExchange`.

It applies commands in the order of their arrival, advances the market by the server's clock, and hands every event on
in the order in which it happened. A command that was accepted is carried out and told to the streams, whether or not
the client that sent it still waits. It must never wait for a client: whoever receives events takes them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import trio

from trio_grid.exchange.paper.engine.exchange import PaperEvent, PaperExchange
from trio_grid.exchange.paper.server.server_clock import ServerClock

ResultT = TypeVar("ResultT")

WAITING_COMMANDS = 1024
"""Commands accepted and not yet carried out; the next client waits for its turn before it is accepted."""

COMMANDS_AT_ONCE = 128
"""Commands carried out between two looks at the market."""

STEPS_AT_ONCE = 256
"""Market steps between two looks at the commands, when the market has to catch up."""


class _Ticket(Generic[ResultT]):
    """One command and what became of it."""

    __slots__ = ("command", "done", "error", "result")

    def __init__(self, command: Callable[[int], ResultT]) -> None:
        self.command = command
        self.done = trio.Event()
        self.result: ResultT | None = None
        self.error: Exception | None = None

    def carry_out(self, now_ms: int) -> None:
        """Run the command; its error belongs to whoever sent it, not to the exchange's task."""
        try:
            self.result = self.command(now_ms)
        except Exception as error:  # handed to the sender, who raises it: a refusal, or a fault shown as a 500
            self.error = error


class ExchangeTask:
    """Owns one exchange; `call` is the only way to it."""

    def __init__(
        self,
        exchange: PaperExchange,
        clock: ServerClock,
        publish: Callable[[Sequence[PaperEvent]], None],
        *,
        before_telling: Callable[[Sequence[PaperEvent]], None] | None = None,
        next_publication_ms: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Prepare the task.

        `before_telling` is called with each batch of events before any client learns of them or of the answers to the
        commands that caused them: the place to make the exchange's state durable. `next_publication_ms` says when
        `publish` wants to be called although nothing happens.
        """
        self._exchange, self._clock, self._publish = exchange, clock, publish
        self._before_telling = before_telling
        self._next_publication_ms = next_publication_ms
        self._accept, self._commands = trio.open_memory_channel[_Ticket[Any]](WAITING_COMMANDS)

    async def call(self, command: Callable[[int], ResultT]) -> ResultT:
        """Have a command carried out at the exchange's present time and return its result.

        Cancellation while it waits for its turn withdraws it; once accepted it is carried out all the same.
        """
        ticket = _Ticket(command)
        await self._accept.send(ticket)
        await ticket.done.wait()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result  # type: ignore[return-value] # set, since there was no error

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the exchange until cancelled."""
        self._advance()
        task_status.started()
        while True:
            if not self._advance():
                self._serve_waiting([])
                await trio.lowlevel.checkpoint()
                continue
            with trio.move_on_at(self._wake_at()):
                self._serve_waiting([await self._commands.receive()])

    def _serve_waiting(self, tickets: list[_Ticket[Any]]) -> None:
        """Carry out the tickets taken and those that wait, tell what happened, then wake their senders."""
        for ticket in tickets:
            ticket.carry_out(self._clock.now_ms())
        while len(tickets) < COMMANDS_AT_ONCE:
            try:
                ticket = self._commands.receive_nowait()
            except trio.WouldBlock:
                break
            ticket.carry_out(self._clock.now_ms())
            tickets.append(ticket)
        self._tell()
        for ticket in tickets:
            ticket.done.set()

    def _advance(self) -> bool:
        caught_up = self._exchange.advance(self._clock.now_ms(), STEPS_AT_ONCE)
        self._tell()
        return caught_up

    def _tell(self) -> None:
        events = self._exchange.take_events()
        if events and self._before_telling is not None:
            self._before_telling(events)
        self._publish(events)

    def _wake_at(self) -> float:
        times = [time for time in (self._exchange.next_event_ms(), self._next_publication_ms()) if time is not None]
        return self._clock.trio_time_at(min(times)) if times else float("inf")
