# SPDX-License-Identifier: Apache-2.0
"""Deadlines, cancelling, signals from outside, pause and resume."""

import os
import signal
import time

import pytest

import processes
import varlink


def test_timeout(daemon, work, fifo):
    beacon = fifo()
    certificate = daemon.run(work.forever(beacon, timeoutUSec=200_000))
    assert certificate['result'] == 'timeout'
    assert certificate['signal'] == signal.SIGTERM
    assert 150_000 <= certificate['runUSec'] < 3_000_000
    assert 'timed out' in certificate['sentence']
    beacon.ended()


def test_timeout_of_a_submitted_job(daemon, work):
    certificate = daemon.wait(daemon.submit(work.forever(timeoutUSec=150_000)))
    assert certificate['result'] == 'timeout'


def test_a_job_that_ends_in_time_has_no_timeout(daemon, work):
    assert daemon.run(work.succeed(timeoutUSec=10_000_000))['result'] == 'success'


def test_timeout_term_ignored(daemon, work, fifo):
    """TERM, the grace, KILL."""
    beacon = fifo()
    begun = time.monotonic()
    certificate = daemon.run(work.job('stubborn', beacon.path, timeoutUSec=100_000, graceUSec=300_000))
    assert certificate['result'] == 'timeout'
    assert certificate['signal'] == signal.SIGKILL
    assert 0.4 <= time.monotonic() - begun < 8
    beacon.expect('ready')
    beacon.ended()


def test_timeout_with_a_polite_end(daemon, work, fifo):
    """It was told to end and did: still a timeout, with the status it ended with."""
    beacon = fifo()
    certificate = daemon.run(work.job('polite', beacon.path, 5, timeoutUSec=300_000))
    assert certificate['result'] == 'timeout'
    assert certificate['status'] == 5


def test_timeout_of_no_grace(daemon, work, fifo):
    beacon = fifo()
    certificate = daemon.run(work.job('stubborn', beacon.path, timeoutUSec=300_000, graceUSec=0))
    assert (certificate['result'], certificate['signal']) == ('timeout', signal.SIGKILL)


def test_queue_timeout(forkd, work, fifo):
    daemon = forkd(config='MaxRunning=1')
    beacon = fifo()
    first = daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    certificate = daemon.wait(daemon.submit(work.succeed(queueTimeoutUSec=150_000)))
    assert certificate['result'] == 'queue-timeout'
    assert certificate['queueUSec'] >= 150_000
    assert certificate['runUSec'] == 0
    assert 'never started' in certificate['sentence']
    daemon.running(first)


def test_queue_timeout_that_is_met(daemon, work):
    assert daemon.wait(daemon.submit(work.succeed(queueTimeoutUSec=10_000_000)))['result'] == 'success'


def test_cancel_before_the_start(forkd, work, fifo, directory):
    daemon = forkd(config='MaxRunning=1')
    beacon, record = fifo(), os.path.join(directory, 'record')
    daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    second = daemon.submit(work.job('record', record))
    daemon.call('Cancel', ids=[second])
    certificate = daemon.wait(second)
    assert certificate['result'] == 'cancelled'
    assert certificate['cancelledByUid'] == os.getuid()
    assert certificate['cancelledByPid'] == os.getpid()
    assert 'before it ran' in certificate['sentence']
    assert not os.path.exists(record)


def test_cancel_during_the_start(daemon, work, directory):
    """Submit and Cancel back to back, many times: either it never ran, or it was ended; never both, never neither."""
    record = os.path.join(directory, 'record')
    with daemon.client() as client:
        for i in range(60):
            job = client.call('Submit', {'jobs': [work.job('record', record, i)]})['ids'][0]
            try:
                client.call('Cancel', ids=[job])
            except varlink.Error as error:
                assert error.name == 'WrongState'
            certificate = daemon.wait(job)
            ran = os.path.exists(record) and str(i) in processes.read(record).split()
            if certificate['result'] == 'success':
                assert ran
            else:
                assert certificate['result'] == 'cancelled', certificate
                if 'before it ran' in certificate['sentence']:
                    assert not ran


