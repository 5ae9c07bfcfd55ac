#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# About the smallest host that keeps to forkd-server(7). What it leaves out: limits, other users, streams by path,
# packets above 128 KiB.
import json
import os
import select
import signal
import socket


def echo(arguments):
    return {**arguments, 'directory': os.getcwd()} if os.getcwd() != '/' else arguments


def fail(_):
    raise RuntimeError('as it was told to')


def leave(arguments):
    os._exit(arguments['status'])


ENTRIES = {'echo': echo, 'fail': fail, 'leave': leave}
CODES = {os.CLD_EXITED: 'exited', os.CLD_KILLED: 'killed', os.CLD_DUMPED: 'dumped'}


def send(channel, method, fds=(), /, **parameters):
    socket.send_fds(channel, [json.dumps({'method': method, 'parameters': parameters}).encode()], fds)


def receive(channel):
    text, fds, _, _ = socket.recv_fds(channel, 1 << 17, 16)
    packet = json.loads(text) if text else {'method': None}  # end-of-file
    return packet['method'], packet.get('parameters'), fds


def adopt(channel, plan, tokens):
    try:
        os.chdir(plan['directory'])
        os.umask(plan['umask'])
        os.environ.clear()
        os.environ.update(e.split('=', 1) for e in plan['environment'])
    except OSError as error:
        send(channel, 'Failed', stage='directory', errno=error.errno, text=plan['directory'])
        os._exit(127)
    for token in tokens:  # there is none in a one-shot host
        os.read(token, 8)  # an error means that the job is not to run any more


def work(channel):
    method, p, fds = receive(channel)
    if method == 'Adopt':
        adopt(channel, p['plan'], fds)
        method, p, fds = receive(channel)
    if method != 'Call':
        os._exit(0)
    try:
        send(channel, 'Returned', value=ENTRIES[p['entry']](p['arguments']))
    except Exception as error:
        send(channel, 'Raised', code=type(error).__name__, text=str(error))
        os._exit(1)
    os._exit(0)


def fork(p, fds):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setsid()
        if 'cgroup' in p:
            os.write(os.open('cgroup.procs', os.O_WRONLY, dir_fd=fds[p['cgroup']]), b'0')
        os.dup2(fds[p['channel']], 3)
        os.closerange(4, 1024)
        work(socket.socket(fileno=3))
    return pid, os.pidfd_open(pid)


def serve(channel):
    workers, watched, retired = {}, {}, False
    send(channel, 'Ready', name='small', preloadUSec=0, entries=[{'name': n} for n in ENTRIES],
         safety={'threads': 1, 'descriptors': [], 'signals': []})
    while workers or not retired:
        for fd in select.select([channel, *watched], [], [])[0]:
            if fd in watched:  # peek: the worker stays a zombie until it is acknowledged
                end = os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOWAIT)
                send(channel, 'Exited', **watched.pop(fd), pid=end.si_pid, code=CODES[end.si_code], status=end.si_status)
                continue
            method, p, fds = receive(channel)
            key = {n: p[n] for n in ('id', 'attempt')} if p and 'attempt' in p else {}
            if method is None:
                os._exit(0)
            if method == 'Hello':
                send(channel, 'Running', epoch=p['epoch'], attempts=[])
            elif method == 'Fork':
                pid, pidfd = workers[tuple(key.values())] = fork(p, fds)
                start = open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[19]
                watched[pidfd] = key
                send(channel, 'Started', [pidfd], **key, pid=pid, startTime=int(start), pidfd=0)
            elif method == 'Acknowledge':
                pid, pidfd = workers.pop(tuple(key.values()))
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
                os.close(pidfd)
            elif method == 'Retire':
                retired = True
            for given in fds:
                os.close(given)
    os._exit(0)


numbers = {n: os.environ.pop(n, None) for n in ('FORKD_CHANNEL', 'FORKD_WORKER', 'FORKD_SERVER', 'FORKD_ARGUMENTS')}
if numbers['FORKD_WORKER']:
    work(socket.socket(fileno=int(numbers['FORKD_WORKER'])))
serve(socket.socket(fileno=int(numbers['FORKD_CHANNEL'])))
