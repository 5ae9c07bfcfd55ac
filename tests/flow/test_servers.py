# SPDX-License-Identifier: Apache-2.0
"""Named forkservers: their starts, first use, ends, deaths and configuration."""

import os
import re
import shutil
import signal

import pytest

import harness
import processes
import varlink


@pytest.fixture
def work(programs):
    return harness.Work(programs, 'forkserver')


def flow(**keys):
    return {'servers': {'flow': keys}}


def title(pid):
    return processes.name(pid)


# ---- start

def test_one_preload_however_many_jobs(forkd, work):
    """Counted by the module."""
    daemon = forkd(**flow())
    ids = daemon.submit(*(work.entry('mirror', {'i': i}) for i in range(200)))
    assert [c['value']['i'] for c in daemon.wait(*ids)] == list(range(200))
    assert daemon.preloads('flow') == 1
    assert daemon.preloads() == 1  # forkd's own


@pytest.mark.parametrize('start', ['use', 'boot'])
def test_first_use(forkd, work, start):
    daemon = forkd(**flow(start=start))
    if start == 'use':
        assert daemon.servers()['flow']['state'] == 'stopped'
        assert daemon.preloads('flow') == 0
    else:
        assert daemon.servers()['flow']['state'] == 'ready'
        assert daemon.preloads('flow') == 1
    certificate = daemon.run(work.succeed())
    assert (certificate['result'], certificate['server'], certificate['generation']) == ('success', 'flow', 1)
    assert daemon.preloads('flow') == 1


def test_readiness_does_not_wait_for_those_of_the_boot(forkd, spawn):
    daemon = forkd(start=False, **flow(module='preload-hangs', start='boot'))
    daemon.start(settled=False)
    assert daemon.run(spawn.succeed())['result'] == 'success'
    assert daemon.servers()['flow']['state'] == 'starting'
    daemon.server_call('Stop', 'flow')
    daemon.rebase(settled=False)


def test_what_list_and_show_say(forkd, work, fifo):
    daemon = forkd(**flow(start='boot'))
    listed = daemon.servers()
    assert {'spawner', 'twin', 'flow'} <= set(listed)
    assert (listed['spawner']['origin'], listed['twin']['startMethod']) == ('built-in', 'fork')
    server = listed['flow']
    assert (server['state'], server['origin'], server['generation'], server['starts']) == ('ready', 'configuration', 1, 1)
    assert server['startMethod'] == 'forkserver' and server['uid'] == os.getuid()
    assert server['preloadUSec'] > 0
    assert server['modules'] == ['flow']
    assert {'name': 'mirror', 'help': 'returns its arguments', 'arguments': 'anything'} in server['entries']
    assert title(server['pid']) == 'forkd: flow#1'
    beacon = fifo()
    job = daemon.submit(work.forever(beacon))
    pid = beacon.expect('ready')
    daemon.running(job)
    assert re.fullmatch(rf'forkd: flow#1 job {job} work', title(pid))
    shown = daemon.server()
    assert shown['server']['workers'] == 1
    assert [(g['generation'], g['state'], g['pid'], g['workers']) for g in shown['generations']] == [
        (1, 'ready', server['pid'], 1)]
    worker, = shown['workers']
    assert (worker['pid'], worker['generation'], worker['state'], worker['job'], worker['entry']) == (
        pid, 1, 'running', job, 'work')
    private = processes.private_kib(pid) << 10
    assert private / 2 <= worker['privateBytes'] <= private * 2
    assert worker['sharedBytes'] > 0
    status = daemon.show(job)['status']
    assert (status['server'], status['generation'], status['startMethod']) == ('flow', 1, 'forkserver')
    assert status['privateBytes'] > 0 and status['sharedBytes'] > 0
    daemon.call('Cancel', ids=[job])
    daemon.wait(job)


