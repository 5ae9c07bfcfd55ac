# SPDX-License-Identifier: Apache-2.0
"""Preloads that go wrong: each is one clear line in List, and the reason of the error that whoever started it gets."""

import contextlib
import os
import socket

import pytest

import processes
import varlink


@pytest.fixture
def bare(forkd):
    """A daemon without modules and without forkservers."""
    return forkd(module='')


@contextlib.contextmanager
def log_socket():
    """Somebody listens at /dev/log: the suite, where nobody does."""
    if os.path.exists('/dev/log'):
        yield
        return
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    listener.bind('/dev/log')
    try:
        yield
    finally:
        listener.close()
        os.unlink('/dev/log')


def refused(daemon, modules, *words, **parameters):
    """The start fails with a reason of one line that has these words, and List and Show say the same."""
    with pytest.raises(varlink.Error) as error:
        daemon.start_server('bad', modules, **parameters)
    assert error.value.full == 'org.forkd.servers.ServerFailed'
    assert error.value.parameters['server'] == 'bad'
    reason = error.value.parameters['reason']
    assert reason in error.value.parameters['sentence']
    listed = daemon.servers()['bad']
    assert (listed['state'], listed['reason']) == ('failed', reason)
    shown = daemon.server('bad')
    assert shown['server']['reason'] == reason
    assert '\n' not in reason and 10 < len(reason) < 400
    for word in words:
        assert word in reason, reason
    # what was asked for once is not tried again by itself, and nothing of it is left
    assert 'nextStartAtUSec' not in listed and 'pid' not in listed
    assert shown['generations'] == [] and shown['workers'] == []
    assert listed['starts'] == 1
    return reason, shown


def job_fails(daemon, reason):
    """A job for it is refused, or ends, with that reason."""
    job = {'server': 'bad', 'entry': 'nothing'}
    try:
        certificate = daemon.run(job)
    except varlink.Error as error:
        assert error.name == 'ServerFailed'
        assert reason in error.parameters['reason'] and reason in error.parameters['sentence']
        return
    assert certificate['result'] == 'server-failed'
    assert reason in certificate['sentence']


@pytest.mark.parametrize('module,words', [
    ('threaded', ['thread', 'left-behind']), ('leaky', ['descriptor', '/dev/full']),
    ('opensocket', ['descriptor', 'socket']), ('sigchld-ignored', ['SIGCHLD']),
    ('preload-fails', ['preload-fails', 'preload failed', 'No such file or directory']),
    ('preload-crashes', ['SIGSEGV', 'preload']), ('badabi', ['badabi', 'version']), ('noentries', ['noentries', 'entr']),
    ('no-such-module', ['no-such-module']), ('/no/such/module.so', ['/no/such/module.so']),
    ('/dev/null', ['/dev/null'])])
def test_culprits(bare, module, words):
    reason, _ = refused(bare, [module], *words)
    job_fails(bare, reason)
    assert reason in bare.log()


def test_a_cached_log_socket(bare):
    """A library keeps its number, which would be another's after the fork."""
    if not os.path.exists('/dev/log') and os.getuid() != 0:
        # nobody may make one: syslog(3) finds nothing to connect to, and there is nothing to refuse
        assert bare.start_server('fine', ['syslog-cached'])['state'] == 'ready'
        return
    with log_socket():
        refused(bare, ['syslog-cached'], 'log', '/dev/log', 'closelog()')


def test_a_preload_that_hangs(bare):
    refused(bare, ['preload-hangs'], 'longer than', preloadTimeoutUSec=300_000)


def test_the_words_of_a_preload(bare):
    """What it printed is in Show and in the log, after its name."""
    _, shown = refused(bare, ['preload-fails'])
    assert any('there is no such model' in line for line in shown['output'])
    processes.eventually(lambda: 'bad#1: preload-fails: there is no such model' in bare.log(), what=bare.log)


def test_one_bad_module_of_two(bare):
    refused(bare, ['flow', 'preload-fails'], 'preload-fails')


def test_a_command_that_cannot_run(bare):
    refused(bare, None, '/no/such/host', 'No such file', command=['/no/such/host'])


def test_a_host_that_ends(bare):
    """Its status and its last words."""
    refused(bare, None, 'status 3', 'no licence', command=['/bin/sh', '-c', 'echo hello; echo no licence >&2; exit 3'])


def test_a_host_that_says_nothing(bare):
    refused(bare, None, 'longer than', command=['/bin/sleep', '1000'], preloadTimeoutUSec=200_000)


@pytest.mark.parametrize('spare', [0, 2])
def test_a_worker_start_that_crashes(bare, spare):
    """The forkserver serves; each job says what killed its worker."""
    assert bare.start_server('crash', ['worker-start-crashes'], spare=spare)['state'] == 'ready'
    pid = bare.servers()['crash']['pid']
    entry = bare.servers()['crash']['entries'][0]['name']
    for _ in range(3):
        certificate = bare.run({'server': 'crash', 'entry': entry, 'limits': {'LimitCORE': 0}})
        assert certificate['result'] in ('signal', 'core-dump', 'error'), certificate
        assert 'SIGSEGV' in certificate['sentence'] or 'SIGABRT' in certificate['sentence']
    assert bare.servers()['crash']['pid'] == pid


def test_failed_is_replaced(bare):
    """The same name again, with modules that are right."""
    refused(bare, ['preload-fails'])
    started = bare.start_server('bad', ['flow'])
    assert started['state'] == 'ready' and 'reason' not in started
    assert bare.run({'server': 'bad', 'entry': 'mirror', 'arguments': {'n': 1}})['value'] == {'n': 1}


def test_a_configured_one_is_given_up_after_five(forkd):
    """Tried with back-off, then failed for good; jobs that wait for it say why."""
    daemon = forkd(module='', servers={'bad': {'module': 'preload-fails'}})
    certificate = daemon.wait(daemon.submit({'server': 'bad', 'entry': 'nothing'}))
    assert certificate['result'] == 'server-failed'
    assert 'preload-fails' in certificate['sentence']
    failed = processes.eventually(lambda: (lambda s: s if s['state'] == 'failed' and 'nextStartAtUSec' not in s else None)(
        daemon.servers()['bad']))
    assert failed['starts'] == 5
    with pytest.raises(varlink.Error) as error:
        daemon.run({'server': 'bad', 'entry': 'nothing'})
    assert error.value.name == 'ServerFailed'
    # until it is told to
    daemon.configure_server('bad', module='flow')
    daemon.call('org.forkd.manager.Reload')
    with contextlib.suppress(varlink.Error):
        daemon.server_call('Start', 'bad')
    daemon.server_state('bad', 'ready')
    assert daemon.run({'server': 'bad', 'entry': 'mirror'})['result'] == 'success'
