# SPDX-License-Identifier: Apache-2.0
"""A private daemon per test: starts it, waits for its READY=1, and looks, when it is over, for everything that
it might have left: processes, zombies, cgroups, descriptors, files, complaints of sanitizers."""

import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import time

import processes
import varlink
from fifos import Fifo, Gate  # noqa: F401

FINISHED = 'finished'
NUMBERS = itertools.count(1)
READY_TIMEOUT = 20
STOP_TIMEOUT = 20
PATIENCE = 5  # how long what is on its way out may take
# What may stand in a state directory besides output/ID.out and output/ID.err of jobs not yet forgotten.
STATE_FILES = {'lock', 'ids', 'output'}
# The suite's methods: how the worker of a job comes to be. The first runs commands, the others entries.
METHODS = ('spawn', 'fork', 'spawn-entry', 'forkserver', 'spares')
ENTRIES = METHODS[1:]
SPARES = {'forkserver': 0, 'spares': 2}
COMPLAINTS = ('AddressSanitizer', 'LeakSanitizer', 'runtime error:', 'Assertion', 'assertion')


class Programs:
    """Where the build folder has them."""

    def __init__(self, build):
        self.build = build
        self.forkd = self.find('daemon/forkd/forkd')
        self.keeper = self.find('daemon/keeper/forkd-keeper')
        self.spawner = self.find('daemon/server/forkd-spawner')
        self.server = self.find('daemon/server/forkd-server')
        self.forkctl = self.find('client/forkctl')
        self.work = self.find('tests/flow/work')
        self.modules = ':'.join(os.path.join(build, d) for d in ('tests/flow', 'tests/modules', 'examples'))
        self.sanitized = bool(self.forkd) and b'__asan_init' in read_bytes(self.forkd)

    def find(self, path):
        path = os.path.join(self.build, path)
        return path if os.path.exists(path) else None


def read_bytes(path):
    with open(path, 'rb') as file:
        return file.read()


class NotReady(Exception):
    """The daemon ended before it was ready: status and log say how."""

    def __init__(self, status, log):
        self.status = status
        self.log = log
        super().__init__(f'ended with status {status} before it was ready:\n{log}')


