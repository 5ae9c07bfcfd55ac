# SPDX-License-Identifier: Apache-2.0
"""Who may do what. Root runs the daemon, nobody is another client."""

import contextlib
import grp
import os
import pwd
import shutil

import pytest

import harness
import processes
import varlink

pytestmark = pytest.mark.root
METHODS = ('spawn', 'spares')


@pytest.fixture
def other(nobody):
    """Calls a function as nobody, in a process of its own."""
    groups = [g.gr_gid for g in grp.getgrall() if 'nobody' in g.gr_mem] + [12345]
    return lambda function: harness.as_user(*nobody, groups, function)


@pytest.fixture
def ours(daemon, work, fifo):
    """A running job of root's with something to hide."""
    beacon = fifo('ours')
    job = daemon.submit(work.forever(beacon, environment={'PASSWORD': 'hunter2'}, name='ours'))
    beacon.expect('ready')
    return job


@pytest.mark.parametrize('name,parameters', [
    ('Kill', {}), ('Cancel', {}), ('Pause', {}), ('Resume', {}), ('Forget', {}), ('OpenOutput', None)])
def test_a_stranger_may_not(daemon, ours, other, name, parameters):
    with pytest.raises(varlink.Error) as error:
        other(lambda: daemon.call(name, {'id': ours} if parameters is None else {'ids': [ours]}))
    assert error.value.full in ('org.varlink.service.PermissionDenied', 'org.forkd.jobs.NoSuchJob')
    daemon.running(ours)


def test_a_stranger_does_not_see_the_environment(daemon, ours, other):
    try:
        shown = other(lambda: daemon.show(ours))
    except varlink.Error as error:
        assert error.name in ('PermissionDenied', 'NoSuchJob')
        return
    assert 'hunter2' not in str(shown)
    assert 'environment' not in shown['job']


def test_a_stranger_may_not_manage_the_daemon(daemon, other):
    for method in ('Drain', 'Reload'):
        with pytest.raises(varlink.Error) as error:
            other(lambda m=method: daemon.call(f'org.forkd.manager.{m}'))
        assert error.value.full == 'org.varlink.service.PermissionDenied'
    assert not daemon.status()['draining']
    assert other(daemon.status)['pid'] == daemon.pid


def test_a_stranger_may_not_name_another_user(daemon, spawn, other):
    for user in ('root', 'daemon'):
        with pytest.raises(varlink.Error) as error:
            other(lambda u=user: daemon.run(spawn.succeed(user=u)))
        assert error.value.full == 'org.varlink.service.PermissionDenied'


def test_a_strangers_job_is_the_strangers(daemon, spawn, other, nobody, directory):
    """Its command runs as its uid with its groups, and sees only that."""
    facts = os.path.join(directory, 'facts')
    os.mkdir(facts)
    os.chmod(facts, 0o777)
    certificate = other(lambda: daemon.run(spawn.job('hygiene', facts)))
    assert certificate['result'] == 'success', certificate
    status = dict(line.split(':', 1) for line in processes.read(os.path.join(facts, 'status')).splitlines())
    assert status['Uid'].split() == [str(nobody[0])] * 4
    assert status['Gid'].split() == [str(nobody[1])] * 4
    assert '12345' in status['Groups'].split()
    assert '0' not in status['Groups'].split()
    assert int(status['CapEff'], 16) == int(status['CapPrm'], 16) == 0
    environment = processes.read(os.path.join(facts, 'environ'))
    assert f'HOME={pwd.getpwuid(nobody[0]).pw_dir}' in environment.split('\0')


def test_root_ends_a_strangers_job(daemon, spawn, other):
    job = other(lambda: daemon.submit(spawn.forever()))
    assert daemon.show(job)['status']['uid'] == pwd.getpwnam('nobody').pw_uid
    daemon.call('Cancel', ids=[job])
    certificate = daemon.wait(job)
    assert certificate['result'] == 'cancelled'
    assert certificate['cancelledByUid'] == 0


def test_a_stranger_ends_its_own_job(daemon, spawn, other, nobody):
    job = other(lambda: daemon.submit(spawn.forever()))
    other(lambda: daemon.call('Cancel', ids=[job]))
    certificate = daemon.wait(job)
    assert certificate['cancelledByUid'] == nobody[0]


def test_keys_are_a_users_own(daemon, spawn, other):
    job = spawn.exit(1, key='mine')
    ours = daemon.submit(job)
    theirs = other(lambda: daemon.submit(spawn.exit(2, key='mine')))
    assert theirs != ours


def test_forget_all_forgets_ones_own(daemon, spawn, other):
    ours = daemon.submit(spawn.succeed())
    theirs = other(lambda: daemon.submit(spawn.succeed()))
    daemon.wait(ours, theirs)
    assert other(lambda: daemon.call('Forget', finished=True))['forgotten'] == 1
    assert [s['id'] for s in daemon.list()] == [ours]


def test_a_stranger_reads_its_own_output(daemon, spawn, other):
    job = other(lambda: daemon.submit(spawn.job('print', 'theirs')))
    daemon.wait(job)
    assert other(lambda: daemon.output(job)[0].decode()) == 'theirs'


def test_a_set_uid_program_gains_nothing(daemon, programs, other, directory, nobody):
    path = os.path.join(directory, 'suid-work')
    facts = os.path.join(directory, 'facts')
    os.mkdir(facts)
    os.chmod(facts, 0o777)
    shutil.copy(programs.work, path)
    os.chmod(path, 0o4755)
    certificate = other(lambda: daemon.run({'command': [path, 'hygiene', facts]}))
    assert certificate['result'] == 'success', certificate
    status = processes.read(os.path.join(facts, 'status'))
    assert f'Uid:\t{nobody[0]}\t{nobody[0]}\t{nobody[0]}\t' in status


def test_what_only_root_may_set(daemon, spawn, other):
    """A stranger gets what it could have set itself, and a reason for what not."""
    for fields in ({'nice': -5}, {'limits': {'LimitNOFILE': 10_000_000}}):
        try:
            certificate = other(lambda f=fields: daemon.run(spawn.succeed(**f)))
        except varlink.Error as error:
            assert error.name == 'PermissionDenied'
            continue
        assert certificate['result'] == 'setup-failed'
        assert certificate['errno'] in (1, 13)
    assert other(lambda: daemon.run(spawn.succeed(nice=5)))['result'] == 'success'


def test_an_entry_runs_as_its_forkserver(daemon, other, directory):
    """forkd's own modules are for its own user: a stranger is refused, or runs with no rights of root's."""
    facts = os.path.join(directory, 'facts')
    os.mkdir(facts)
    os.chmod(facts, 0o777)
    with contextlib.suppress(varlink.Error):
        other(lambda: daemon.run({'entry': 'work', 'arguments': {'argv': ['hygiene', facts]}}))
        return
    assert os.listdir(facts) == []
