# SPDX-License-Identifier: Apache-2.0
"""Slow, silent, rude, vanishing and hoarding clients, while an honest one is served; and the wire's rules as the
daemon keeps them (every rule in detail: the unit tests of proto/)."""

import json
import os
import socket
import time

import pytest

import processes
import varlink

METHODS = ('spawn', 'spares')
CALL = varlink.encode('org.forkd.manager.Status')


@pytest.fixture
def served(daemon, spawn):
    """Sees to it, before and after, that an honest client is served at once."""
    def serve():
        begun = time.monotonic()
        assert daemon.run(spawn.succeed())['result'] == 'success'
        assert time.monotonic() - begun < 2
    serve()
    yield serve
    serve()


def test_a_byte_at_a_time(daemon, served):
    """Slow, but within the deadline: answered."""
    client = daemon.connect()
    for i in range(len(CALL)):
        client.send_bytes(CALL[i:i + 1])
    served()
    assert client.reply()[0]['pid'] == daemon.pid


def test_half_a_message_is_given_five_seconds(daemon, served):
    client = daemon.connect(12)
    client.send_bytes(CALL[:20])
    begun = time.monotonic()
    for i in range(3):
        client.send_bytes(CALL[20 + i:21 + i])
        served()
    assert client.closed_by_peer()
    assert 4 < time.monotonic() - begun < 8


def test_silent_clients(daemon, served):
    """Nobody who says nothing is in the way, and nobody is thrown out for it."""
    crowd = [daemon.connect() for _ in range(200)]
    served()
    assert daemon.status()['clients'] == 201
    assert crowd[0].call('org.forkd.manager.Status')['pid'] == daemon.pid


@pytest.mark.parametrize('data', [
    b'\0', b'hello\0', b'[]\0', b'{}\0', b'5\0', b'{"method":5}\0', b'{"method":"a.B","more":1}\0',
    b'{"method":"a.B","more":true,"oneway":true}\0', b'{"method":"a.B","colour":1}\0',
    b'{"method":"a.B","parameters":[]}\0', b'{"method":"a.B","method":"a.C"}\0', b'{"method":"a.B"\0',
    b'{"method":"\xff"}\0', b'{"method":"a.B","parameters":{"x":1e999}}\0',
    b'{"method":"a.B","parameters":{"x":' + b'[' * 200 + b']' * 200 + b'}}\0',
    b'{"method":"a.B","parameters":{"x":[' + b'1,' * 20000 + b'1]}}\0',
    b'GET / HTTP/1.1\r\n\r\n\0'])
