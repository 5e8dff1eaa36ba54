"""One thread that waits for descriptors, times and what other threads post; nothing in it may take long.

Making a box takes a second, and meanwhile another box must be closable at once. So slow work runs in threads
that touch no shared state: they hand a function back with `post`, and only this thread changes anything.
"""

from __future__ import annotations

import heapq
import itertools
import os
import queue
import selectors
import time
from collections.abc import Callable

Act = Callable[[], None]


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._posted: queue.SimpleQueue[Act] = queue.SimpleQueue()
        self._times: list[tuple[float, int, Act]] = []
        self._order = itertools.count()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)
        self._running = True
        self.watch(self._woken, self._take_posted)

    @property
    def wake_fd(self) -> int:
        """For `signal.set_wakeup_fd`, so that a signal is seen at once."""
        return self._wake

    def watch(self, fd: int, readable: Act) -> None:
        self._selector.register(fd, selectors.EVENT_READ, readable)

    def unwatch(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def watch_writable(self, fd: int, readable: Act, *, also_writable: bool) -> None:
        """Changes what is waited for on a watched descriptor; the act must cope with both."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if also_writable else 0)
        self._selector.modify(fd, events, readable)

    def post(self, act: Act) -> None:
        """From any thread: run `act` in the loop."""
        self._posted.put(act)
        try:
            os.write(self._wake, b".")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def after(self, seconds: float, act: Act) -> None:
        heapq.heappush(self._times, (time.monotonic() + seconds, next(self._order), act))

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        while self._running:
            self.turn()

    def turn(self) -> None:
        """Waits for the next thing and does it."""
        timeout = max(0.0, self._times[0][0] - time.monotonic()) if self._times else None
        for key, _ in self._selector.select(timeout):
            # An earlier act of this round may have closed it, and its number may mean another descriptor by now.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        while self._times and self._times[0][0] <= time.monotonic():
            heapq.heappop(self._times)[2]()

    def close(self) -> None:
        self._selector.close()
        os.close(self._woken)
        os.close(self._wake)

    def _take_posted(self) -> None:
        try:
            os.read(self._woken, 4096)
        except BlockingIOError:
            return
        while not self._posted.empty():
            self._posted.get()()
