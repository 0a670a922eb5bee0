"""A small map in memory that keeps what was used last, bounded in bytes; safe under threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Values with sizes; when they exceed ``limit`` bytes together, the least recently used leave.

    >>> kept = Recent(limit=10)
    >>> kept.put("a", 1, size=6); kept.put("b", 2, size=4); kept.get("a")
    1
    >>> kept.put("c", 3, size=4); kept.get("b") is None, kept.get("a"), kept.size
    (True, 1, 10)
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._entries: OrderedDict[Any, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> list[tuple[Any, T]]:
        """All keys with their values."""
        with self._lock:
            return [(key, value) for key, (value, _) in self._entries.items()]

    def get(self, key: Any) -> T | None:
        """The value of a key, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Any, value: T, size: int) -> None:
        """Keep a value; one larger than the limit is not kept."""
        with self._lock:
            old = self._entries.pop(key, None)
            self.size += size - (old[1] if old else 0)
            self._entries[key] = value, size
            while self.size > self.limit:
                _, (_, freed) = self._entries.popitem(last=False)
                self.size -= freed
