"""Owns the shape of a log line: a message in words, then key=value fields. It must never see a secret."""

from __future__ import annotations


def line(message: str, **fields: object) -> str:
    """Return `message key=value ...`; a value with spaces, quotes or nothing in it is quoted."""
    return " ".join([message, *(f"{key}={_quoted(str(value))}" for key, value in fields.items())])


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    if flat and not any(character in flat for character in ' "='):
        return flat
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'
