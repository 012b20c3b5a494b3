"""Where bytes of a store may be: its segment, its database with the write-ahead log, its event log."""

import contextlib
import shutil
import subprocess
from pathlib import Path

from shmctx.log.reader import LogReader

DAY = 86_400 * 10**9  # ns


def files(store, database: Path):
    """Every file of a store."""
    segment = Path(f"/dev/shm/shmctx.{store.name}")
    return [path for path in [segment, *database.parent.rglob("*")] if path.is_file()]


def holding(store, database: Path, secret: str):
    """Names of the files in which the secret can be found; compressed ones are looked into, and large fields too."""
    wanted = secret.encode()
    found = []
    for path in files(store, database):
        with contextlib.suppress(FileNotFoundError):  # compressed meanwhile: then it is found under its other name
            found += [path.name] * (wanted in path.read_bytes())
    reader = LogReader(database.with_suffix(".events"))
    for segment in reader.segments():
        found += [f"{segment.path.name}:{at}" for at, line in reader.scan(segment.number) if wanted in line]
        if segment.compressed and shutil.which("zstd"):
            text = subprocess.run(["zstd", "-dcq", segment.path], capture_output=True, check=True, timeout=30).stdout
            found += [f"{segment.path.name} (zstd)"] * (wanted in text)
    return found
