# SPDX-License-Identifier: Apache-2.0
"""forkctl against a real daemon: every verb, and its exit statuses."""

import json
import os
import shutil
import signal
import subprocess

import pytest

import processes


class Forkctl:
    """Runs forkctl with the daemon's address."""

    def __init__(self, programs, daemon, directory):
        self.program = programs.forkctl
        self.directory = directory
        self.environment = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'FORKD_ADDRESS': daemon.address,
                            'LANG': 'C.UTF-8', 'HOME': directory, 'OWN': 'forkctl',
                            'ASAN_OPTIONS': daemon.environment['ASAN_OPTIONS']}

    def start(self, *words, **keywords):
        keywords.setdefault('stdin', subprocess.DEVNULL)
        return subprocess.Popen([self.program, *map(str, words)], env=self.environment, cwd=self.directory,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords)

    def __call__(self, *words, data=None, status=0):
        process = self.start(*words, stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL)
        out, err = process.communicate(data, timeout=20)
        assert process.returncode == status, f'{words}: status {process.returncode}, not {status}\n{out}\n{err}'
        self.err = err
        return out

    def json(self, *words, status=0):
        text = self(words[0], '--json', *words[1:], status=status)
        return json.loads(text) if text.strip() else None


@pytest.fixture
def ctl(programs, daemon, directory):
    if not programs.forkctl:
        pytest.fail('the build folder has no forkctl')
    return Forkctl(programs, daemon, directory)


# ---- exit statuses of run

@pytest.mark.parametrize('status', [0, 1, 3, 42, 124, 125, 126, 127, 128, 255])
def test_run_exits_as_the_job_did(ctl, programs, status):
    ctl('run', '--', programs.work, 'exit', status, status=status)


@pytest.mark.parametrize('number', [1, 2, 6, 9, 11, 15])
def test_run_of_a_killed_job(ctl, programs, number):
    ctl('run', '--', programs.work, 'signal', number, status=128 + number)
    assert signal.Signals(number).name in ctl.err


def test_run_of_what_cannot_run(ctl, directory):
    ctl('run', '--', '/no/such/program', status=127)
    assert '/no/such/program' in ctl.err
    ctl('run', '--', 'no-such-program-in-path', status=127)
    path = os.path.join(directory, 'forbidden')
    open(path, 'w').close()
    ctl('run', '--', path, status=126)
    os.chmod(path, 0o755)
    ctl('run', '--', path, status=126)
    ctl('run', '--directory=/no/such/directory', '--', 'true', status=125)
    assert '/no/such/directory' in ctl.err


def test_run_of_a_job_that_takes_too_long(ctl, programs):
    ctl('run', '--timeout=100ms', '--', programs.work, 'forever', status=124)
    assert 'timed out' in ctl.err


@pytest.mark.parametrize('words', [['frobnicate'], ['run'], ['run', '--colour', '--', 'true'], ['show'], ['show', 'x'],
                                   ['submit', '--method', 'teleport', 'work'], ['list', '--state=asleep'],
                                   ['kill', '-s', 'NOPE', '1'], ['show', '4711'], ['wait', '4711']])
def test_faults_of_use_and_of_forkd(ctl, words):
    ctl(*words, status=125)
    assert ctl.err.startswith('forkctl: ')
    assert len(ctl.err.splitlines()) <= 3


def test_no_daemon(ctl, directory):
    ctl.environment['FORKD_ADDRESS'] = os.path.join(directory, 'nowhere')
    ctl('list', status=125)
    assert 'nowhere' in ctl.err and 'forkd' in ctl.err


# ---- run

def test_run_passes_its_own_streams(ctl, programs):
    assert ctl('run', '--', programs.work, 'copy', data='through\n') == 'through\n'
    assert ctl('run', '--', programs.work, 'print', 'out', 'err') == 'out'
    assert ctl.err == 'err'


