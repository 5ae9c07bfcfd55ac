# SPDX-License-Identifier: Apache-2.0
"""Clients of the soak that no server deserves. None of them waits for an answer; some stay open for a while."""

import contextlib
import os
import socket

import varlink

KEPT = 10
STATUS = varlink.encode('org.forkd.manager.Status')
LIST = varlink.encode('org.forkd.jobs.List', more=True)
GARBAGE = (b'\0', b'hello\0', b'[]\0', b'{"method":5}\0', b'{"method":"\xff"}\0', b'GET / HTTP/1.1\r\n\r\n\0',
           b'[' * 500 + b'\0', b'{"method":"org.forkd.jobs.Run"}\0', b'\xde\xad\xbe\xef' * 500,
           varlink.encode('org.forkd.jobs.Run', {'job': {'command': ['x'] * 5000}}),
           varlink.encode('org.forkd.jobs.Submit', {'jobs': [{'entry': 'none', 'colour': 1}]}),
           varlink.encode('org.forkd.servers.Start', {'name': '../x', 'modules': ['/no/such.so']}),
           varlink.encode('org.forkd.jobs.Cancel', {'ids': [-1, 1 << 62]}))


def half_message(client, rng):
    client.send_bytes(STATUS[:rng.randrange(1, len(STATUS))])


def never_reads(client, rng):
    client.socket.setblocking(False)
    for _ in range(rng.randrange(1, 200)):
        client.socket.send(LIST + STATUS)


def closes_early(client, rng):
    client.send_bytes(STATUS * rng.randrange(1, 30))
    client.close()


def run_and_away(client, rng):
    client.send('Run', {'job': {'command': ['sleep', '100']}}, more=True)
    if rng.random() < 0.5:
        client.receive()
    client.close()


def descriptor_flood(client, rng):
    null = os.open('/dev/null', os.O_RDWR | os.O_CLOEXEC)
    try:
        data = (STATUS, STATUS[:9], varlink.encode('org.forkd.jobs.Run', {'job': {'command': ['true']}}))[rng.randrange(3)]
        for _ in range(rng.randrange(1, 20)):
            client.send_bytes(data, [null] * rng.randrange(1, 200))
    finally:
        os.close(null)


def garbage(client, rng):
    client.send_bytes(rng.choice(GARBAGE))
    client.send_bytes(bytes(rng.randrange(256) for _ in range(rng.randrange(1, 300))))


def long_message(client, rng):
    for _ in range(rng.randrange(1, 30)):
        client.send_bytes(b'x' * (1 << 16))


WAYS = (half_message, never_reads, closes_early, run_and_away, descriptor_flood, garbage, long_message)


class Crowd:
    """Rude connections that one client keeps open."""

    def __init__(self, link):
        self.link = link
        self.kept = []

    def one(self, rng):
        """Does it; its name."""
        way = rng.choice(WAYS)
        client = self.link.connect()
        client.socket.settimeout(5)
        with contextlib.suppress(OSError, varlink.Closed, socket.timeout):
            way(client, rng)
        if rng.random() < 0.5:
            client.close()
        else:
            self.kept.append(client)
        if len(self.kept) > KEPT:
            self.kept.pop(0).close()
        return way.__name__

    def leave(self):
        while self.kept:
            self.kept.pop().close()
