# SPDX-License-Identifier: Apache-2.0
"""What keeps a job from starting, and what a started one finds itself to be."""

import errno
import os
import grp
import pwd
import re
import select

import pytest

import processes
import varlink


@pytest.fixture
def broken(directory):
    """Files that cannot be run, by what is wrong with them."""
    def make(name, text, mode=0o755):
        path = os.path.join(directory, name)
        with open(path, 'wb') as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    return {
        'missing': os.path.join(directory, 'no-such-program'),
        'forbidden': make('forbidden', b'#!/bin/sh\n', 0o644),
        'empty': make('empty', b''),
        'text': make('text', b'just words\n'),
        'interpreter': make('interpreter', b'#!/no/such/interpreter\n'),
        'truncated': make('truncated', open('/bin/true', 'rb').read()[:20]),
        'directory': directory,
        'below-a-file': '/bin/true/below',
        'loop': make_loop(directory),
    }


def make_loop(directory):
    path = os.path.join(directory, 'loop')
    os.symlink(path, path)
    return path


@pytest.mark.parametrize('what,number', [
    ('missing', errno.ENOENT), ('forbidden', errno.EACCES), ('empty', errno.ENOEXEC), ('text', errno.ENOEXEC),
    ('interpreter', errno.ENOENT), ('truncated', errno.ENOEXEC), ('directory', errno.EACCES),
    ('below-a-file', errno.ENOTDIR), ('loop', errno.ELOOP)])
def test_executables(daemon, broken, what, number):
    for certificate in (daemon.run({'command': [broken[what]]}),
                        daemon.wait(daemon.submit({'command': [broken[what]]}))):
        assert certificate['result'] == 'setup-failed'
        assert certificate['stage'] == 'exec'
        assert certificate['errno'] == number
        assert 'status' not in certificate and 'signal' not in certificate
        assert os.strerror(number) in certificate['sentence']
        assert broken[what] in certificate['sentence']


def test_a_bare_name_is_looked_up_in_the_jobs_path(daemon, directory):
    with open(os.path.join(directory, 'greet'), 'w') as file:
        file.write('#!/bin/sh\nexit 42\n')
    os.chmod(os.path.join(directory, 'greet'), 0o755)
    certificate = daemon.run({'command': ['greet'], 'environment': {'PATH': f'/nowhere:{directory}:/bin'}})
    assert certificate['status'] == 42
    certificate = daemon.run({'command': ['greet'], 'environment': {'PATH': '/nowhere:/bin'}})
    assert (certificate['stage'], certificate['errno']) == ('exec', errno.ENOENT)
    assert daemon.run({'command': ['true'], 'environment': {}})['result'] == 'success'


def test_arguments_too_long(daemon, spawn):
    certificate = daemon.run(spawn.job('exit', '0', 'x' * 200_000))
    assert (certificate['result'], certificate['stage'], certificate['errno']) == ('setup-failed', 'exec', errno.E2BIG)


def test_bad_directory(daemon, work, directory):
    missing = os.path.join(directory, 'missing')
    certificate = daemon.run(work.succeed(directory=missing))
    assert (certificate['result'], certificate['stage'], certificate['errno']) == ('setup-failed', 'directory',
                                                                                   errno.ENOENT)
    assert missing in certificate['sentence']
    assert 'changing directory' in certificate['sentence']
    certificate = daemon.run(work.succeed(directory='/dev/null'))
    assert certificate['errno'] == errno.ENOTDIR


@pytest.mark.parametrize('stream,path,number', [
    ('stdin', 'missing', errno.ENOENT), ('stdout', 'missing/below', errno.ENOENT), ('stderr', '.', errno.EISDIR)])
def test_bad_stdio(daemon, work, directory, stream, path, number):
    certificate = daemon.run(work.succeed(**{stream: {'path': os.path.join(directory, path)}}))
    assert (certificate['result'], certificate['stage'], certificate['errno']) == ('setup-failed', stream, number)


def test_a_fifo_without_another_end_holds_nobody_up(daemon, work, directory):
    os.mkfifo(os.path.join(directory, 'dead-end'))
    os.chmod(os.path.join(directory, 'dead-end'), 0o666)
    certificate = daemon.run(work.succeed(stdout={'path': os.path.join(directory, 'dead-end')}))
    assert certificate['result'] in ('setup-failed', 'success')
    assert daemon.run(work.succeed())['result'] == 'success'