def test_run_passes_its_own_environment_and_directory(ctl, directory):
    assert ctl('run', '--', 'sh', '-c', 'echo $OWN $PWD') == f'forkctl {os.path.realpath(directory)}\n'
    assert ctl('run', '--env', 'OWN=other', '--', 'sh', '-c', 'echo $OWN') == 'other\n'
    assert ctl('run', '--clean-env', '--', 'sh', '-c', 'echo "$OWN"') == '\n'


def test_run_of_an_entry(ctl):
    assert json.loads(ctl('run', '--method', 'fork', 'mirror', 'word=x', 'n:=5')) == {'word': 'x', 'n': 5}
    assert json.loads(ctl('run', '--method', 'fork', 'mirror', '{"a": [1]}')) == {'a': [1]}
    ctl('run', '--method', 'fork', 'complain', 'code=Bad', 'text=no such word', status=1)
    assert 'no such word' in ctl.err


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
                                    signal.SIGUSR2, signal.SIGWINCH])
def test_run_forwards_signals(ctl, programs, fifo, number):
    beacon = fifo()
    process = ctl.start('run', '--', programs.work, 'handle', beacon.path, int(number))
    pid = beacon.expect('ready')
    process.send_signal(number)
    beacon.expect(f'signal-{int(number)}')
    os.kill(pid, 9)
    process.communicate(timeout=10)
    assert process.returncode == 128 + 9


def test_run_interrupted(ctl, programs, fifo):
    beacon = fifo()
    process = ctl.start('run', '--', programs.work, 'forever', beacon.path)
    beacon.expect('ready')
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGINT
    beacon.ended()


def test_run_stopped_pauses_the_job(ctl, programs, daemon, fifo, gate):
    beacon, door = fifo(), gate()
    process = ctl.start('run', '--', programs.work, 'answer', door.path, beacon.path)
    beacon.expect('ready')
    process.send_signal(signal.SIGTSTP)
    processes.eventually(lambda: processes.state(process.pid) == 'T')
    processes.eventually(lambda: daemon.status()['paused'] == 1)  # one that has just begun is paused in a moment
    door.push()
    assert beacon.silent(0.2)
    process.send_signal(signal.SIGCONT)
    beacon.expect('byte')
    door.open()
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_killed_forkctl_takes_its_job_along(ctl, programs, fifo):
    beacon = fifo()
    process = ctl.start('run', '--', programs.work, 'forever', beacon.path)
    beacon.expect('ready')
    process.kill()
    process.communicate(timeout=10)
    beacon.ended()


# ---- forkservers

def test_servers(ctl, daemon):
    """From the start of one to its end."""
    ctl('servers', 'start', 'mine', '--module', 'flow', '--spare', '1', '--arguments', '{"a": 1}')
    table = ctl('servers')
    assert 'mine' in table and 'ready' in table and 'spawner' in table
    assert ctl('servers', 'list') == table or 'mine' in table
    assert json.loads(ctl('run', '--server', 'mine', 'mirror', 'word=x', 'n:=5')) == {'word': 'x', 'n': 5}
    job = ctl('submit', '--server', 'mine', 'mirror', '{"a": [1]}').strip()
    ctl('wait', '--exit', job)
    assert 'mine#1' in ctl('show', job)
    shown = ctl('servers', 'show', 'mine')
    assert 'mirror' in shown and 'returns its arguments' in shown and 'flow' in shown
    assert ctl.json('servers', 'show', 'mine')['server']['name'] == 'mine'
    ctl('servers', 'scale', 'mine', '--spare', '3')
    assert daemon.servers()['mine']['spare'] == 3
    ctl('servers', 'reload', 'mine')
    assert daemon.servers()['mine']['generation'] == 2
    ctl('servers', 'stop', 'mine')
    assert daemon.servers().get('mine', {'state': 'stopped'})['state'] == 'stopped'


