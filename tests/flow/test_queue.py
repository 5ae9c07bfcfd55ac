# SPDX-License-Identifier: Apache-2.0
"""Order, slots, keys, listings."""

import fcntl
import os

import pytest

import processes
import varlink


METHODS = ('spawn', 'spares')


@pytest.fixture
def single(forkd):
    return forkd(config='MaxRunning=1')


@pytest.fixture
def held(single, spawn, fifo, gate):
    """A daemon of one slot, taken until release() is called."""
    beacon, door = fifo('held'), gate('hold')
    job = single.submit(spawn.job('answer', door.path, beacon.path))
    beacon.expect('ready')
    single.running(job)
    single.release = door.open
    return single


def test_first_in_first_out(held, work, directory):
    record = os.path.join(directory, 'record')
    ids = [held.submit(work.job('record', record, i)) for i in range(20)]
    held.release()
    held.wait(*ids)
    assert processes.read(record).split() == [str(i) for i in range(20)]


def test_priorities(held, work, directory):
    """Lower goes first, as with nice; equals in their order."""
    record = os.path.join(directory, 'record')
    order = [0, 5, -20, 19, 0, -1, 5, -20]
    ids = held.submit(*(work.job('record', record, f'{p}/{i}', priority=p) for i, p in enumerate(order)))
    held.release()
    held.wait(*ids)
    expected = [f'{p}/{i}' for p, i in sorted((p, i) for i, p in enumerate(order))]
    assert processes.read(record).split() == expected


def test_max_running(forkd, work, fifo):
    daemon = forkd(config='MaxRunning=3')
    beacon = fifo()
    ids = daemon.submit(*(work.forever(beacon) for _ in range(6)))
    for _ in range(3):
        beacon.expect('ready')
    status = daemon.status()
    assert (status['running'], status['queued'], status['maxRunning']) == (3, 3, 3)
    assert beacon.silent(0.1)
    daemon.call('Kill', ids=[ids[0]], signal=9)
    beacon.expect('ready')
    assert daemon.status()['running'] == 3


def test_attached_jobs_never_wait_behind_queued_ones(held, work):
    held.submit(*(work.succeed() for _ in range(100)))
    assert held.run(work.succeed())['result'] == 'success'
    assert held.status()['queued'] == 100


def test_a_key_submits_once(held, work, directory):
    record = os.path.join(directory, 'record')
    job = work.job('record', record, key='only-once')
    first = held.submit(job)
    assert held.submit(job) == first
    held.release()
    held.wait(first)
    assert held.submit(job) == first
    assert processes.read(record) == 'ran\n'


def test_a_key_twice_in_a_message(held, work, directory):
    record = os.path.join(directory, 'record')
    job = work.job('record', record, key='twins')
    try:
        ids = held.submit(job, job)
        assert ids[0] == ids[1]
    except varlink.Error as error:
        assert error.name in ('KeyConflict', 'InvalidParameter')
        return
    held.release()
    held.wait(ids[0])
    assert processes.read(record) == 'ran\n'


def test_a_key_with_another_job(daemon, work):
    first = daemon.submit(work.exit(1, key='taken'))
    with pytest.raises(varlink.Error) as error:
        daemon.submit(work.exit(2, key='taken'))
    assert error.value.name == 'KeyConflict'
    assert error.value.parameters['key'] == 'taken'
    assert error.value.parameters['id'] == first
    assert error.value.parameters['sentence']
    assert len(daemon.list()) == 1


