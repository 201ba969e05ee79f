"""Owns the file that keeps the paper exchange between two runs: written whole or not at all.

It must never know what is in it.
"""

from __future__ import annotations

import os
from pathlib import Path


def save_state(path: Path, document: bytes) -> None:
    """Write the document beside the file, make it durable, and put it in the file's place in one step.

    Raises:
        OSError: the directory cannot be written to; the old file is as it was.
    """
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load_state(path: Path) -> bytes | None:
    """Return the document, or None if there is none yet.

    Raises:
        OSError: the file is there but cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