def test_start_stop_start(forkd):
    daemon = forkd()
    for turn in range(3):
        server = daemon.start_server('mine', spare=1, arguments={'turn': turn})
        assert (server['state'], server['origin'], server['spare']) == ('ready', 'request', 1)
        assert daemon.run({'server': 'mine', 'entry': 'mirror', 'arguments': {'n': turn}})['value'] == {'n': turn}
        daemon.server_call('Stop', 'mine')
        processes.gone(server['pid'])
        left = daemon.servers().get('mine')
        assert left is None or left['state'] == 'stopped'


def test_names_are_taken(forkd):
    daemon = forkd(**flow(start='boot'))
    daemon.start_server('mine')
    for name in ('mine', 'flow'):
        with pytest.raises(varlink.Error) as error:
            daemon.start_server(name)
        assert error.value.full == 'org.forkd.servers.NameTaken'
        assert error.value.parameters['server'] == name and error.value.parameters['sentence']


@pytest.mark.parametrize('parameters', [
    {'name': ''}, {'name': '1st'}, {'name': 'a/b'}, {'name': 'x' * 48}, {'name': '../x'}, {'name': 'ok', 'modules': []},
    {'name': 'ok', 'modules': ['flow'], 'command': ['true']}, {'name': 'ok', 'modules': ['./relative.so']},
    {'name': 'ok', 'modules': ['flow'], 'spare': -1}, {'name': 'ok', 'modules': ['flow'], 'spare': 65},
    {'name': 'ok', 'command': []}, {'name': 'ok', 'modules': ['flow'], 'environment': {'A=B': 'c'}},
    {'name': 'ok', 'modules': ['flow'], 'arguments': []}, {'name': 'spawner', 'modules': ['flow']},
    {'name': 'twin', 'modules': ['flow']}])
def test_invalid_starts(forkd, parameters):
    daemon = forkd()
    before = set(daemon.servers())
    with pytest.raises(varlink.Error) as error:
        daemon.call('org.forkd.servers.Start', parameters)
    assert error.value.name in ('InvalidParameter', 'NameTaken')
    assert error.value.parameters['sentence']
    assert set(daemon.servers()) == before


def test_what_is_not_there(forkd):
    daemon = forkd(**flow())
    for verb, more in (('Show', {}), ('Stop', {}), ('Reload', {}), ('Scale', {'spare': 1}), ('Start', {})):
        with pytest.raises(varlink.Error) as error:
            daemon.server_call(verb, 'flwo', **more)
        assert error.value.name == 'NoSuchServer' or verb == 'Start' and error.value.name == 'InvalidParameter'
        assert 'flwo' in error.value.parameters['sentence']
    for call in (daemon.run, daemon.submit):
        with pytest.raises(varlink.Error) as error:
            call({'server': 'flwo', 'entry': 'mirror'})
        assert error.value.full == 'org.forkd.jobs.NoSuchServer'
        assert 'flwo' in error.value.parameters['sentence'] and 'flow' in error.value.parameters['sentence']


def test_the_built_in_ones_are_left_alone(forkd):
    daemon = forkd()
    for verb, more in (('Stop', {}), ('Reload', {}), ('Scale', {'spare': 1})):
        for name in ('spawner', 'twin'):
            with pytest.raises(varlink.Error) as error:
                daemon.server_call(verb, name, **more)
            assert error.value.parameters['sentence']
    assert daemon.run({'entry': 'mirror'})['result'] == 'success'


# ---- stop

def test_stop_lets_jobs_end(forkd, work, fifo, gate):
    daemon = forkd(**flow(start='boot'))
    beacon, door = fifo(), gate()
    job = daemon.submit(work.job('answer', door.path, beacon.path))
    beacon.expect('ready')
    stopper = daemon.connect()
    stopper.send('org.forkd.servers.Stop', {'name': 'flow'})
    daemon.server_state('flow', 'stopping')
    with pytest.raises(varlink.Error) as error:
        daemon.run(work.succeed())
    assert error.value.name == 'ServerFailed' and 'stopp' in error.value.parameters['sentence']
    door.open()
    assert daemon.wait(job)['result'] == 'success'
    assert stopper.reply() == ({}, False)
    assert daemon.servers()['flow']['state'] == 'stopped'
    daemon.server_call('Start', 'flow')
    assert daemon.run(work.succeed())['generation'] == 2


