# SPDX-License-Identifier: Apache-2.0
"""Any one process of ours may be killed at any moment: nothing accepted is lost without a word, no result is
invented, and the next one serves. (Queued jobs live in forkd's memory until the store comes: a killed forkd loses
them, which its clients see.)"""

import contextlib
import os
import signal
import socket

import pytest

import harness
import processes
import varlink

METHODS = ('spawn', 'fork', 'forkserver', 'spares')


@pytest.fixture
def server(work):
    """The forkserver of the method under test."""
    return work.server


def replaced(daemon, name, old):
    """Waits until another forkserver of that name is ready."""
    def probe():
        new = daemon.tree().get(name)
        return new if new and new != old else None
    return processes.eventually(probe, 15, lambda: daemon.status()['servers'])


# ---- forkd

def test_a_killed_forkd_is_restarted(daemon, work):
    old = daemon.pid
    os.kill(old, signal.SIGKILL)
    daemon.restarted()
    assert daemon.pid != old
    assert daemon.process.poll() is None
    assert daemon.run(work.succeed())['result'] == 'success'


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_the_next_forkd_ends_what_it_finds(daemon, work, fifo, number):
    """Jobs that ran are ended, and the log says so with their ids."""
    beacon = fifo()
    durable = daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    daemon.running(durable)
    client = daemon.connect()
    client.send('Run', {'job': work.forever(beacon)}, more=True)
    beacon.expect('ready')
    while client.reply()[0]['state'] != 'running':
        pass
    os.kill(daemon.pid, number)
    with pytest.raises(varlink.Closed):
        while True:
            client.reply()
    daemon.restarted()
    beacon.ended()
    assert f'job {durable}' in daemon.log()
    with contextlib.suppress(varlink.Error):
        assert daemon.show(durable)['status']['certificate']['result'] == 'lost'
    assert daemon.status()['running'] == 0


def test_stubborn_jobs_of_a_killed_forkd_are_ended(daemon, work, fifo):
    beacon = fifo()
    ids = daemon.submit(*(work.job('stubborn', beacon.path, graceUSec=100_000) for _ in range(2)))
    beacon.expect('ready')
    beacon.expect('ready')
    daemon.running(*ids)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.restarted()
    beacon.ended()


def test_jobs_that_had_only_just_begun_when_forkd_was_killed(daemon, work, fifo):
    """Nobody has written down yet that they run, and they are ended too: the keeper has them."""
    for turn in range(3):
        beacon = fifo(f'fifo-{turn}')
        daemon.submit(work.job('stubborn', beacon.path, graceUSec=100_000))
        beacon.expect('ready')
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.restarted()
        beacon.ended()


@pytest.mark.cgroups
def test_escaped_orphans_of_a_killed_forkd_are_ended(daemon, work, fifo):
    beacon = fifo()
    daemon.submit(work.job('orphans', beacon.path, 5, 'sdw'))
    for _ in range(6):
        beacon.line()
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.restarted()
    beacon.ended()


def test_connections_in_the_backlog_are_served(daemon, work):
    """A client that connects while there is no forkd waits, and is answered by the next one."""
    os.kill(daemon.pid, signal.SIGSTOP)
    waiting = []
    for _ in range(5):
        client = daemon.connect()
        client.send('org.forkd.manager.Status')
        waiting.append(client)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.restarted()
    for client in waiting:
        assert client.reply()[0]['pid'] == daemon.pid


def test_forkd_killed_five_times(daemon, work):
    """No crash loop is declared when each of them was ready in between."""
    for _ in range(5):
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.restarted()
        assert daemon.run(work.succeed())['result'] == 'success'


def test_one_preload_per_forkd(daemon, work):
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.restarted()
    daemon.run(work.succeed())
    assert daemon.preloads() == 2
    assert daemon.preloads('flow') == (2 if work.server == 'flow' else 0)