def sealed(data):
    fd = os.memfd_create('arguments', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd


def test_a_key_with_other_arguments_by_descriptor(daemon):
    def submit(data):
        fd = sealed(data)
        try:
            with daemon.client() as client:
                return client.call('Submit', {'jobs': [{'entry': 'mirror', 'argumentsDescriptor': 0, 'key': 'large'}]},
                                   [fd])['ids'][0]
        finally:
            os.close(fd)

    text = b'{"text": "' + b'y' * 100_000 + b'%d"}'
    first = submit(text % 1)
    assert submit(text % 1) == first
    daemon.wait(first)
    assert submit(text % 1) == first  # also when its arguments are gone
    for other in (text % 2, text % 1 + b' ', b'{}'):
        with pytest.raises(varlink.Error) as error:
            submit(other)
        assert error.value.name == 'KeyConflict'


def test_a_command_too_long_for_a_status(daemon):
    """What just fits the message that submits it is listed all the same."""
    long = daemon.submit({'command': ['true', 'x' * 1_048_400]})
    many = daemon.submit({'command': ['true'] + ['y' * 99] * 2000})
    short = daemon.submit({'command': ['true', 'z' * 1000]})
    daemon.wait(long, many, short)
    listed = {s['id']: s for s in daemon.list()}
    assert listed[long]['command'] == ['true'] and listed[long]['commandTruncated']
    assert listed[many]['command'] == ['true'] + ['y' * 99] * ((65536 - 4) // 99) and listed[many]['commandTruncated']
    assert listed[short]['command'] == ['true', 'z' * 1000] and 'commandTruncated' not in listed[short]
    shown = daemon.show(many)
    assert shown['status'] == listed[many] and len(shown['job']['command']) == 2001
    with pytest.raises(varlink.Error) as error:
        daemon.show(long)
    assert error.value.name == 'LimitReached'


def test_a_forgotten_key_is_free(daemon, work):
    first = daemon.submit(work.exit(1, key='again'))
    daemon.wait(first)
    daemon.call('Forget', ids=[first])
    second = daemon.submit(work.exit(2, key='again'))
    assert second != first


def test_ids_grow(daemon, work):
    ids = [daemon.submit(work.succeed()) for _ in range(5)]
    assert ids == sorted(set(ids))
    assert ids[0] >= 1


def test_ids_are_never_used_twice(forkd, work):
    first = forkd(name='d')
    seen = {first.submit(work.succeed()) for _ in range(3)}
    first.wait(*seen)
    assert first.stop() == 0
    second = forkd(name='d')
    again = {second.submit(work.succeed()) for _ in range(3)}
    assert min(again) > max(seen)
    second.wait(*again)
    os.kill(second.pid, 9)
    second.restarted()
    assert second.submit(work.succeed()) > max(again)


# ---- listings

def test_list(held, work):
    a = held.submit(work.succeed(name='alpha', queue='q1', priority=3))
    b = held.submit(work.succeed(name='beta', queue='q2'))
    listed = {s['id']: s for s in held.list()}
    assert len(listed) == 3
    assert listed[a]['name'] == 'alpha' and listed[a]['queue'] == 'q1' and listed[a]['priority'] == 3
    assert listed[a]['state'] == 'queued'
    assert listed[a]['attached'] is False
    assert listed[a]['uid'] == os.getuid()
    assert listed[a]['startMethod'] == work.start_method
    assert 'startedAtUSec' not in listed[a] and 'certificate' not in listed[a]
    assert [s['id'] for s in held.list(queue='q1')] == [a]
    assert [s['id'] for s in held.list(name='beta')] == [b]
    assert {s['id'] for s in held.list(states=['queued'])} == {a, b}
    assert len(held.list(states=['running'])) == 1
    assert len(held.list(states=['queued', 'running'])) == 3
    assert held.list(states=['finished']) == []
    assert len(held.list(limit=2)) == 2
    with held.client() as client:
        assert {s['id'] for s in client.call('List')['jobs']} == set(listed)
        assert client.call('List', states=['parked']).get('jobs') == []


def test_list_of_nothing(daemon):
    assert daemon.list() == []
    assert daemon.call('List')['jobs'] == []


@pytest.mark.parametrize('filters', [{'states': ['asleep']}, {'states': 'queued'}, {'limit': -1}, {'queue': 5}])
def test_bad_filters(daemon, filters):
    with pytest.raises(varlink.Error) as error:
        daemon.call('List', filters)
    assert error.value.full == 'org.varlink.service.InvalidParameter'


def test_show(daemon, work):
    job = work.exit(4, name='shown', environment={'SECRET': 'x'}, timeoutUSec=9_000_000)
    number = daemon.submit(job)
    daemon.wait(number)
    shown = daemon.show(number)
    assert shown['status']['state'] == 'finished'
    assert shown['status']['certificate']['status'] == 4
    assert shown['status']['queuedAtUSec'] <= shown['status']['startedAtUSec'] <= shown['status']['finishedAtUSec']
    assert shown['job']['name'] == 'shown'
    assert shown['job']['timeoutUSec'] == 9_000_000
    assert shown['job']['environment'] == {'SECRET': 'x'}
    for field in ('command', 'entry', 'arguments'):
        assert shown['job'].get(field) == job.get(field)


def test_show_of_a_running_job(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.forever(beacon))
    pid = beacon.expect('ready')
    daemon.running(job)
    status = daemon.show(job)['status']
    assert status['pid'] == pid
    assert status['attempt'] == 1
    assert 'finishedAtUSec' not in status


def test_show_of_nothing(daemon):
    with pytest.raises(varlink.Error) as error:
        daemon.show(12345)
    assert error.value.name == 'NoSuchJob'
    assert error.value.parameters['id'] == 12345


def test_run_under_more_tells_the_states(daemon, work, fifo, gate):
    beacon, door = fifo(), gate()
    with daemon.client() as client:
        client.send('Run', {'job': work.job('answer', door.path, beacon.path)}, more=True)
        pid = beacon.expect('ready')
        states, seen = [], None
        while True:
            reply, continues = client.reply()
            states.append(reply['state'])
            seen = reply.get('pid', seen)
            if reply['state'] == 'running':
                assert reply['pid'] == pid
                door.open()
            if not continues:
                break
    assert states[-1] == 'finished' and 'running' in states
    assert states == sorted(states, key=['queued', 'starting', 'running', 'finished'].index)


def test_run_without_more_is_one_reply(daemon, work):
    reply = daemon.call('Run', {'job': work.succeed()})
    assert reply['state'] == 'finished'
    assert reply['certificate']['result'] == 'success'
    with pytest.raises(varlink.Error) as error:
        daemon.call('Run', {'job': work.exit(9)})
    assert error.value.full == 'org.forkd.jobs.JobFailed'
    assert error.value.parameters['certificate']['status'] == 9
    assert error.value.parameters['sentence'] == error.value.parameters['certificate']['sentence']


def test_attached_jobs_are_not_kept(daemon, work):
    daemon.run(work.succeed())
    assert daemon.list(states=['finished']) == []
    assert os.listdir(os.path.join(daemon.state, 'output')) == []


# ---- Watch

def watch(client, **parameters):
    client.send('Watch', parameters, more=True)


def test_watch_tells_every_state(held, work):
    job = held.submit(work.exit(2))
    with held.client() as client:
        watch(client, ids=[job])
        first = client.reply()[0]
        assert (first['id'], first['state']) == (job, 'queued')
        held.release()
        states, cursors = ['queued'], [first['cursor']]
        while True:
            reply, continues = client.reply()
            states.append(reply['state'])
            cursors.append(reply['cursor'])
            if not continues:
                break
    assert states[-1] == 'finished'
    assert reply['certificate']['status'] == 2
    assert cursors == sorted(cursors)


def test_watch_of_what_is_finished_ends_at_once(daemon, work):
    job = daemon.submit(work.succeed())
    daemon.wait(job)
    with daemon.client() as client:
        watch(client, ids=[job])
        reply, continues = client.reply()
    assert (reply['state'], continues) == ('finished', False)


def test_watch_goes_on_from_a_cursor(held, work):
    """A client that lost its connection hears what it missed, once."""
    a, b = held.submit(work.exit(1), work.exit(2))
    with held.client() as client:
        watch(client, ids=[a, b])
        seen = [client.reply()[0] for _ in range(2)]
    cursor = max(r['cursor'] for r in seen)
    held.release()
    held.wait(a, b)
    with held.client() as client:
        replies = list(client.stream('Watch', {'ids': [a, b], 'cursor': cursor}))
    states = [(r['id'], r['state']) for r in replies if 'id' in r]
    assert len(states) == len(set(states))
    assert {(a, 'finished'), (b, 'finished')} <= set(states)
    assert (a, 'queued') not in states
    for job in (a, b):
        assert [s for i, s in states if i == job][-1] == 'finished'


def test_watch_of_everything(daemon, work):
    with daemon.client() as client:
        watch(client)
        job = daemon.submit(work.succeed())
        states = []
        while not states or states[-1] != 'finished':
            reply, continues = client.reply()
            assert continues
            if reply.get('id') == job:
                states.append(reply['state'])


def test_watch_of_nothing(daemon):
    with daemon.client() as client, pytest.raises(varlink.Error) as error:
        list(client.stream('Watch', {'ids': [999]}))
    assert error.value.name == 'NoSuchJob'


def test_many_watchers(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.job('polite', beacon.path, 3))
    pid = beacon.expect('ready')
    watchers = [daemon.connect() for _ in range(50)]
    for client in watchers:
        watch(client, ids=[job])
        client.reply()
    os.kill(pid, 15)
    for client in watchers:
        while True:
            reply, continues = client.reply()
            if not continues:
                break
        assert reply['certificate']['status'] == 3


# ---- Forget

def test_forget(held, work):
    running = held.list()[0]['id']
    with pytest.raises(varlink.Error) as error:
        held.call('Forget', ids=[running])
    assert error.value.name == 'WrongState'
    held.release()
    ids = held.submit(work.job('print', 'a'), work.succeed(), work.succeed())
    held.wait(running, *ids)
    assert held.call('Forget', ids=[ids[0]])['forgotten'] == 1
    assert not any(n.startswith(f'{ids[0]}.') for n in os.listdir(os.path.join(held.state, 'output')))
    with pytest.raises(varlink.Error) as error:
        held.show(ids[0])
    assert error.value.name == 'NoSuchJob'
    assert held.call('Forget', finished=True)['forgotten'] == 3
    assert held.list() == []
    assert os.listdir(os.path.join(held.state, 'output')) == []
    assert held.call('Forget', finished=True)['forgotten'] == 0


def test_status_counts(daemon, work):
    before = daemon.status()
    ids = daemon.submit(*(work.succeed() for _ in range(3)))
    daemon.wait(*ids)
    daemon.run(work.exit(1))
    after = daemon.status()
    assert after['finished'] - before['finished'] == 3
    assert after['totalStarted'] - before['totalStarted'] == 4
    assert after['totalFinished'] - before['totalFinished'] == 4
    assert (after['queued'], after['running'], after['attached'], after['parked']) == (0, 0, 0, 0)
    assert after['address'] == daemon.address
    assert after['stateDirectory'] == daemon.state
    assert after['mode'] == ('system' if os.getuid() == 0 else 'user')
    assert after['keeperPid'] == daemon.process.pid
    assert after['warnings'] == []
    names = {s['name']: s for s in after['servers']}
    assert names['spawner']['startMethod'] == 'spawn' and names['twin']['startMethod'] == 'fork'
    assert {s['state'] for s in after['servers']} == {'ready'}
    assert ('flow' in names) == (work.server == 'flow')
    assert 'work' in names['twin']['entries']
    assert names['twin']['preloadUSec'] > 0
