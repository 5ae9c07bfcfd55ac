# SPDX-License-Identifier: Apache-2.0
"""Forkservers of other users under root's daemon: they run as their user, and nothing that they say makes forkd
signal or move what is not theirs."""

import contextlib
import grp
import json
import os
import pwd
import signal
import time

import pytest

import harness
import processes
import varlink

pytestmark = pytest.mark.root
HELPERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'helpers')
PYTHON = '/usr/bin/python3'
CGROUPS = pytest.mark.parametrize('cgroups', [pytest.param(True, marks=pytest.mark.cgroups), False],
                                  ids=['cgroups', 'sessions'])


@pytest.fixture
def other(nobody):
    """Calls a function as nobody, in a process of its own."""
    groups = [g.gr_gid for g in grp.getgrall() if 'nobody' in g.gr_mem]
    return lambda function: harness.as_user(*nobody, groups, function)


@pytest.fixture
def theirs(forkd, other):
    """A daemon in which nobody has started the forkserver `theirs`: theirs(cgroups, spare, command=…)."""
    def make(cgroups=True, spare=0, config='MaxRunning=16', **parameters):
        daemon = forkd(cgroups=cgroups, config=config)
        parameters.setdefault('modules', ['flow', 'misbehave'])
        if 'command' in parameters:
            del parameters['modules']
        server = other(lambda: daemon.start_server('theirs', spare=spare, **parameters))
        assert server['state'] == 'ready'
        if spare:
            processes.eventually(lambda: len(daemon.idle('theirs')) == spare)
        return daemon
    return make


def job(entry, arguments=None, **fields):
    return {'server': 'theirs', 'entry': entry, 'arguments': arguments or {}, **fields}


def work_job(*words, **fields):
    return job('work', {'argv': [str(w) for w in words]}, **fields)


def uids(pid):
    return processes.status_field(pid, 'Uid').split()


@CGROUPS
@pytest.mark.parametrize('spare', [0, 2])
def test_it_runs_as_its_user(theirs, other, nobody, fifo, cgroups, spare):
    """Host and workers; in cgroups of their own where there are any."""
    daemon = theirs(cgroups, spare)
    server = daemon.servers()['theirs']
    uid, gid = nobody
    assert server['uid'] == uid and server['origin'] == 'request'
    assert uids(server['pid']) == [str(uid)] * 4
    assert '0' not in processes.status_field(server['pid'], 'Groups').split()
    assert int(processes.status_field(server['pid'], 'CapEff'), 16) == 0
    beacon = fifo()
    ids = [other(lambda: daemon.submit(work_job('forever', beacon.path))) for _ in range(3)]
    pids = [beacon.expect('ready') for _ in ids]
    for pid in pids:
        assert uids(pid) == [str(uid)] * 4
        assert processes.status_field(pid, 'Gid').split() == [str(gid)] * 4
    if cgroups:
        groups = {processes.cgroup_of(p) for p in pids + [server['pid']]}
        assert len(groups) == 4 and all('/forkd-' in g for g in groups)
    daemon.running(*ids)
    assert sorted(daemon.show(i)['status']['pid'] for i in ids) == sorted(pids)
    other(lambda: daemon.call('Cancel', ids=ids))
    for certificate in daemon.wait(*ids):
        assert (certificate['result'], certificate['signal']) == ('cancelled', 15), certificate
    beacon.ended()


@CGROUPS
@pytest.mark.parametrize('spare', [0, 1])
def test_its_jobs_are_ended_with_all_they_started(theirs, other, fifo, cgroups, spare):
    daemon = theirs(cgroups, spare)
    beacon = fifo()
    how = 'sw' if cgroups else 'w'
    certificate = other(lambda: daemon.run(work_job('orphans', beacon.path, 5, how, timeoutUSec=500_000,
                                                    graceUSec=100_000)))
    assert certificate['result'] == 'timeout'
    beacon.ended()


@CGROUPS
def test_ends_are_told_right(theirs, other, cgroups):
    daemon = theirs(cgroups, 1)
    ids = other(lambda: daemon.submit(*(work_job('exit', n) for n in range(1, 30)), work_job('signal', 9)))
    certificates = daemon.wait(*ids)
    assert [c['status'] for c in certificates[:-1]] == list(range(1, 30))
    assert certificates[-1]['signal'] == 9