def test_many_failures_do_not_wear_anything_out(daemon, work):
    ids = daemon.submit(*(work.succeed(directory='/no/such/directory') for _ in range(100)))
    assert {c['result'] for c in daemon.wait(*ids)} == {'setup-failed'}
    assert daemon.run(work.succeed())['result'] == 'success'


@pytest.mark.parametrize('job,parameter', [
    ({}, 'command'), ({'command': []}, 'command'), ({'command': ['a'], 'entry': 'work'}, ''),
    ({'command': 'true'}, 'command'), ({'command': ['true', 5]}, 'command'), ({'command': ['true'], 'colour': 1}, 'colour'),
    ({'command': ['true'], 'directory': 'relative'}, 'directory'), ({'command': ['true'], 'priority': 20}, 'priority'),
    ({'command': ['true'], 'priority': 'high'}, 'priority'), ({'command': ['true'], 'umask': -1}, 'umask'),
    ({'command': ['true'], 'stdin': 'file'}, 'stdin'), ({'command': ['true'], 'stdout': 'stdout'}, 'stdout'),
    ({'command': ['true'], 'stdout': {'descriptor': 0}}, 'stdout'), ({'command': ['true'], 'stdout': 5}, 'stdout'),
    ({'command': ['true'], 'environment': {'A=B': 'c'}}, 'environment'),
    ({'command': ['true'], 'environment': {'A': 5}}, 'environment'), ({'command': ['true'], 'limits': {'LimitX': 1}}, ''),
    ({'command': ['true'], 'startMethod': 'fork'}, ''), ({'command': ['true'], 'startMethod': 'teleport'}, 'startMethod'),
    ({'entry': 'work', 'arguments': []}, 'arguments'), ({'command': ['true'], 'timeoutUSec': -1}, 'timeoutUSec'),
    ({'command': ['true'], 'user': 5}, 'user'), ({'command': ['true'], 'after': [{'id': 'x'}]}, 'after'),
])
def test_invalid_jobs(daemon, job, parameter):
    for method, parameters in (('Run', {'job': job}), ('Submit', {'jobs': [job]})):
        with pytest.raises(varlink.Error) as error:
            daemon.call(method, parameters)
        assert error.value.full == 'org.varlink.service.InvalidParameter'
        assert parameter in error.value.parameters['parameter']
        assert error.value.parameters['sentence']


def test_one_bad_job_of_many_accepts_none(daemon, spawn, directory):
    record = os.path.join(directory, 'record')
    with pytest.raises(varlink.Error):
        daemon.submit(spawn.job('record', record), {'command': []}, spawn.job('record', record))
    assert daemon.list() == []
    assert not os.path.exists(record)


# ---- hygiene

class Facts:
    """What a job of word `hygiene` has written of itself."""

    def __init__(self, path):
        self.path = path
        self.fds = {}
        for line in self.read('fd').splitlines():
            number, _, target = line.partition(' ')
            self.fds[int(number)] = target
        self.status = dict(line.split(':', 1) for line in self.read('status').splitlines())
        self.stat = self.read('stat').rpartition(')')[2].split()
        self.environment = dict(e.split('=', 1) for e in self.read('environ').split('\0') if e)
        self.cwd = self.read('cwd')
        self.pid = int(self.status['Pid'])

    def read(self, name):
        return processes.read(os.path.join(self.path, name))

    def field(self, name):
        return self.status[name].split()


@pytest.fixture
def facts(work, directory):
    """Runs `hygiene` with these fields, and reads what it found."""
    def get(daemon, attached=False, **fields):
        path = os.path.join(directory, 'facts')
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o777)
        job = work.job('hygiene', path, **fields)
        certificate = daemon.run(job) if attached else daemon.wait(daemon.submit(job))
        assert certificate['result'] == 'success', certificate
        return Facts(path)
    return get


@pytest.fixture
def poisoned(forkd):
    """A daemon started with signals ignored and blocked, a loose descriptor, a strange umask and directory."""
    import signal

    def poison():
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGALRM, signal.SIGTERM})
        os.umask(0o077)
        os.set_inheritable(os.open('/dev/zero', os.O_RDONLY), True)
        os.nice(3)

    return forkd(preexec=poison, environment={'NOTIFY_ME': 'not', 'LISTEN_FDS': '0', 'FORKD_TEST_CANARY': 'secret'})


