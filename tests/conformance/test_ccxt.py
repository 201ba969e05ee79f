"""ccxt, unchanged and in its own environment, drives an exchange of its own: what the conformance suite asks for."""

import pytest

from tools.conformance import DOCUMENT, run_client
from tools.conformance_table import CLIENTS, MARKS, Client, columns_of


@pytest.mark.sockets
@pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.name in ("ccxt", "ccxt-pro")], ids=lambda client: client.name
)
def test_ccxt_carries_out_every_operation_as_the_document_says(client: Client) -> None:
    results = run_client(client)
    assert {name: detail for name, (outcome, detail) in results.items() if outcome == "failed"} == {}
    shown = {name: MARKS[outcome] for name, (outcome, _) in results.items()}
    assert columns_of(DOCUMENT.read_text(encoding="utf-8"))[client.title] == {"*version*": client.version, **shown}