def test_stop_with_kill_ends_jobs(forkd, work, fifo):
    daemon = forkd(**flow(start='boot', spare=1))
    beacon = fifo()
    ids = daemon.submit(work.forever(beacon), work.forever(beacon))
    beacon.expect('ready')
    beacon.expect('ready')
    daemon.server_call('Stop', 'flow', kill=True)
    for certificate in daemon.wait(*ids):
        assert certificate['result'] in ('cancelled', 'signal', 'server-failed'), certificate
    beacon.ended()
    assert 'pid' not in daemon.servers()['flow']


def test_stop_interrupts_a_start(forkd):
    daemon = forkd()
    starter = daemon.connect()
    starter.send('org.forkd.servers.Start', {'name': 'slow', 'modules': ['preload-hangs']})
    pid = processes.eventually(lambda: daemon.servers().get('slow', {}).get('pid'))
    daemon.server_call('Stop', 'slow')
    with pytest.raises(varlink.Error) as error:
        starter.reply()
    assert error.value.name == 'ServerFailed' and 'stopped' in error.value.parameters['sentence']
    processes.gone(pid)


def test_jobs_that_wait_for_a_stopped_one_fail(forkd):
    daemon = forkd(**flow(module='preload-hangs'))
    ids = daemon.submit({'server': 'flow', 'entry': 'nothing'}, {'server': 'flow', 'entry': 'nothing'})
    daemon.server_state('flow', 'starting')
    daemon.server_call('Stop', 'flow')
    for certificate in daemon.wait(*ids):
        assert certificate['result'] == 'server-failed'
        assert 'stopped' in certificate['sentence']


def test_a_waiting_job_holds_nobody_up(forkd, spawn):
    """One slot, and the first in the queue waits for its forkserver."""
    daemon = forkd(config='MaxRunning=1', **flow(module='preload-hangs'))
    waiting = daemon.submit({'server': 'flow', 'entry': 'nothing'})
    daemon.server_state('flow', 'starting')
    assert daemon.wait(daemon.submit(spawn.succeed()))['result'] == 'success'
    assert daemon.state_of(waiting) == 'queued'
    daemon.server_call('Stop', 'flow')
    assert daemon.wait(waiting)['result'] == 'server-failed'


def test_a_client_that_vanishes_while_it_starts(forkd):
    daemon = forkd()
    starter = daemon.connect()
    starter.send('org.forkd.servers.Start', {'name': 'slow', 'modules': ['preload-hangs']})
    processes.eventually(lambda: 'slow' in daemon.servers())
    starter.close()
    processes.eventually(lambda: daemon.status()['clients'] == 1)


def test_a_daemon_that_stops_takes_them_along(forkd, work):
    daemon = forkd(**flow(start='boot', spare=2))
    daemon.start_server('mine', ['flow', 'misbehave'])
    pids = [daemon.servers()[n]['pid'] for n in ('flow', 'mine')]
    daemon.run(work.succeed())
    assert daemon.stop() == 0
    processes.gone(*pids)


def test_stop_while_one_hangs(forkd):
    daemon = forkd(start=False, **flow(module='preload-hangs', start='boot'))
    daemon.start(settled=False)
    pid = processes.eventually(lambda: daemon.servers()['flow'].get('pid'))
    assert daemon.stop() == 0
    processes.gone(pid)


# ---- deaths