def test_servers_that_fail(ctl):
    """The reason, in a line, and where it is asked for."""
    ctl('servers', 'start', 'bad', '--module', 'preload-fails', status=125)
    assert 'preload-fails' in ctl.err and 'No such file or directory' in ctl.err
    line, = [x for x in ctl('servers').splitlines() if x.split()[:1] == ['bad']]
    assert 'failed' in line and 'preload-fails' in line
    shown = ctl('servers', 'show', 'bad')
    assert 'No such file or directory' in shown and 'there is no such model' in shown
    ctl('run', '--server', 'bad', 'nothing', status=125)
    assert 'preload-fails' in ctl.err
    ctl('servers', 'show', 'nosuch', status=125)
    assert 'nosuch' in ctl.err
    ctl('run', '--server', 'nosuch', 'mirror', status=125)
    assert 'nosuch' in ctl.err


def test_servers_of_a_path(ctl, programs, directory):
    """A relative path is of the caller's directory."""
    shutil.copy(programs.find('tests/flow/flow.so'), os.path.join(directory, 'own.so'))
    ctl('servers', 'start', 'own', '--module', './own.so')
    assert json.loads(ctl('run', '--server', 'own', 'mirror', 'a=b')) == {'a': 'b'}
    assert json.loads(ctl('run', '--method', 'spawn', '--server', 'own', 'mirror', 'a=b')) == {'a': 'b'}


def test_servers_of_a_command(ctl):
    host = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'helpers', 'host.py')
    ctl('servers', 'start', 'py', '--env', 'COLOUR=blue', '--', '/usr/bin/python3', '-I', host)
    value = json.loads(ctl('run', '--server', 'py', 'facts'))
    assert value['preloaded']['environment']['COLOUR'] == 'blue'
    assert value['environment']['OWN'] == 'forkctl'


# ---- submit and what follows

def test_submit_and_wait(ctl, daemon, programs):
    job = int(ctl('submit', '--name=first', '--priority=5', '--', programs.work, 'exit', '3'))
    ctl('wait', job)
    ctl('wait', '--exit', job, status=3)
    shown = daemon.show(job)
    assert shown['job']['name'] == 'first' and shown['job']['priority'] == 5
    assert shown['job']['key']
    assert 'exited with status 3' in ctl('show', job)
    assert ctl.json('show', job)['status']['certificate']['status'] == 3


@pytest.mark.parametrize('words,status', [(['signal', '9'], 137), (['exit', '0'], 0)])
def test_wait_exit(ctl, programs, words, status):
    job = ctl('submit', '--', programs.work, *words).strip()
    ctl('wait', '--exit', job, status=status)


def test_wait_exit_of_a_timeout(ctl, programs):
    job = ctl('submit', '--timeout=50ms', '--', programs.work, 'forever').strip()
    ctl('wait', '--exit', job, status=124)


def test_submit_an_entry(ctl):
    job = ctl('submit', '--method', 'fork', 'mirror', 'a=b').strip()
    ctl('wait', job)
    assert ctl.json('show', job)['status']['certificate']['value'] == {'a': 'b'}


def test_submit_a_file(ctl, daemon, programs, directory):
    lines = ''.join(json.dumps({'command': [programs.work, 'exit', str(n)]}) + '\n' for n in range(5))
    ids = [int(i) for i in ctl('submit', '--file', '-', data=lines).split()]
    assert [c['status'] for c in daemon.wait(*ids)] == list(range(5))
    path = os.path.join(directory, 'jobs')
    with open(path, 'w') as file:
        file.write(lines)
    assert len(ctl('submit', '--file', path).split()) == 5
    ctl('submit', '--file', '-', data='{"command": 5}\n', status=125)
    assert ctl.err


def test_a_key_submits_once(ctl, programs):
    words = ['submit', '--key=once', '--', programs.work, 'exit', '0']
    assert ctl(*words) == ctl(*words)
    ctl('submit', '--key=once', '--', programs.work, 'exit', '1', status=125)


