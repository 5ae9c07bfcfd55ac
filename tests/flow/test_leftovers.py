# SPDX-License-Identifier: Apache-2.0
"""What a job leaves behind, and many ends at once."""

import signal
import threading

import pytest

import processes

METHODS = ('spawn', 'fork', 'spares')


def started(beacon, orphans):
    """Pids of the orphans and of the leader, once all have spoken."""
    lines = [beacon.line() for _ in range(orphans + 1)]
    return [p for w, p in lines if w == 'orphan'], [p for w, p in lines if w == 'leader'][0]


@pytest.mark.parametrize('how', ['', 'd'])
def test_what_a_leader_leaves_in_its_session_is_ended(daemon, work, fifo, gate, how):
    beacon, door = fifo(), gate()
    job = daemon.submit(work.job('orphans', beacon.path, 3, how, door.path))
    orphans, _ = started(beacon, 3)
    assert all(processes.state(p) for p in orphans)
    door.open()
    certificate = daemon.wait(job)
    assert certificate['leftBehind'] == 3
    assert 'left 3 processes behind' in certificate['sentence']
    beacon.ended()
    processes.eventually(lambda: not any(processes.state(p) for p in orphans))


@pytest.mark.cgroups
@pytest.mark.parametrize('how', ['s', 'sd'])
def test_what_left_its_session_is_ended_too(daemon, work, fifo, gate, how):
    beacon, door = fifo(), gate()
    job = daemon.submit(work.job('orphans', beacon.path, 5, how, door.path))
    started(beacon, 5)
    door.open()
    certificate = daemon.wait(job)
    assert certificate['leftBehind'] == 5
    beacon.ended()


@pytest.mark.cgroups
def test_a_timeout_reaches_everything(daemon, work, fifo):
    beacon = fifo()
    certificate = daemon.run(work.job('orphans', beacon.path, 20, 'sdw', timeoutUSec=500_000, graceUSec=100_000))
    assert certificate['result'] == 'timeout'
    beacon.ended()


def test_without_cgroups_the_session_is_reached(forkd, work, fifo):
    daemon = forkd(cgroups=False)
    beacon = fifo()
    assert not daemon.has_cgroups()
    assert 'session' in daemon.status()['cgroups']
    certificate = daemon.run(work.job('orphans', beacon.path, 3, 'dw', timeoutUSec=500_000, graceUSec=100_000))
    assert certificate['result'] == 'timeout'
    beacon.ended()


def test_pause_without_cgroups(forkd, work, fifo, gate):
    daemon = forkd(cgroups=False)
    beacon, door = fifo(), gate()
    job = daemon.submit(work.job('answer', door.path, beacon.path))
    beacon.expect('ready')
    daemon.running(job)
    daemon.call('Pause', ids=[job])
    door.push()
    assert beacon.silent(0.2)
    daemon.call('Resume', ids=[job])
    beacon.expect('byte')


def test_a_held_output_holds_nobody_up(daemon, spawn, fifo):
    """The job is finished when its leader is, though a child still has its stdout."""
    beacon = fifo()
    certificate = daemon.wait(daemon.submit(spawn.job('orphans', beacon.path, 1)))
    assert certificate['status'] == 0
    beacon.ended()


@pytest.mark.timeout(60)
def test_500_exits_at_once(forkd, work, fifo, gate):
    daemon = forkd(config='MaxRunning=500')
    beacon, door = fifo(), gate()
    ids = daemon.submit(*(work.job('muster', beacon.path, door.path, n % 256) for n in range(500)))
    pids = [beacon.expect('ready', 30) for _ in range(500)]
    assert len(set(pids)) == 500
    assert daemon.status()['running'] == 500
    door.open()
    certificates = daemon.wait(*ids)
    assert [c['status'] for c in certificates] == [n % 256 for n in range(500)]


@pytest.mark.timeout(60)
def test_500_killed_at_once(forkd, work, fifo):
    daemon = forkd(config='MaxRunning=500')
    beacon = fifo()
    ids = daemon.submit(*(work.forever(beacon) for _ in range(500)))
    for _ in range(500):
        beacon.expect('ready', 30)
    daemon.call('Kill', ids=ids, signal=9)
    assert {(c['result'], c['signal']) for c in daemon.wait(*ids)} == {('signal', signal.SIGKILL)}
    beacon.ended()


@pytest.mark.cgroups
def test_200_escaped_processes_are_gone_at_once(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.job('orphans', beacon.path, 200, 'sdw', graceUSec=0))
    for _ in range(201):
        beacon.line()
    daemon.call('Cancel', ids=[job])
    assert daemon.wait(job)['result'] == 'cancelled'
    beacon.ended(2)


@pytest.mark.root
@pytest.mark.cgroups
def test_cgroups_that_a_job_made_are_removed(daemon, spawn):
    """Below its own, three deep and with a process in the last one: the harness looks for what is left."""
    script = ('own=$(sed -n "s|^0::|$1|p" /proc/self/cgroup); mkdir -p $own/a/b/c $own/d; '
              'setsid sleep 1000 & echo $! > $own/a/b/c/cgroup.procs')
    job = daemon.submit({'command': ['/bin/sh', '-c', script, 'sh', processes.cgroup2_mount()]})
    certificate = daemon.wait(job)
    assert certificate['result'] == 'success', certificate
    assert certificate['leftBehind'] == 1


def test_a_job_that_stops_itself_is_ended_all_the_same(daemon, work):
    certificate = daemon.run(work.job('signal', int(signal.SIGSTOP), timeoutUSec=200_000, graceUSec=200_000))
    assert certificate['result'] == 'timeout'
    assert certificate['signal'] in (signal.SIGTERM, signal.SIGKILL)


def test_signals_while_jobs_start(daemon, work):
    """Signals that the daemon takes for itself, as thick as they come, while it starts jobs: none of them lands in
    one of them, or between its start and the bookkeeping."""
    stop, pids = threading.Event(), set(daemon.tree().values())

    def storm():
        while not stop.is_set():
            for pid in pids:
                processes.kill(pid, signal.SIGURG)
                processes.kill(pid, signal.SIGCHLD)
                processes.kill(pid, signal.SIGWINCH)
                processes.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        for _ in range(5):
            ids = daemon.submit(*(work.exit(7) for _ in range(40)))
            assert {(c['result'], c['status']) for c in daemon.wait(*ids)} == {('exit', 7)}
    finally:
        stop.set()
        thread.join()