class Notify:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.lines = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.socket.setblocking(False)

    def wait(self, line, timeout, pid=None):
        """Until a datagram has the line; False when the process pid ends before."""
        watched = [self.socket]
        pidfd = os.pidfd_open(pid) if pid else None
        if pidfd is not None:
            watched.append(pidfd)
        deadline = time.monotonic() + timeout
        try:
            while True:
                ready = select.select(watched, [], [], max(0, deadline - time.monotonic()))[0]
                if self.socket in ready:
                    new = self.socket.recv(4096).decode().splitlines()
                    self.lines += new
                    if line in new:
                        return True
                elif pidfd is not None and pidfd in ready:
                    return False
                elif not ready:
                    raise AssertionError(f'no {line} within {timeout} s, only {self.lines}')
        finally:
            if pidfd is not None:
                os.close(pidfd)

    def close(self):
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class Daemon:
    """One forkd, under its keeper or alone, with a directory of its own."""

    def __init__(self, programs, directory, keeper=True, module='flow', config='', cgroups=True, options=(),
                 environment=None, listen=(), clean=True, preexec=None, keeper_options=(), method=None,
                 servers=None):
        self.programs = programs
        self.directory = directory
        self.keeper = keeper
        self.clean = clean  # look for leftovers at the end
        self.options = list(options)
        self.keeper_options = list(keeper_options)
        self.listen = list(listen)
        self.preexec = preexec
        self.runtime, self.state, self.config = (os.path.join(directory, d) for d in ('run', 'state', 'config'))
        self.address = os.path.join(self.runtime, 'org.forkd')
        self.log_path = os.path.join(directory, 'log')
        self.count_path = os.path.join(directory, 'preloads')
        self.process = None
        self.clients = []
        self.descriptors = {}
        self.at_start = {}
        for path in (self.config, self.runtime, self.state):
            os.makedirs(path, mode=0o755, exist_ok=True)
        self.configure(config, module)
        self.environment = {
            'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': directory, 'LANG': 'C.UTF-8', 'TZ': 'UTC',
            'FORKD_LIBEXEC_DIR': os.path.dirname(programs.spawner or programs.forkd),
            'FORKD_MODULE_PATH': programs.modules,
            'FORKD_TEST_COUNT': self.count_path,
            'FORKD_TEST_CANARY': 'never-to-be-seen-by-a-job',
            'ASAN_OPTIONS': 'handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0:'
                            'disable_coredump=0:detect_stack_use_after_return=0:quarantine_size_mb=16',
            'UBSAN_OPTIONS': 'print_stacktrace=1',
        }
        if not cgroups:
            self.environment['FORKD_CGROUP'] = 'off'
        self.environment.update(environment or {})
        self.not_at_boot = set()
        if servers is None and method in ('spawn-entry', 'forkserver', 'spares'):
            # at boot where every job is for it, so that it is there when the start is looked at
            servers = {'flow': {'module': module, 'start': 'boot' if method in SPARES else 'use',
                                'spare': SPARES.get(method, 0)}}
        for server, keys in (servers or {}).items():
            self.configure_server(server, **keys)

    def configure_server(self, name, text='', module='flow', environment=None, pool='', limits='', **keys):
        """Writes servers/NAME.conf. What it preloads is counted in a file of its own: preloads(NAME)."""
        lines = ['[Server]']
        lines += [f'Module={m}' for m in (module or '').split()]
        given = {'FORKD_TEST_COUNT': f'{self.count_path}-{name}', **(environment or {})}
        with open(given['FORKD_TEST_COUNT'], 'a', encoding='utf-8') as file:
            os.chmod(file.fileno(), 0o666)  # it may run as another user
        if self.programs.sanitized:
            given['ASAN_OPTIONS'] = self.environment['ASAN_OPTIONS']
        lines += [f'Environment={n}={v}' for n, v in given.items()]
        names = {'start': 'Start', 'user': 'User', 'command': 'Command', 'arguments': 'Arguments',
                 'timeout': 'PreloadTimeout', 'allow': 'AllowUsers', 'huge': 'HugePages'}
        spare = keys.pop('spare', 0)
        (self.not_at_boot.discard if keys.get('start') == 'boot' else self.not_at_boot.add)(name)
        lines += [f'{names[k]}={v}' for k, v in keys.items()]
        lines += [text, '[Pool]', f'Spare={spare}', pool, '[Limits]', limits]
        os.makedirs(os.path.join(self.config, 'servers'), exist_ok=True)
        path = os.path.join(self.config, 'servers', f'{name}.conf')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')
        return path

    def configure(self, text='', module='flow'):
        """Writes forkd.conf: text is of section [Daemon]."""
        with open(os.path.join(self.config, 'forkd.conf'), 'w', encoding='utf-8') as file:
            file.write('[Daemon]\n')
            for name in (module or '').split():
                file.write(f'Module={name}\n')
            file.write(text + '\n')

    # ---- start and end

    def command(self):
        arguments = [f'--runtime={self.runtime}', f'--state={self.state}', f'--config={self.config}', *self.options]
        if self.keeper:
            return [self.programs.keeper, f'--forkd={self.programs.forkd}', *self.keeper_options, *arguments]
        return [self.programs.forkd, *arguments]

    def launch(self, notify):
        environment = dict(self.environment, NOTIFY_SOCKET=notify.path)
        command = self.command()
        fds = []
        if self.listen:
            # sd_listen_fds(3): from 3 on, and for this very pid
            fds = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for s in self.listen]
            moves = ' '.join(f'{3 + i}<&{fd} {fd}<&-' for i, fd in enumerate(fds))
            script = f'export LISTEN_PID=$$ LISTEN_FDS={len(fds)}; exec "$@" {moves}'
            command = ['/bin/bash', '-c', script, 'bash', *command]
        with open(self.log_path, 'ab') as log:
            process = subprocess.Popen(command, env=environment, cwd='/', stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, preexec_fn=self.preexec, pass_fds=fds, start_new_session=True)
        for fd in fds:
            os.close(fd)
        return process

    def start(self, settled=True):
        """Waits for READY=1 and, unless told otherwise, for all forkservers."""
        self.notify = Notify(os.path.join(self.directory, f'notify-{next(NUMBERS)}'))
        self.process = self.launch(self.notify)
        if not self.notify.wait('READY=1', READY_TIMEOUT, self.process.pid):
            raise NotReady(self.process.wait(), self.log())
        return self.rebase(settled)

    def rebase(self, settled=True):
        """From here on the end is compared with what the daemon is now: after a start, or a test's own damage."""
        self.pid = self.status()['pid']
        if settled:
            # the pid too: what tells of it may come after what tells of the readiness
            processes.eventually(lambda: all(s['state'] == 'ready' and s.get('pid') or s['name'] in self.not_at_boot
                                             for s in self.status()['servers']), what=lambda: self.status()['servers'])
            processes.eventually(lambda: all(len(self.idle(n)) == s['spare'] for n, s in self.named().items()),
                                 what=self.named)
        self.descriptors = self.count_descriptors()
        self.at_start = {n: s['spare'] for n, s in self.named().items()}
        return self

    def restarted(self):
        """Waits for the forkd that follows the one that ended, and takes it as the start."""
        assert self.notify.wait('READY=1', READY_TIMEOUT, self.process.pid), self.log()
        return self.rebase()

    def log(self):
        return processes.read(self.log_path)

    def stop(self, number=signal.SIGTERM, timeout=STOP_TIMEOUT):
        """Signals the top process and waits for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout)

    def ended(self):
        return self.process is None or self.process.poll() is not None

    def close(self):
        """The end of the test: cancels what runs, compares with the start, stops, looks for leftovers."""
        try:
            if not self.ended() and self.clean:
                self.settle()
                self.check_idle()
            if not self.ended():
                status = self.stop()
                assert status == 0 or not self.clean, f'a clean stop ended with status {status}'
                if self.clean:
                    self.check_files()
            self.check_log()
        finally:
            for client in self.clients:
                client.close()
            if hasattr(self, 'notify'):
                self.notify.close()
            if not self.ended():
                self.end_tree()

    def end_tree(self):
        """A daemon that did not stop: all of its tree, from the top, so that nothing is restarted."""
        pids = [self.process.pid] + processes.descendants(self.process.pid)
        for pid in pids:
            processes.kill(pid, signal.SIGKILL)
        self.process.wait()

    def settle(self):
        """Cancels every job and waits until none is left."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        for job in self.list(states=['queued', 'starting', 'running', 'paused', 'stopping', 'parked']):
            with contextlib.suppress(varlink.Error):  # it may have ended, and an attached one is then unknown
                self.call('Cancel', ids=[job['id']])
                if not job['attached']:
                    self.wait(job['id'])
        processes.eventually(lambda: self.status()['attached'] == 0)
        for name, server in self.named(everyone=True).items():
            with contextlib.suppress(varlink.Error):
                if name not in self.at_start:
                    self.server_call('Stop', name, kill=True)
                elif server['spare'] != self.at_start[name]:
                    self.server_call('Scale', name, spare=self.at_start[name])

    # ---- what is left

    def tree(self):
        """{'keeper': pid, 'forkd': pid, 'spawner': pid, 'twin': pid, …} of the daemon's own processes."""
        result = {'forkd': self.pid}
        if self.keeper:
            result['keeper'] = self.process.pid
        for server in self.status()['servers']:
            if server.get('pid') and server['state'] == 'ready':
                result[server['name']] = server['pid']
        return result

    def count_descriptors(self):
        """{pid: {kind: number}} of our own processes; cgroups kept ready and timers made late are left out."""
        result = {}
        for pid in self.tree().values():
            kinds = {}
            for target in processes.descriptors(pid).values():
                if 'cgroup' in target or 'timerfd' in target:
                    continue
                kind = target.split(':')[0] if target.startswith(('socket:', 'pipe:')) else target
                kinds[kind] = kinds.get(kind, 0) + 1
            result[pid] = kinds
        return result

    def check_idle(self):
        """Idle, the daemon has what it had at its start, and not a zombie."""
        def differences():
            result = []
            now = self.count_descriptors()
            for pid, kinds in self.descriptors.items():
                for kind in kinds.keys() | now.get(pid, kinds).keys():
                    was, is_now = kinds.get(kind, 0), now.get(pid, kinds).get(kind, 0)
                    # a forkserver that has just said it is ready may not have made its epoll yet
                    if is_now > max(was, 'eventpoll' in kind):
                        result.append(f'process {pid} has {is_now} × {kind}, {was} at its start')
            own = set(self.tree().values())
            strangers = [p for p in processes.descendants(self.process.pid) if p not in own]
            for name, server in self.named().items():
                spares = [p for p in processes.children(server['pid']) if processes.state(p) == 'S' and
                          processes.name(p) in (f'forkd: {name}#{server["generation"]} spare', server['command'])]
                if len(spares) <= server['spare']:  # fewer while it drains
                    strangers = [p for p in strangers if p not in spares]
            if strangers:
                result.append('processes left: ' + processes.describe(strangers))
            return result

        processes.eventually(lambda: not differences(), PATIENCE, lambda: '; '.join(differences()))

    def check_files(self):
        left = [n for n in os.listdir(self.runtime)
                if not self.listen and stat.S_ISSOCK(os.lstat(os.path.join(self.runtime, n)).st_mode)]
        assert not left, f'sockets left in the runtime directory: {left}'
        unknown = [n for n in os.listdir(self.state) if n not in STATE_FILES]
        assert not unknown, f'undocumented files in the state directory: {unknown}'

    def check_log(self):
        if os.path.exists(self.log_path):
            bad = [line for line in self.log().splitlines() if any(c in line for c in COMPLAINTS)]
            assert not bad, f'complaints in the log: {bad[:5]}'

    # ---- conversation

    def connect(self, timeout=20):
        """A connection that close() ends."""
        client = varlink.Client(self.address, timeout)
        self.clients.append(client)
        return client

    def client(self, timeout=20):
        """A connection for `with`."""
        return varlink.Client(self.address, timeout)

    def call(self, method, parameters=None, **keywords):
        with self.client() as client:
            return client.call(method, parameters, **keywords)

    def status(self):
        return self.call('org.forkd.manager.Status')

    def submit(self, *jobs):
        """Submits and returns the id, or the ids of several."""
        ids = self.call('Submit', {'jobs': list(jobs)})['ids']
        assert len(ids) == len(jobs)
        return ids[0] if len(jobs) == 1 else ids

    def run(self, job, fds=()):
        """Runs attached, under more; the certificate, whatever the end."""
        with self.client() as client:
            return run(client, job, fds)

    def wait(self, *ids):
        """Until all have finished; the certificate, or those of several in their order."""
        found = {}
        with self.client() as client:
            for reply in client.stream('Watch', {'ids': list(ids)}):
                if reply.get('state') == FINISHED:
                    found[reply['id']] = reply['certificate']
        assert set(found) == set(ids), f'Watch ended without {set(ids) - set(found)}'
        certificates = [found[i] for i in ids]
        return certificates[0] if len(ids) == 1 else certificates

    def wait_state(self, job, state):
        """Until the job has been seen in that state, by Watch."""
        with self.client() as client:
            for reply in client.stream('Watch', {'ids': [job]}):
                if reply.get('state') == state:
                    return reply
        raise AssertionError(f'job {job} has never been {state}')

    def running(self, *jobs):
        """Until these are known to run: a job may speak before its forkserver has said that it started."""
        for job in jobs:
            self.wait_state(job, 'running')

    def show(self, job):
        return self.call('Show', id=job)

    def state_of(self, job):
        return self.show(job)['status']['state']

    def list(self, **filters):
        with self.client() as client:
            return [r['job'] for r in client.stream('List', filters) if r.get('job')]

    def output(self, job, stream='stdout'):
        """(text, lost) of OpenOutput."""
        with self.client() as client:
            reply = client.call('OpenOutput', id=job, stream=stream)
            with os.fdopen(client.fds.pop(reply['descriptor']), 'rb') as file:
                return file.read(), reply['lost']

    def preloads(self, server=None):
        """How often the module was preloaded, by its own count: in forkd, or in that forkserver."""
        path = f'{self.count_path}-{server}' if server else self.count_path
        return processes.read(path).count('preload') if os.path.exists(path) else 0

    # ---- forkservers

    def servers(self):
        return {s['name']: s for s in self.call('org.forkd.servers.List')['servers']}

    def named(self, everyone=False):
        """Those that are not built in: all, or only the ready ones."""
        if not self.programs.server:
            return {}
        return {n: {**s, 'command': ' '.join(s.get('command') or [])} for n, s in self.servers().items()
                if s['origin'] != 'built-in' and (everyone or s['state'] == 'ready')}

    def server(self, name='flow'):
        """{server, generations, workers, output}"""
        return self.call('org.forkd.servers.Show', name=name)

    def idle(self, name='flow'):
        """Pids of the spares that forkd knows to have started."""
        return [w['pid'] for w in self.server(name)['workers'] if w['state'] == 'spare' and w['pid']]

    def server_state(self, name, state, timeout=10):
        """Until the forkserver is in that state; what List says of it."""
        def probe():
            server = self.servers().get(name)
            return server if server and server['state'] == state else None
        return processes.eventually(probe, timeout, lambda: self.servers().get(name))

    def server_call(self, verb, name, **parameters):
        return self.call(f'org.forkd.servers.{verb}', {'name': name, **parameters})

    def start_server(self, name, modules=('flow',), **parameters):
        """servers.Start of modules, as whoever calls; answered when it is ready."""
        environment = dict(parameters.pop('environment', {}))
        if self.programs.sanitized:
            environment['ASAN_OPTIONS'] = self.environment['ASAN_OPTIONS']
        if 'command' not in parameters:
            parameters['modules'] = list(modules)
        return self.server_call('Start', name, environment=environment, **parameters)['server']

    def has_cgroups(self):
        """Whether jobs get cgroups here: what the daemon can do, asked of a job's own /proc entry."""
        mount = processes.cgroup2_mount()
        return bool(mount) and any(t.startswith(mount) for t in processes.descriptors(self.pid).values())


