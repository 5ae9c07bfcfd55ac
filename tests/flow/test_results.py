# SPDX-License-Identifier: Apache-2.0
"""How a job ended: exit statuses, signals, core dumps, an entry's own answers."""

import os
import signal

import pytest

import processes
import varlink
from harness import ENTRIES

entries = pytest.mark.parametrize('method', ENTRIES)
SURVIVED = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH,
            signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
KILLERS = [n for n in range(1, 65) if n not in SURVIVED]
DUMPERS = {signal.SIGQUIT, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV,
           signal.SIGXCPU, signal.SIGXFSZ, signal.SIGSYS}


def core_pattern_pipes():
    return processes.read('/proc/sys/kernel/core_pattern').startswith('|')


@pytest.mark.timeout(60)
def test_all_exit_statuses(daemon, work):
    ids = daemon.submit(*(work.exit(n) for n in range(256)))
    for n, certificate in enumerate(daemon.wait(*ids)):
        assert certificate['status'] == n
        assert 'signal' not in certificate
        assert certificate['attempt'] == 1
        assert certificate['id'] == ids[n]
        if n:
            assert certificate['result'] == 'exit'
            assert f'exited with status {n} ' in certificate['sentence']
        elif work.commands:
            assert certificate['result'] == 'success'


@entries
def test_an_entry_that_exits_with_0_has_not_answered(daemon, work):
    certificate = daemon.run(work.exit(0))
    assert certificate['result'] == 'exit'
    assert certificate['status'] == 0
    assert 'without an answer' in certificate['sentence']
    assert 'value' not in certificate


@pytest.mark.timeout(60)
def test_every_signal_that_kills(daemon, work):
    jobs = [work.job('signal', n, limits={'LimitCORE': 0}) for n in KILLERS]
    for n, certificate in zip(KILLERS, daemon.wait(*daemon.submit(*jobs))):
        assert certificate.get('signal') == n, certificate
        assert 'status' not in certificate
        if n in DUMPERS and core_pattern_pipes():
            assert certificate['result'] in ('signal', 'core-dump')
        else:
            assert certificate['result'] == 'signal', certificate
        assert 'killed by ' in certificate['sentence']


@pytest.mark.parametrize('number,words', [(signal.SIGSEGV, 'killed by SIGSEGV'), (signal.SIGKILL, 'killed by SIGKILL'),
                                          (35, 'killed by SIGRTMIN+1')])
def test_signals_have_their_names(daemon, work, number, words):
    certificate = daemon.run(work.job('signal', int(number), limits={'LimitCORE': 0}))
    assert words in certificate['sentence']


@pytest.mark.parametrize('number', [signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH])
def test_signals_that_do_nothing(daemon, work, number):
    certificate = daemon.run(work.job('signal', int(number)))
    if work.commands:
        assert (certificate['result'], certificate['status']) == ('exit', 99)
    else:
        assert (certificate['result'], certificate['code']) == ('error', 'Status')


def test_core_dump(daemon, work, directory):
    """The flag of the wait status, whoever takes the core: a file in the job's directory, or a pipe."""
    where = os.path.join(directory, 'cores')
    os.mkdir(where)
    os.chmod(where, 0o777)
    limit = {'LimitCORE': 64 << 20}
    if os.getuid() != 0:
        import resource
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        limit = {'LimitCORE': hard if hard != resource.RLIM_INFINITY else 64 << 20}
    certificate = daemon.run(work.job('core', directory=where, limits=limit))
    assert certificate['signal'] == signal.SIGABRT
    if limit['LimitCORE']:
        assert certificate['result'] == 'core-dump', certificate
        assert 'core dumped' in certificate['sentence']
        if not core_pattern_pipes() and '/' not in processes.read('/proc/sys/kernel/core_pattern'):
            assert os.listdir(where)
    else:
        assert certificate['result'] in ('signal', 'core-dump')


