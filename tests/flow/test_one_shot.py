# SPDX-License-Identifier: Apache-2.0
"""Entries by the method spawn: each gets a fresh host that preloads first."""

import os
import pwd

import pytest

import harness
import processes
import varlink

HOST = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'helpers', 'host.py')


def spawn_entry(entry, arguments=None, server='flow', **fields):
    job = {'startMethod': 'spawn', 'entry': entry, 'arguments': arguments or {}, **fields}
    return {**job, 'server': server} if server else job


@pytest.fixture
def flow(forkd):
    return forkd(servers={'flow': {}})


def test_a_preload_for_each_job(flow):
    """Counted by the module; the forkserver itself is never started."""
    for n in range(5):
        assert flow.run(spawn_entry('mirror', {'n': n}))['value'] == {'n': n}
    assert flow.preloads('flow') == 5
    assert flow.servers()['flow']['state'] == 'stopped'
    assert flow.servers()['flow']['starts'] == 0
    assert flow.preloads() == 1


def test_without_a_forkserver(flow):
    """Then Module= of forkd.conf is what is preloaded, which the job's environment does not reach."""
    certificate = flow.run(spawn_entry('mirror', {'n': 1}, server=None,
                                       environment={'FORKD_TEST_COUNT': flow.count_path}))
    assert (certificate['result'], certificate['value']) == ('success', {'n': 1})
    assert flow.preloads() == 1


def test_without_any_module(forkd):
    daemon = forkd(module='')
    with pytest.raises(varlink.Error) as error:
        daemon.run(spawn_entry('mirror', server=None))
    assert error.value.name in ('InvalidParameter', 'NoSuchEntry')
    assert error.value.parameters['sentence']


def test_a_preload_that_fails(forkd):
    daemon = forkd(servers={'bad': {'module': 'preload-fails'}})
    for certificate in (daemon.run(spawn_entry('nothing', server='bad')),
                        daemon.wait(daemon.submit(spawn_entry('nothing', server='bad')))):
        assert certificate['result'] == 'server-failed', certificate
        assert 'preload-fails' in certificate['sentence'] and 'No such file or directory' in certificate['sentence']


@pytest.mark.parametrize('module,word', [('preload-crashes', 'SIGSEGV'), ('preload-exits', ''), ('no-such-module', ''),
                                         ('noentries', ''), ('badabi', '')])
def test_other_preloads_that_fail(forkd, module, word):
    """Whatever happened, the job has an end that is no success, and one that names it where somebody knew."""
    daemon = forkd(servers={'bad': {'module': module}})
    certificate = daemon.run(spawn_entry('nothing', server='bad', limits={'LimitCORE': 0}))
    assert certificate['result'] != 'success'
    assert word in certificate['sentence']
    if certificate['result'] == 'server-failed':
        assert module in certificate['sentence']


def test_a_preload_that_hangs_has_the_jobs_deadline(forkd):
    daemon = forkd(servers={'bad': {'module': 'preload-hangs'}})
    certificate = daemon.run(spawn_entry('nothing', server='bad', timeoutUSec=300_000, graceUSec=100_000))
    assert certificate['result'] == 'timeout'


def test_an_unknown_entry(flow):
    try:
        certificate = flow.run(spawn_entry('nosuch'))
    except varlink.Error as error:
        assert error.name == 'NoSuchEntry'
        return
    assert (certificate['result'], certificate['code']) == ('error', 'NoSuchEntry')
    assert 'nosuch' in certificate['sentence']


def test_threads_do_no_harm_here(forkd):
    """Nothing is forked, so what a forkserver must refuse may be preloaded."""
    daemon = forkd(servers={'many': {'module': 'threaded'}})
    certificate = daemon.run(spawn_entry('idle', server='many'))
    assert certificate['result'] in ('success', 'server-failed')
    if certificate['result'] == 'server-failed':
        assert 'thread' in certificate['sentence']


@pytest.mark.parametrize('state', ['stopped', 'failed', 'ready'])
def test_any_state_of_the_forkserver_will_do(forkd, state):
    daemon = forkd(servers={'flow': {'start': 'boot'}})
    if state == 'stopped':
        daemon.server_call('Stop', 'flow')
    elif state == 'failed':
        with pytest.raises(varlink.Error):
            daemon.start_server('bad', ['preload-fails'])
        certificate = daemon.run(spawn_entry('nothing', server='bad'))
        assert certificate['result'] == 'server-failed' and 'preload-fails' in certificate['sentence']
    assert daemon.run(spawn_entry('mirror', {'n': 1}))['value'] == {'n': 1}


