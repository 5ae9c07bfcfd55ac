# SPDX-License-Identifier: Apache-2.0
"""Generations: the next one starts while the old one serves, and takes over when it is ready."""

import os
import threading

import pytest

import harness
import processes
import varlink


@pytest.fixture
def work(programs):
    return harness.Work(programs, 'forkserver')


def make(forkd, **keys):
    return forkd(servers={'flow': {'start': 'boot', **keys}})


def test_reload(forkd, work, fifo, gate):
    """A job of the old generation runs to its end; new ones are of the next."""
    daemon = make(forkd, spare=1)
    old = daemon.servers()['flow']['pid']
    beacon, door = fifo(), gate()
    job = daemon.submit(work.job('answer', door.path, beacon.path))
    beacon.expect('ready')
    server = daemon.server_call('Reload', 'flow')['server']
    assert (server['state'], server['generation'], server['starts']) == ('ready', 2, 2)
    assert server['pid'] != old
    assert daemon.preloads('flow') == 2
    generations = {g['generation']: g for g in daemon.server()['generations']}
    assert generations[1]['state'] == 'retired' and generations[1]['workers'] == 1
    assert generations[2]['state'] == 'ready'
    assert daemon.run(work.succeed())['generation'] == 2
    assert processes.state(old)
    door.open()
    certificate = daemon.wait(job)
    assert (certificate['result'], certificate['generation']) == ('success', 1)
    processes.gone(old)
    processes.eventually(lambda: [g['generation'] for g in daemon.server()['generations']] == [2])


