# SPDX-License-Identifier: Apache-2.0
"""What somebody else does while a benchmark works."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self

from bench.measure import Wrong


class Beside(ABC):
    """Does the same again and again, in a thread, during ``with``. ``pause``: seconds between.

    Raises Wrong at the end if that has failed.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._failure: Exception | None = None

    @abstractmethod
    def once(self) -> None:
        """What is done again and again."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._failure:
            raise Wrong(f"what was done beside it failed: {self._failure}") from self._failure

    def _work(self) -> None:
        try:
            while not self._end.wait(self._pause):
                self.once()
        except Exception as error:  # noqa: BLE001 - told by who waits for it
            self._failure = error
