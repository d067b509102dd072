"""Which job was run how often: a file for each process that runs jobs, mapped into memory."""

import mmap
import os
import struct
import time
from pathlib import Path

MOST_JOBS = 1 << 18
# When the first job was run, and how many were.
HEAD = struct.Struct("=dq")
START = struct.Struct("=d")
STARTS_AT = HEAD.size + MOST_JOBS
SIZE = STARTS_AT + MOST_JOBS * START.size


def now() -> float:
    """Seconds, on one clock for all processes."""
    return time.monotonic()


class Page:
    """What one process has run."""

    def __init__(self, path: Path):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(file, SIZE)
        self.map = mmap.mmap(file, SIZE)
        os.close(file)

    def record(self, job: int) -> None:
        """What a handler does first, and all that it does."""
        at = now()
        first, calls = HEAD.unpack_from(self.map)
        START.pack_into(self.map, STARTS_AT + job * START.size, at)
        self.map[HEAD.size + job] += 1
        HEAD.pack_into(self.map, 0, first if calls else at, calls + 1)


class Ledger:
    """The pages of so many processes."""

    def __init__(self, folder: Path, processes: int):
        self.folder = folder
        self.processes = processes
        self.pages: dict[Path, Page] = {}

    def _pages(self) -> list[Page]:
        if len(self.pages) < self.processes:
            for path in set(self.folder.glob("*.page")) - self.pages.keys():
                self.pages[path] = Page(path)
        return list(self.pages.values())

    def ran(self) -> int:
        return sum(HEAD.unpack_from(page.map)[1] for page in self._pages())

    def distinct(self) -> int:
        runs = [page.map[HEAD.size : STARTS_AT] for page in self._pages()]
        return sum(1 for of_job in zip(*runs) if any(of_job))

    def first_at(self) -> float:
        """When the first job of all was run."""
        heads = [HEAD.unpack_from(page.map) for page in self._pages()]
        return min(first for first, calls in heads if calls)

    def start_of(self, job: int) -> float:
        starts = (START.unpack_from(page.map, STARTS_AT + job * START.size) for page in self._pages())
        return max(start for (start,) in starts)