def test_forkd_alone_killed(forkd, work, fifo):
    """Without a keeper: its forkservers end with it, and the next one in that directory serves."""
    daemon = forkd(name='d', keeper=False, clean=False)
    servers = [pid for name, pid in daemon.tree().items() if name != 'forkd']
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.process.wait()
    for pid in servers:
        assert processes.wait_gone(pid), processes.describe([pid])
    assert forkd(name='d', keeper=False).run(work.succeed())['result'] == 'success'


def test_a_stopped_forkd_is_killed_by_the_watchdog(forkd, work):
    daemon = forkd(keeper_options=['--watchdog=700000'])
    old = daemon.pid
    os.kill(old, signal.SIGSTOP)
    daemon.restarted()
    assert daemon.pid != old
    assert daemon.run(work.succeed())['result'] == 'success'


def test_a_stop_while_forkd_is_down(forkd):
    """TERM to the keeper just after its forkd was killed: it ends, whatever it was about to start. What a killed
    forkd could not tidy up (its socket, cgroups kept ready), the next one does."""
    daemon = forkd(name='d', clean=False)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.wait(15)
    forkd(name='d')


# ---- forkservers

def test_a_killed_forkserver_is_replaced(daemon, work, server):
    old = daemon.tree()[server]
    os.kill(old, signal.SIGKILL)
    replaced(daemon, server, old)
    daemon.rebase()
    assert daemon.run(work.succeed())['result'] == 'success'
    assert [s for s in daemon.status()['servers'] if s['name'] == server and s['state'] == 'ready'][0]['starts'] == 2
    assert daemon.preloads() == (2 if server == 'twin' else 1)
    assert daemon.preloads('flow') == (2 if server == 'flow' else 0)


def test_workers_of_a_killed_forkserver_keep_their_statuses(forkd, work, server, fifo):
    """Their exit statuses arrive through the keeper, every one of them right."""
    daemon = forkd(config='MaxRunning=20')
    beacon = fifo()
    ids, pids = [], []
    for n in range(20):
        ids.append(daemon.submit(work.job('polite', beacon.path, 100 + n)))
        pids.append(beacon.expect('ready'))
    # known to run: confirmed, so that it stands in the running table
    daemon.running(*ids)
    old = daemon.tree()[server]
    os.kill(old, signal.SIGKILL)
    for pid in pids[:10]:
        os.kill(pid, signal.SIGTERM)
    for pid in pids[10:15]:
        os.kill(pid, signal.SIGKILL)
    replaced(daemon, server, old)
    daemon.rebase()
    for pid in pids[15:]:
        os.kill(pid, signal.SIGTERM)
    certificates = daemon.wait(*ids)
    for n, certificate in enumerate(certificates):
        if 10 <= n < 15:
            assert (certificate['result'], certificate['signal']) == ('signal', 9), certificate
        else:
            assert (certificate['result'], certificate['status']) == ('exit', 100 + n), certificate
    assert daemon.run(work.succeed())['result'] == 'success'


def test_what_a_dead_forkserver_left_can_still_be_ended(daemon, work, server, fifo):
    beacon = fifo()
    ids = daemon.submit(work.forever(beacon), work.job('stubborn', beacon.path, graceUSec=100_000))
    beacon.expect('ready')
    beacon.expect('ready')
    daemon.running(*ids)
    old = daemon.tree()[server]
    os.kill(old, signal.SIGKILL)
    replaced(daemon, server, old)
    daemon.rebase()
    daemon.call('Cancel', ids=ids)
    assert {c['result'] for c in daemon.wait(*ids)} == {'cancelled'}
    beacon.ended()