def run(client, job, fds=()):
    """Run over a given connection; the certificate, whatever the end."""
    try:
        certificate = None
        for reply in client.stream('Run', {'job': job}, fds):
            certificate = reply.get('certificate', certificate)
    except varlink.Error as error:
        if error.name != 'JobFailed':
            raise
        certificate = error.parameters['certificate']
    assert certificate, 'Run ended without a certificate'
    return certificate


class Work:
    """Jobs by what they do: commands for method spawn, entries of the module `flow` for all others."""

    def __init__(self, programs, method):
        self.programs = programs
        self.method = method
        self.commands = method == 'spawn'
        # the forkserver, as the tree has it, and the field startMethod as List has it
        self.server = {'spawn': 'spawner', 'fork': 'twin', 'spawn-entry': 'spawner'}.get(method, 'flow')
        self.start_method = {'spawn-entry': 'spawn', 'spares': 'forkserver'}.get(method, method)

    def job(self, *words, **fields):
        words = [str(w) for w in words]
        if self.commands:
            return {'command': [self.programs.work, *words], **fields}
        return self.entry('work', {'argv': words}, **fields)

    def entry(self, entry, arguments=None, **fields):
        """An entry by the method, whatever it is."""
        job = {'entry': entry, **fields}
        if arguments is not None:
            job['arguments'] = arguments
        if self.method == 'fork':
            return {'startMethod': 'fork', **job}
        if self.method in SPARES:
            return {'server': 'flow', **job}
        if self.programs.sanitized:  # its host gets what the sanitizers are told from the forkserver's settings
            job['server'] = 'flow'
        return {'startMethod': 'spawn', **job}

    def succeed(self, **fields):
        return self.job('record', '/dev/null', **fields)

    def exit(self, status, **fields):
        return self.job('exit', status, **fields)

    def forever(self, fifo=None, **fields):
        return self.job('forever', *([fifo.path] if fifo else []), **fields)


