"""Run all tests, every processor at work: `python tools/run_tests.py [--folder TESTS]`.

The test files are dealt out in batches of one folder; each batch is a pytest of its own, with coverage measured. What
fails is printed whole, what passes as one line, and the last line counts everything. With several processors the order
of the batches is not fixed: a test that needs another one to have run before it is a fault of the test.

pytest-xdist (`-n 2 --dist loadfile`) was tried beside it: the tests pass under it, and over the same files it takes as
long (27 and 28 s against 27 and 33 s on two processors). It would want two packages more, execnet and one that carries
coverage into its workers, and it cannot begin with the tests that mostly wait.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LARGEST_BATCH = 4
LONGEST = ("endtoend", "simulation")
"""Folders whose batches begin first, in turn: the one mostly waits for real time, the other keeps a processor busy."""
NO_TESTS = 5
"""pytest's exit code when every test of a batch was left out."""
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)")


def batches(folder: Path) -> Iterator[list[Path]]:
    """Yield the test files in batches of one folder each, the longest first."""
    folders: dict[Path, list[Path]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        folders.setdefault(file.parent, []).append(file)
    ranked: list[tuple[bool, int, str, list[Path]]] = []
    for path, files in folders.items():
        parts = -(-len(files) // LARGEST_BATCH)
        # Every n-th file: neighbours by name tend to be of one kind, and equally long.
        ranked += [(path.name not in LONGEST, part, str(path), files[part::parts]) for part in range(parts)]
    yield from (batch for *_, batch in sorted(ranked))


def run(batch: list[Path]) -> tuple[list[Path], int, str, float]:
    """Run one batch; return it with pytest's exit code, its output and its duration in seconds."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *map(str, batch)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return batch, done.returncode, done.stdout, time.monotonic() - begun


def main(arguments: list[str]) -> int:
    """Run every batch and print what became of it; return 1 if anything failed or nothing was there."""
    parser = argparse.ArgumentParser(description="Run all tests, every processor at work.")
    parser.add_argument("--folder", type=Path, default=ROOT / "tests")
    folder = parser.parse_args(arguments).folder
    begun = time.monotonic()
    counts: Counter[str] = Counter()
    failed: list[str] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as workers:
        for future in as_completed([workers.submit(run, batch) for batch in batches(folder)]):
            batch, code, output, seconds = future.result()
            lines = [line for line in output.splitlines() if COUNT.match(line)]
            last = lines[-1] if lines else f"exit code {code}"
            for number, word in COUNT.findall(last):
                counts[word.removesuffix("s")] += int(number)
            names = ", ".join(file.stem for file in batch)
            if code not in (0, NO_TESTS):
                failed.append(names)
                print(output, flush=True)
            print(f"{seconds:6.1f} s  {batch[0].parent.name}: {names}: {last}", flush=True)
    summary = ", ".join(f"{counts[word]} {word}" for word in sorted(counts))
    print(f"{summary or 'no tests'} in {time.monotonic() - begun:.0f} s")
    for names in failed:
        print(f"FAILED in {names}")
    return 1 if failed or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
