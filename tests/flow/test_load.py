# SPDX-License-Identifier: Apache-2.0
"""Bursts, bounds, and a system that has no more processes."""

import os
import resource
import socket
import time

import pytest

import processes
import varlink

METHODS = ('spawn', 'spares')


@pytest.mark.timeout(90)
def test_a_burst_of_10000(forkd, spawn, directory):
    """Several jobs a message, several messages a write; each of them runs once."""
    record = os.path.join(directory, 'record')
    daemon = forkd(config='MaxRunning=8\nKeepFinished=20000')
    with daemon.client(60) as client:
        client.send_bytes(b''.join(
            varlink.encode('org.forkd.jobs.Submit',
                           {'jobs': [spawn.job('record', record, m * 100 + i) for i in range(100)]})
            for m in range(100)))
        ids = [job for _ in range(100) for job in client.reply()[0]['ids']]
    assert len(set(ids)) == 10_000
    assert ids == sorted(ids)
    results = {}
    with daemon.client(60) as client:
        for start in range(0, 10_000, 5000):
            for reply in client.stream('Watch', {'ids': ids[start:start + 5000]}):
                if reply.get('state') == 'finished':
                    results[reply['id']] = reply['certificate']['result']
    assert len(results) == 10_000 and set(results.values()) == {'success'}
    assert sorted(int(n) for n in processes.read(record).split()) == list(range(10_000))
    assert daemon.call('Forget', finished=True)['forgotten'] == 10_000


def test_a_full_queue_says_so(forkd, work, fifo):
    """What is not accepted is refused in words, and what was accepted runs."""
    daemon = forkd(config='MaxRunning=1\nQueueMax=50')
    beacon = fifo()
    first = daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    accepted, refused = [], 0
    with daemon.client() as client:
        for _ in range(30):
            try:
                accepted += client.call('Submit', {'jobs': [work.succeed(), work.succeed()]})['ids']
            except varlink.Error as error:
                assert error.full == 'org.forkd.jobs.QueueFull'
                assert error.parameters['sentence']
                refused += 1
    assert len(accepted) == 50 and refused == 5
    assert daemon.status()['queued'] == 50
    daemon.call('Kill', ids=[first], signal=9)
    assert {c['result'] for c in daemon.wait(*accepted)} == {'success'}
    daemon.wait(daemon.submit(work.succeed()))


def test_a_message_that_does_not_fit_is_refused_whole(forkd, work, fifo):
    daemon = forkd(config='MaxRunning=1\nQueueMax=10')
    beacon = fifo()
    daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    with pytest.raises(varlink.Error) as error:
        daemon.submit(*(work.succeed() for _ in range(11)))
    assert error.value.name == 'QueueFull'
    assert daemon.status()['queued'] == 0
    assert len(daemon.submit(*(work.succeed() for _ in range(10)))) == 10


def test_max_attached(forkd, work, fifo):
    daemon = forkd(config='MaxAttached=3')
    beacon = fifo()
    for _ in range(3):
        daemon.connect().send('Run', {'job': work.forever(beacon)}, more=True)
        beacon.expect('ready')
    with pytest.raises(varlink.Error) as error:
        daemon.run(work.succeed())
    assert error.value.name == 'LimitReached'
    assert error.value.parameters['limit'] == 'MaxAttached'
    assert error.value.parameters['sentence']
    daemon.clients.pop().close()
    processes.eventually(lambda: daemon.status()['attached'] == 2)
    assert daemon.run(work.succeed())['result'] == 'success'


@pytest.mark.timeout(60)
def test_keep_finished(forkd, spawn):
    """The oldest finished jobs are forgotten above KeepFinished=, with their output."""
    daemon = forkd(config='KeepFinished=10')
    ids = daemon.submit(*(spawn.succeed() for _ in range(30)))
    processes.eventually(lambda: daemon.status()['totalFinished'] == 30, 20)
    kept = processes.eventually(lambda: len(l := daemon.list()) == 10 and sorted(s['id'] for s in l), 20)
    assert set(kept) <= set(ids)
    names = {n.split('.')[0] for n in os.listdir(os.path.join(daemon.state, 'output'))}
    assert names <= {str(k) for k in kept}