@pytest.mark.timeout(60)
@pytest.mark.parametrize('spare', [0, 2])
def test_killed_with_100_workers(forkd, work, fifo, gate, spare):
    """Every certificate is right, the next generation serves, nothing is left."""
    daemon = forkd(config='MaxRunning=100', **flow(start='boot', spare=spare))
    beacon, door = fifo(), gate()
    ids = daemon.submit(*(work.job('muster', beacon.path, door.path, n + 1) for n in range(100)))
    pids = {beacon.expect('ready', 30) for _ in range(100)}
    assert len(pids) == 100
    if not daemon.has_cgroups():  # then only a worker whose start has been told is known again
        daemon.running(*ids)
    old = daemon.servers()['flow']['pid']
    os.kill(old, signal.SIGKILL)
    processes.eventually(lambda: daemon.servers()['flow'].get('pid', old) != old)
    daemon.server_state('flow', 'ready')
    assert daemon.servers()['flow']['generation'] == 2
    door.open()
    for n, certificate in enumerate(daemon.wait(*ids)):
        assert (certificate['result'], certificate['status']) == ('exit', n + 1), certificate
        assert (certificate['server'], certificate['generation']) == ('flow', 1)
    beacon.ended()
    assert daemon.run(work.succeed())['generation'] == 2
    assert daemon.preloads('flow') == 2


def test_killed_again_and_again(forkd, work):
    """One that was ready is started again, however often."""
    daemon = forkd(**flow(start='boot'))
    for turn in range(2, 8):
        os.kill(daemon.servers()['flow']['pid'], signal.SIGKILL)
        processes.eventually(lambda t=turn: daemon.servers()['flow']['generation'] == t, 15)
        daemon.server_state('flow', 'ready', 15)
    certificate = daemon.run(work.succeed())
    assert certificate['generation'] == 7


def test_back_off(forkd, programs, work, directory):
    """What it preloads is gone: failed with a reason and a time, and ready again when it is back."""
    module = os.path.join(directory, 'copy.so')
    shutil.copy(programs.find('tests/flow/flow.so'), module)
    daemon = forkd(**flow(module=module, start='boot'))
    os.rename(module, module + '.away')
    os.kill(daemon.servers()['flow']['pid'], signal.SIGKILL)
    failed = processes.eventually(lambda: (lambda s: s if s['state'] == 'failed' and s.get('nextStartAtUSec') else None)(
        daemon.servers()['flow']))
    assert module in failed['reason']
    waiting = daemon.submit(work.succeed())
    os.rename(module + '.away', module)
    daemon.server_state('flow', 'ready')
    assert daemon.wait(waiting)['result'] == 'success'
    assert 'reason' not in daemon.servers()['flow']


def test_a_stopped_host_is_no_hang(forkd, spawn, work):
    daemon = forkd(**flow(start='boot'))
    pid = daemon.servers()['flow']['pid']
    os.kill(pid, signal.SIGSTOP)
    certificate = daemon.run(work.succeed(timeoutUSec=200_000, graceUSec=100_000))
    assert certificate['result'] == 'timeout'
    assert daemon.run(spawn.succeed())['result'] == 'success'
    os.kill(pid, signal.SIGCONT)
    assert daemon.run(work.succeed())['result'] == 'success'


# ---- configuration

def test_configuration_that_changes(forkd, work):
    """Read again: new ones appear, changed ones get their next generation, those that are gone end."""
    daemon = forkd(servers={'flow': {'start': 'boot'}, 'gone': {'start': 'boot'}, 'same': {'start': 'boot'}})
    pids = {n: s['pid'] for n, s in daemon.servers().items()}
    daemon.configure_server('flow', start='boot', arguments='{"changed": true}')
    daemon.configure_server('fresh', start='boot')
    os.unlink(os.path.join(daemon.config, 'servers', 'gone.conf'))
    assert daemon.call('org.forkd.manager.Reload')['warnings'] == []
    daemon.server_state('fresh', 'ready')
    processes.eventually(lambda: daemon.servers()['flow']['generation'] == 2 and
                         daemon.servers()['flow']['state'] == 'ready')
    processes.eventually(lambda: daemon.servers().get('gone', {'state': 'stopped'})['state'] == 'stopped')
    processes.gone(pids['gone'], pids['flow'])
    assert daemon.servers()['same']['pid'] == pids['same']
    assert daemon.run(work.succeed())['generation'] == 2
    assert daemon.run({**work.succeed(), 'server': 'fresh'})['server'] == 'fresh'
    with pytest.raises(varlink.Error) as error:
        daemon.run({**work.succeed(), 'server': 'gone'})
    assert error.value.name in ('NoSuchServer', 'ServerFailed')


