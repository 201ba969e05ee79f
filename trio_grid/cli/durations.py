"""Owns the reading of durations such as `60s`, `10m` or `1h30m`."""

from __future__ import annotations

import argparse
import re

_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")
LONGEST_S = 10 * 365 * 86_400


def duration_s(text: str) -> float:
    """Return a duration in seconds.

    Raises:
        argparse.ArgumentTypeError: not a duration, zero, or longer than ten years.
    """
    match = _PARTS.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; allowed: 60s, 10m, 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; allowed: more than 0s, at most ten years")
    return total
