"""Every exception that trio_grid raises, as one tree.

TrioGridError
├── ConfigError                   the user's settings; every fault at once            exit 2
├── StartRefused                  trading would not be safe; nothing was placed       exit 3
│   └── UnexplainedHoldings       strays or a position that no slot explains          exit 4
├── Halted                        a safety rule stopped the bot                       exit 4
│   └── InvariantBroken           our own books contradict themselves
├── JournalError                  the journal cannot be read or written               exit 4
│   ├── JournalInUse              another process holds the journal
│   └── JournalPathRefused        no journal can lie at its path                      exit 2
├── ExitUnconfirmed               orders may rest on the exchange against the policy  exit 5
├── ControlError                  no running bot answered on the control socket       exit 3
└── ExchangeError
    ├── ExchangeUnreachable       transient: connect, read or write failed, nothing known to be sent
    ├── OrderOutcomeUnknown       sent, no answer that says what became of it (R4)
    ├── MalformedAnswer           the exchange's bytes are not what the protocol says
    └── RequestRefused            the exchange said no; carries its code and message
        ├── OrderRejected         definite: no order exists under this client order id
        │   ├── PostOnlyWouldTake
        │   ├── ReduceOnlyRejected
        │   ├── MarginInsufficient
        │   ├── FilterViolated
        │   ├── TooManyOpenOrders
        │   └── OrderRefusedByMode  reduce-only trading states, position mode, liquidation
        ├── DuplicateClientOrderId  never proof of absence: the older order must be looked up
        ├── OrderNotFound         cancel or query of an order that the exchange does not show
        ├── RateLimited           429 and -1015; `retry_after_s` says when to come back
        │   └── Banned            418: nothing may be sent before `retry_after_s`
        ├── ExchangeOverloaded    503 B, C, D: definitely not executed; back off
        ├── ClockSkew             -1021: the timestamp is outside recvWindow
        ├── ListenKeyGone         -1125
        ├── UnknownSymbol         -1121
        └── CredentialsRefused    fatal: key, permissions or signature
            └── LogonRefused      the WebSocket API does not open a session for the key
"""

from __future__ import annotations

from collections.abc import Sequence


class TrioGridError(Exception):
    """Base of every error that trio_grid raises on purpose; `exit_code` is what the CLI returns for it."""

    exit_code = 70


class ConfigError(TrioGridError):
    """The configuration cannot be used; `faults` holds one line each: path, value, what is allowed."""

    exit_code = 2

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class StartRefused(TrioGridError):
    """Trading would not be safe; nothing was placed or cancelled."""

    exit_code = 3


class SymbolNotTrading(StartRefused):
    """The exchange lists the symbol and does not trade it now: it is being settled, closed, or not open yet."""


class UnexplainedHoldings(StartRefused):
    """Orders of another trio_grid bot, or a position that no slot explains, exist on the symbol."""

    exit_code = 4


class Halted(TrioGridError):
    """A safety rule stopped the bot."""

    exit_code = 4


class InvariantBroken(Halted):
    """The bot's own books contradict themselves; trading on would act on a wrong picture."""


class JournalError(TrioGridError):
    """The journal cannot be read or written; `name` is SQLite's own error name where there is one."""

    exit_code = 4

    def __init__(self, message: str, *, name: str | None = None) -> None:
        super().__init__(message if name is None else f"{message} [{name}]")
        self.name = name


class JournalInUse(JournalError):
    """Another process holds this journal."""


class JournalPathRefused(JournalError):
    """No journal can lie at this path, whatever became of an earlier one: a setting, not a fault of the books."""

    exit_code = 2


class ExitUnconfirmed(TrioGridError):
    """The exit policy could not be confirmed: orders may rest on the exchange against it."""

    exit_code = 5


class ControlError(TrioGridError):
    """No running bot answered on the control socket."""

    exit_code = 3


class ExchangeError(TrioGridError):
    """Anything that goes wrong between the bot and the exchange."""

    exit_code = 3