@CGROUPS
def test_its_host_is_killed(theirs, other, fifo, cgroups):
    """Its workers keep their statuses, the next generation serves."""
    daemon = theirs(cgroups, 1)
    beacon = fifo()
    ids = [other(lambda n=n: daemon.submit(work_job('polite', beacon.path, 40 + n))) for n in range(5)]
    pids = [beacon.expect('ready') for _ in ids]
    daemon.running(*ids)
    os.kill(daemon.servers()['theirs']['pid'], signal.SIGKILL)
    processes.eventually(lambda: daemon.servers()['theirs']['generation'] == 2)
    daemon.server_state('theirs', 'ready')
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    assert sorted(c['status'] for c in daemon.wait(*ids)) == list(range(40, 45))
    assert other(lambda: daemon.run(work_job('record', '/dev/null')))['generation'] == 2


# ---- who may

def test_who_may_control_it(theirs, other, nobody, forkd):
    daemon = theirs()
    daemon.start_server('ours')
    for verb, more in (('Stop', {}), ('Reload', {}), ('Scale', {'spare': 1})):
        with pytest.raises(varlink.Error) as error:
            other(lambda v=verb, m=more: daemon.server_call(v, 'ours', **m))
        assert error.value.full == 'org.varlink.service.PermissionDenied'
    with pytest.raises(varlink.Error) as error:
        other(lambda: daemon.start_server('ours'))
    assert error.value.name in ('NameTaken', 'PermissionDenied')
    assert other(lambda: daemon.server_call('Reload', 'theirs'))['server']['generation'] == 2
    assert daemon.server_call('Reload', 'theirs')['server']['uid'] == nobody[0]  # root may, and it stays theirs
    other(lambda: daemon.server_call('Stop', 'theirs'))


def test_who_may_run_its_entries(forkd, other, nobody):
    daemon = forkd(servers={'ours': {}, 'open': {'allow': 'nobody'}, 'all': {'allow': '*'}, 'theirs': {'user': 'nobody'}})
    mirror = {'entry': 'mirror', 'arguments': {}}
    for extra in ({}, {'startMethod': 'spawn'}):
        with pytest.raises(varlink.Error) as error:
            other(lambda e=extra: daemon.run({**mirror, **e, 'server': 'ours'}))
        assert error.value.full == 'org.varlink.service.PermissionDenied'
        for name in ('open', 'all', 'theirs'):
            assert other(lambda n=name, e=extra: daemon.run({**mirror, **e, 'server': n}))['result'] == 'success'
            assert daemon.run({**mirror, **extra, 'server': name})['result'] == 'success'
    assert uids(daemon.servers()['theirs']['pid']) == [str(nobody[0])] * 4
    assert uids(daemon.servers()['open']['pid']) == ['0'] * 4


def test_a_one_shot_host_of_another_user(forkd, nobody, directory):
    daemon = forkd(servers={'theirs': {'user': 'nobody'}})
    facts = os.path.join(directory, 'facts')
    os.mkdir(facts)
    os.chmod(facts, 0o777)
    assert daemon.run(work_job('hygiene', facts, startMethod='spawn'))['result'] == 'success'
    status = dict(line.split(':', 1) for line in processes.read(os.path.join(facts, 'status')).splitlines())
    assert status['Uid'].split() == [str(nobody[0])] * 4
    assert sorted(int(g) for g in status['Groups'].split()) == sorted(
        {g.gr_gid for g in grp.getgrall() if 'nobody' in g.gr_mem} | {pwd.getpwnam('nobody').pw_gid})


def test_a_stranger_does_not_see_its_environment(forkd, other):
    daemon = forkd(servers={'ours': {'environment': {'PASSWORD': 'hunter2'}, 'arguments': '{"token": "hunter3"}'}})
    daemon.server_call('Start', 'ours')
    for text in (other(lambda: daemon.server('ours')), other(daemon.servers)):
        assert 'hunter' not in json.dumps(text)


