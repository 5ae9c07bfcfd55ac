# SPDX-License-Identifier: Apache-2.0
"""Starts that hang, forkservers that are gone for good, and what is told too late or not at all."""

import contextlib
import fcntl
import os
import resource
import shutil
import signal

import pytest

import harness
import processes
import varlink


@contextlib.contextmanager
def leased(directory, count):
    """Programs whose exec blocks until a lease is broken (45 s), as on a dead file system."""
    was = signal.signal(signal.SIGIO, signal.SIG_IGN)
    paths, fds = [], []
    try:
        for i in range(count):
            path = os.path.join(directory, f'leased-{i}')
            shutil.copy('/bin/true', path)
            os.chmod(path, 0o755)
            fds.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
            fcntl.fcntl(fds[-1], fcntl.F_SETLEASE, fcntl.F_WRLCK)
            paths.append(path)
        yield paths
    finally:
        for fd in fds:
            os.close(fd)
        signal.signal(signal.SIGIO, was)


@pytest.mark.cgroups
def test_a_start_that_hangs_has_its_deadline(daemon, directory):
    with leased(directory, 1) as (path,):
        certificate = daemon.run({'command': [path], 'timeoutUSec': 300_000, 'graceUSec': 100_000})
        assert certificate['result'] == 'timeout'
        assert certificate['runUSec'] < 5_000_000


@pytest.mark.cgroups
def test_a_start_that_hangs_can_be_cancelled(daemon, directory):
    with leased(directory, 1) as (path,):
        job = daemon.submit({'command': [path], 'graceUSec': 100_000})
        processes.eventually(lambda: daemon.state_of(job) == 'starting')
        daemon.call('Cancel', ids=[job])
        assert daemon.wait(job)['result'] == 'cancelled'


@pytest.mark.cgroups
@pytest.mark.timeout(60)
def test_starts_that_hang_do_not_hold_others_up(forkd, spawn, directory):
    """Another spawner serves after a second; with the last of them held up, the oldest start is given up."""
    daemon = forkd(config='MaxRunning=20')
    with leased(directory, 6) as paths:
        ids = [daemon.submit({'command': [paths[0]]})]
        ids.append(daemon.submit(spawn.succeed()))  # ordered behind it, from the same spawner
        assert daemon.wait(ids[1])['result'] == 'success'
        ids = ids[:1] + daemon.submit(*({'command': [path]} for path in paths[1:]))
        for _ in range(3):
            assert daemon.run(spawn.succeed())['result'] == 'success'
        for certificate in (daemon.show(i)['status'].get('certificate') for i in ids):
            if certificate:
                assert (certificate['result'], certificate['stage'], certificate['errno']) == ('setup-failed', 'exec', 110)
    daemon.wait(*ids)


@pytest.mark.cgroups
def test_orphans_that_nobody_has_named_can_be_ended(forkd, spawn, fifo):
    """The spawner dies between the exec and its report: the keeper tells the pid."""
    daemon = forkd(config='MaxRunning=60')
    for turn in range(5):
        old = processes.eventually(lambda: daemon.tree().get('spawner'))
        ids = daemon.submit(*(spawn.forever() for _ in range(10)))
        os.kill(old, signal.SIGKILL)
        processes.eventually(lambda: daemon.tree().get('spawner') not in (None, old), 15)
        processes.eventually(lambda: all(daemon.state_of(i) == 'running' for i in ids), 10,
                             lambda: [daemon.state_of(i) for i in ids])
        daemon.call('Cancel', ids=ids)
        for certificate in daemon.wait(*ids):
            assert (certificate['result'], certificate['signal']) == ('cancelled', 15), certificate
    daemon.rebase()


@pytest.mark.timeout(60)
def test_a_twin_that_cannot_come_back(forkd, programs, spawn, directory):
    """Its jobs end with the reason, those of others go on."""
    module = os.path.join(directory, 'gone.so')
    shutil.copy(programs.find('tests/flow/flow.so'), module)
    daemon = forkd(module=module, clean=False)
    os.unlink(module)
    os.kill(daemon.tree()['twin'], signal.SIGKILL)
    processes.eventually(lambda: 'twin' not in daemon.tree())
    entry = daemon.submit({'entry': 'mirror', 'arguments': {}})
    assert daemon.run(spawn.succeed())['result'] == 'success'
    assert daemon.wait(daemon.submit(spawn.succeed()))['result'] == 'success'
    certificate = daemon.wait(entry)
    assert certificate['result'] == 'server-failed'
    assert 'twin' in certificate['sentence']


def test_a_keeper_that_dies_with_orphans(forkd, spawn, fifo):
    """forkd ends too, although nobody will tell it of its orphans' ends."""
    daemon = forkd(clean=False)
    beacon = fifo()
    job = daemon.submit(spawn.forever(beacon))
    beacon.expect('ready')
    daemon.running(job)
    old = daemon.tree()['spawner']
    os.kill(old, signal.SIGKILL)
    processes.eventually(lambda: daemon.tree().get('spawner') not in (None, old), 15)
    tree = daemon.tree()
    daemon.process.kill()
    daemon.process.wait()
    for name, pid in tree.items():
        assert processes.wait_gone(pid, 10), f'{name} lives on'
    if processes.cgroup2_mount() and os.getuid() == 0:
        beacon.ended()


@pytest.mark.root  # for others the kernel counts descriptors on their way, of all that the user runs
def test_few_descriptors(forkd, spawn):
    """Jobs wait for their turn or say why; nothing hangs, and clients are served."""
    daemon = forkd(config='MaxRunning=40', start=False)
    daemon.preexec = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
    daemon.start()
    ids = daemon.submit(*(spawn.forever(timeoutUSec=500_000, graceUSec=100_000) for _ in range(20)))
    for certificate in daemon.wait(*ids):
        assert certificate['result'] in ('timeout', 'server-failed'), certificate
    assert daemon.run(spawn.succeed())['result'] == 'success'


def test_much_progress_before_the_answer(daemon):
    """The answer is not lost behind it, also when many workers end at once."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.client()) for _ in range(16)]
        for client in clients:
            client.send('Run', {'job': {'entry': 'advance', 'arguments': {'n': 100}}})
        for client in clients:
            reply, _ = client.reply()
            assert reply['certificate']['result'] == 'success'
            assert reply['certificate']['value'] == {'n': 100}


@pytest.mark.timeout(60)
@pytest.mark.parametrize('method', ['fork', 'forkserver'])
def test_a_forkserver_that_does_not_answer_is_replaced(forkd, programs, method):
    """SIGSTOP: its orders go to its next life after 10 s, and the job does not notice."""
    daemon = forkd()
    work = harness.Work(programs, method)
    assert daemon.run(work.exit(3))['status'] == 3
    before = daemon.servers()[work.server]['pid']
    os.kill(before, signal.SIGSTOP)
    certificate = daemon.run(work.exit(4))
    assert (certificate['result'], certificate['status']) == ('exit', 4)
    assert daemon.servers()[work.server]['pid'] != before
    assert not os.path.exists(f'/proc/{before}')
    if method == 'forkserver':
        assert certificate['generation'] == 2
