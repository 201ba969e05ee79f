"""What the command line understands, what it refuses, and with which exit code."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from trio_grid import __version__
from trio_grid.cli import main
from trio_grid.cli.durations import duration_s
from trio_grid.cli.program import build_parser, worst_code
from trio_grid.errors import ConfigError, ControlError, ExitUnconfirmed, Halted, StartRefused, UnexplainedHoldings

COMMANDS = ["run", "exchange", "check", "status", "pause", "resume", "stop", "explain", "journal"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_that_says_what_it_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"trio-grid {command}" in text
    assert len(text.splitlines()) > 5


def test_the_programs_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command} " in text
    assert "70 internal error" in " ".join(text.split())


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"trio-grid {__version__}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice"),
        (["run", "--for", "soon"], "'soon' is not a duration"),
        (["run", "--for", "0s"], "more than 0s"),
        (["run", "--sped", "2"], "unrecognized arguments"),
        (["explain", "cheap"], "'cheap' is not a price"),
        (["explain", "-5"], "price"),
    ],
)
def test_usage_errors_are_told_and_exit_with_2(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "no-such-file.toml"], "no-such-file.toml"),
        (["run", "--set", "grid.interval"], "--set"),
        (["run", "--set", "grid.intervall=5"], "intervall"),
        (["run", "--speed", "-1"], "$.paper.speed"),
        (["check", "--set", "grid.interval=0", "--set", "size.quote_per_level=-5"], "$.grid.interval"),
    ],
)
def test_a_bad_configuration_exits_with_2_and_names_the_path(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "told"),
    [("folder", "is a folder"), ("file/bot.sqlite3", "folder"), ("x" * 300 + "/bot.sqlite3", "folder"),
     ("x" * 300, "File name too long")],
)  # fmt: skip
def test_a_path_at_which_no_journal_can_lie_exits_with_2_and_is_named(
    path: str, told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert main(["run", "--set", f'journal.path="{path}"']) == 2
    err = capsys.readouterr().err
    assert "$.journal.path: the journal" in err
    assert str(tmp_path / path) in err
    assert told in err
    assert "allowed: a file in a folder that this user may write to" in err


def test_paper_options_on_another_exchange_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "real.toml"
    config.write_text(
        '[exchange]\nkind = "binance-usdm"\nrest_url = "https://fapi.example.com"\nws_url = "wss://ws.example.com"\n'
        'ws_api_url = "wss://ws-api.example.com/ws-fapi/v1"\nkey_env = "NO_SUCH_KEY"\nsecret_env = "NO_SUCH_SECRET"\n'
        '[grid]\nsymbol = "BTCUSDT"\ninterval = 50\n[size]\nquote_per_level = 200\n'
        "[limits]\nmax_inventory = 0.1\n"
    )
    assert main(["run", str(config), "--fresh"]) == 2
    assert "--fresh" in capsys.readouterr().err
    assert main(["run", str(config)]) == 2
    assert "NO_SUCH_KEY" in capsys.readouterr().err


def test_nobody_to_talk_to_exits_with_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["status"], ["pause"], ["resume"], ["stop"], ["explain", "60000"]):
        assert main(words) == 3
        assert "no bot is running there" in capsys.readouterr().err


def test_of_several_errors_the_gravest_gives_the_code() -> None:
    assert worst_code([ConfigError(["x"])]) == 2
    assert worst_code([StartRefused("x"), ControlError("x")]) == 3
    assert worst_code([StartRefused("x"), UnexplainedHoldings("x")]) == 4
    assert worst_code([Halted("x"), ExitUnconfirmed("x")]) == 5
    assert worst_code([]) == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("60", 60), ("10m", 600), ("1h30m", 5_400), ("1.5m", 90), ("2h", 7_200), ("1h1m1s", 3_661)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "ten", "-5s", "5d", "1m2h", "1e3s", "nan", "inf", "999999999h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration_s(text)


def test_every_command_is_handled() -> None:
    for words in (["run"], ["check"], ["status"], ["pause"], ["resume"], ["stop"], ["explain", "1"], ["exchange"]):
        assert callable(build_parser().parse_args(words).handler)
