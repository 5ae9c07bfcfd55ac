# SPDX-License-Identifier: Apache-2.0
"""A small raw Varlink client: blocking, descriptors both ways, and bytes as they are for hostile tests."""

import json
import os
import socket


class Error(Exception):
    """An error reply: name without its interface, full name, parameters."""

    def __init__(self, full, parameters):
        self.full = full
        self.name = full.rsplit('.', 1)[-1]
        self.parameters = parameters
        super().__init__(f'{full} {json.dumps(parameters)[:600]}')


class Closed(Exception):
    """The daemon has closed the connection."""


def encode(method, parameters=None, **flags):
    message = {'method': method}
    if parameters is not None:
        message['parameters'] = parameters
    message.update({k: v for k, v in flags.items() if v})
    return json.dumps(message).encode() + b'\0'


class Client:
    """One connection. Short method names mean org.forkd.jobs."""

    def __init__(self, address=None, timeout=20, sock=None):
        self.buffer = bytearray()
        self.fds = []
        if sock:
            self.socket = sock
        else:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        self.socket.settimeout(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()
        self.drop_fds()

    def drop_fds(self):
        while self.fds:
            os.close(self.fds.pop())

    def send_bytes(self, data, fds=()):
        """All of data; fds go with its first byte."""
        if fds:
            n = socket.send_fds(self.socket, [data], list(fds), socket.MSG_NOSIGNAL)
            data = data[n:]
        self.socket.sendall(data)

    def send(self, method, parameters=None, fds=(), **flags):
        if method.count('.') == 0:
            method = 'org.forkd.jobs.' + method
        self.send_bytes(encode(method, parameters, **flags), fds)

    def receive(self):
        """The next reply as it came: a dictionary."""
        while b'\0' not in self.buffer:
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, 1 << 16, 16, socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError:
                data, fds = b'', []
            self.fds += fds
            if not data:
                raise Closed(f'closed with {len(self.buffer)} bytes unread')
            self.buffer += data
        text, _, rest = bytes(self.buffer).partition(b'\0')
        self.buffer = bytearray(rest)
        return json.loads(text)

    def reply(self):
        """The next reply: (parameters, continues), or Error."""
        message = self.receive()
        if 'error' in message:
            raise Error(message['error'], message.get('parameters') or {})
        return message.get('parameters') or {}, message.get('continues', False)

    def call(self, method, parameters=None, fds=(), **keywords):
        """One call, one reply. Parameters as a dictionary or as keywords."""
        self.send(method, parameters if parameters is not None else keywords or None, fds)
        parameters, continues = self.reply()
        assert not continues, 'a reply that continues to a call without more'
        return parameters

    def stream(self, method, parameters=None, fds=()):
        """A call under more: yields the parameters of each reply."""
        self.send(method, parameters, fds, more=True)
        while True:
            parameters, continues = self.reply()
            yield parameters
            if not continues:
                return

    def closed_by_peer(self):
        """Reads to the end; true when the daemon closes before the timeout."""
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except socket.timeout:
            return False