def test_rude_clients_are_cut_off(daemon, served, data):
    client = daemon.connect()
    try:
        client.send_bytes(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert client.closed_by_peer()


def test_a_message_that_is_too_long(daemon, served):
    client = daemon.connect()
    before = processes.rss_kib(daemon.pid)
    try:
        for _ in range(40):
            client.send_bytes(b'x' * (1 << 16))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert client.closed_by_peer()
    assert processes.rss_kib(daemon.pid) - before < 8 << 10


def test_vanishing_clients(daemon, served, work):
    """They go before their answer: before it is asked, in the middle of it, and while a job runs."""
    for i in range(50):
        client = daemon.client()
        client.send_bytes([b'', CALL[:10], CALL, CALL * 20][i % 4])
        client.close()
    for _ in range(20):
        with daemon.client() as client:
            client.send('Run', {'job': work.forever()}, more=True)
    processes.eventually(lambda: daemon.status()['attached'] == 0)
    processes.eventually(lambda: daemon.status()['clients'] == 1)


def test_a_half_close_is_no_disconnect(daemon, served, work, fifo, gate):
    beacon, door = fifo(), gate()
    client = daemon.connect()
    client.send('Run', {'job': work.job('answer', door.path, beacon.path)})
    client.socket.shutdown(socket.SHUT_WR)
    beacon.expect('ready')
    door.open()
    assert client.reply()[0]['certificate']['result'] == 'success'
    assert client.closed_by_peer()


@pytest.mark.timeout(60)
def test_a_hoarding_client_is_cut_off(daemon, served, spawn):
    """It asks for far more than it reads. The daemon's memory stays bounded, and others are served."""
    ids = daemon.submit(*(spawn.succeed(name='n' * 200) for _ in range(200)))
    daemon.wait(*ids)
    before = processes.rss_kib(daemon.pid)
    hoarder = daemon.connect(5)
    hoarder.socket.settimeout(1)
    request = varlink.encode('org.forkd.jobs.List')
    sent = 0
    try:
        while sent < 3000:
            hoarder.send_bytes(request)
            sent += 1
    except (socket.timeout, BrokenPipeError, ConnectionResetError):
        pass
    served()
    assert processes.rss_kib(daemon.pid) - before < 40 << 10


def test_calls_in_a_row_are_answered_in_their_order(daemon, spawn):
    client = daemon.connect()
    client.send_bytes(b''.join(varlink.encode('org.forkd.jobs.Submit', {'jobs': [spawn.succeed(name=f'n{i}')]})
                               for i in range(100)))
    ids = [client.reply()[0]['ids'][0] for _ in range(100)]
    assert ids == sorted(ids)
    names = {s['id']: s['name'] for s in daemon.list()}
    assert [names[i] for i in ids] == [f'n{i}' for i in range(100)]


def test_oneway(daemon, spawn, fifo):
    """No reply, and yet it is done."""
    beacon = fifo()
    client = daemon.connect()
    client.send('Submit', {'jobs': [spawn.forever(beacon)]}, oneway=True)
    client.send('org.forkd.manager.Status')
    assert client.reply()[0]['pid'] == daemon.pid
    beacon.expect('ready')


def test_the_service_describes_itself(daemon):
    info = daemon.call('org.varlink.service.GetInfo')
    assert info['product'] and info['version'] and info['vendor']
    assert {'org.varlink.service', 'org.forkd.jobs', 'org.forkd.manager', 'org.forkd.servers'} <= set(info['interfaces'])
    for name in info['interfaces']:
        text = daemon.call('org.varlink.service.GetInterfaceDescription', interface=name)['description']
        assert f'interface {name}' in text


@pytest.mark.parametrize('name,error', [
    ('org.forkd.nothing.Do', 'InterfaceNotFound'), ('org.forkd.jobs.Nothing', 'MethodNotFound'),
    ('org.forkd.manager.Nothing', 'MethodNotFound')])
def test_unknown_methods(daemon, name, error):
    with pytest.raises(varlink.Error) as caught:
        daemon.call(name)
    assert caught.value.full == f'org.varlink.service.{error}'


@pytest.mark.parametrize('name', ['org.forkd.jobs.Watch', 'org.forkd.manager.Subscribe'])
def test_expected_more(daemon, name):
    with pytest.raises(varlink.Error) as caught:
        daemon.call(name)
    assert caught.value.full == 'org.varlink.service.ExpectedMore'


@pytest.mark.parametrize('name', ['Submit', 'Run', 'List', 'Show', 'Kill', 'Cancel', 'Pause', 'Resume', 'OpenOutput',
                                  'Forget', 'org.forkd.manager.Status', 'org.forkd.manager.Reload',
                                  'org.forkd.manager.Drain', *(f'org.forkd.servers.{n}' for n in (
                                      'List', 'Show', 'Start', 'Stop', 'Reload', 'Scale'))])
def test_an_unknown_parameter_is_refused(daemon, spawn, name):
    parameters = {'Submit': {'jobs': [spawn.succeed()]}, 'Run': {'job': spawn.succeed()}}.get(name, {})
    with pytest.raises(varlink.Error) as caught:
        daemon.call(name, {**parameters, 'colour': 1})
    assert caught.value.full == 'org.varlink.service.InvalidParameter'
    assert not daemon.status()['draining']


def test_descriptors_where_none_are_taken(daemon, served):
    with pytest.raises((varlink.Error, varlink.Closed)):
        daemon.connect().call('org.forkd.manager.Status', fds=[0])


def test_more_descriptors_than_named(daemon, served, spawn):
    """Whatever the answer, none of them stays in the daemon: the leftover check counts."""
    reader, writer = os.pipe()
    client = daemon.connect()
    try:
        client.send('Run', {'job': spawn.succeed()}, [writer] * 10)
        client.reply()
    except (varlink.Error, varlink.Closed):
        pass
    os.close(writer)
    assert os.read(reader, 1) == b''
    os.close(reader)


def test_a_descriptor_that_is_not_there(daemon, served, spawn):
    for index in (1, 99, -1):
        with pytest.raises((varlink.Error, varlink.Closed)):
            daemon.connect().call('Run', {'job': spawn.job('copy', stdin={'descriptor': index})}, [0])


def test_a_burst_of_connections(daemon, served):
    for _ in range(10):
        crowd = [daemon.client() for _ in range(100)]
        for client in crowd:
            client.send_bytes(CALL)
        for client in crowd:
            assert client.reply()[0]['pid'] == daemon.pid
            client.close()


def test_numbers_may_come_as_floats(daemon, spawn):
    client = daemon.connect()
    client.send_bytes(json.dumps({'method': 'org.forkd.jobs.Submit', 'parameters': {
        'jobs': [spawn.succeed(priority=3.0, timeoutUSec=5e6)]}}).encode() + b'\0')
    job = client.reply()[0]['ids'][0]
    assert daemon.call('Show', id=float(job))['job']['priority'] == 3
