"""Looking into a recording leaves no file open: only its first rows are read then."""

from __future__ import annotations

import gc
import gzip
import zipfile
from pathlib import Path

import pytest

from trio_grid.exchange.paper.market_files import open_recording, replay_market

ROWS = "".join(f"{1_750_000_000_000 + minute * 60_000},100,101,99,100,5\n" for minute in range(400))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".zip"])
def test_no_file_stays_open(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"BTCUSDT-1m{suffix}"
    match suffix:
        case ".csv":
            path.write_text(ROWS)
        case ".csv.gz":
            path.write_bytes(gzip.compress(ROWS.encode()))
        case _:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("BTCUSDT-1m.csv", ROWS)
    market = replay_market(open_recording([path]))
    assert market.step().bid_ticks > 0
    del market
    # An unclosed file is a warning when it is collected, and a warning fails the test.
    gc.collect()