@pytest.mark.parametrize('attached', [True, False])
def test_signals_are_at_their_defaults(poisoned, facts, attached):
    found = facts(poisoned, attached)
    for field in ('SigBlk', 'SigIgn', 'SigCgt', 'SigPnd', 'ShdPnd'):
        assert int(found.status[field], 16) == 0, field


@pytest.mark.parametrize('attached', [True, False])
def test_descriptors(poisoned, facts, work, attached):
    found = facts(poisoned, attached)
    expected = {0, 1, 2} if work.commands else {0, 1, 2, 3}
    assert set(found.fds) == expected, found.fds
    assert found.fds[0] == '/dev/null'
    if not work.commands:
        assert found.fds[3].startswith('socket:')
    if attached:
        assert found.fds[1] == found.fds[2] == '/dev/null'
    else:
        assert found.fds[1].endswith('.out') and found.fds[2].endswith('.err')


def test_session(daemon, facts):
    found = facts(daemon)
    group, session, terminal = found.stat[2], found.stat[3], found.stat[4]
    assert int(group) == int(session) == found.pid
    assert terminal == '0'


def test_mask_directory_privileges(poisoned, facts):
    found = facts(poisoned)
    assert int(found.status['Umask'], 8) == 0o022
    assert found.cwd == '/'
    assert found.field('NoNewPrivs') == ['1']
    assert found.field('Threads') == ['1']


def test_mask_and_directory_as_said(daemon, facts, directory):
    found = facts(daemon, umask=0o027, directory=directory)
    assert int(found.status['Umask'], 8) == 0o027
    assert found.cwd == os.path.realpath(directory)


def test_environment_as_given(poisoned, facts):
    given = {'A': '1', 'EMPTY': '', 'WITH': 'a=b c\nd', 'LISTEN_PID': '1', 'LISTEN_FDS': '2', 'LISTEN_FDNAMES': 'x',
             'NOTIFY_SOCKET': '/x', 'FORKD_CHANNEL': '9', 'FORKD_KEEPER': '8', 'WATCHDOG_USEC': '5', 'WATCHDOG_PID': '5'}
    found = facts(poisoned, environment=given)
    assert found.environment == {'A': '1', 'EMPTY': '', 'WITH': 'a=b c\nd'}


def test_environment_by_default(poisoned, facts):
    found = facts(poisoned)
    user = pwd.getpwuid(os.getuid())
    assert set(found.environment) <= {'PATH', 'HOME', 'USER', 'SHELL', 'LANG', 'LOGNAME'}
    assert found.environment['HOME'] == user.pw_dir
    assert found.environment['USER'] == user.pw_name
    assert '/bin' in found.environment['PATH']


def test_nice_and_affinity_and_limits(daemon, facts):
    cpu = max(os.sched_getaffinity(0))
    nice = min(19, os.nice(0) + 5)  # an ordinary user cannot go below its own
    found = facts(daemon, nice=nice, affinity=[cpu], limits={'LimitNOFILE': 123, 'LimitFSIZE': '1000000:2000000'})
    assert found.stat[16] == str(nice)
    assert found.field('Cpus_allowed_list') == [str(cpu)]
    limits = {line[:25].strip(): line[25:].split() for line in found.read('limits').splitlines()}
    assert limits['Max open files'][:2] == ['123', '123']
    assert limits['Max file size'][:2] == ['1000000', '2000000']


def test_oom_score(daemon, facts):
    assert facts(daemon).read('oom_score_adj').strip() == '0'


def test_user_by_default_is_the_caller(daemon, facts):
    found = facts(daemon)
    assert found.field('Uid') == [str(os.getuid())] * 4
    assert found.field('Gid') == [str(os.getgid())] * 4


@pytest.mark.cgroups
def test_cgroup_of_its_own(daemon, facts):
    line = [x for x in facts(daemon).read('cgroup').splitlines() if x.startswith('0::')][0]
    assert '/forkd-' in line
    assert line != '0::' + processes.cgroup_of(daemon.pid)[len(processes.cgroup2_mount()):]


def test_process_title_of_an_entry(daemon, facts, work):
    command = facts(daemon).read('cmdline')
    title = command.replace('\0', ' ').strip()
    if work.method == 'fork':
        assert re.fullmatch(r'forkd: twin job \d+ work', title)
    elif work.server == 'flow':
        assert re.fullmatch(r'forkd: flow#1 job \d+ work', title)
    elif work.method == 'spawn-entry':
        assert re.fullmatch(r'forkd: (flow|twin) job \d+ work', title)
    else:
        assert 'hygiene' in command


