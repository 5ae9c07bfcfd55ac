# SPDX-License-Identifier: Apache-2.0
"""Command=: hosts written in Python from forkd-server(7) alone. What they do here, any language can."""

import json
import os
import signal

import pytest

import processes
import varlink

HELPERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'helpers')
PYTHON = '/usr/bin/python3'


@pytest.fixture(params=[0, 1], ids=['fork', 'spare'])
def host(forkd, request):
    """A daemon with the forkserver `py`, which has or has not a spare."""
    daemon = forkd(servers={'py': {'module': '', 'command': f'{PYTHON} -I {HELPERS}/host.py', 'start': 'boot',
                                   'spare': request.param}})
    return daemon


def job(entry, arguments=None, **fields):
    return {'server': 'py', 'entry': entry, 'arguments': arguments or {}, **fields}


def test_ready(host):
    server = host.servers()['py']
    assert (server['state'], server['generation']) == ('ready', 1)
    assert server['command'] == [PYTHON, '-I', f'{HELPERS}/host.py'] and 'modules' not in server
    assert {'name': 'echo', 'help': 'returns its arguments'} in server['entries']
    with pytest.raises(varlink.Error) as error:
        host.run(job('nosuch'))
    assert error.value.name == 'NoSuchEntry'


def test_returned_and_raised(host):
    assert host.run(job('echo', {'n': 5, 'ä': [None]}))['value'] == {'n': 5, 'ä': [None]}
    certificate = host.run(job('fail', {'text': 'no such word'}))
    assert (certificate['result'], certificate['code'], certificate['text']) == ('error', 'ValueError', 'no such word')


def test_large_packets_go_by_memfd(host):
    text = 'x' * 400_000
    assert host.run(job('echo', {'text': text}))['value'] == {'text': text}


def test_the_plan(host, directory):
    os.chmod(directory, 0o777)
    out = os.path.join(directory, 'out')
    certificate = host.run(job('facts', directory=directory, umask=0o027, environment={'A': 'b'},
                               limits={'LimitNOFILE': 200}))
    value = certificate['value']
    assert value['directory'] == os.path.realpath(directory)
    assert (value['umask'], value['environment'], value['files']) == (0o027, {'A': 'b'}, 200)
    assert value['session'] == value['pid'] and value['uid'] == os.getuid()
    assert value['parent'] == value['preloaded']['pid'] == host.servers()['py']['pid']
    assert set(value['descriptors']) <= {'0', '1', '2', '3', '4'}  # and that of the listing itself
    assert value['preloaded']['left'] in ([], ['FORKD_TEST_COUNT'])
    assert host.run(job('say', {'text': 'said'}, stdout={'path': out}))['result'] == 'success'
    assert processes.read(out) == 'said'
    ids = [host.submit(job('say', {'text': 'to a file'}))]
    host.wait(*ids)
    assert host.output(ids[0])[0] == b'to a file'
    certificate = host.run(job('echo', directory='/no/such/directory'))
    assert (certificate['result'], certificate['stage'], certificate['errno']) == ('setup-failed', 'directory', 2)
    assert '/no/such/directory' in certificate['sentence']


def test_ends(host, directory):
    fifo = os.path.join(directory, 'fifo')
    os.mkfifo(fifo)
    os.chmod(directory, 0o755)
    os.chmod(fifo, 0o666)
    fd = os.open(fifo, os.O_RDWR)
    for number in (signal.SIGTERM, signal.SIGKILL):
        job_id = host.submit(job('forever', {'fifo': fifo}))
        pid = int(os.read(fd, 100).split()[1])
        host.running(job_id)
        assert host.show(job_id)['status']['pid'] == pid
        os.kill(pid, number)
        certificate = host.wait(job_id)
        assert (certificate['result'], certificate['signal']) == ('signal', number)
        processes.gone(pid)  # acknowledged, and reaped by its host
    for status in (0, 9):
        certificate = host.run(job('leave', {'status': status}))
        assert (certificate['result'], certificate['status']) == ('exit', status)
    job_id = host.submit(job('forever', {'fifo': fifo}, timeoutUSec=500_000))
    assert host.wait(job_id)['result'] == 'timeout'
    os.close(fd)


def test_many(host):
    ids = host.submit(*(job('echo', {'n': n}) for n in range(60)))
    assert [c['value']['n'] for c in host.wait(*ids)] == list(range(60))
    pid = host.servers()['py']['pid']
    processes.eventually(lambda: not [p for p in processes.children(pid) if processes.state(p) == 'Z'])


def test_retire(host, directory):
    """Reload: the old one ends when its last worker has been acknowledged."""
    fifo = os.path.join(directory, 'fifo')
    os.mkfifo(fifo)
    fd = os.open(fifo, os.O_RDWR)
    old = host.servers()['py']['pid']
    job_id = host.submit(job('forever', {'fifo': fifo}))
    os.read(fd, 100)
    assert host.server_call('Reload', 'py')['server']['generation'] == 2
    assert processes.state(old)
    assert host.run(job('facts'))['value']['preloaded']['server'] == 'py#2'
    host.call('Cancel', ids=[job_id])
    certificate = host.wait(job_id)
    assert (certificate['result'], certificate['generation']) == ('cancelled', 1)
    processes.gone(old)
    os.close(fd)