def test_list(ctl, programs):
    job = ctl('submit', '--name=wide name', '--', programs.work, 'exit', '3').strip()
    ctl('wait', job)
    table = ctl('list')
    assert job in table and 'finished' in table and '\x1b' not in table
    listed = ctl.json('list')
    listed = listed if isinstance(listed, list) else listed.get('jobs', [listed])
    assert [s['id'] for s in listed] == [int(job)]
    assert job not in ctl('list', '--state=running')


def test_logs(ctl, programs):
    job = ctl('submit', '--', programs.work, 'print', 'out\n', 'err\n').strip()
    ctl('wait', job)
    assert ctl('logs', '--stdout', job) == 'out\n'
    assert 'err\n' in ctl('logs', '--stderr', job) + ctl.err
    both = ctl('logs', job) + ctl.err
    assert 'out\n' in both and 'err\n' in both


def test_logs_follow(ctl, programs, gate, directory):
    """What comes while it looks, and an end when the job ends."""
    door = gate()
    script = f'echo first; read x < {door.path}; echo second'
    job = ctl('submit', '--', 'sh', '-c', script).strip()
    process = ctl.start('logs', '-f', job)
    assert process.stdout.readline() == 'first\n'
    door.push(b'go\n')
    assert process.stdout.readline() == 'second\n'
    out, _ = process.communicate(timeout=10)
    assert out == '' and process.returncode == 0


def test_kill_cancel_pause_resume(ctl, daemon, programs, fifo):
    beacon = fifo()
    job = ctl('submit', '--', programs.work, 'handle', beacon.path, '10', '12').strip()
    beacon.expect('ready')
    ctl('kill', '-s', 'USR1', job)
    beacon.expect('signal-10')
    ctl('kill', '-s', '12', job)
    beacon.expect('signal-12')
    ctl('pause', job)
    assert daemon.state_of(int(job)) == 'paused'
    ctl('pause', '999', status=125)
    ctl('resume', job)
    assert daemon.state_of(int(job)) == 'running'
    ctl('cancel', job)
    assert daemon.wait(int(job))['result'] == 'cancelled'


def test_forget(ctl, daemon, programs):
    first, second = (ctl('submit', '--', programs.work, 'exit', '0').strip() for _ in range(2))
    ctl('wait', first, second)
    ctl('forget', first)
    assert [s['id'] for s in daemon.list()] == [int(second)]
    ctl('forget', '--finished')
    assert daemon.list() == []


def test_status_reload_drain(ctl, daemon):
    assert str(daemon.pid) in ctl('status')
    assert ctl.json('status')['pid'] == daemon.pid
    daemon.configure('Colour=blue')
    ctl('reload')
    assert 'Colour' in daemon.status()['warnings'][0]
    ctl('drain')
    assert daemon.status()['draining']
    ctl('submit', '--', 'true', status=125)
    assert 'drain' in ctl.err


@pytest.mark.parametrize('verb', ['submit', 'run', 'list', 'show', 'wait', 'kill', 'cancel', 'pause', 'resume', 'logs',
                                  'forget', 'status', 'reload', 'drain', 'servers'])
def test_help(ctl, verb):
    text = ctl(verb, '--help')
    assert verb in text and '--json' in text


def test_a_closed_pipe_is_no_complaint(ctl, daemon, spawn):
    daemon.wait(*daemon.submit(*(spawn.succeed(name='n' * 200) for _ in range(500))))
    process = ctl.start('list')
    process.stdout.close()
    err = process.stderr.read()
    process.wait(10)
    assert err == ''


def test_json_of_every_verb(ctl, daemon, programs):
    """Valid JSON, or nothing."""
    job = str(ctl.json('submit', '--', programs.work, 'print', 'x'))
    job = ''.join(c for c in job if c.isdigit())
    daemon.wait(int(job))
    for words in (['list'], ['show', job], ['wait', job], ['status'], ['reload'], ['forget', job]):
        ctl.json(*words)
    assert ctl.json('run', '--', programs.work, 'exit', '0', status=0) is not None