HOST_SERVER = {'module': '', 'command': f'/usr/bin/python3 -I {HOST}', 'environment': {'COLOUR': 'blue'},
               'arguments': '{"model": "small"}'}


def check_environments(daemon, server, user):
    """The preload gets the forkserver's, the entry the job's: all of it and nothing else."""
    mine = {'LD_PRELOAD': '/no/such/of-a-job.so', 'MINE': '1'}
    value = daemon.run(spawn_entry('facts', server=server, environment=mine, directory='/tmp', umask=0o077))['value']
    preloaded = value['preloaded']
    assert (value['environment'], value['directory'], value['umask']) == (mine, '/tmp', 0o077)
    assert preloaded['pid'] == value['pid']  # it has not forked
    assert preloaded['directory'] == '/'  # whose modules an interpreter would take for its own
    assert (preloaded['server'], preloaded['arguments']) == (server, {'model': 'small'})
    assert preloaded['environment'].pop('COLOUR') == 'blue'
    assert not preloaded['left'] or preloaded['left'] == ['FORKD_TEST_COUNT']
    home = {n: v for n, v in preloaded['environment'].items() if n in ('PATH', 'HOME', 'USER', 'SHELL', 'LANG')}
    assert home['HOME'] == pwd.getpwuid(user).pw_dir
    assert set(preloaded['environment']) - set(home) <= {'FORKD_TEST_COUNT', 'ASAN_OPTIONS', 'LC_CTYPE'}
    # a job that says nothing has what any job of that user has
    assert daemon.run(spawn_entry('facts', server=server))['value']['environment'] == home


def test_environments(forkd):
    check_environments(forkd(servers={'py': HOST_SERVER}), 'py', os.getuid())


@pytest.mark.root
def test_environments_of_other_users(forkd, nobody):
    """Whoever may use a forkserver of another user does not choose what its process loads, nor where."""
    daemon = forkd(servers={'theirs': {**HOST_SERVER, 'user': 'nobody'}, 'open': {**HOST_SERVER, 'allow': '*'}})
    check_environments(daemon, 'theirs', nobody[0])
    harness.as_user(*nobody, [], lambda: check_environments(daemon, 'open', 0))


def test_its_title(flow, fifo):
    beacon = fifo()
    job = flow.submit(spawn_entry('work', {'argv': ['forever', beacon.path]}))
    pid = int(beacon.expect('ready'))
    assert processes.read(f'/proc/{pid}/cmdline').strip('\0') == f'forkd: flow job {job} work'
    flow.call('Cancel', ids=[job])
    flow.wait(job)


def test_where_it_is(flow, directory):
    """Streams by relative paths, which are the job's, are opened before it is there."""
    job = spawn_entry('mirror', {'n': 1}, directory=directory, stdout={'path': 'said'})
    assert flow.run(job)['result'] == 'success'
    assert os.path.exists(os.path.join(directory, 'said'))
    certificate = flow.run(spawn_entry('mirror', {'n': 1}, directory='/no/such'))
    assert (certificate['result'], certificate['stage']) == ('setup-failed', 'directory')


def test_it_can_be_ended(flow, fifo):
    """While it preloads or while it works: with all that it started."""
    beacon = fifo()
    job = flow.submit(spawn_entry('work', {'argv': ['orphans', beacon.path, '3', 'w']}))
    for _ in range(4):
        beacon.line()
    flow.call('Cancel', ids=[job])
    assert flow.wait(job)['result'] == 'cancelled'
    beacon.ended()


def test_limits_hold_for_the_preload_too(flow):
    certificate = flow.run(spawn_entry('mirror', {}, limits={'LimitNOFILE': 64}))
    assert certificate['result'] == 'success'


def test_many_at_once(forkd):
    daemon = forkd(config='MaxRunning=8', servers={'flow': {}})
    ids = daemon.submit(*(spawn_entry('mirror', {'n': n}) for n in range(40)))
    assert [c['value']['n'] for c in daemon.wait(*ids)] == list(range(40))
    assert daemon.preloads('flow') == 40


def test_certificate_names_the_forkserver(flow):
    certificate = flow.run(spawn_entry('mirror'))
    assert certificate['server'] == 'flow'
    assert 'generation' not in certificate
    job = flow.submit(spawn_entry('mirror'))
    flow.wait(job)
    status = flow.show(job)['status']
    assert (status['server'], status['startMethod'], status['entry']) == ('flow', 'spawn', 'mirror')
    assert processes.state(flow.pid)