def test_a_job_that_was_starting_runs_at_most_once(forkd, work, server, directory):
    """Kill the forkserver in the middle of a burst, again and again: each job has an end, none ran twice, and what
    is called a success did run."""
    record = os.path.join(directory, 'record')
    daemon = forkd(config='MaxRunning=4')
    ids = []
    for turn in range(5):
        ids += daemon.submit(*(work.job('record', record, turn * 40 + i) for i in range(40)))
        old = processes.eventually(lambda: daemon.tree().get(server))
        os.kill(old, signal.SIGKILL)
        replaced(daemon, server, old)
    certificates = daemon.wait(*ids)
    daemon.rebase()
    ran = [int(n) for n in processes.read(record).split()]
    assert len(ran) == len(set(ran)), 'a job ran twice'
    for n, certificate in enumerate(certificates):
        if certificate['result'] == 'success':
            assert n in ran, certificate
        else:
            assert certificate['result'] in ('lost', 'server-failed', 'signal', 'error'), certificate


def test_a_stopped_forkserver_holds_only_its_own_up(daemon, programs, work, server):
    other = harness.Work(programs, 'spawn' if work.server != 'spawner' else 'fork')
    pid = daemon.tree()[server]
    os.kill(pid, signal.SIGSTOP)
    assert daemon.run(other.succeed())['result'] == 'success'
    os.kill(pid, signal.SIGCONT)
    assert daemon.run(work.succeed())['result'] == 'success'


def test_a_worker_killed_from_outside(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.forever(beacon))
    os.kill(beacon.expect('ready'), signal.SIGKILL)
    certificate = daemon.wait(job)
    assert (certificate['result'], certificate['signal']) == ('signal', 9)


# ---- the keeper

def test_a_killed_keeper(forkd, work, fifo):
    """Everything ends with it, so that the unit can start anew."""
    daemon = forkd(name='d', clean=False)
    beacon = fifo()
    daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    tree = daemon.tree()
    daemon.process.kill()
    daemon.process.wait()
    for name, pid in tree.items():
        assert processes.wait_gone(pid, 15), f'{name} lives on: {processes.describe([pid])}'
    again = forkd(name='d')
    assert again.run(work.succeed())['result'] == 'success'
    if again.has_cgroups():
        beacon.ended()


def test_orphans_that_are_of_no_job(daemon, spawn, fifo):
    """The keeper is a subreaper: what falls to it is ended or reaped, never credited to a job."""
    beacon = fifo()
    how = 's' if daemon.has_cgroups() else ''  # a session of its own is out of reach without cgroups
    daemon.wait(*daemon.submit(*(spawn.job('orphans', beacon.path, 3, how) for _ in range(5))))
    beacon.ended()
    processes.eventually(lambda: not [p for p in processes.descendants(daemon.process.pid)
                                      if processes.state(p) == 'Z'])


def test_notify_lines(daemon):
    """What systemd hears: the readiness, a status, the end; of the keeper itself."""
    assert daemon.stop() == 0
    with contextlib.suppress(BlockingIOError):
        while True:
            daemon.notify.lines += daemon.notify.socket.recv(4096).decode().splitlines()
    assert daemon.notify.lines.count('READY=1') == 1
    assert 'STOPPING=1' in daemon.notify.lines
    assert all('=' in line for line in daemon.notify.lines)


def test_the_watchdog_without_a_keeper(forkd):
    daemon = forkd(keeper=False, environment={'WATCHDOG_USEC': '400000'})
    for _ in range(3):
        assert daemon.notify.wait('WATCHDOG=1', 10, daemon.process.pid)


@pytest.mark.parametrize('keeper', [True, False], ids=['keeper', 'alone'])
def test_a_stopped_receiver_of_notifications_holds_nobody_up(forkd, work, keeper):
    """A full NOTIFY_SOCKET: nothing blocks."""
    daemon = forkd(keeper=keeper)
    with contextlib.suppress(BlockingIOError):
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.setblocking(False)
        sender.connect(daemon.notify.path)
        while True:
            sender.send(b'X=1')
    sender.close()
    daemon.call('org.forkd.manager.Reload')
    assert daemon.run(work.succeed())['result'] == 'success'
    assert daemon.stop() == 0