def test_cancel_while_it_runs(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    daemon.call('Cancel', ids=[job])
    certificate = daemon.wait(job)
    assert certificate['result'] == 'cancelled'
    assert certificate['signal'] == signal.SIGTERM
    assert certificate['cancelledByUid'] == os.getuid()
    assert certificate['cancelledByPid'] == os.getpid()
    beacon.ended()


def test_cancel_with_term_ignored(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.job('stubborn', beacon.path, graceUSec=200_000))
    beacon.expect('ready')
    daemon.call('Cancel', ids=[job])
    certificate = daemon.wait(job)
    assert (certificate['result'], certificate['signal']) == ('cancelled', signal.SIGKILL)
    beacon.ended()


def test_cancel_an_attached_job_from_another_connection(daemon, work, fifo):
    beacon = fifo()
    with daemon.client() as client:
        client.send('Run', {'job': work.forever(beacon)}, more=True)
        beacon.expect('ready')
        first = client.reply()[0]
        daemon.call('Cancel', ids=[first['id']])
        with pytest.raises(varlink.Error) as error:
            while True:
                client.reply()
    assert error.value.name == 'JobFailed'
    assert error.value.parameters['certificate']['result'] == 'cancelled'
    assert error.value.parameters['sentence']


def test_cancel_of_what_is_finished(daemon, work):
    """Nothing to end: no harm, and the certificate stays."""
    job = daemon.submit(work.succeed())
    before = daemon.wait(job)
    try:
        daemon.call('Cancel', ids=[job])
    except varlink.Error as error:
        assert error.name == 'WrongState'
    assert daemon.wait(job) == before


def test_cancel_of_what_is_not_there(daemon):
    for method in ('Cancel', 'Kill', 'Pause', 'Resume'):
        with pytest.raises(varlink.Error) as error:
            daemon.call(method, ids=[4711])
        assert error.value.name == 'NoSuchJob'
        assert error.value.parameters['id'] == 4711


def test_cancel_of_many(daemon, work):
    ids = daemon.submit(*(work.forever() for _ in range(20)))
    daemon.call('Cancel', ids=ids)
    assert {c['result'] for c in daemon.wait(*ids)} == {'cancelled'}


def test_a_vanished_client_takes_its_attached_job_along(daemon, work, fifo):
    beacon = fifo()
    client = daemon.connect()
    client.send('Run', {'job': work.forever(beacon)}, more=True)
    beacon.expect('ready')
    client.close()
    beacon.ended()
    processes.eventually(lambda: daemon.status()['attached'] == 0)


def test_a_vanished_client_leaves_its_submitted_job(daemon, work, fifo, gate):
    beacon, door = fifo(), gate()
    with daemon.client() as client:
        job = client.call('Submit', {'jobs': [work.job('answer', door.path, beacon.path)]})['ids'][0]
    beacon.expect('ready')
    door.push()
    beacon.expect('byte')
    daemon.running(job)


def test_kill(daemon, work, fifo):
    """Default 15, any other by number."""
    beacon = fifo()
    job = daemon.submit(work.job('handle', beacon.path, 15, 10, 1))
    beacon.expect('ready')
    for parameters, expected in (({}, 15), ({'signal': 10}, 10), ({'signal': 1}, 1)):
        daemon.call('Kill', {'ids': [job], **parameters})
        beacon.expect(f'signal-{expected}')
    daemon.call('Kill', ids=[job], signal=9)
    certificate = daemon.wait(job)
    assert (certificate['result'], certificate['signal']) == ('signal', 9)


def test_kill_of_what_does_not_run(forkd, work, fifo):
    daemon = forkd(config='MaxRunning=1')
    beacon = fifo()
    daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    queued = daemon.submit(work.succeed())
    with pytest.raises(varlink.Error) as error:
        daemon.call('Kill', ids=[queued])
    assert error.value.name == 'WrongState'
    assert error.value.parameters['state'] == 'queued'


@pytest.mark.parametrize('number', [-1, 65, 1000, 'TERM', 1.5])
def test_kill_with_a_bad_signal(daemon, spawn, fifo, number):
    beacon = fifo()
    job = daemon.submit(spawn.forever(beacon))
    beacon.expect('ready')
    with pytest.raises(varlink.Error) as error:
        daemon.call('Kill', ids=[job], signal=number)
    assert error.value.full == 'org.varlink.service.InvalidParameter'
    assert error.value.parameters['parameter'] == 'signal'
    daemon.running(job)


def test_pause_and_resume(daemon, work, fifo, gate):
    beacon, door = fifo(), gate()
    job = daemon.submit(work.job('answer', door.path, beacon.path))
    beacon.expect('ready')
    door.push()
    beacon.expect('byte')
    daemon.call('Pause', ids=[job])
    daemon.wait_state(job, 'paused')
    assert daemon.status()['paused'] == 1
    door.push()
    assert beacon.silent(0.2)
    daemon.call('Resume', ids=[job])
    daemon.running(job)
    beacon.expect('byte')
    door.open()
    assert daemon.wait(job)['result'] == 'success'


def test_pause_what_is_not_running(daemon, work):
    job = daemon.submit(work.succeed())
    daemon.wait(job)
    for method in ('Pause', 'Resume'):
        with pytest.raises(varlink.Error) as error:
            daemon.call(method, ids=[job])
        assert error.value.name == 'WrongState'
        assert error.value.parameters['state'] == 'finished'


def test_cancel_a_paused_job(daemon, work, fifo):
    """It must be thawed to hear TERM."""
    beacon = fifo()
    job = daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    daemon.call('Pause', ids=[job])
    daemon.call('Cancel', ids=[job])
    certificate = daemon.wait(job)
    assert (certificate['result'], certificate['signal']) == ('cancelled', signal.SIGTERM)


def test_kill_a_paused_job(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    daemon.call('Pause', ids=[job])
    daemon.call('Kill', ids=[job], signal=9)
    certificate = daemon.wait(job)  # KILL needs no Resume
    assert (certificate['result'], certificate['signal']) == ('signal', 9)


def test_start_at(daemon, work):
    """Parked until its time."""
    at = int((time.time() + 0.5) * 1_000_000)
    job = daemon.submit(work.succeed(startAtUSec=at))
    assert daemon.state_of(job) == 'parked'
    assert daemon.wait(job)['result'] == 'success'
    assert daemon.show(job)['status']['startedAtUSec'] >= at


def test_after(daemon, work, fifo, gate):
    beacon, door = fifo(), gate()
    first = daemon.submit(work.job('answer', door.path, beacon.path))
    second = daemon.submit(work.succeed(after=[{'id': first}]))
    beacon.expect('ready')
    assert daemon.state_of(second) == 'parked'
    door.push()
    beacon.expect('byte')
    assert daemon.state_of(second) == 'parked'
    door.open()
    a, b = daemon.wait(first, second)
    assert (a['result'], b['result']) == ('success', 'success')


def test_after_a_failure(daemon, work):
    first = daemon.submit(work.exit(1))
    needs, ignores = daemon.submit(work.succeed(after=[{'id': first}]),
                                   work.succeed(after=[{'id': first, 'on': 'finished'}]))
    a, b = daemon.wait(needs, ignores)
    assert a['result'] == 'dependency'
    assert b['result'] == 'success'


def test_retries(daemon, work, directory):
    record = os.path.join(directory, 'record')
    job = work.exit(3, retries={'max': 2, 'delayUSec': 10_000})
    if work.commands:
        job['command'] = ['/bin/sh', '-c', f'echo run >> {record}; exit 3']
    certificate = daemon.wait(daemon.submit(job))
    assert (certificate['result'], certificate['status'], certificate['attempt']) == ('exit', 3, 3)
    if work.commands:
        assert processes.read(record) == 'run\n' * 3


def test_no_retry_of_what_was_not_named(daemon, work):
    certificate = daemon.wait(daemon.submit(work.exit(3, retries={'max': 2, 'on': ['timeout'], 'delayUSec': 1000})))
    assert certificate['attempt'] == 1
