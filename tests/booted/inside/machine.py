# SPDX-License-Identifier: Apache-2.0
"""forkd's units in a booted machine: what systemd, the file system and the journal say of them."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import time

SLOW = int(os.environ.get('FORKD_TEST_SLOW', '1'))  # how much slower than a real machine this one may be
CGROUPS = '/sys/fs/cgroup'
PROGRAMS = ('forkd', 'forkd-keeper', 'forkd-spawner', 'forkd-server', 'forkd-store')


def until(happens, what, seconds=20):
    """Waits for what nobody tells of; the last value of `happens`."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = happens()
        if value:
            return value
        assert time.monotonic() < deadline, f'not within {seconds * SLOW} s: {what}'
        time.sleep(0.02)


def read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return f.read()
    except OSError:
        return ''


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def alive(pid):
    state = read(f'/proc/{pid}/stat').rpartition(')')[2].split()
    return bool(state) and state[0] not in 'ZX'


def processes_named(*names):
    """{pid: program} of all that run one of these programs, whatever title they have."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            program = os.path.basename(os.readlink(f'/proc/{pid}/exe'))
        except OSError:
            continue
        if program in names:
            found[int(pid)] = program
    return found


def parent(pid):
    return int(read(f'/proc/{pid}/stat').rpartition(')')[2].split()[1])


def journal(service, *match):
    """Entries since the test began, as dictionaries."""
    subprocess.run(['journalctl', '--sync'], check=True)
    out = subprocess.run(['journalctl', '-b', '-o', 'json', '--all', f'--after-cursor={service.since}', *match],
                         capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def journal_text(service):
    """Since the test began."""
    subprocess.run(['journalctl', '--sync'], check=True)
    return subprocess.run(['journalctl', '-b', '--no-pager', '-o', 'short-precise', f'--after-cursor={service.since}',
                           *service.journal_match], capture_output=True, text=True, check=False).stdout


class Service:
    """One instance's units, and forkctl as its client."""

    uid = 0
    scope = '--system'
    config = '/etc/forkd'
    runtime = '/run'
    state = '/var/lib/forkd'
    drop_in = '/run/systemd/system/forkd.service.d/test.conf'
    journal_match = ('-u', 'forkd.service')
    since = ''  # a cursor of the journal

    def command(self, *words):
        return list(words)

    def run(self, *words, check=True, timeout=60, text=True, **keywords):
        done = subprocess.run(self.command(*words), capture_output=True, text=text, timeout=timeout * SLOW, check=False,
                              stdin=subprocess.DEVNULL, **keywords)
        assert not check or done.returncode == 0, f'{words}: status {done.returncode}\n{done.stdout}{done.stderr}'
        return done

    def systemctl(self, *words, check=True, timeout=60):
        return self.run('systemctl', self.scope, *words, check=check, timeout=timeout).stdout

    def forkctl(self, *words, **keywords):
        return self.run('forkctl', *words, **keywords)

    def json(self, *words):
        return json.loads(self.forkctl(*words, '--json').stdout)

    def submit(self, *command):
        return self.forkctl('submit', '--', *command).stdout.strip()

    def job(self, job):
        return self.json('show', job)['status']

    def running(self, job):
        """Its pid, once it runs."""
        until(lambda: self.job(job)['state'] == 'running', 'the job runs')
        return self.job(job)['pid']

    def certificate(self, job):
        """Waits for the end."""
        self.forkctl('wait', job)
        return self.job(job)['certificate']

    def property(self, name, unit='forkd.service'):
        return self.systemctl('show', '--value', f'--property={name}', unit).strip()

    def state_of(self, unit='forkd.service'):
        return self.property('ActiveState', unit)

    def keeper(self):
        return int(self.property('MainPID'))

    def daemon(self):
        """forkd's pid."""
        return self.json('status')['pid']

    def cgroup(self):
        return CGROUPS + self.property('ControlGroup')

    def configure(self, text='', name='forkd.conf'):
        before = '[Daemon]\nDrainTimeout=500ms\n' if name == 'forkd.conf' else ''
        write(os.path.join(self.config, name), before + text)

    def override(self, text):
        """A drop-in of the unit."""
        write(self.drop_in, text)
        self.systemctl('daemon-reload')

    def clear(self):
        """As after the installation, but for a drain that is soon over."""
        self.systemctl('stop', 'forkd.service', 'forkd.socket', check=False, timeout=120)
        self.systemctl('reset-failed', 'forkd.service', 'forkd.socket', check=False)
        shutil.rmtree(self.config, ignore_errors=True)
        if os.path.exists(self.drop_in):
            os.unlink(self.drop_in)
            self.systemctl('daemon-reload')
        self.configure()
        self.since = subprocess.run(['journalctl', '-n0', '--show-cursor', '-q'], capture_output=True, text=True,
                                    check=True).stdout.rpartition(' ')[2].strip()

    def left(self):
        """What a stop should not leave."""
        left = [f'{name} ({pid})' for pid, name in processes_named(*PROGRAMS).items()
                if os.stat(f'/proc/{pid}').st_uid == self.uid]
        for folder, folders, _files in os.walk(CGROUPS):
            left += [os.path.join(folder, f) for f in folders if f.startswith('forkd')]
        runtime = os.path.join(self.runtime, 'forkd')
        if os.path.isdir(runtime):
            left += [os.path.join(runtime, name) for name in os.listdir(runtime)]
        if self.state_of() != 'inactive':
            left.append(f'forkd.service {self.state_of()}: {self.property("Result")}')
        return left

    def kill(self, pid, number=signal.SIGKILL):
        os.kill(pid, number)


class User(Service):
    """The units of a user."""

    scope = '--user'
    journal_match = ('--user-unit', 'forkd.service')

    def __init__(self, name):
        user = pwd.getpwnam(name)
        self.name = name
        self.uid = user.pw_uid
        self.runtime = f'/run/user/{user.pw_uid}'
        self.config = f'{user.pw_dir}/.config/forkd'
        self.state = f'{user.pw_dir}/.local/state/forkd'
        self.drop_in = f'{self.runtime}/systemd/user/forkd.service.d/test.conf'

    def command(self, *words):
        return ['runuser', '-u', self.name, '--', 'env', f'XDG_RUNTIME_DIR={self.runtime}',
                f'DBUS_SESSION_BUS_ADDRESS=unix:path={self.runtime}/bus', *words]


SYSTEM = Service()