@pytest.mark.timeout(60)
@pytest.mark.parametrize('spare', [0, 2])
def test_reload_under_load(forkd, work, spare):
    """Several clients, one job after the other: no job fails, and both generations have run some."""
    daemon = make(forkd, spare=spare)
    stop, lock, certificates, faults = threading.Event(), threading.Lock(), [], []

    def load(attached):
        try:
            while not stop.is_set():
                certificate = (daemon.run(work.succeed()) if attached else
                               daemon.wait(daemon.submit(work.succeed())))
                with lock:
                    certificates.append(certificate)
        except Exception as error:  # pylint: disable=broad-except
            faults.append(error)

    threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        for generation in (2, 3):
            processes.eventually(lambda g=generation: faults or any(c['generation'] == g - 1 for c in list(certificates)))
            assert daemon.server_call('Reload', 'flow')['server']['generation'] == generation
        processes.eventually(lambda: faults or any(c['generation'] == 3 for c in list(certificates)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert {c['result'] for c in certificates} == {'success'}
    assert {c['generation'] for c in certificates} == {1, 2, 3}
    assert {c['server'] for c in certificates} == {'flow'}


def test_jobs_of_two_generations_are_told_apart(forkd, work, fifo):
    daemon = make(forkd)
    beacon = fifo()
    ids = []
    for generation in (1, 2):
        ids.append(daemon.submit(work.forever(beacon)))
        pid = beacon.expect('ready')
        daemon.running(ids[-1])
        assert processes.name(pid) == f'forkd: flow#{generation} job {ids[-1]} work'
        if generation == 1:
            daemon.server_call('Reload', 'flow')
    assert [daemon.show(i)['status']['generation'] for i in ids] == [1, 2]
    assert sorted((w['generation'], w['job']) for w in daemon.server()['workers']) == [(1, ids[0]), (2, ids[1])]
    assert daemon.servers()['flow']['workers'] == 2


def test_reload_whose_next_fails(forkd, work):
    """The old one goes on; the error and the listing have the reason."""
    daemon = make(forkd, spare=1)
    old = daemon.servers()['flow']['pid']
    daemon.configure_server('flow', module='preload-fails', start='boot', spare=1)
    with pytest.raises(varlink.Error) as error:
        daemon.server_call('Reload', 'flow')
    assert error.value.full == 'org.forkd.servers.ServerFailed'
    assert 'preload-fails' in error.value.parameters['reason']
    server = daemon.servers()['flow']
    assert (server['state'], server['pid'], server['generation']) == ('ready', old, 1)
    assert 'preload-fails' in server['reason']
    assert daemon.run(work.succeed())['generation'] == 1
    daemon.configure_server('flow', start='boot', spare=1)
    server = daemon.server_call('Reload', 'flow')['server']
    assert server['state'] == 'ready' and 'reason' not in server
    assert daemon.run(work.succeed())['generation'] == server['generation'] > 1


def test_reload_of_one_that_hangs(forkd, work):
    """The next one's deadline; the old one serves meanwhile."""
    daemon = make(forkd)
    daemon.configure_server('flow', module='preload-hangs', start='boot', timeout='500ms')
    client = daemon.connect()
    client.send('org.forkd.servers.Reload', {'name': 'flow'})
    processes.eventually(lambda: len(daemon.server()['generations']) == 2)
    assert daemon.run(work.succeed())['generation'] == 1
    with pytest.raises(varlink.Error) as error:
        client.reply()
    assert 'longer than' in error.value.parameters['reason']
    assert daemon.run(work.succeed())['generation'] == 1
    daemon.configure_server('flow', start='boot')


def test_reload_reads_the_file_again(forkd):
    daemon = forkd(servers={'flow': {'module': 'flow', 'start': 'boot'}})
    daemon.configure_server('flow', module='flow misbehave', start='boot', spare=2)
    server = daemon.server_call('Reload', 'flow')['server']
    assert server['modules'] == ['flow', 'misbehave'] and server['spare'] == 2
    assert daemon.run({'server': 'flow', 'entry': 'echo', 'arguments': {'n': 1}})['value'] == {'n': 1}
    processes.eventually(lambda: len(daemon.idle()) == 2)
    daemon.server_call('Scale', 'flow', spare=0)


def test_reload_of_what_was_requested(forkd):
    """The same modules again: a new one of them is taken up."""
    daemon = forkd()
    daemon.start_server('mine')
    assert daemon.server_call('Reload', 'mine')['server']['generation'] == 2
    assert daemon.run({'server': 'mine', 'entry': 'mirror'})['generation'] == 2


def test_reloads_at_once(forkd, work):
    """Many clients reload: each gets an answer, and one generation serves in the end."""
    daemon = make(forkd)
    clients = [daemon.connect() for _ in range(5)]
    for client in clients:
        client.send('org.forkd.servers.Reload', {'name': 'flow'})
    for client in clients:
        try:
            assert client.reply()[0]['server']['state'] == 'ready'
        except varlink.Error as error:
            assert error.parameters['sentence']
    processes.eventually(lambda: [g['state'] for g in daemon.server()['generations']] == ['ready'])
    assert daemon.run(work.succeed())['result'] == 'success'


def test_stop_while_both_generations_run(forkd, work, fifo):
    daemon = make(forkd, spare=1)
    beacon = fifo()
    first = daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    daemon.server_call('Reload', 'flow')
    second = daemon.submit(work.forever(beacon))
    beacon.expect('ready')
    pids = [g['pid'] for g in daemon.server()['generations']]
    assert len(pids) == 2
    daemon.server_call('Stop', 'flow', kill=True)
    assert all(c['result'] != 'success' for c in daemon.wait(first, second))
    processes.gone(*pids)
    beacon.ended()


@pytest.mark.parametrize('generation', [1, 2])
def test_a_generation_killed_while_both_run(forkd, work, fifo, generation):
    """Whichever: its job keeps its status, and the forkserver serves on."""
    import signal
    daemon = make(forkd)
    beacon = fifo()
    ids, pids = [], []
    for status in (11, 12):
        ids.append(daemon.submit(work.job('polite', beacon.path, status)))
        pids.append(beacon.expect('ready'))
        daemon.running(ids[-1])
        if status == 11:
            daemon.server_call('Reload', 'flow')
    host = {g['generation']: g['pid'] for g in daemon.server()['generations']}[generation]
    os.kill(host, signal.SIGKILL)
    assert processes.wait_gone(host)
    daemon.server_state('flow', 'ready')
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    assert [c['status'] for c in daemon.wait(*ids)] == [11, 12]
    processes.eventually(lambda: daemon.servers()['flow']['generation'] == (2 if generation == 1 else 3))
    daemon.server_state('flow', 'ready')
    assert daemon.run(work.succeed())['result'] == 'success'