class Leftovers:
    """What the suite itself can see after a test: it is the subreaper, so every orphan becomes its child."""

    def __init__(self):
        self.children = set(processes.children(os.getpid()))
        self.cgroups = processes.cgroup_bases()

    def find(self, inodes):
        """Complaints, after ending and reaping what is left."""
        result = []
        new = [p for p in processes.children(os.getpid()) if p not in self.children]
        living = [p for p in new if processes.state(p) not in ('Z', None)]
        for pid in living:
            if not processes.wait_gone(pid, PATIENCE):
                result.append(f'process left: {processes.describe([pid])}')
        for pid in new:
            for child in [pid] + processes.descendants(pid):
                processes.kill(child)
        for pid in processes.children(os.getpid()):
            if pid not in self.children:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        for path in processes.cgroup_bases() - self.cgroups:
            if any(path.endswith(f'-{inode}') for inode in inodes):
                result.append(f'cgroup left: {path}')
                for folder, _, _ in os.walk(path, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(folder)
        return result


def as_user(uid, gid, groups, function):
    """Calls function() in a process of another user, and returns what it returns (JSON) or raises for it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            try:
                answer = {'value': function()}
            except varlink.Error as error:
                answer = {'error': error.full, 'parameters': error.parameters}
            except BaseException as error:  # pylint: disable=broad-except
                answer = {'exception': repr(error)}
            with os.fdopen(writer, 'w') as file:
                json.dump(answer, file)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.waitpid(pid, 0)
    answer = json.loads(text)
    if 'error' in answer:
        raise varlink.Error(answer['error'], answer['parameters'])
    assert 'exception' not in answer, answer['exception']
    return answer['value']


def remove_tree(path):
    shutil.rmtree(path, ignore_errors=True)