def test_descriptors_of_an_attached_job(daemon, work):
    """Run's own pipes come out at 0, 1 and 2, and nowhere else."""
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    job = work.job('copy', stdin={'descriptor': 0}, stdout={'descriptor': 1}, stderr={'descriptor': 2})
    os.write(in_write, b'through the job')
    os.close(in_write)
    certificate = daemon.run(job, [in_read, out_write, err_write])
    assert certificate['result'] == 'success'
    for fd in (in_read, out_write, err_write):
        os.close(fd)
    assert os.read(out_read, 100) == b'through the job'
    # end-of-file at once: nobody in the daemon keeps a copy
    assert os.read(out_read, 100) == b''
    assert os.read(err_read, 100) == b''
    os.close(out_read)
    os.close(err_read)


def test_a_reader_sees_the_end_when_the_job_closes_its_output(daemon, work):
    """While the job runs on: nobody in the daemon holds a copy for longer than the start takes."""
    if work.method == 'spares':
        daemon.wait(daemon.submit(work.succeed()))
        processes.eventually(lambda: len(daemon.idle('flow')) == 2)
    reader, writer = os.pipe()
    with daemon.client() as client:
        client.send('Run', {'job': work.job('mute', stdout={'descriptor': 0})}, [writer])
        os.close(writer)
        assert select.select([reader], [], [], 10)[0], 'the pipe is still open'
        assert os.read(reader, 1) == b''
    os.close(reader)


def test_one_descriptor_for_two_streams(daemon, work):
    reader, writer = os.pipe()
    job = work.job('print', 'out', 'err', stdout={'descriptor': 0}, stderr='stdout')
    assert daemon.run(job, [writer])['result'] == 'success'
    os.close(writer)
    assert os.read(reader, 100) == b'outerr'
    os.close(reader)


def test_stdio_paths(daemon, work, directory):
    path = os.path.join(directory, 'both')
    for append, text in ((False, 'one'), (True, 'two'), (True, 'three')):
        certificate = daemon.run(work.job('print', text, 'E', stdout={'path': path, 'append': append}, stderr='stdout'))
        assert certificate['result'] == 'success'
    assert processes.read(path) == 'oneEtwoEthreeE'
    daemon.run(work.job('print', 'anew', stdout={'path': path}))
    assert processes.read(path) == 'anew'


def test_nothing_of_the_daemons_in_its_listings(daemon, work):
    """The canary of the daemon's environment comes out nowhere."""
    job = daemon.submit(work.exit(1))
    daemon.wait(job)
    import json
    assert 'never-to-be-seen' not in json.dumps([daemon.show(job), daemon.list(), daemon.status()])
    assert 'never-to-be-seen' not in daemon.log()


# ---- other users

def groups_of(name):
    return sorted({g.gr_gid for g in grp.getgrall() if name in g.gr_mem} | {pwd.getpwnam(name).pw_gid})


@pytest.mark.root
def test_root_names_another_user(daemon, facts, work):
    if not work.commands:
        with pytest.raises(varlink.Error):
            daemon.run(work.succeed(user='nobody'))
        return
    user = pwd.getpwnam('nobody')
    found = facts(daemon, user='nobody')
    assert found.field('Uid') == [str(user.pw_uid)] * 4
    assert found.field('Gid') == [str(user.pw_gid)] * 4
    assert sorted(int(g) for g in found.field('Groups')) == groups_of('nobody')
    assert found.environment['HOME'] == user.pw_dir
    assert found.environment['USER'] == 'nobody'


@pytest.mark.root
def test_paths_are_opened_as_the_jobs_user(daemon, spawn, directory):
    """Neither the directory nor the streams are looked at with the daemon's rights."""
    secret = os.path.join(directory, 'secret')
    os.mkdir(secret, 0o700)
    certificate = daemon.run(spawn.succeed(user='nobody', directory=secret))
    assert (certificate['stage'], certificate['errno']) == ('directory', errno.EACCES)
    target = os.path.join(directory, 'target')
    certificate = daemon.run(spawn.job('print', 'x', user='nobody', stdout={'path': target}))
    assert (certificate['stage'], certificate['errno']) == ('stdout', errno.EACCES)
    assert not os.path.exists(target)


def test_unknown_user(daemon, spawn):
    with pytest.raises(varlink.Error) as error:
        daemon.run(spawn.succeed(user='no-such-user'))
    assert error.value.name in ('InvalidParameter', 'PermissionDenied')
