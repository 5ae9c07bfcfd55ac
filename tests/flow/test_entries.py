# SPDX-License-Identifier: Apache-2.0
"""Entries that do what they should not: the certificate says it, and the forkserver is unharmed."""

import contextlib
import os
import signal
import socket

import pytest

import harness
import processes

METHODS = harness.ENTRIES


def core_pattern_pipes():
    return processes.read('/proc/sys/kernel/core_pattern').startswith('|')


@pytest.fixture
def daemon(forkd, work):
    """One whose forkservers have the module `misbehave` too; at the end they must be the same processes."""
    daemon = forkd(module='flow misbehave')
    before = {n: p for n, p in daemon.tree().items() if n in ('spawner', 'twin', 'flow')}
    yield daemon
    after = daemon.tree()
    assert {n: after.get(n) for n in before} == before
    certificate = daemon.run(work.entry('mirror', {'still': 1}))
    assert (certificate['result'], certificate['value']) == ('success', {'still': 1})


@contextlib.contextmanager
def log_socket():
    """Somebody listens at /dev/log, where the suite may put it."""
    if os.path.exists('/dev/log') or os.getuid() != 0:
        yield None
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as listener:
        listener.bind('/dev/log')
        listener.settimeout(5)
        try:
            yield listener
        finally:
            os.unlink('/dev/log')


def test_it_logs_to_syslog_and_the_journal(daemon, work):
    """Sockets of libraries get numbers of their own; the answer comes through the channel."""
    with log_socket() as listener:
        for attached in (True, False):
            job = work.entry('log', {'text': 'of an entry'})
            certificate = daemon.run(job) if attached else daemon.wait(daemon.submit(job))
            assert certificate['result'] == 'success', certificate
            assert certificate['value'] == {}
            if listener:
                assert b'of an entry' in listener.recv(4096)


def test_it_forks(daemon, work):
    """What it leaves behind is ended, and said."""
    certificate = daemon.run(work.entry('fork', {}))
    assert (certificate['result'], certificate['leftBehind']) == ('success', 1)
    processes.eventually(lambda: not processes.state(certificate['value']['pid']))


@pytest.mark.cgroups
def test_it_forks_into_another_session(daemon, work):
    certificate = daemon.run(work.entry('fork', {'setsid': True}))
    assert (certificate['result'], certificate['leftBehind']) == ('success', 1)
    processes.eventually(lambda: not processes.state(certificate['value']['pid']))


def test_its_child_returns_too(daemon, work):
    """One answer, one end: those of the worker, or of who was first; nothing hangs."""
    certificate = daemon.run(work.entry('fork-return', {}))
    assert certificate['result'] in ('success', 'exit', 'error'), certificate


@pytest.mark.parametrize('status', [0, 7])
def test_it_exits(daemon, work, status):
    certificate = daemon.run(work.entry('exit', {'status': status}))
    assert (certificate['result'], certificate['status']) == ('exit', status)
    assert 'value' not in certificate


@pytest.mark.parametrize('entry,arguments,number', [
    ('abort', {}, signal.SIGABRT), ('segv', {}, signal.SIGSEGV), ('signal', {'signal': 9}, signal.SIGKILL)])
def test_it_is_killed(daemon, work, entry, arguments, number):
    certificate = daemon.run(work.entry(entry, arguments, limits={'LimitCORE': 0}))
    assert certificate['result'] == 'signal' or core_pattern_pipes() and certificate['result'] == 'core-dump'
    assert certificate['signal'] == number
    assert signal.Signals(number).name in certificate['sentence']


@pytest.mark.parametrize('entry', ['close-channel', 'replace-channel'])
def test_it_takes_its_channel_away(daemon, work, entry):
    certificate = daemon.run(work.entry(entry, {}))
    assert certificate['result'] in ('exit', 'error'), certificate
    assert 'value' not in certificate


def test_it_writes_rubbish_to_its_channel(daemon, work):
    certificate = daemon.run(work.entry('garbage', {}))
    assert certificate['result'] in ('exit', 'error', 'success'), certificate


@pytest.mark.timeout(60)
def test_it_returns_100_mib(daemon, work):
    """Above what a value may be: its own error, and memory is as it was."""
    before = processes.rss_kib(daemon.pid)
    certificate = daemon.run(work.entry('big', {'bytes': 100 << 20}))
    assert (certificate['result'], certificate['code']) == ('error', 'TooLarge')
    assert processes.rss_kib(daemon.pid) - before < 16 << 10


@pytest.mark.parametrize('ignore', [False, True])
def test_it_never_returns(daemon, work, ignore):
    certificate = daemon.run(work.entry('never', {'ignoreTerm': ignore}, timeoutUSec=200_000, graceUSec=100_000))
    assert certificate['result'] == 'timeout'
    assert certificate['signal'] in (signal.SIGTERM, signal.SIGKILL)


def test_it_fails_with_an_errno(daemon, work):
    certificate = daemon.run(work.entry('errno', {'errno': 2}))
    assert (certificate['result'], certificate['code']) == ('error', 'ENOENT')
    assert 'No such file or directory' in certificate['sentence']


def test_it_returns_no_object(daemon, work):
    assert daemon.run(work.entry('scalar', {}))['value'] == {'value': 42}
    assert daemon.run(work.entry('nothing', {})).get('value', {}) == {}


def test_it_prints_without_flushing(daemon, work):
    job = daemon.submit(work.entry('stdout', {'text': 'unflushed'}))
    assert daemon.wait(job)['result'] == 'success'
    assert daemon.output(job)[0] == b'unflushed'


def test_it_tells_of_its_progress(daemon, work):
    with daemon.client() as client:
        replies = list(client.stream('Run', {'job': work.entry('progress', {'n': 3})}))
    assert [r['progress']['done'] for r in replies if r.get('progress')] == [1, 2, 3]
    assert replies[-1]['certificate']['value'] == {'n': 3}
