# SPDX-License-Identifier: Apache-2.0
"""The daemon's own life: start, sockets, signals, reload, drain, end."""

import os
import signal
import socket
import subprocess
import time

import pytest

import harness
import processes
import varlink

METHODS = ('spawn', 'fork', 'spares')
KEEPERS = pytest.mark.parametrize('keeper', [True, False], ids=['keeper', 'alone'])


@KEEPERS
def test_start_and_stop(forkd, work, keeper):
    daemon = forkd(keeper=keeper)
    assert daemon.run(work.succeed())['result'] == 'success'
    assert ('keeperPid' in daemon.status()) == keeper
    assert daemon.stop() == 0
    assert not os.path.exists(daemon.address)
    assert any(line.startswith('STATUS=') for line in daemon.notify.lines)


@KEEPERS
def test_without_a_module(forkd, spawn, keeper):
    """No module, no twin; commands work, and an entry is refused with a reason."""
    daemon = forkd(keeper=keeper, module='')
    assert 'twin' not in daemon.tree()
    assert daemon.run(spawn.succeed())['result'] == 'success'
    with pytest.raises(varlink.Error) as error:
        daemon.run({'entry': 'work'})
    assert error.value.name in ('NoSuchEntry', 'InvalidParameter')
    assert error.value.parameters['sentence']


@KEEPERS
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(forkd, work, fifo, gate, keeper, number):
    """What runs may end; nothing new is taken; then forkd ends with 0."""
    daemon = forkd(keeper=keeper)
    beacon, door = fifo(), gate()
    client = daemon.connect()
    client.send('Run', {'job': work.job('answer', door.path, beacon.path)}, more=True)
    beacon.expect('ready')
    daemon.process.send_signal(number)
    assert daemon.notify.wait('STOPPING=1', 10, daemon.process.pid)

    def refused():
        """The keeper says STOPPING=1 before forkd has heard of it."""
        try:
            daemon.submit(work.succeed())
        except varlink.Error as error:
            assert error.name == 'Draining'
            return True
        except (varlink.Closed, ConnectionError, FileNotFoundError):
            return True
        return False
    processes.eventually(refused)
    assert daemon.process.poll() is None
    door.open()
    while True:
        reply, continues = client.reply()
        if not continues:
            break
    assert reply['certificate']['result'] == 'success'
    client.close()
    assert daemon.process.wait(10) == 0


@KEEPERS
def test_a_drain_has_a_deadline(forkd, work, fifo, keeper):
    daemon = forkd(keeper=keeper, config='DrainTimeout=300ms')
    beacon = fifo()
    job = daemon.submit(work.job('stubborn', beacon.path, graceUSec=100_000))
    pid = beacon.expect('ready')
    begun = time.monotonic()
    assert daemon.stop() == 0
    assert 0.25 < time.monotonic() - begun < 10
    beacon.ended()
    assert job and processes.wait_gone(pid)


@KEEPERS
def test_a_drain_without_a_deadline(forkd, work, fifo, gate, keeper):
    daemon = forkd(config='DrainTimeout=infinity', keeper=keeper)
    beacon, door = fifo(), gate()
    client, observer = daemon.connect(), daemon.connect()
    client.send('Run', {'job': work.job('answer', door.path, beacon.path)})
    assert observer.call('org.forkd.manager.Status')['draining'] is False
    beacon.expect('ready')
    daemon.process.send_signal(signal.SIGTERM)
    processes.eventually(lambda: observer.call('org.forkd.manager.Status')['draining'])
    door.open()
    assert client.reply()[0]['certificate']['result'] == 'success'
    assert daemon.process.wait(10) == 0


@KEEPERS
def test_a_second_signal_ends_a_drain_without_a_deadline(forkd, work, fifo, keeper):
    daemon = forkd(config='DrainTimeout=infinity', keeper=keeper)
    beacon = fifo()
    daemon.submit(work.job('stubborn', beacon.path))
    beacon.expect('ready')
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.notify.wait('STOPPING=1', 10, daemon.process.pid)
    assert beacon.silent(0.3)
    assert daemon.stop() == 0
    beacon.ended()


@KEEPERS
def test_a_second_signal_ends_at_once(forkd, work, fifo, keeper):
    daemon = forkd(keeper=keeper)
    beacon = fifo()
    daemon.submit(work.job('stubborn', beacon.path))
    beacon.expect('ready')
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.notify.wait('STOPPING=1', 10, daemon.process.pid)
    begun = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begun < 5
    beacon.ended()


def test_stop_under_load(forkd, work):
    daemon = forkd(config='DrainTimeout=1s')
    daemon.submit(*(work.succeed() for _ in range(1000)))
    assert daemon.stop() == 0


