"""The standard streams of the command line, which may be closed, full or unread; and JSON on them."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO, cast

import click

from pytest_mcn_mock.text import printable


def print_json(document: Any, *, indent: int | None = 2) -> None:
    """Print one JSON document in ASCII, so that it steers no terminal and fits any encoding."""
    click.echo(json.dumps(document, indent=indent).replace("\x7f", "\\u007f"))


def note(text: str) -> None:
    """Print a line for people on standard error: ``mcn-mock: …``."""
    click.echo(f"mcn-mock: {printable(text)}", err=True)


class OutputLost(Exception):
    """Standard output cannot be written. The message says why. It is not an OSError: that could be about any file.

    ``is_failure`` is False if the reader of a pipe has left: ``mcn-mock calls | head -1``.
    """

    def __init__(self, error: OSError, *, is_failure: bool | None = None) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror or error}")
        self.is_failure = error.errno != errno.EPIPE if is_failure is None else is_failure


class _Guarded:
    """A standard stream. Text that cannot be written is lost, or raises OutputLost if ``raises``.

    ``is_closed`` says that the shell has closed the stream.
    """

    def __init__(self, stream: TextIO, *, raises: bool, is_closed: bool) -> None:
        self._stream = stream
        self._raises = raises
        self._is_closed = is_closed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def fileno(self) -> int:
        if self._is_closed:
            raise io.UnsupportedOperation("the stream is closed")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        with self._taking_errors():
            if self._is_closed and text:  # click writes nothing, to see whether the stream takes text
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._taking_errors():
            self._stream.flush()

    @contextmanager
    def _taking_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._raises:
                raise OutputLost(error) from None


def guard_streams() -> None:
    """Let standard output raise OutputLost when it cannot be written, and let standard error lose its text silently.

    Characters that the encoding lacks are spelt out. A descriptor that the shell has closed is opened on the null
    device: otherwise a file of ours, a database perhaps, gets its number, and the log with it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as the process lives
    sys.stdout = _guard(sys.stdout, raises=True)
    sys.stderr = _guard(sys.stderr, raises=False)


def give_up_output() -> None:
    """Write nothing more to standard output, not even the rest of its buffer, which Python writes when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout.flush()


def _guard(stream: TextIO | None, *, raises: bool) -> TextIO:
    is_closed = stream is None
    if stream is None:
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as above
    elif isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return cast("TextIO", _Guarded(stream, raises=raises, is_closed=is_closed))


def _write(descriptor: int | None, data: bytes | memoryview) -> int:
    if descriptor is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return os.write(descriptor, data)


class Outlet:
    """Writes whole lines to a standard stream from its own thread, so that a reader that stops reading blocks nothing.

    At most MAX_SIZE bytes wait. Text beyond that, or text that cannot be written, is dropped and counted. As soon as
    text can be written again, ``note`` makes the line that says how many texts were dropped.
    """

    MAX_SIZE: Final = 1_048_576
    GATHER_S: Final = 0.02
    """After a write, the thread lets text gather for so long. To wake it for each line costs more than the line."""

    def __init__(self, stream: TextIO, note: Callable[[int], str] | None = None) -> None:
        try:
            self._descriptor: int | None = stream.fileno()
        except OSError:
            self._descriptor = None
        self._encoding = stream.encoding or "utf-8"
        self._note = note
        self._lock = threading.Lock()
        self._woken = threading.Condition(self._lock)
        self._is_idle = False
        """Whether the thread waits for text."""
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._noted = 0
        self._is_closed = False
        self._closing = threading.Event()
        self.dropped = 0
        """How many texts were not written."""
        self.first: Future[None] = Future()
        """Done when the first text was written. It fails with OutputLost if that is not possible."""
        self.first.set_running_or_notify_cancel()  # one who stops waiting leaves it to the thread
        self._thread = threading.Thread(target=self._run, name="mcn-mock-output", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        """Write the text later, after earlier text."""
        data = text.encode(self._encoding, "backslashreplace")
        with self._lock:
            if self._is_closed or self._size + len(data) > self.MAX_SIZE:
                self.dropped += 1
                return
            self._waiting.append(data)
            self._size += len(data)
            if self._is_idle:
                self._woken.notify()

    def close(self, timeout_s: float) -> None:
        """Write the text that waits, for at most ``timeout_s`` seconds. Text that is put later is dropped."""
        with self._lock:
            self._is_closed = True
            self._woken.notify()
        self._closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while waiting := self._take():
            try:
                self._write(b"".join(waiting))
            except OSError as error:
                with self._lock:
                    self.dropped += len(waiting)
                if not self.first.done():
                    self.first.set_exception(OutputLost(error, is_failure=True))
            else:
                if not self.first.done():
                    self.first.set_result(None)
                self._tell_dropped()
            self._closing.wait(self.GATHER_S)

    def _take(self) -> list[bytes]:
        """Wait for text and return it; return nothing at the end."""
        with self._lock:
            self._is_idle = True
            self._woken.wait_for(lambda: self._waiting or self._is_closed)
            self._is_idle = False
            taken = list(self._waiting)
            self._waiting.clear()
            self._size = 0
            return taken

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[_write(self._descriptor, left[:65_536]) :]

    def _tell_dropped(self) -> None:
        dropped = self.dropped
        if self._note is not None and dropped > self._noted:
            with suppress(OSError):
                self._write(self._note(dropped - self._noted).encode(self._encoding, "backslashreplace"))
                self._noted = dropped


def count(number: int, word: str, words: str | None = None) -> str:
    """Return the number with its noun: ``count(2, "call") == "2 calls"``."""
    return f"{number} {word if number == 1 else words or f'{word}s'}"
