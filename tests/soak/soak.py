#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Load of every kind and faults of every kind on one daemon, judged by what its jobs themselves have written down.

Some clients act at random, from the seed: jobs of every method and of every way to end, meddled with, and rudeness. The
soak meanwhile kills forkservers, workers and forkd itself, holds them up, and changes their configuration. At quiet
points everything has to be as it was at the start. See told.py for what a certificate is judged by. The last line counts
what is wrong; the exit status is 0 when that is nothing."""

import argparse
import collections
import json
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'flow'))

# pylint: disable=wrong-import-position
import faults  # noqa: E402
import harness  # noqa: E402
import load  # noqa: E402
import processes  # noqa: E402
import quiet  # noqa: E402
import told  # noqa: E402
import varlink  # noqa: E402

CYCLE = 60  # seconds between two quiet points
TELL = 30
SHOWN = 40
# What the log says when somebody holds a forkserver up or kills it, and of clients that deserve it.
FORGIVEN = ()


class Daemon(harness.Daemon):
    """The one under load: configured whole at any moment, for clients reload it whenever they like."""

    def write(self, path, lines):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + '.new', 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines) + '\n')
        os.rename(path + '.new', path)

    def configure(self, text='', module='flow'):
        self.write(os.path.join(self.config, 'forkd.conf'), ['[Daemon]', f'Module={module}', text])

    def configure_soak(self, running, turn):
        """turn: each third one changes what a forkserver preloads with, so that its next generation follows."""
        self.configure(f'MaxRunning={running}\nMaxAttached=200\nKeepFinished=100000')
        asan = self.environment['ASAN_OPTIONS'] if self.programs.sanitized else ''
        for name, spare in quiet.SPARES.items():
            self.write(os.path.join(self.config, 'servers', f'{name}.conf'),
                       ['[Server]', 'Module=flow', 'Start=boot', f'Environment=SOAK={turn // 3}',
                        f'Environment=ASAN_OPTIONS={asan}', '[Pool]', f'Spare={spare}'])


class Crowd:
    """The clients, each a process of its own."""

    def __init__(self, options, programs, daemon, directory):
        self.members = {}
        self.wrong = []
        self.numbers = collections.Counter()
        self.actions = 0
        for index in range(options.clients):
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    ours.close()
                    for other in self.members.values():
                        other.close()
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    load.Load(options, index, programs, daemon.address, directory, theirs).serve()
                    status = 0
                finally:
                    os._exit(status)
            theirs.close()
            self.members[pid] = ours

    def go(self):
        for member in self.members.values():
            member.sendall(b'go\n')

    def rest(self, patience):
        """Until each has told what it did."""
        for member in self.members.values():
            member.sendall(b'rest\n')
        actions = 0
        for pid, member in self.members.items():
            data = b''
            while not data.endswith(b'\n'):
                if not select.select([member], [], [], patience)[0]:
                    self.wrong.append(f'a client does not come to rest within {patience} s')
                    return
                more = member.recv(1 << 16)
                if not more:
                    self.wrong.append(f'client {pid} has ended: a fault of the soak')
                    return
                data += more
            report = json.loads(data)
            self.numbers.update(report['numbers'])
            self.wrong += report['wrong']
            actions += report['actions']
        self.actions = actions

    def close(self):
        for pid, member in self.members.items():
            member.close()
            if not processes.wait_gone(pid, 5):
                processes.kill(pid)
            os.waitpid(pid, 0)


class Soak:
    """The whole run."""

    def __init__(self, options, programs, directory):
        self.options = options
        self.directory = directory
        self.daemon = Daemon(programs, os.path.join(directory, 'd'), cgroups=not options.no_cgroups)
        self.daemon.configure_soak(4, 0)
        self.leftovers = harness.Leftovers()
        self.wrong = []
        self.begun = time.monotonic()
        self.told = self.begun

    def say(self, text):
        print(f'{time.monotonic() - self.begun:6.0f} s  {text}', flush=True)

    def complain(self, sentences):
        for sentence in sentences:
            self.wrong.append(sentence)
            if len(self.wrong) <= SHOWN:
                self.say(f'WRONG: {sentence}')

    def warm(self):
        """Lazy allocations and the first growth of tables are no leak."""
        for method in told.METHODS:
            work = harness.Work(self.daemon.programs, method)
            jobs = [work.succeed() for _ in range(200)]
            if method == 'spares':
                jobs = [dict(j, server='spare') for j in jobs]
            self.daemon.wait(*self.daemon.submit(*jobs))

    def cycle(self, seconds, forkd):
        self.crowd.go()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.faults.during(min(TELL, end - time.monotonic()), forkd)
            if time.monotonic() - self.told > TELL - 1:
                self.progress()
        self.crowd.rest(200)
        self.complain(self.crowd.wrong + self.faults.wrong + self.rest.check())
        self.crowd.wrong, self.faults.wrong = [], []

    def progress(self):
        self.told = time.monotonic()
        n = self.crowd.numbers
        self.say(f'{n["submitted"] + n["attached"]} jobs up to the last rest, {sum(self.faults.numbers.values())} faults, '
                 f'{len(self.wrong)} wrong, {n["lost"]} lost')

    def run(self):
        self.daemon.start()
        self.rest = quiet.Rest(self.daemon)
        told.ESCAPES, told.SANITIZED = self.daemon.has_cgroups(), self.daemon.programs.sanitized
        self.complain(self.rest.check())
        self.warm()
        self.rest.base = None
        self.complain(self.rest.check())
        self.faults = faults.Faults(self.options.seed, self.daemon, self.directory)
        self.crowd = Crowd(self.options, self.daemon.programs, self.daemon, self.directory)
        try:
            length = min(CYCLE, self.options.seconds / 3)
            turn = 0
            while time.monotonic() + length / 2 < self.begun + self.options.seconds:
                turn += 1
                self.cycle(length, forkd=turn % 3 == 2)
        finally:
            self.crowd.close()

    def end(self):
        last = self.rest.measure()
        status = self.daemon.stop()
        if status != 0:
            self.complain([f'a clean stop ended with status {status}'])
        inode = os.stat(self.daemon.state).st_ino
        self.complain(self.leftovers.find([inode]))
        self.complain(quiet.log_complaints(self.daemon.log(), FORGIVEN)[:SHOWN])
        return last

    def report(self, last):
        n = self.crowd.numbers
        seen = {t: {k: v for k, v in n.items() if k.startswith(t + ' ')} for t in ('result', 'rude', 'action')}
        for method in (*told.METHODS, 'own'):
            print(f'{method:12}', ', '.join(f'{k.split(" ", 1)[1]} {v}' for k, v in sorted(n.items())
                                            if k.startswith(method + ' ')))
        for name, numbers in seen.items():
            print(f'{name + "s":12}', ', '.join(f'{k.split(" ", 1)[1]} {v}' for k, v in sorted(numbers.items())))
        print('faults      ', ', '.join(f'{k} {v}' for k, v in sorted(self.faults.numbers.items())))
        print('at the start', self.rest.figures(self.rest.first))
        print('at the end  ', self.rest.figures(last))
        print(f'seed {self.options.seed}, {self.crowd.actions} actions of {self.options.clients} clients, '
              f'{n["submitted"]} jobs submitted, {n["attached"]} attached, {sum(self.faults.numbers.values())} faults, '
              f'{n["broken off with forkd"]} conversations broken off with forkd')
        print(f'wrong {len(self.wrong)}, lost {n["lost"]}, zombies {self.rest.zombies}')


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--build', required=True, help='the build folder')
    parser.add_argument('--seconds', type=int, default=60)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--clients', type=int, default=6)
    parser.add_argument('--no-cgroups', action='store_true', help='as where there is no cgroup2')
    parser.add_argument('--keep', action='store_true', help='leave the directory with its log')
    return parser.parse_args()


def main():
    options = parse()
    programs = harness.Programs(os.path.abspath(options.build))
    processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('soak: told to end'))
    directory = tempfile.mkdtemp(prefix='forkd-soak-')
    os.chmod(directory, 0o755)
    print(f'seed {options.seed}, {options.seconds} s, {options.clients} clients', flush=True)
    soak = Soak(options, programs, directory)
    try:
        soak.run()
        soak.report(soak.end())
    finally:
        if not soak.daemon.ended():
            soak.daemon.end_tree()
        soak.leftovers.find([os.stat(soak.daemon.state).st_ino])
        if options.keep or soak.wrong:
            print(f'the log is {soak.daemon.log_path}')
        else:
            harness.remove_tree(directory)
    return 1 if soak.wrong else 0


if __name__ == '__main__':
    sys.exit(main())