def test_bad_lines_are_warnings_with_file_and_line(forkd, work):
    daemon = forkd(start=False)
    path = daemon.configure_server('flow', 'Colour=blue\nPreloadTimeout=soon\n[Kitchen]\nSink=1')
    lines = processes.read(path).splitlines()
    warnings = daemon.start().status()['warnings']
    for text, word in (('Colour=blue', 'Colour'), ('PreloadTimeout=soon', 'PreloadTimeout'), ('Sink=1', 'Sink')):
        begin = f'{path}:{lines.index(text) + 1}: '
        assert any(w.startswith(begin) and word in w for w in warnings), warnings
        assert begin in daemon.log()
    assert daemon.run(work.succeed())['result'] == 'success'


@pytest.mark.parametrize('keys,word', [
    ({'module': '', 'text': ''}, 'Module='), ({'module': 'flow', 'command': '/bin/true'}, 'Command='),
    ({'user': 'no-such-user'}, 'no-such-user')])
def test_unusable_configuration_is_a_failed_forkserver(forkd, spawn, keys, word):
    daemon = forkd(start=False, servers={'flow': keys})
    daemon.start(settled=False)
    server = daemon.servers()['flow']
    assert server['state'] == 'failed' and word in server['reason']
    assert daemon.run(spawn.succeed())['result'] == 'success'
    daemon.rebase(settled=False)


def test_limits_are_the_workers_too(forkd, work, directory):
    daemon = forkd(**flow(start='boot', limits='LimitNOFILE=222\nLimitFSIZE=1000000'))
    path = os.path.join(directory, 'facts')
    os.mkdir(path)
    assert daemon.run(work.job('hygiene', path))['result'] == 'success'
    limits = {line[:25].strip(): line[25:].split() for line in processes.read(os.path.join(path, 'limits')).splitlines()}
    assert limits['Max open files'][0] == '222'
    assert limits['Max file size'][0] == '1000000'


def test_arguments_and_environment(forkd, programs):
    """Of the forkserver to its preload; a job has its own."""
    host = os.path.join(os.path.dirname(__file__), 'helpers', 'host.py')
    daemon = forkd(servers={'py': {'module': '', 'command': f'/usr/bin/python3 -I {host}', 'environment': {'COLOUR': 'blue'},
                                   'arguments': '{"model": "large"}'}})
    value = daemon.run({'server': 'py', 'entry': 'facts', 'environment': {'MINE': '1'}})['value']
    assert value['preloaded']['arguments'] == {'model': 'large'}
    assert value['preloaded']['server'] == 'py#1'
    assert value['preloaded']['environment']['COLOUR'] == 'blue'
    assert 'FORKD_TEST_CANARY' not in value['preloaded']['environment']
    assert value['environment'] == {'MINE': '1'}


def test_a_killed_forkd_starts_them_again(forkd, work):
    daemon = forkd(**flow(start='boot', spare=1))
    old = daemon.servers()['flow']['pid']
    daemon.start_server('mine')
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.restarted()
    processes.gone(old)
    assert daemon.server_state('flow', 'ready')['pid'] != old
    assert 'mine' not in daemon.servers()
    assert daemon.run(work.succeed())['result'] == 'success'
