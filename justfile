# Every recipe sets up what it needs: `just run` and `just test` alone do it all, on a machine that has Python 3.11.
set shell := ["sh", "-eu", "-c"]

python := env("PYTHON", "python3")
bin := justfile_directory() / ".venv/bin"

[private]
default:
    @{{ just_executable() }} --list

# Run the bot; with no arguments on the embedded paper exchange
run *args: (_setup "requirements.txt")
    @exec {{ bin }}/python tools/foreground.py {{ bin }}/trio-grid run {{ args }}

# All checks and all tests; the tests alone, in one process: `just pytest [ARGS]`
test: lint types imports sizes docs (_client "ccxt")
    @mkdir -p var/coverage && rm -f var/coverage/data*
    @{{ bin }}/python tools/run_tests.py
    @{{ bin }}/coverage combine --quiet && {{ bin }}/coverage report

# Some tests, or all of them in one process: `just pytest tests/domain -k ledger`
pytest *args: (_setup "requirements-dev.txt") (_client "ccxt")
    @{{ bin }}/python -m pytest {{ args }}

# Style: ruff (rules and format) and flake8-async
lint: (_setup "requirements-dev.txt")
    @{{ bin }}/ruff check .
    @{{ bin }}/ruff format --check .
    @{{ bin }}/python tools/async_lint.py

# Types: mypy --strict
types: (_setup "requirements-dev.txt")
    @{{ bin }}/mypy

# Imports point down, the core is pure
imports: (_setup "requirements-dev.txt")
    @{{ bin }}/lint-imports

# Functions of at most 70 lines, modules of at most 400
sizes: (_setup "requirements-dev.txt")
    @{{ bin }}/python tools/check_sizes.py

# The generated references are what the code says; `just docs --write` brings it up to date
docs *args: (_setup "requirements-dev.txt")
    @{{ bin }}/python tools/config_reference.py {{ args }}
    @{{ bin }}/python -m tools.fault_reference {{ args }}

# Write the format that `just lint` asks for
format: (_setup "requirements-dev.txt")
    @{{ bin }}/ruff check --fix-only --quiet . && {{ bin }}/ruff format .

# Coverage of the last `just test` as web pages
cov: (_setup "requirements-dev.txt")
    @{{ bin }}/coverage html && echo "open var/coverage/html/index.html"

# Cancel the whole bot at every single step of a session (the plain tests take a sample)
drills *args: (_setup "requirements-dev.txt")
    @TRIO_GRID_DRILLS=all {{ bin }}/python -m pytest -m drill {{ args }}

# Long random searches over the domain core (the plain tests make short ones)
search *args: (_setup "requirements-dev.txt")
    @TRIO_GRID_LARGE=1 {{ bin }}/python -m pytest tests/domain {{ args }}

# Public clients drive the paper exchange: all of them, or those that are named; `--write` brings the document up to date
conformance *args: (_setup "requirements-dev.txt")
    @{{ bin }}/python -m tools.conformance {{ args }}

# The whole bot in virtual time under faults drawn from seeds: `just sim --seeds 1..200 --hours 1`
sim *args: (_setup "requirements-dev.txt")
    @{{ bin }}/trio-grid simulate {{ args }}

# Explore every state of the core that bounds allow (the plain tests take small ones): `just model --slots 2 --air 2`
model *args: (_setup "requirements-dev.txt")
    @{{ bin }}/python -m tests.model {{ args }}

# What the trading path costs on this machine, in microseconds
bench *args: (_setup "requirements-dev.txt")
    @{{ bin }}/python tools/bench.py {{ args }}

# Three ways to read the exchange's messages, side by side; give a folder of recorded ones to measure on those
bench-parsers *args: (_setup "requirements-dev.txt")
    @{{ bin }}/python -m benchmarks.parsers {{ args }}

# Statistics of real klines and of the synthetic markets: `just market-statistics KLINES... --svg FILE`
market-statistics *args: (_setup "requirements-dev.txt")
    @{{ bin }}/python -m tools.market_statistics {{ args }}

# Write all lock files anew
lock: (_setup "requirements-dev.txt")
    @{{ bin }}/python -m tools.lock

[private]
_setup lock:
    @{{ python }} tools/setup.py {{ lock }}

[private]
_client name:
    @{{ bin }}/python -m tools.client_environments {{ name }}
