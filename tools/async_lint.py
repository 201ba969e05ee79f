"""Run flake8-async over the project's Python files: `python tools/async_lint.py [FILE...]`.

Every function that takes a `task_status` is named to it as startable, so that ASYNC113 (started in a context manager
without waiting until it is ready) knows all of them and nobody has to keep a list.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDERS = ("trio_grid", "tests", "tools")
PASSED_OVER = [
    # A coroutine need not be a checkpoint on every path; where it matters, the code says so.
    "ASYNC9",
    # A timeout parameter is an interface, not a fault.
    "ASYNC109",
    # It wants httpx's successor, which the versions that were tried together do not hold.
    "ASYNC127",
    # It does not see a task_status that is handed on to the part that becomes ready. The tests start every loop.
    "ASYNC128",
]


def startable_names(files: Iterable[Path]) -> Iterator[str]:
    """Yield the name of every function that takes a task_status."""
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
            if isinstance(node, ast.AsyncFunctionDef):
                names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
                if "task_status" in names:
                    yield node.name


def main(arguments: list[str]) -> int:
    """Check the files, by default all; return flake8-async's exit code."""
    root = Path(__file__).resolve().parent.parent
    files = [Path(argument) for argument in arguments]
    files = files or sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))
    names = ",".join(sorted(set(startable_names(files))))
    command = [
        str(Path(sys.executable).parent / "flake8-async"),
        "--enable=ASYNC",
        f"--disable={','.join(PASSED_OVER)}",
        *([f"--startable-in-context-manager={names}"] if names else []),
        *map(str, files),
    ]
    return subprocess.run(command, cwd=root, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
