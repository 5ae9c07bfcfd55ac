#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A host in another language than forkd's, written from forkd-server(7) alone: it serves the entries below from its
forks. `class Host` is the forkserver, `work()` a worker of it; with FORKD_WORKER it is that worker itself."""

import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket

CODES = {os.CLD_EXITED: 'exited', os.CLD_KILLED: 'killed', os.CLD_DUMPED: 'dumped'}
LARGE = 128 << 10


def send(channel, method, fds=(), /, **parameters):
    text, fds = json.dumps({'method': method, 'parameters': parameters}).encode(), list(fds)
    if len(text) > LARGE:
        memfd = os.memfd_create('packet', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(memfd, text)
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
        text, fds = b'{"memfd": true}', fds + [memfd]
    socket.send_fds(channel, [text], fds)


def receive(channel):
    """(method, parameters, descriptors); None as the method at end-of-file."""
    try:
        text, fds, _, _ = socket.recv_fds(channel, LARGE, 16)
    except ConnectionResetError:  # the other end has gone without reading all; what it had sent is still there
        text, fds, _, _ = socket.recv_fds(channel, LARGE, 16)
    if not text:
        return None, {}, []
    packet = json.loads(text)
    if packet.get('memfd'):
        memfd = fds.pop()
        packet = json.loads(os.pread(memfd, os.fstat(memfd).st_size, 0))
        os.close(memfd)
    return packet['method'], packet.get('parameters') or {}, fds


def start_time(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as file:
        return int(file.read().rpartition(')')[2].split()[19])


class Host:
    """The forkserver: one process, one channel, {(id, attempt): (pid, pidfd, ended)}."""

    def __init__(self, channel):
        self.channel, self.workers, self.retired = channel, {}, False

    def serve(self):
        offered = [{'name': n, 'help': f.__doc__} for n, f in ENTRIES.items()]
        send(self.channel, 'Ready', name='host', preloadUSec=1, entries=offered,
             safety={'threads': 1, 'descriptors': [], 'signals': []})
        while not (self.retired and not self.workers):
            watched = {pidfd: key for key, (_, pidfd, ended) in self.workers.items() if not ended}
            ready = select.select([self.channel, *watched], [], [])[0]
            for key in [watched[fd] for fd in ready if fd in watched]:
                self.workers[key] = (*self.workers[key][:2], True)  # a peeked pidfd stays readable
                self.exited(key)
            if self.channel in ready:
                method, parameters, fds = receive(self.channel)
                if method is None:
                    return
                getattr(self, 'on_' + method, lambda *_: None)(parameters, fds)
                for fd in fds:
                    os.close(fd)

    def on_Hello(self, parameters, _):
        running = [{'id': key[0], 'attempt': key[1], 'pid': pid, 'startTime': start_time(pid)}
                   for key, (pid, _, _) in self.workers.items()]
        send(self.channel, 'Running', epoch=parameters['epoch'], attempts=running)
        for key, (_, _, ended) in self.workers.items():
            if ended:
                self.exited(key)

    def on_Fork(self, parameters, fds):
        key = (parameters['id'], parameters['attempt'])
        if self.retired:
            send(self.channel, 'Failed', id=key[0], attempt=key[1], stage='fork', errno=errno.ESHUTDOWN)
        elif key not in self.workers:
            pid = os.fork()
            if pid == 0:
                born(parameters, fds)
            self.workers[key] = (pid, os.pidfd_open(pid), False)
            self.started(key)

    def started(self, key):
        pid, pidfd, _ = self.workers[key]
        send(self.channel, 'Started', [pidfd], id=key[0], attempt=key[1], pid=pid, startTime=start_time(pid), pidfd=0)

    def exited(self, key):
        pid, pidfd, _ = self.workers[key]
        end = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
        send(self.channel, 'Exited', id=key[0], attempt=key[1], pid=pid, code=CODES[end.si_code], status=end.si_status,
             userUSec=0, systemUSec=0)

    def on_Acknowledge(self, parameters, _):
        _, pidfd, _ = self.workers.pop((parameters['id'], parameters['attempt']))
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)

    def on_Retire(self, *_):
        self.retired = True


def born(parameters, fds):
    """The first steps of the plan, in the child: then it waits to be adopted."""
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    if 'cgroup' in parameters:
        procs = os.open('cgroup.procs', os.O_WRONLY, dir_fd=fds[parameters['cgroup']])
        os.write(procs, b'0')
    channel = fcntl.fcntl(fds[parameters['channel']], fcntl.F_DUPFD, 10)
    null = os.open('/dev/null', os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.dup2(channel, 3)
    os.closerange(4, 1024)
    with open('/proc/self/comm', 'w', encoding='utf-8') as file:
        file.write(parameters.get('title', '')[:15])
    work(socket.socket(fileno=3), False)


def open_stream(what, fds, number):
    if isinstance(what, int):
        return fds[what]
    if what == 'stdout':
        return 1
    if what is None:
        return os.open('/dev/null', os.O_RDWR)
    how = (os.O_WRONLY | os.O_CREAT | (os.O_APPEND if what.get('append') else os.O_TRUNC)) if number else os.O_RDONLY
    return os.open(what['path'], how | os.O_NOCTTY | os.O_NONBLOCK, 0o666)


def place(channel, plan):
    """The directory and the environment; all that a one-shot host still has to do."""
    try:
        os.chdir(plan.get('directory', '/'))
    except OSError as error:
        send(channel, 'Failed', stage='directory', errno=error.errno, text=plan['directory'])
        os._exit(127)
    os.umask(plan.get('umask', 0o022))
    os.environ.clear()
    os.environ.update(e.split('=', 1) for e in plan.get('environment', []))


def adopt(channel, parameters, fds):
    """What is left of the plan; its last step is the token."""
    plan, stage, text = parameters['plan'], 'limits', None
    try:
        for name, pair in (plan.get('limits') or {}).items():
            resource.setrlimit(getattr(resource, 'RLIMIT_' + name[5:]), [-1 if n is None else n for n in pair])
        place(channel, plan)
        for number, what in enumerate(plan.get('stdio') or [None] * 3):
            stage, text = ('stdin', 'stdout', 'stderr')[number], what['path'] if isinstance(what, dict) else None
            os.dup2(open_stream(what, fds, number), number)
        stage, text = 'token', None
        os.read(fds[parameters['token']], 8)
    except BlockingIOError:
        os._exit(0)  # it is not to run any more
    except OSError as error:
        send(channel, 'Failed', stage=stage, errno=error.errno, **({'text': text} if text else {}))
        os._exit(127)
    os.closerange(4, 1024)


def work(channel, one_shot):
    """A worker: adopted, called once, gone."""
    while True:
        method, parameters, fds = receive(channel)
        if method is None:
            os._exit(0)
        if method == 'Adopt' and one_shot:
            place(channel, parameters['plan'])
        elif method == 'Adopt':
            adopt(channel, parameters, fds)
        if method == 'Call':
            break
    try:
        if 'argumentsDescriptor' in parameters:
            fd = fds[parameters['argumentsDescriptor']]
            parameters['arguments'] = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
        if parameters['entry'] not in ENTRIES:
            send(channel, 'Raised', code='NoSuchEntry', text=f'there is no entry {parameters["entry"]}')
        else:
            value = ENTRIES[parameters['entry']](parameters.get('arguments') or {})
            send(channel, 'Returned', value=value)
            os._exit(0)
    except Exception as error:  # pylint: disable=broad-except
        send(channel, 'Raised', code=type(error).__name__, text=str(error))
    os._exit(1)


# ---- what it offers

def echo(arguments):
    """returns its arguments"""
    return arguments


def facts(_):
    """says what its process is"""
    mask = os.umask(0)
    os.umask(mask)
    return {'pid': os.getpid(), 'parent': os.getppid(), 'session': os.getsid(0), 'uid': os.getuid(), 'umask': mask,
            'directory': os.getcwd(), 'environment': dict(os.environ), 'preloaded': PRELOADED,
            'files': resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            'descriptors': {n: os.readlink(f'/proc/self/fd/{n}') for n in map(str, range(64))
                            if os.path.islink(f'/proc/self/fd/{n}')}}


def say(arguments):
    """writes to its standard output"""
    os.write(1, arguments['text'].encode())
    return {}


def fail(arguments):
    """raises an error"""
    raise ValueError(arguments.get('text', 'as it was told to'))


def leave(arguments):
    """exits without an answer"""
    os._exit(arguments.get('status', 0))


def forever(arguments):
    """says "ready" through a FIFO, and waits"""
    fd = os.open(arguments['fifo'], os.O_WRONLY)
    os.write(fd, b'ready %d\n' % os.getpid())
    while True:
        signal.pause()


ENTRIES = {f.__name__: f for f in (echo, facts, say, fail, leave, forever)}
PRELOADED = {}


def main(kind=Host):
    channel, worker = os.environ.pop('FORKD_CHANNEL', None), os.environ.pop('FORKD_WORKER', None)
    PRELOADED.update(pid=os.getpid(), server=os.environ.pop('FORKD_SERVER', None),
                     arguments=json.loads(os.environ.pop('FORKD_ARGUMENTS', '{}')),
                     left=[n for n in os.environ if n.startswith('FORKD_')],
                     environment=dict(os.environ), directory=os.getcwd())
    if os.environ.get('HOST_FAILS'):
        raise SystemExit(os.environ['HOST_FAILS'])
    sock = socket.socket(fileno=int(channel or worker))
    sock.setblocking(True)
    if worker:
        work(sock, True)
    kind(sock).serve()
    os._exit(0)


if __name__ == '__main__':
    main()
