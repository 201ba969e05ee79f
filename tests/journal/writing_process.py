"""A program for the journal's tests: it writes records as fast as it can and says each sequence once it is committed.

Usage: writing_process.py JOURNAL. One line each on stdout: `session N` first, then every acknowledged sequence. A
thread checkpoints all the time. It ends by being killed.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from tests.journal.journal_samples import INSTRUMENT, LATTICE, START_MS, records
from trio_grid.journal.sqlite_journal import Journal, open_journal
from trio_grid.journal.wal import CheckpointMode


def checkpoint_for_ever(journal: Journal) -> None:
    while True:
        for mode in (CheckpointMode.PASSIVE, CheckpointMode.PASSIVE, CheckpointMode.TRUNCATE):
            journal.checkpoint(mode)


def main(path: Path) -> None:
    with open_journal(path) as journal:
        journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
        session = journal.begin_session(started_ms=START_MS)
        os.write(1, b"session %d\n" % session)
        threading.Thread(target=checkpoint_for_ever, args=(journal,), daemon=True).start()
        while True:
            journal.commit(records(journal.last_sequence + 1, 1 + journal.last_sequence % 4))
            os.write(1, b"%d\n" % journal.last_sequence)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