def test_a_module_that_its_user_may_not_read(forkd, programs, other, directory):
    """It is opened with the user's rights, not with root's."""
    import shutil
    secret = os.path.join(directory, 'secret')
    os.mkdir(secret, 0o700)
    module = os.path.join(secret, 'flow.so')
    shutil.copy(programs.find('tests/flow/flow.so'), module)
    daemon = forkd()
    with pytest.raises(varlink.Error) as error:
        other(lambda: daemon.start_server('theirs', [module]))
    assert error.value.name == 'ServerFailed'
    assert 'Permission denied' in error.value.parameters['reason'] or 'cannot open' in error.value.parameters['reason']
    assert daemon.start_server('ours', [module])['state'] == 'ready'


@pytest.mark.timeout(60)
def test_a_users_half(forkd, other):
    """One user cannot take all names."""
    daemon = forkd(module='')

    def start_many():
        for n in range(64):
            try:
                daemon.start_server(f'n{n}', ['numbers'], spare=0)
            except varlink.Error as error:
                return n, error.full, error.parameters
        return None

    number, name, parameters = other(start_many)
    assert (number, name) == (32, 'org.forkd.servers.LimitReached')
    assert parameters['sentence']
    assert daemon.start_server('ours', ['numbers'], spare=0)['state'] == 'ready'
    other(lambda: [daemon.server_call('Stop', f'n{n}') for n in range(32)])


# ---- lies

class Bystander:
    """A process that says through a FIFO which signals it gets, and that must stay where it is."""

    def __init__(self, programs, beacon, uid):
        numbers = [str(n) for n in (1, 2, 3, 10, 12, 15, 18)]
        self.beacon = beacon
        self.pid = os.posix_spawn('/usr/bin/setpriv', [
            'setpriv', f'--reuid={uid}', '--clear-groups', programs.work, 'handle', beacon.path, *numbers], {})
        assert beacon.expect('ready') == self.pid
        self.cgroup = processes.cgroup_of(self.pid)

    def check(self):
        assert self.beacon.silent(0.05)
        assert processes.state(self.pid) == 'S'
        assert processes.cgroup_of(self.pid) == self.cgroup

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def bystander(programs, fifo, nobody, request):
    whose = getattr(request, 'param', 'root')
    process = Bystander(programs, fifo('bystander'), 0 if whose == 'root' else nobody[0])
    yield process
    process.check()
    process.end()


def liar(lie, pid=0):
    return {'command': [PYTHON, '-I', '-B', '-c', f'import sys; sys.path.insert(0, {HELPERS!r}); import liar, host; '
                                            'host.main(liar.Liar)'],
            'arguments': {'lie': lie, 'pid': pid}}


@CGROUPS
@pytest.mark.parametrize('bystander', ['root', 'nobody'], indirect=True)
@pytest.mark.parametrize('lie', ['started', 'number', 'exited', 'running'])
def test_a_host_that_names_a_stranger(theirs, other, bystander, cgroups, lie):
    """A process that is not its worker: never signalled, never moved, by whatever way the job is to be ended."""
    daemon = theirs(cgroups, **liar(lie, bystander.pid))
    certificate = other(lambda: daemon.run(job('echo', {}, timeoutUSec=500_000, graceUSec=100_000)))
    assert certificate['result'], certificate
    bystander.check()
    ids = other(lambda: daemon.submit(job('echo', graceUSec=100_000), job('echo', graceUSec=100_000)))
    with contextlib.suppress(varlink.Error):  # it may have ended
        daemon.call('Kill', ids=[ids[0]], signal=9)
    with contextlib.suppress(varlink.Error):
        daemon.call('Pause', ids=[ids[1]])
    for number in ids:
        with contextlib.suppress(varlink.Error):
            daemon.call('Cancel', ids=[number])
    daemon.wait(*ids)
    bystander.check()
    daemon.server_call('Stop', 'theirs', kill=True)
    bystander.check()


@pytest.mark.parametrize('lie', ['started', 'number', 'exited'])
def test_a_host_that_names_pid_1(theirs, other, spawn, lie):
    daemon = theirs(True, **liar(lie, 1))
    before = processes.cgroup_of(1), processes.start_time(1)
    certificate = other(lambda: daemon.run(job('echo', timeoutUSec=400_000, graceUSec=100_000)))
    assert certificate['result']
    assert (processes.cgroup_of(1), processes.start_time(1)) == before
    assert daemon.run(spawn.succeed())['result'] == 'success'