def test_end_of_file(host):
    """A stop closes the channel, and the host ends by itself."""
    pid = host.servers()['py']['pid']
    host.server_call('Stop', 'py')
    processes.gone(pid)
    host.server_call('Start', 'py')


def test_a_killed_host(host):
    old = host.servers()['py']['pid']
    os.kill(old, signal.SIGKILL)
    processes.eventually(lambda: host.servers()['py']['generation'] == 2)
    host.server_state('py', 'ready')
    assert host.run(job('echo', {'n': 1}))['value'] == {'n': 1}


def test_one_shot(host):
    value = host.run({'startMethod': 'spawn', **job('facts')})['value']
    assert value['pid'] == value['preloaded']['pid']
    assert value['preloaded']['server'] == 'py'
    certificate = host.run({'startMethod': 'spawn', **job('fail')})
    assert certificate['result'] == 'error'
    certificate = host.run({'startMethod': 'spawn', **job('facts', directory='/no/such')})
    assert (certificate['result'], certificate['stage']) == ('setup-failed', 'directory')


def test_a_small_host(forkd):
    """The smallest host that keeps to the page: forks, adopts, calls, peeks, and serves as a one-shot host."""
    path = os.path.join(HELPERS, 'small_host.py')
    code = [line for line in processes.read(path).splitlines() if line.strip() and not line.lstrip().startswith('#')]
    assert len(code) <= 90
    daemon = forkd(servers={'py': {'module': '', 'command': f'{PYTHON} -I {path}', 'spare': 1}})
    for n in range(5):
        assert daemon.run(job('echo', {'n': n}, directory='/tmp'))['value'] == {'n': n, 'directory': '/tmp'}
    ids = daemon.submit(*(job('echo', {'n': n}) for n in range(20)))
    assert [c['value']['n'] for c in daemon.wait(*ids)] == list(range(20))
    certificate = daemon.run(job('fail', {}))
    assert (certificate['result'], certificate['text']) == ('error', 'as it was told to')
    certificate = daemon.run(job('echo', {}, directory='/no/such'))
    assert (certificate['result'], certificate['stage']) == ('setup-failed', 'directory')
    certificate = daemon.wait(daemon.submit(job('leave', {'status': 5})))
    assert (certificate['result'], certificate['status']) == ('exit', 5)
    certificate = daemon.run({'startMethod': 'spawn', **job('echo', {'n': 1}, directory='/tmp')})
    assert certificate['value'] == {'n': 1, 'directory': '/tmp'}
    assert daemon.server_call('Reload', 'py')['server']['generation'] == 2
    assert daemon.run(job('echo', {'n': 1}))['result'] == 'success'


def refusal(forkd, code, **keys):
    """What List says of a host of that code, once it has failed."""
    daemon = forkd(module='')
    with pytest.raises(varlink.Error) as error:
        daemon.start_server('odd', command=[PYTHON, '-I', '-c', code], **keys)
    assert error.value.name == 'ServerFailed'
    assert daemon.servers()['odd']['state'] == 'failed'
    return error.value.parameters['reason']


SAY = 'import socket,json,time\ns=socket.socket(fileno=3)\n'


@pytest.mark.parametrize('ready,word', [
    ({'safety': {'threads': 3, 'descriptors': [], 'signals': []}}, 'thread'),
    ({'safety': {'threads': 1, 'descriptors': ['descriptor 7 (socket:[1])'], 'signals': []}}, 'descriptor 7'),
    ({'safety': {'threads': 1, 'descriptors': [], 'signals': ['SIGCHLD is ignored']}}, 'SIGCHLD'),
    ({'entries': [{'name': f'e{i}'} for i in range(300)]}, '256')])
def test_an_unsafe_ready_is_refused(forkd, ready, word):
    packet = {'name': 'odd', 'preloadUSec': 1, 'entries': [{'name': 'echo'}],
              'safety': {'threads': 1, 'descriptors': [], 'signals': []}, **ready}
    text = json.dumps({'method': 'Ready', 'parameters': packet})
    assert word in refusal(forkd, SAY + f's.send({text!r}.encode())\ntime.sleep(1000)')


def test_refused(forkd):
    """It says itself why it cannot serve."""
    text = json.dumps({'method': 'Refused', 'parameters': {'reason': 'the model is too old:\n version 3'}})
    reason = refusal(forkd, SAY + f's.send({text!r}.encode())\nraise SystemExit(1)')
    assert 'the model is too old' in reason and '\n' not in reason


@pytest.mark.parametrize('packet', ['hello', '[]', '{"method": 5}', '{"memfd": true}', '{"method": "Ready"}',
                                    '{"method": "Ready", "parameters": {"entries": 5}}'])
def test_rubbish_instead_of_ready(forkd, packet):
    """Refused, or not ready in time; forkd is none the worse."""
    reason = refusal(forkd, SAY + f's.send({packet!r}.encode())\ntime.sleep(1000)', preloadTimeoutUSec=400_000)
    assert reason


def test_an_interpreter_without_a_channel(forkd):
    """It closes the channel and stays: ended, and said."""
    daemon = forkd(module='')
    with pytest.raises(varlink.Error):
        daemon.start_server('odd', command=[PYTHON, '-I', '-c', 'import os,time\nos.close(3)\ntime.sleep(1000)'],
                            preloadTimeoutUSec=2_000_000)
    assert 'pid' not in daemon.servers()['odd']