class ExchangeUnreachable(ExchangeError):
    """The exchange could not be reached, or the link broke; trying again is right, after `retry_after_s` if set."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OrderOutcomeUnknown(ExchangeError):
    """The request was sent and nothing says what became of it."""


class MalformedAnswer(ExchangeError):
    """The exchange sent something that its protocol does not allow."""


class RequestRefused(ExchangeError):
    """The exchange answered no. `code` and `message` are its own words; `advice` says what the operator can do."""

    advice = "Look the code up in the exchange's documentation; the request was not carried out."

    def __init__(self, code: int, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{message} (code {code}). {self.advice}")
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class OrderRejected(RequestRefused):
    """The order was refused; no order exists under this client order id."""

    advice = "The order was not placed; nothing rests on the exchange for it."


class PostOnlyWouldTake(OrderRejected):
    """A post-only order would have taken liquidity."""

    advice = "The order was not placed because it would have traded at once; it is re-priced one tick away."


class ReduceOnlyRejected(OrderRejected):
    """A reduce-only order would not have reduced the position."""

    advice = "The position is smaller than the bot's books say; it is read again before anything else is sent."


class MarginInsufficient(OrderRejected):
    """The account cannot carry the order."""

    advice = "Add margin, lower the size per level, or use fewer levels."


class FilterViolated(OrderRejected):
    """The order breaks one of the symbol's filters."""

    advice = "Run `trio-grid check` with this configuration: it validates the whole ladder against the filters."


class TooManyOpenOrders(OrderRejected):
    """The symbol's limit of open orders is reached."""

    advice = "Lower limits.max_open_orders, or cancel other orders on the symbol."


class OrderRefusedByMode(OrderRejected):
    """The account's mode (position mode, reduce-only state, liquidation) refuses the order."""

    advice = "Check the account's position mode (one-way is needed) and its trading permissions on the symbol."


class DuplicateClientOrderId(RequestRefused):
    """An open order already carries this client order id."""

    advice = "The older order is looked up by its id; nothing is sent again under it."


class OrderNotFound(RequestRefused):
    """The exchange does not show the order that was to be cancelled or queried."""

    advice = "It may be filled, cancelled or never have existed: its record and trades are looked up."


class RateLimited(RequestRefused):
    """Too many requests or orders; come back after `retry_after_s`."""

    advice = "Requests pause until the limit allows them again; other programs on this address or account share it."


class Banned(RateLimited):
    """The address is banned (418); nothing may be sent before `retry_after_s`."""

    advice = "Nothing is sent until the ban ends; find what else uses this address before starting again."


class ExchangeOverloaded(RequestRefused):
    """The exchange did not carry the request out because it was overloaded."""

    advice = "It was certainly not executed; it is tried again after a pause."


class ClockSkew(RequestRefused):
    """The request's timestamp lies outside the exchange's window."""

    advice = "The exchange's clock is read again; if it repeats, check this machine's clock and connection."


class ListenKeyGone(RequestRefused):
    """The user stream's key is no longer valid."""

    advice = "A new key is requested and the gap is closed by reconciliation."


class UnknownSymbol(RequestRefused):
    """The exchange does not trade the symbol."""

    advice = "Check grid.symbol, and that exchange.rest_url is the address of the exchange that trades it."


class CredentialsRefused(RequestRefused):
    """The exchange does not accept the key, its permissions or its signature."""

    advice = "Check the key and secret, the key's futures permission, and its list of allowed addresses."


class LogonRefused(CredentialsRefused):
    """The exchange refused `session.logon` on the WebSocket API, which Ed25519 keys use."""

    advice = (
        "Check that the API key was made as an Ed25519 key from the public half of this very private key, that it may"
        " trade futures from this address, and that exchange.ws_api_url belongs to the same exchange; a key with a"
        ' secret needs exchange.key_type = "hmac".'
    )
