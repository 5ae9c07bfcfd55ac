# SPDX-License-Identifier: Apache-2.0
"""FIFOs between the suite and its jobs: what jobs say, and what they wait for."""

import contextlib
import os
import select
import time


class Fifo:
    """A FIFO that jobs write to and the test reads: lines as events, end-of-file when the last writer is gone."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        os.chmod(path, 0o666)
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.text = ''

    def line(self, timeout=10):
        """[word, pid] of the next line; None at end-of-file."""
        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while '\n' not in self.text:
            if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                raise AssertionError(f'nothing came through {self.path} within {timeout} s')
            with contextlib.suppress(BlockingIOError):
                data = os.read(self.fd, 65536).decode()
                if not data:
                    return None
                self.text += data
        line, _, self.text = self.text.partition('\n')
        word, pid = line.split()
        return word, int(pid)

    def expect(self, word, timeout=10):
        """The pid of the next line, which must have this word."""
        line = self.line(timeout)
        assert line and line[0] == word, f'expected {word!r} through {self.path}, got {line}'
        return line[1]

    def silent(self, timeout):
        """True when nothing comes for so long: the only way to see that something does not happen."""
        return '\n' not in self.text and not select.select([self.fd], [], [], timeout)[0]

    def ended(self, timeout=10):
        """Until every process that had it open is gone."""
        while self.line(timeout) is not None:
            pass

    def close(self):
        os.close(self.fd)


class Gate:
    """A FIFO that jobs read: they go on when it opens."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        os.chmod(path, 0o666)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def push(self, data=b'x'):
        os.write(self.fd, data)

    def open(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    close = open
