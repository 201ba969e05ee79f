"""The conformance suite leaves nothing out in silence, and its document says what the scripts and the locks say."""

import re
import sys
from pathlib import Path

import pytest

from tools import client_environments, conformance, conformance_table
from tools.conformance_table import (
    BEGIN,
    CLIENTS,
    END,
    OPERATIONS,
    Client,
    asked_of,
    columns_of,
    complete,
    document_with,
    table,
)

CLIENT = CLIENTS[0]
NAMES = [name for names in OPERATIONS.values() for name in names]
ALL_OK = dict.fromkeys(NAMES, ("ok", ""))


def test_what_was_not_reported_has_failed() -> None:
    results = complete(CLIENT, {name: ("ok", "") for name in NAMES[1:]}, 0)
    assert results[NAMES[0]][0] == "failed"
    assert {results[name][0] for name in NAMES[1:]} == {"ok"}
    assert list(results) == NAMES


def test_a_client_is_asked_for_futures_or_for_spot() -> None:
    for client in CLIENTS:
        asked = set(asked_of(client))
        results = complete(client, {name: ("ok", "") for name in asked}, 0)
        assert {name for name, (outcome, _) in results.items() if outcome == "ok"} == asked
        assert {outcome for outcome, _ in results.values()} == {"ok", "not offered"}


def test_a_script_that_ended_badly_is_no_success() -> None:
    assert complete(CLIENT, ALL_OK, 0) == ALL_OK
    assert "failed" in {outcome for outcome, _ in complete(CLIENT, ALL_OK, 1).values()}


def test_an_unknown_name_is_a_failure() -> None:
    assert complete(CLIENT, {**ALL_OK, "no such thing": ("ok", "")}, 0)["no such thing"][0] == "failed"


def test_no_operation_has_two_names_or_two_groups() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert len({client.name for client in CLIENTS}) == len({client.title for client in CLIENTS}) == len(CLIENTS)


def test_the_table_is_read_back_as_it_was_written() -> None:
    written = table({CLIENT.name: {**ALL_OK, NAMES[1]: ("not offered", "because"), NAMES[2]: ("failed", "a\nb")}})
    column = columns_of(document_with(f"before\n{BEGIN}\nold\n{END}\nafter", written))[CLIENT.title]
    assert list(column) == ["*version*", *NAMES]
    assert [column[name] for name in NAMES[:4]] == ["ok", "-", "FAILED", "ok"]
    assert column["*version*"] == CLIENT.version


def test_a_document_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        document_with("nothing", "table")


def test_the_document_names_every_client_its_version_and_every_operation() -> None:
    columns = columns_of(conformance.DOCUMENT.read_text(encoding="utf-8"))
    assert list(columns) == [client.title for client in CLIENTS]
    for client in CLIENTS:
        column = columns[client.title]
        assert list(column) == ["*version*", *NAMES]
        assert column.pop("*version*") == client.version
        assert set(column.values()) <= {"ok", "-"}


def text_of(script: Path) -> str:
    """A script and what it imports from beside it."""
    text = script.read_text(encoding="utf-8")
    beside = [script.with_name(f"{name}.py") for name in re.findall(r"^import (\w+)$", text, re.MULTILINE)]
    return "\n".join([text, *(text_of(path) for path in beside if path.exists())])


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_script_knows_every_operation(client: Client) -> None:
    """Found in its text: not every client is installed here."""
    text = text_of(conformance.SCRIPTS / client.script)
    named = set(re.findall(r'@suite\.operation\("([^"]+)"\)', text))
    declared = {
        name
        for call in re.findall(r"suite\.not_offered\((.*?)\n *\)", text, re.DOTALL)
        for name in re.findall(r'^ +"([^"]+)",$', call, re.MULTILINE)
    }
    assert named | (declared & set(NAMES)) == set(asked_of(client))


def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Client:
    """A client whose script is this text, run by this interpreter."""
    (tmp_path / "planted.py").write_text(body)
    monkeypatch.setattr(conformance, "SCRIPTS", tmp_path)
    monkeypatch.setattr(conformance, "make_environment", lambda name: Path(sys.executable))
    return Client("planted", "planted", "ccxt", "ccxt", "planted.py")


@pytest.mark.sockets
def test_a_script_gets_a_living_exchange_and_three_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = str(conformance.SCRIPTS)
    body = f"""
import json, sys, urllib.request
sys.path.insert(0, {harness!r})
from harness import Target
target = json.loads(sys.argv[1])
assert target.keys() == Target.__annotations__.keys()
urllib.request.urlopen(target["rest_url"] + "/fapi/v1/ping")
for name in {NAMES!r}:
    print(json.dumps({{"operation": name, "outcome": "ok", "detail": ""}}))
print("something else")
"""
    assert conformance.run_client(planted(tmp_path, monkeypatch, body)) == ALL_OK


@pytest.mark.sockets
def test_a_script_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "PATIENCE_S", 0.2)
    results = conformance.run_client(planted(tmp_path, monkeypatch, "import time\ntime.sleep(600)\n"))
    assert {name for name, (outcome, _) in results.items() if outcome == "failed"} == set(asked_of(CLIENT))


def test_an_environment_is_made_once_for_each_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    monkeypatch.setattr(client_environments, "HOME", tmp_path / "home")
    monkeypatch.setattr(client_environments, "LOCKS", tmp_path)
    monkeypatch.setattr(client_environments, "install", lambda python, lock: installed.append(lock.name))
    (tmp_path / "one.txt").write_text("a==1\n")
    python = client_environments.make_environment("one")
    assert python == client_environments.make_environment("one")
    assert python.exists()
    assert installed == ["one.txt"]
    (tmp_path / "one.txt").write_text("a==2\n")
    client_environments.make_environment("one")
    assert installed == ["one.txt", "one.txt"]


def test_an_environment_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client_environments, "HOME", tmp_path / "home")
    monkeypatch.setattr(client_environments, "LOCKS", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "one.txt").write_text("nothing-of-this-name==0 --hash=sha256:" + "0" * 64 + "\n")
    assert client_environments.main(["one"]) == 1
    assert "setting up var/conformance/one failed" in capsys.readouterr().err


def test_a_version_is_the_one_that_the_lock_pins() -> None:
    assert re.fullmatch(r"\d+(\.\d+)+", CLIENT.version)
    with pytest.raises(LookupError, match="pins no"):
        client_environments.pinned_version("ccxt", "nothing-of-this-name")


def test_unknown_clients_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        conformance.main(["no-such-client"])
    assert "no such client: no-such-client" in capsys.readouterr().err


def test_a_failure_makes_the_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(conformance, "run_client", lambda client: {**ALL_OK, NAMES[0]: ("failed", "boom")})
    assert conformance.main([CLIENT.name]) == 1
    assert f"{CLIENT.title}: {NAMES[0]}: boom" in capsys.readouterr().out
    monkeypatch.setattr(conformance, "run_client", lambda client: ALL_OK)
    assert conformance.main([CLIENT.name]) == 0
    assert conformance_table.MARKS["failed"] not in capsys.readouterr().out
