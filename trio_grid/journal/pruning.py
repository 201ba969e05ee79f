"""Taking old records out of a journal: first into an archive, then out of the database.

It must never remove a record that a durable, read-back archive does not hold, nor anything that recovery needs: the
last image and the tail behind it stay.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec

from trio_grid.errors import JournalError
from trio_grid.journal.archive import write_archive
from trio_grid.journal.recovery import recover
from trio_grid.journal.sqlite_journal import open_journal


class Pruning(msgspec.Struct, frozen=True, kw_only=True):
    """What was pruned: `archived` records up to `image_sequence`; sizes of the database file in bytes."""

    archived: int
    image_sequence: int
    archive: Path | None
    bytes_before: int
    bytes_after: int


def prune(path: Path) -> Pruning:
    """Archive the records that the last state image makes needless, then remove them.

    Raises:
        JournalInUse: a bot holds the journal.
        JournalError: no journal, a journal that does not recover, or an archive that cannot be written; then nothing
            was removed.
    """
    path = path.resolve()
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}")
    with open_journal(path, purpose="journal prune") as journal:
        before = path.stat().st_size
        image = journal.reader.last_image()
        first = journal.reader.first_sequence()
        if image is None or first is None or first > image.sequence:
            sequence = 0 if image is None else image.sequence
            return Pruning(archived=0, image_sequence=sequence, archive=None, bytes_before=before, bytes_after=before)
        recover(journal)  # what stays must be enough to go on from
        count = image.sequence - first + 1
        records = itertools.islice(journal.reader.records(after=first - 1), count)
        archive = write_archive(path, records, first, image.sequence)
        journal.drop_before_last_image()
        return Pruning(
            archived=count,
            image_sequence=image.sequence,
            archive=archive,
            bytes_before=before,
            bytes_after=path.stat().st_size,
        )