@pytest.mark.parametrize('whose', ['forkd', 'spawner', 'keeper', 'host'])
@pytest.mark.parametrize('lie', ['started', 'exited'])
def test_a_host_that_names_the_daemons_own(forkd, other, spawn, lie, whose):
    """Also itself: its own pid is no worker of its."""
    daemon = forkd()
    pid = daemon.tree().get(whose, os.getpid())
    assert other(lambda: daemon.start_server('theirs', **liar(lie, pid)))['state'] == 'ready'
    tree = daemon.tree()
    certificate = other(lambda: daemon.run(job('echo', timeoutUSec=400_000, graceUSec=100_000)))
    assert certificate['result']
    assert daemon.tree() == tree
    assert daemon.run(spawn.succeed())['result'] == 'success'


def test_a_host_that_sends_rubbish(theirs, other, spawn):
    """Packets that are none: ignored, or the end of the host; others are served."""
    daemon = theirs(True, **liar('garbage'))
    for _ in range(3):
        with contextlib.suppress(varlink.Error):
            certificate = other(lambda: daemon.run(job('echo', timeoutUSec=2_000_000)))
            assert certificate['result']
        assert daemon.run(spawn.succeed())['result'] == 'success'


def test_a_host_with_far_too_many_entries(forkd, other):
    daemon = forkd()
    with pytest.raises(varlink.Error) as error:
        other(lambda: daemon.start_server('theirs', **liar('entries')))
    assert error.value.name == 'ServerFailed' and '256' in error.value.parameters['reason']


def test_progress_without_end(theirs, other, spawn):
    """The daemon's memory stays bounded, and others are served."""
    daemon = theirs(True, **liar('none'))
    before = processes.rss_kib(daemon.pid)
    client = daemon.connect()
    client.send('Run', {'job': job('flood', graceUSec=100_000)}, more=True)
    first = client.reply()[0]
    while first['state'] != 'running':
        first = client.reply()[0]
    for _ in range(20):  # this client reads nothing more
        assert daemon.run(spawn.succeed())['result'] == 'success'
    assert processes.rss_kib(daemon.pid) - before < 64 << 10
    client.close()
    processes.eventually(lambda: daemon.status()['attached'] == 0)


def served_at_once(daemon, spawn):
    begun = time.monotonic()
    assert daemon.run(spawn.succeed())['result'] == 'success'
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize('lie', ['mute', 'silent', 'shouting'])
def test_a_host_that_holds_nobody_up(theirs, other, spawn, lie):
    """Not others' jobs, nor its own cancellations, nor its own stop."""
    daemon = theirs(True, **liar(lie))
    client = daemon.connect()
    client.send('Run', {'job': job('echo' if lie != 'shouting' else 'flood', graceUSec=0)}, more=True)
    assert client.reply()[0]['state'] == 'starting'
    for _ in range(5):
        served_at_once(daemon, spawn)
    client.close()
    served_at_once(daemon, spawn)
    daemon.server_call('Stop', 'theirs')  # without `kill`: it is told to end, and given 5 s
    assert 'theirs' not in daemon.servers()
    served_at_once(daemon, spawn)


def test_a_host_that_stops_reading(theirs, other, spawn):
    """SIGSTOP: orders pile up within bounds, and the daemon goes on."""
    daemon = theirs(True, config='MaxRunning=50')
    pid = daemon.servers()['theirs']['pid']
    os.kill(pid, signal.SIGSTOP)
    ids = daemon.submit(*(job('mirror', timeoutUSec=600_000, graceUSec=100_000) for _ in range(50)))
    for _ in range(5):
        assert daemon.run(spawn.succeed())['result'] == 'success'
    assert {c['result'] for c in daemon.wait(*ids)} <= {'timeout', 'server-failed', 'lost', 'cancelled'}
    os.kill(pid, signal.SIGCONT)
    assert other(lambda: daemon.run(job('mirror')))['result'] == 'success'