def test_drain(daemon, work, fifo):
    """The last reply comes when nothing runs any more."""
    beacon = fifo()
    daemon.submit(work.job('polite', beacon.path, 0))
    pid = beacon.expect('ready')
    client = daemon.connect()
    client.send('org.forkd.manager.Drain', more=True)
    first, continues = client.reply()
    assert continues and first['running'] == 1
    assert daemon.status()['draining']
    for call in (lambda: daemon.submit(work.succeed()), lambda: daemon.run(work.succeed())):
        with pytest.raises(varlink.Error) as error:
            call()
        assert error.value.name == 'Draining' and error.value.parameters['sentence']
    os.kill(pid, 15)
    while continues:
        last, continues = client.reply()
    assert (last['running'], last['queued']) == (0, 0)


def test_drain_without_waiting(daemon, work, fifo):
    beacon = fifo()
    daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    assert daemon.call('org.forkd.manager.Drain', wait=False)['running'] == 1
    assert daemon.status()['draining']


def test_subscribe(daemon):
    client = daemon.connect()
    client.send('org.forkd.manager.Subscribe', more=True)
    events = []
    # the subscription was sent before this connection was made, and is read before its call is
    daemon.call('org.forkd.manager.Reload')
    while 'reloaded' not in events:
        events.append(client.reply()[0]['event'])
    daemon.call('org.forkd.manager.Drain', wait=False)
    while 'draining' not in events:
        event = client.reply()[0]
        assert event['sentence']
        events.append(event['event'])


# ---- configuration

def test_bad_lines_are_warnings_with_file_and_line(forkd, work):
    daemon = forkd(config='Colour=blue\nMaxRunning=many\n[Kitchen]\nSink=1')
    path = os.path.join(daemon.config, 'forkd.conf')
    warnings = daemon.status()['warnings']
    assert len(warnings) >= 3
    for line, word in ((3, 'Colour'), (4, 'MaxRunning'), (6, 'Sink')):
        assert any(w.startswith(f'{path}:{line}: ') and word in w for w in warnings), warnings
        assert f'{path}:{line}: ' in daemon.log()
    assert daemon.run(work.succeed())['result'] == 'success'


def test_drop_ins(forkd):
    daemon = forkd(start=False, config='MaxRunning=3\nMaxAttached=7')
    os.mkdir(os.path.join(daemon.config, 'forkd.conf.d'))
    with open(os.path.join(daemon.config, 'forkd.conf.d', '50-more.conf'), 'w') as file:
        file.write('[Daemon]\nMaxRunning=5\n')
    status = daemon.start().status()
    assert (status['maxRunning'], status['maxAttached']) == (5, 7)


@pytest.mark.parametrize('how', ['method', 'signal'])
def test_reload(forkd, work, fifo, how):
    daemon = forkd(config='MaxRunning=1')
    beacon = fifo()
    daemon.submit(*(work.forever(beacon) for _ in range(3)))
    beacon.expect('ready')
    daemon.configure('MaxRunning=3\nFoo=1')
    path = os.path.join(daemon.config, 'forkd.conf')
    if how == 'method':
        warnings = daemon.call('org.forkd.manager.Reload')['warnings']
        assert len(warnings) == 1 and warnings[0].startswith(f'{path}:4: ') and 'Foo' in warnings[0]
    else:
        daemon.process.send_signal(signal.SIGHUP)
        processes.eventually(lambda: daemon.status()['maxRunning'] == 3)
    beacon.expect('ready')
    beacon.expect('ready')
    assert daemon.status()['warnings']
    daemon.configure('MaxRunning=2')
    assert daemon.call('org.forkd.manager.Reload')['warnings'] == []
    assert (daemon.status()['running'], daemon.status()['maxRunning']) == (3, 2)


def test_help_and_version(programs):
    for program in (programs.forkd, programs.keeper):
        for option in ('--help', '--version'):
            done = subprocess.run([program, option], capture_output=True, text=True, timeout=10)
            assert done.returncode == 0 and done.stdout.strip() and not done.stderr
        done = subprocess.run([program, '--colour'], capture_output=True, text=True, timeout=10)
        assert done.returncode != 0 and '--colour' in done.stderr


# ---- sockets

