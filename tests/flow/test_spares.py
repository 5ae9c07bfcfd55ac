# SPDX-License-Identifier: Apache-2.0
"""Workers forked ahead of need: used, refilled, replaced, ended with their forkserver."""

import os
import signal

import pytest

import harness
import processes
import varlink


@pytest.fixture
def work(programs):
    return harness.Work(programs, 'spares')


def idle(server, number=1):
    """The spares of a forkserver, by their titles, from outside."""
    host = server['pid']
    title = f'forkd: {server["name"]}#{server["generation"]} spare'
    def probe():
        pids = [p for p in processes.children(host) if processes.name(p) == title and processes.state(p) == 'S']
        return pids if len(pids) == number else None
    return processes.eventually(probe, what=lambda: processes.describe(processes.children(host)))


def ready(daemon, number, name='flow'):
    """Until forkd knows that so many are ready; their pids, as seen from outside."""
    processes.eventually(lambda: len(daemon.idle(name)) == number, what=lambda: daemon.server(name))
    pids = idle(daemon.servers()[name], number) if number else []
    processes.eventually(lambda: sorted(daemon.idle(name)) == sorted(pids), what=lambda: (pids, daemon.server(name)))
    return pids


def make(forkd, spare=1, **keys):
    return forkd(config='MaxRunning=8', servers={'flow': {'start': 'boot', 'spare': spare, **keys}})


def take(daemon, work, fifo, name):
    """Starts a job that stays, and returns (its id, its pid)."""
    beacon = fifo(name)
    job = daemon.submit(work.forever(beacon))
    return job, beacon.expect('ready')


def test_a_spare_becomes_the_worker(forkd, work, fifo):
    daemon = make(forkd)
    seen = set()
    for turn in range(3):
        spare, = ready(daemon, 1)
        assert spare not in seen
        seen.add(spare)
        job, pid = take(daemon, work, fifo, f'fifo-{turn}')
        assert pid == spare
        daemon.running(job)
        assert daemon.show(job)['status']['pid'] == spare
        assert processes.name(pid) == f'forkd: flow#1 job {job} work'
    assert daemon.preloads('flow') == 1


def test_spares_show_their_memory(forkd):
    daemon = make(forkd, 2)
    ready(daemon, 2)
    workers = daemon.server()['workers']
    assert [w['state'] for w in workers] == ['spare', 'spare']
    for worker in workers:
        private = processes.private_kib(worker['pid']) << 10
        assert private / 2 <= worker['privateBytes'] <= private * 2
        assert worker['sharedBytes'] > worker['privateBytes']
        assert 'job' not in worker and 'entry' not in worker
    server = daemon.servers()['flow']
    assert (server['workers'], server['spares'], server['spare']) == (0, 2, 2)
    assert daemon.status()['running'] == 0


@pytest.mark.cgroups
def test_a_spare_has_a_cgroup_of_its_own(forkd, work, fifo):
    daemon = make(forkd, 2)
    groups = [processes.cgroup_of(p) for p in ready(daemon, 2)]
    assert len(set(groups)) == 2
    assert processes.cgroup_of(daemon.servers()['flow']['pid']) not in groups
    assert all('/forkd-' in g for g in groups)
    job, pid = take(daemon, work, fifo, 'fifo')
    assert processes.cgroup_of(pid) in groups
    daemon.call('Cancel', ids=[job])


def test_more_jobs_than_spares(forkd, work):
    daemon = make(forkd, 2)
    ids = daemon.submit(*(work.entry('mirror', {'i': i}) for i in range(100)))
    assert [c['value']['i'] for c in daemon.wait(*ids)] == list(range(100))
    ready(daemon, 2)


def test_a_killed_spare_is_replaced(forkd, work):
    daemon = make(forkd, 2)
    for _ in range(3):
        first, second = ready(daemon, 2)
        os.kill(first, signal.SIGKILL)
        processes.eventually(lambda p=first: p not in [w['pid'] for w in daemon.server()['workers']])
        assert second in ready(daemon, 2)
        processes.gone(first)
    assert daemon.run(work.succeed())['result'] == 'success'


def test_a_spare_that_dies_as_it_is_taken(forkd, work, directory):
    """Killed again and again while jobs come: each job has an end, and none ran twice."""
    daemon = make(forkd, 1)
    record = os.path.join(directory, 'record')
    ids = []
    for turn in range(30):
        for pid in daemon.idle():
            processes.kill(pid)
        ids.append(daemon.submit(work.job('record', record, turn)))
    certificates = daemon.wait(*ids)
    ran = processes.read(record).split() if os.path.exists(record) else []
    assert len(ran) == len(set(ran))
    for turn, certificate in enumerate(certificates):
        if certificate['result'] == 'success':
            assert str(turn) in ran
        else:
            assert certificate['result'] in ('signal', 'lost', 'server-failed'), certificate
    ready(daemon, 1)