@pytest.mark.root
@pytest.mark.timeout(60)
def test_no_more_processes(forkd, work, nobody, directory):
    """fork fails with EAGAIN: jobs wait for their turn or say why, and all goes well when there is room again.
    Only an ordinary user is bound by RLIMIT_NPROC, which counts all processes of a user: root lets one run the daemon
    that runs nothing else."""
    uid, gid = 100_000 + os.getpid(), nobody[1]
    os.mkdir(os.path.join(directory, 'd'))
    for name in ('run', 'state', 'config'):
        os.mkdir(os.path.join(directory, 'd', name))
        os.chown(os.path.join(directory, 'd', name), uid, gid)

    def become():
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        resource.setrlimit(resource.RLIMIT_NPROC, (16, 16))
    count = os.path.join(directory, 'd', 'preloads')
    open(count, 'w').close()
    os.chown(count, uid, gid)
    daemon = forkd(preexec=become, config='MaxRunning=100', options=['--user'], cgroups=False)
    ids = daemon.submit(*(work.job('linger', 200_000) for _ in range(40)))
    certificates = daemon.wait(*ids)
    for certificate in certificates:
        if certificate['result'] != 'success':
            assert certificate['result'] == 'setup-failed', certificate
            assert certificate['errno'] == 11
            assert certificate['stage'] in ('fork', 'user', 'exec')
            assert 'Resource temporarily unavailable' in certificate['sentence']
    assert sum(c['result'] == 'success' for c in certificates) >= 5
    assert daemon.run(work.succeed())['result'] == 'success'


@pytest.mark.root
def test_a_job_that_becomes_a_user_without_room(forkd, spawn, fifo):
    """setuid succeeds and exec fails with EAGAIN: the stage and the reason come out right."""
    daemon = forkd()
    beacon = fifo()
    daemon.submit(spawn.forever(beacon, user='nobody'))
    beacon.expect('ready')
    # the limit is of all processes that this user has, and there is one now
    certificate = daemon.run(spawn.succeed(user='nobody', limits={'LimitNPROC': 0}))
    assert certificate['result'] == 'setup-failed'
    assert (certificate['stage'], certificate['errno']) in (('exec', 11), ('user', 11))


@pytest.mark.timeout(60)
def test_few_descriptors(forkd, work):
    """A hundred connections more than the daemon has descriptors for: it neither spins nor ends, and serves again
    when some go."""
    daemon = forkd(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)), keeper=False)
    crowd = []
    for _ in range(120):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.setblocking(False)
        try:
            s.connect(daemon.address)
        except BlockingIOError:
            s.close()
            break
        crowd.append(s)
    before = cpu(daemon.pid)
    # nothing to wait for but time: a daemon that spins would burn it all
    time.sleep(0.5)
    assert cpu(daemon.pid) - before < 25
    for s in crowd:
        s.close()
    processes.eventually(lambda: daemon.status()['clients'] <= 2)
    assert daemon.run(work.succeed())['result'] == 'success'


def cpu(pid):
    fields = processes.stat(pid)
    return int(fields[11]) + int(fields[12])


def test_a_large_list(forkd, spawn):
    daemon = forkd(config='MaxRunning=1')
    daemon.submit(*(spawn.forever() for _ in range(2000)))
    assert len(daemon.list()) == 2000
    with daemon.client() as client:
        try:
            assert len(client.call('List', limit=5000)['jobs']) == 2000
        except varlink.Error as error:
            assert error.name == 'LimitReached'
    ids = [s['id'] for s in daemon.list()]
    daemon.call('Cancel', ids=ids)
    assert {c['result'] for c in daemon.wait(*ids)} == {'cancelled'}
