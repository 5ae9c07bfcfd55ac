#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A host that lies, as its arguments say: {"lie": WHAT, "pid": PID}. WHAT is `started`, `exited` (that pid is its
worker's), `running` (it names attempts that nobody ordered), `entries` (far too many), `garbage` (packets that are
none), `mute` (it never answers a Fork), `silent` (it never says that a worker has ended), `shouting` (packets without
end). Its entry `flood` tells of its progress without end."""

import os
import socket

import host

ARGUMENTS = host.PRELOADED


class Liar(host.Host):
    """Says what it is told to."""

    def lie(self):
        return ARGUMENTS['arguments'].get('lie')

    def serve(self):
        if self.lie() == 'entries':
            for i in range(5000):
                host.ENTRIES[f'entry-{i}-' + 'x' * 300] = host.echo
        super().serve()

    def on_Fork(self, parameters, fds):
        if self.lie() == 'shouting' and not self.workers and os.fork() == 0:
            shout(self.channel)
        if self.lie() != 'mute':
            super().on_Fork(parameters, fds)

    def started(self, key):
        pid, pidfd, _ = self.workers[key]
        if self.lie() == 'garbage':
            for text in (b'}{', b'[]', b'{"method": 5}', b'{"method": "Exited"}', b'{"memfd": true}',
                         b'{"method": "Started", "parameters": {"id": -1, "pid": 1, "pidfd": 99}}'):
                self.channel.send(text)
        if self.lie() == 'started':
            target = ARGUMENTS['arguments']['pid']
            fd = os.pidfd_open(target)
            host.send(self.channel, 'Started', [fd], id=key[0], attempt=key[1], pid=target,
                      startTime=host.start_time(target), pidfd=0)
            os.close(fd)
            return
        if self.lie() == 'number':  # a pidfd of its own worker, another's number
            target = ARGUMENTS['arguments']['pid']
            host.send(self.channel, 'Started', [pidfd], id=key[0], attempt=key[1], pid=target,
                      startTime=host.start_time(target), pidfd=0)
            return
        super().started(key)

    def exited(self, key):
        if self.lie() == 'silent':
            return
        if self.lie() == 'exited':
            target = ARGUMENTS['arguments']['pid']
            host.send(self.channel, 'Exited', id=key[0], attempt=key[1], pid=target, code='killed', status=9,
                      userUSec=0, systemUSec=0)
            return
        super().exited(key)

    def on_Hello(self, parameters, fds):
        if self.lie() == 'running':
            target = ARGUMENTS['arguments']['pid']
            host.send(self.channel, 'Running', epoch=parameters['epoch'], attempts=[
                {'id': i, 'attempt': 1, 'pid': target, 'startTime': host.start_time(target)} for i in range(1, 50)])
            return
        super().on_Hello(parameters, fds)


def shout(channel):
    """What costs much to read, until nobody is there to read it."""
    try:
        while True:
            host.send(channel, 'Exited', id=1 << 40, attempt=1, padding=[0] * 16000)
    except OSError:
        os._exit(0)


def flood(_):
    """tells of its progress for ever"""
    channel = socket.socket(fileno=os.dup(3))
    while True:
        host.send(channel, 'Progress', value={'text': 'x' * 60000})


host.ENTRIES['flood'] = flood
host.ENTRIES['flood'].__name__ = 'flood'

if __name__ == '__main__':
    host.main(Liar)