def test_spares_end_by_themselves_with_their_daemon(forkd):
    """TERM reaches one that waits, too."""
    daemon = make(forkd, 2)
    first, second = ready(daemon, 2)
    os.kill(first, signal.SIGTERM)
    processes.gone(first)
    third = [p for p in ready(daemon, 2) if p != second]
    assert daemon.stop() == 0
    processes.gone(*(second, *third))


def test_spares_end_with_their_generation(forkd, work):
    daemon = make(forkd, 2)
    old = ready(daemon, 2)
    daemon.server_call('Reload', 'flow')
    new = ready(daemon, 2)
    processes.gone(*old)
    assert not set(old) & set(new)
    assert daemon.run(work.succeed())['generation'] == 2


def test_spares_end_with_their_forkserver(forkd, work):
    """Stopped, or killed: those of the dead one are nobody's, and end."""
    daemon = make(forkd, 2)
    old = ready(daemon, 2)
    os.kill(daemon.servers()['flow']['pid'], signal.SIGKILL)
    processes.eventually(lambda: daemon.servers()['flow']['generation'] == 2)
    daemon.server_state('flow', 'ready')
    processes.gone(*old)
    new = ready(daemon, 2)
    assert daemon.run(work.succeed())['generation'] == 2
    daemon.server_call('Stop', 'flow')
    processes.gone(*new)


def test_spares_of_a_killed_forkd_end(forkd, work):
    daemon = make(forkd, 2)
    old = ready(daemon, 2)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.restarted()
    processes.gone(*old)
    assert daemon.run(work.succeed())['result'] == 'success'
    ready(daemon, 2)


def test_scale(forkd, work):
    daemon = make(forkd, 0)
    assert daemon.servers()['flow']['spare'] == 0
    for number in (3, 1, 4, 0):
        assert daemon.server_call('Scale', 'flow', spare=number)['server']['spare'] == number
        ready(daemon, number)
        assert daemon.run(work.succeed())['result'] == 'success'
    for number in (-1, 65, 'many'):
        with pytest.raises(varlink.Error) as error:
            daemon.server_call('Scale', 'flow', spare=number)
        assert error.value.full == 'org.varlink.service.InvalidParameter'


def test_spares_are_not_in_the_way(forkd, work, spawn):
    """They take no slot of MaxRunning=, and a drain does not wait for them."""
    daemon = forkd(config='MaxRunning=1', servers={'flow': {'start': 'boot', 'spare': 4}})
    ready(daemon, 4)
    assert daemon.wait(daemon.submit(spawn.succeed()))['result'] == 'success'
    assert daemon.wait(daemon.submit(work.succeed()))['result'] == 'success'
    client = daemon.connect()
    assert list(client.stream('org.forkd.manager.Drain'))[-1]['running'] == 0


def test_a_spare_gets_all_of_the_plan(forkd, work, directory):
    """What could not be known when it was forked: directory, umask, limits, nice, streams."""
    daemon = make(forkd)
    ready(daemon, 1)
    facts = os.path.join(directory, 'facts')
    os.mkdir(facts)
    out = os.path.join(directory, 'out')
    certificate = daemon.run(work.job('hygiene', facts, directory=directory, umask=0o027, nice=3, stdout={'path': out},
                                      limits={'LimitNOFILE': 99}, environment={'A': 'b'}))
    assert certificate['result'] == 'success'
    assert processes.read(os.path.join(facts, 'cwd')) == os.path.realpath(directory)
    assert os.stat(out).st_mode & 0o777 == 0o640
    assert processes.read(os.path.join(facts, 'environ')) == 'A=b\0'
    assert processes.read(os.path.join(facts, 'stat')).rpartition(')')[2].split()[16] == '3'


@pytest.mark.parametrize('module', ['misbehave', 'flow'])
def test_a_hundred_in_a_row_leave_nothing(forkd, work, module):
    """One after the other through the spare, by turns with bursts."""
    daemon = make(forkd, module=f'flow {module}' if module != 'flow' else 'flow')
    for turn in range(50):
        assert daemon.run(work.succeed())['result'] == 'success'
        if turn % 10 == 0:
            assert {c['result'] for c in daemon.wait(*daemon.submit(*(work.succeed() for _ in range(10))))} == {'success'}
    assert daemon.preloads('flow') in (1, 2)  # misbehave counts its own
