"""Run flake8-async over the project's Python files: `python tools/async_lint.py [FILE...]`.

Every function that takes a `task_status` is named to it as startable, so that ASYNC113 (started in a context manager
without waiting until it is ready) knows all of them and nobody has to keep a list. It needs more than a second for a
thousand lines, so every processor gets a share of the files, and what was found clean is remembered by its content.
"""

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("trio_grid", "tests", "tools", "benchmarks")
REMEMBERED = ROOT / "var" / "lint" / "async_clean.txt"
PASSED_OVER = (
    # A coroutine need not be a checkpoint on every path; where it matters, the code says so.
    "ASYNC9",
    # A timeout parameter is an interface, not a fault.
    "ASYNC109",
    # It wants httpx's successor, which the versions that were tried together do not hold.
    "ASYNC127",
    # It does not see a task_status that is handed on to the part that becomes ready. The tests start every loop.
    "ASYNC128",
)
# A test of something that needs a task around it, such as a lock, is a coroutine without an await.
PASSED_OVER_IN_TESTS = (*PASSED_OVER, "ASYNC124")


def startable_names(files: Iterable[Path]) -> Iterator[str]:
    """Yield the name of every function that takes a task_status."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
            if isinstance(node, ast.AsyncFunctionDef):
                names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
                if "task_status" in names:
                    yield node.name


def command_for(file: Path, names: str) -> tuple[str, ...]:
    """Return the command line that a file is checked with, without the file."""
    passed_over = PASSED_OVER_IN_TESTS if file.name.startswith("test_") else PASSED_OVER
    program = str(Path(sys.executable).parent / "flake8-async")
    known = (f"--startable-in-context-manager={names}",) if names else ()
    return (program, "--enable=ASYNC", f"--disable={','.join(passed_over)}", *known)


def digest(file: Path, command: tuple[str, ...]) -> str:
    """Return what a clean file is remembered by: its content, the command and the program's version."""
    parts = [version("flake8-async"), *command[1:]]
    return hashlib.sha256("\0".join(parts).encode() + file.read_bytes()).hexdigest()


def check(commands: dict[Path, tuple[str, ...]]) -> tuple[int, set[Path]]:
    """Check the files, all processors at work; print what is found; return the highest code and the clean files."""
    processors = os.cpu_count() or 1
    programs = []
    for command in sorted(set(commands.values())):
        files = sorted((file for file in commands if commands[file] == command), key=lambda file: file.stat().st_size)
        for first in range(min(processors, len(files))):
            share = files[first::processors]
            argv = [*command, *map(str, share)]
            programs.append((subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True), share))
    code, clean = 0, set[Path]()
    for program, share in programs:
        found, _ = program.communicate()
        print(found, end="")
        code = max(code, program.returncode)
        faulty = {line.partition(":")[0] for line in found.splitlines()}
        if program.returncode == 0 or faulty:
            clean |= {file for file in share if str(file) not in faulty}
    return code, clean


def main(arguments: list[str]) -> int:
    """Check the files, by default all that changed since they were found clean; return flake8-async's exit code."""
    files = [Path(argument) for argument in arguments]
    files = files or sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    names = ",".join(sorted(set(startable_names(files))))
    commands = {file: command_for(file, names) for file in files}
    digests = {file: digest(file, command) for file, command in commands.items()}
    known = set(REMEMBERED.read_text().split()) if REMEMBERED.exists() and not arguments else set()
    code, clean = check({file: commands[file] for file in files if digests[file] not in known})
    if not arguments:
        REMEMBERED.parent.mkdir(parents=True, exist_ok=True)
        still_true = known & set(digests.values())
        REMEMBERED.write_text("\n".join(sorted(still_true | {digests[file] for file in clean})))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
