# SPDX-License-Identifier: Apache-2.0
"""forkd.socket and forkd.service in their good days: activation, jobs, forkservers, reload, stop."""

import concurrent.futures
import os
import stat
import subprocess

import pytest

import machine

SERVER = '[Server]\nModule=numbers\nStart=boot\nAllowUsers=tester\n'


def as_tester(service, *words, **keywords):
    return service.run('runuser', '-u', 'tester', '--', 'forkctl', *words, **keywords)


@pytest.mark.basic
def test_the_first_connection_activates(forkd):
    assert forkd.state_of('forkd.socket') == 'active'
    assert forkd.state_of() == 'inactive'
    assert stat.S_IMODE(os.stat('/run/forkd/org.forkd').st_mode) == 0o666

    status = forkd.json('status')

    assert forkd.state_of() == 'active'
    assert status['mode'] == 'system'
    assert status['keeperPid'] == forkd.keeper()
    assert status['cgroups'] == 'one cgroup per attempt'
    assert not status.get('warnings')


def test_many_first_connections_are_answered(forkd):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        done = list(pool.map(lambda i: forkd.forkctl('run', '--', 'sh', '-c', f'exit {i}', check=False), range(16)))
    assert [d.returncode for d in done] == list(range(16)), [d.stderr for d in done]
    assert forkd.property('NRestarts') == '0'


@pytest.mark.basic
def test_run(forkd):
    assert as_tester(forkd, 'run', '--', 'id', '-un').stdout == 'tester\n'
    assert forkd.forkctl('run', '--', 'id', '-un').stdout == 'root\n'
    done = forkd.forkctl('run', '--', 'sh', '-c', 'cat /proc/self/cgroup; exit 7', check=False)
    assert done.returncode == 7
    assert f'0::{forkd.property("ControlGroup")}/' in done.stdout


@pytest.mark.basic
def test_submit(forkd):
    job = as_tester(forkd, 'submit', '--', 'sh', '-c', 'echo done; exit 3').stdout.strip()
    assert as_tester(forkd, 'wait', '--exit', job, check=False).returncode == 3
    assert as_tester(forkd, 'logs', job).stdout == 'done\n'
    certificate = forkd.certificate(job)
    assert certificate['status'] == 3, certificate


@pytest.mark.basic
def test_kill_reaches_what_has_escaped(forkd, tmp_path):
    note = tmp_path / 'pid'
    job = forkd.submit('sh', '-c', f'setsid sh -c "echo \\$\\$ >{note}.new; mv {note}.new {note}; '
                                   'trap : TERM; while :; do sleep 100; done" & wait')
    machine.until(note.exists, 'the job has started')
    forkd.forkctl('kill', '-s', 'KILL', job)
    forkd.forkctl('wait', job)
    machine.until(lambda: not machine.alive(note.read_text().strip()), 'what it left behind has ended')


@pytest.mark.basic
def test_forkserver_that_starts_at_boot(forkd):
    forkd.configure(SERVER, 'servers/numbers.conf')
    forkd.json('status')
    server = machine.until(lambda: [s for s in forkd.json('servers')
                                    if s['name'] == 'numbers' and s['state'] == 'ready'], 'it is ready')[0]
    assert server['pid'] in machine.processes_named('forkd-server')
    assert '120' in as_tester(forkd, 'run', '--server=numbers', 'factorial', 'n:=5').stdout


def test_forkserver_of_a_user(forkd):
    as_tester(forkd, 'servers', 'start', 'mine', '--module=numbers')
    pid = [s for s in forkd.json('servers') if s['name'] == 'mine'][0]['pid']
    assert os.stat(f'/proc/{pid}').st_uid == 1500
    as_tester(forkd, 'run', '--server=mine', 'factorial', 'n:=5')
    assert forkd.forkctl('run', '--server=none', 'factorial', check=False).returncode == 125
    as_tester(forkd, 'servers', 'stop', 'mine')


@pytest.mark.basic
def test_reload(forkd):
    forkd.json('status')
    daemon = forkd.daemon()
    forkd.configure('MaxRunning=3\n')
    forkd.configure(SERVER, 'servers/numbers.conf')
    forkd.systemctl('reload', 'forkd.service')
    assert forkd.json('status')['maxRunning'] == 3
    assert 'numbers' in [s['name'] for s in forkd.json('servers')]
    assert forkd.daemon() == daemon


def test_broken_reload_fails_and_changes_nothing(forkd):
    forkd.configure('MaxRunning=3\n')
    daemon = forkd.daemon()
    os.unlink('/etc/forkd/forkd.conf')
    os.mkdir('/etc/forkd/forkd.conf')
    done = forkd.run('systemctl', 'reload', 'forkd.service', check=False)
    assert done.returncode != 0
    assert forkd.state_of() == 'active'
    assert forkd.json('status')['maxRunning'] == 3
    assert forkd.daemon() == daemon
    assert 'could not be read' in machine.journal_text(forkd)


@pytest.mark.basic
def test_stop_leaves_nothing(forkd, tmp_path):
    """What a job has left behind ends with the service, and forkservers do; the fixture looks for all of it."""
    forkd.configure(SERVER, 'servers/numbers.conf')
    note = tmp_path / 'pids'
    forkd.submit('sh', '-c', f'setsid sleep 1000 & echo $! $$ >{note}.new; mv {note}.new {note}; exec sleep 1000')
    machine.until(note.exists, 'the job has started')
    forkd.systemctl('stop', 'forkd.service', 'forkd.socket')
    assert not [p for p in note.read_text().split() if machine.alive(p)]
    assert forkd.property('Result') == 'success'
    assert not forkd.left()


def test_units_verify():
    done = subprocess.run(['systemd-analyze', 'verify', '--man=no', 'forkd.socket', 'forkd.service'],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'forkd' not in done.stderr