def listener(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    os.chmod(path, 0o666)
    s.listen(64)
    return s


@KEEPERS
def test_a_passed_socket(forkd, work, directory, keeper):
    path = os.path.join(directory, 'passed')
    s = listener(path)
    daemon = forkd(start=False, keeper=keeper, listen=[s])
    daemon.address = path
    daemon.start()
    assert daemon.run(work.succeed())['result'] == 'success'
    assert daemon.stop() == 0
    assert os.path.exists(path)
    s.close()


def test_a_passed_socket_survives_a_restart(forkd, work, directory):
    path = os.path.join(directory, 'passed')
    s = listener(path)
    daemon = forkd(start=False, listen=[s])
    daemon.address = path
    daemon.start()
    s.close()
    os.kill(daemon.pid, 9)
    daemon.restarted()
    assert daemon.run(work.succeed())['result'] == 'success'


def test_an_already_connected_socket(forkd, work):
    """As from a super-server that has accepted: one client and no listener."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    daemon = forkd(start=False, keeper=False, listen=[theirs], clean=False)
    daemon.notify = harness.Notify(os.path.join(daemon.directory, 'notify'))
    daemon.process = daemon.launch(daemon.notify)
    theirs.close()
    client = varlink.Client(sock=ours)
    assert client.call('org.varlink.service.GetInfo')['product']
    assert harness.run(client, work.succeed())['result'] == 'success'
    client.close()
    assert daemon.process.wait(10) == 0  # there is nothing to do without it


def test_socket_modes(daemon):
    mode = os.stat(daemon.address).st_mode & 0o777
    assert mode == (0o666 if os.getuid() == 0 else 0o600)


def test_a_second_daemon_is_refused(forkd, daemon, work):
    second = forkd(name='second', start=False, keeper=False)
    second.state = daemon.state
    with pytest.raises(harness.NotReady) as error:
        second.start()
    assert error.value.status not in (0, None)
    assert daemon.state in error.value.log
    assert daemon.run(work.succeed())['result'] == 'success'


def test_a_second_daemon_does_not_take_the_socket(forkd, daemon, work):
    """Its own state, but the runtime directory of one that lives."""
    second = forkd(name='second', start=False, keeper=False)
    second.runtime = daemon.runtime
    with pytest.raises(harness.NotReady) as error:
        second.start()
    assert error.value.status not in (0, None)
    assert daemon.address in error.value.log
    assert daemon.run(work.succeed())['result'] == 'success'


def test_a_stale_socket(forkd, work):
    first = forkd(name='d', keeper=False, clean=False)
    os.kill(first.pid, 9)
    first.process.wait()
    assert os.path.exists(first.address)
    second = forkd(name='d', keeper=False)
    assert second.run(work.succeed())['result'] == 'success'


@pytest.mark.parametrize('damage', ['ids', 'lock', 'state'])
def test_a_damaged_state_directory(forkd, damage):
    """Said, with the path; never begun anew over it."""
    daemon = forkd(start=False, keeper=False)
    if damage == 'state':
        os.rmdir(daemon.state)
        open(daemon.state, 'w').close()
    elif damage == 'lock':
        os.mkdir(os.path.join(daemon.state, 'lock'))
    else:
        with open(os.path.join(daemon.state, 'ids'), 'w') as file:
            file.write('rubbish')
    with pytest.raises(harness.NotReady) as error:
        daemon.start()
    assert error.value.status not in (0, None)
    assert daemon.state in error.value.log
    if damage == 'ids':
        assert processes.read(os.path.join(daemon.state, 'ids')) == 'rubbish'


# ---- modules

def test_one_preload_however_many_jobs(daemon):
    """Counted by the module: once, in forkd, before the twin."""
    ids = daemon.submit(*({'entry': 'mirror', 'arguments': {'i': i}} for i in range(200)))
    assert [c['value']['i'] for c in daemon.wait(*ids)] == list(range(200))
    assert daemon.preloads() == 1


@KEEPERS
@pytest.mark.parametrize('module', ['preload-fails', 'no-such-module', 'badabi', 'noentries', 'threaded', 'leaky'])
def test_a_module_that_cannot_be_preloaded(forkd, module, keeper):
    """A clear error at the start that names the module; no daemon without it."""
    daemon = forkd(start=False, keeper=keeper, module=f'flow {module}')
    with pytest.raises(harness.NotReady) as error:
        daemon.start()
    assert error.value.status not in (0, None)
    assert module in error.value.log or module in ('threaded', 'leaky')
    if module == 'threaded':
        assert 'thread' in error.value.log
    if module == 'leaky':
        assert 'descriptor' in error.value.log
    assert not os.path.exists(daemon.address)


def test_the_keeper_gives_up_after_five_failures(forkd):
    """Visibly, with forkd's own status."""
    alone = forkd(name='alone', start=False, keeper=False, module='preload-fails')
    with pytest.raises(harness.NotReady) as expected:
        alone.start()
    kept = forkd(name='kept', start=False, module='preload-fails flow')
    with pytest.raises(harness.NotReady) as error:
        kept.start()
    assert error.value.status == expected.value.status
    assert error.value.log.count('preload-fails') >= 5
    assert kept.preloads() == 0


def test_two_modules(forkd):
    daemon = forkd(module='flow numbers')
    assert daemon.run({'entry': 'factorial', 'arguments': {'n': 20}})['value'] == {'value': '2432902008176640000'}
    assert daemon.run({'entry': 'mirror', 'arguments': {}})['result'] == 'success'


# ---- size

def test_the_memory_of_the_idle_daemon(forkd):
    """No gate, only a ceiling that a leak or a heavy library would break."""
    daemon = forkd(module='')
    total = sum(processes.private_kib(pid) for pid in daemon.tree().values())
    assert total < (300 if daemon.programs.sanitized else 16) << 10
