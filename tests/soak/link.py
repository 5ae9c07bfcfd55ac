# SPDX-License-Identifier: Apache-2.0
"""How a client of the soak speaks with forkd: whatever comes back is expected, or a complaint."""

import contextlib
import time

import varlink

PATIENCE = 60  # seconds; an answer that takes longer is none


class Gone(Exception):
    """forkd was killed meanwhile."""


class Link:
    """Calls, and what they say of forkd's own life."""

    def __init__(self, address, complain, patience=PATIENCE):
        self.address = address
        self.complain = complain
        self.patience = patience
        self.pid = None

    def connect(self):
        """A connection. While forkd is down the socket's backlog waits for the next one."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return varlink.Client(self.address, self.patience)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def look(self):
        """The pid of the forkd that answers now."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                with self.connect() as client:
                    self.pid = client.call('org.forkd.manager.Status')['pid']
                    return self.pid
            except (varlink.Closed, BrokenPipeError, ConnectionResetError):
                if time.monotonic() > deadline:
                    raise

    @contextlib.contextmanager
    def watched(self, what):
        """Around a conversation: it may break only because forkd was killed."""
        before = self.pid
        try:
            yield
        except (varlink.Closed, BrokenPipeError, ConnectionResetError) as error:
            if self.look() == before:
                self.complain(f'forkd has closed the connection of {what}: {error}')
            raise Gone() from error
        except TimeoutError as error:
            self.complain(f'no answer to {what} within {self.patience} s')
            raise Gone() from error

    def call(self, method, parameters=None, allowed=()):
        """One call; None for an error whose name is allowed."""
        with self.watched(method), self.connect() as client:
            try:
                return client.call(method, parameters)
            except varlink.Error as error:
                if error.name not in allowed:
                    self.complain(f'{method} {parameters} is answered with {error}')
                return None