def test_success_says_times(daemon, work):
    certificate = daemon.run(work.succeed())
    assert certificate['result'] == 'success'
    assert certificate['status'] == 0
    assert 0 <= certificate['queueUSec'] < 10_000_000
    assert 0 <= certificate['runUSec'] < 10_000_000
    assert certificate['userUSec'] >= 0 and certificate['systemUSec'] >= 0
    assert 'succeeded' in certificate['sentence']


def test_processor_time_is_the_jobs_own(daemon, spawn):
    """A busy job's time is counted, and the next job's is not the sum."""
    busy = {'command': ['/bin/sh', '-c', 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done']}
    first, second = daemon.run(busy), daemon.run(spawn.succeed())
    assert first['userUSec'] > 10_000
    assert second['userUSec'] < first['userUSec'] / 2


# ---- entries

@entries
def test_value(daemon, work):
    arguments = {'text': 'ä\u0001"\\', 'list': [1, 2.5, None, True], 'object': {'a': {}}, 'large': 2**62}
    certificate = daemon.run(work.entry('mirror', arguments))
    assert certificate['result'] == 'success'
    assert certificate['value'] == arguments


@entries
def test_value_of_a_submitted_entry(daemon, work):
    certificate = daemon.wait(daemon.submit(work.entry('mirror', {'n': 5})))
    assert certificate['value'] == {'n': 5}


@entries
def test_no_arguments_are_an_empty_object(daemon, work):
    for job in (work.entry('mirror'), {**work.entry('mirror'), 'arguments': None}, work.entry('mirror', {})):
        assert daemon.run(job).get('value', {}) == {}


@entries
def test_large_arguments_and_value(daemon, work):
    text = 'x' * 300_000
    assert daemon.run(work.entry('mirror', {'text': text}))['value'] == {'text': text}


@entries
def test_arguments_by_descriptor_and_value_by_descriptor(daemon, work):
    """Above what a message holds, both go by memfd."""
    text = 'y' * 3_000_000
    fd = os.memfd_create('arguments')
    os.write(fd, b'{"text": "' + text.encode() + b'"}')
    os.lseek(fd, 0, os.SEEK_SET)
    with daemon.client() as client:
        client.send('Run', {'job': work.entry('mirror', argumentsDescriptor=0)}, [fd])
        os.close(fd)
        reply, _ = client.reply()
        value = reply['certificate']['valueDescriptor']
        assert 'value' not in reply['certificate']
        size = os.fstat(client.fds[value]).st_size
        data = os.pread(client.fds[value], size, 0)
    import json
    assert json.loads(data) == {'text': text}


@entries
def test_error_of_an_entry(daemon, work):
    certificate = daemon.run(work.entry('complain', {'code': 'NotFound', 'text': 'no such word'}))
    assert certificate['result'] == 'error'
    assert certificate['code'] == 'NotFound'
    assert certificate['text'] == 'no such word'
    assert 'no such word' in certificate['sentence']


@entries
def test_workers_do_not_see_each_other(daemon, work):
    """Each job gets a fork of what was preloaded, not what the last job left; random numbers differ."""
    values = [daemon.run(work.entry('stain'))['value'] for _ in range(4)]
    assert [v['found'] for v in values] == [0, 0, 0, 0]
    if work.method != 'spawn-entry':  # that one is a fresh process, as seeded as any
        assert len({v['random'] for v in values}) == 4


@pytest.mark.parametrize('method', ['fork', 'forkserver', 'spares'])
def test_unknown_entry(daemon, work):
    for call in (lambda: daemon.run(work.entry('nosuch')), lambda: daemon.submit(work.entry('nosuch'))):
        with pytest.raises(varlink.Error) as error:
            call()
        assert error.value.name == 'NoSuchEntry'
        assert 'nosuch' in error.value.parameters.get('sentence', '')


def test_unknown_entry_at_once(forkd):
    """What forkd has preloaded it knows from the first moment, also while the twin is still on its way."""
    daemon = forkd(start=False).start(settled=False)
    with pytest.raises(varlink.Error) as error:
        daemon.submit({'entry': 'nosuch'})
    assert error.value.name == 'NoSuchEntry'
