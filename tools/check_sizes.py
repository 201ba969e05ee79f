"""Refuse functions and modules that have grown too long to be read in one go.

`python tools/check_sizes.py [FOLDER...]`: prints one line for each that is too long and returns 1 if there is any. A
function counts from its `def` to its last line, docstring included.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_LINES_OF_A_FUNCTION = 70
MOST_LINES_OF_A_MODULE = 400
FOLDERS = ("trio_grid", "tests", "tools", "benchmarks")


def faults_of(path: Path) -> Iterator[str]:
    """Yield one line for each part of a file that is too long."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines > MOST_LINES_OF_A_MODULE:
        yield f"{path}: module of {lines} lines, {MOST_LINES_OF_A_MODULE} allowed"
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, {MOST_LINES_OF_A_FUNCTION} allowed"


def main(arguments: list[str]) -> int:
    """Check every Python file under the folders; return 1 if anything is too long."""
    root = Path(__file__).resolve().parent.parent
    folders = [Path(argument) for argument in arguments] or [root / folder for folder in FOLDERS]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    faults = [fault for path in files for fault in faults_of(path)]
    for fault in faults:
        print(fault)
    print(f"{len(files)} files, {len(faults)} too long")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
