# SPDX-License-Identifier: Apache-2.0
"""What the soak does to forkd's own processes. Each fault stands in a file before it is done, so that clients know what
it may excuse."""

import collections
import contextlib
import os
import random
import signal
import time

import processes
import varlink

KINDS = ((3, 'spawner'), (3, 'twin'), (3, 'flow'), (3, 'spare'), (2, 'own'), (8, 'worker'), (3, 'stop-server'),
         (1, 'stop-forkd'), (2, 'configure'))
INTERVAL = 0.4  # seconds between two, on average
FORKD_INTERVAL = 4.0
READY = 30


class Faults:
    """Done one after another by the soak's own process."""

    def __init__(self, seed, daemon, directory):
        self.rng = random.Random(f'{seed}/faults')
        self.daemon = daemon
        self.path = os.path.join(directory, 'faults')
        self.numbers = collections.Counter()
        self.wrong = []
        self.turn = 0
        with open(self.path, 'ab'):
            pass

    def note(self, victim):
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(f'{time.monotonic():.6f} {victim}\n')

    def during(self, seconds, forkd):
        """Faults for so long; with forkd, it is killed too."""
        end = time.monotonic() + seconds
        next_forkd = time.monotonic() + self.rng.expovariate(1 / FORKD_INTERVAL)
        while True:
            pause = self.rng.expovariate(1 / INTERVAL)
            kind = self.rng.choices([k for _, k in KINDS], [w for w, _ in KINDS])[0]
            draw = self.rng.random()
            if time.monotonic() + pause > end:
                time.sleep(max(0, end - time.monotonic()))
                return
            time.sleep(pause)
            if forkd and time.monotonic() > next_forkd:
                self.kill_forkd()
                next_forkd = time.monotonic() + self.rng.expovariate(1 / FORKD_INTERVAL)
            # a connection may break with a forkd that was killed just before
            with contextlib.suppress(varlink.Closed, varlink.Error, ConnectionError, KeyError):
                self.alive()
                self.one(kind, draw)

    def alive(self):
        """forkd has not ended by itself."""
        pid = self.daemon.status()['pid']
        if pid != self.daemon.pid:
            self.wrong.append(f'forkd {self.daemon.pid} has ended, nobody had killed it')
            self.note('forkd')
            self.daemon.pid = pid

    def ours(self, pid):
        """A pidfd, of a process of the daemon's own tree only."""
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        if pid in processes.descendants(self.daemon.process.pid):
            return fd
        os.close(fd)
        return None

    def kill(self, pid, victim, number=signal.SIGKILL):
        fd = self.ours(pid)
        if fd is None:
            return False
        self.note(victim)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
        os.close(fd)
        self.numbers[victim.split('-')[0] if number == signal.SIGKILL else 'stopped'] += 1
        return True

    def one(self, kind, draw):
        if kind == 'configure':
            self.configure(draw)
        elif kind == 'worker':
            running = [j for j in self.daemon.list(states=['running']) if j.get('pid')]
            if running:
                job = running[int(draw * len(running))]
                self.kill(job['pid'], f'worker-{job["id"]}')
        elif kind == 'stop-forkd':
            self.hold(self.daemon.pid, draw)
        elif kind == 'stop-server':
            tree = self.daemon.tree()
            names = sorted(n for n in tree if n not in ('keeper', 'forkd'))
            self.hold(tree[names[int(draw * len(names))]], draw)
        else:
            for name, pid in self.daemon.tree().items():
                if name == kind or kind == 'own' and name.startswith('own-'):
                    self.kill(pid, kind)
                    break

    def hold(self, pid, draw):
        fd = self.ours(pid)
        if fd is None:
            return
        try:
            signal.pidfd_send_signal(fd, signal.SIGSTOP)
            time.sleep(0.02 + draw * 0.3)
            self.numbers['stopped'] += 1
        except ProcessLookupError:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGCONT)
            os.close(fd)

    def configure(self, draw):
        """Another configuration, whole at any moment, and a reload."""
        self.turn += 1
        self.daemon.configure_soak(2 + int(draw * 6), self.turn)
        self.daemon.call('org.forkd.manager.Reload')
        self.numbers['reload'] += 1

    def kill_forkd(self):
        """And wait for the next one: one that never gets ready is not what is meant here."""
        try:
            self.alive()
        except (varlink.Closed, ConnectionError):
            return
        old = self.daemon.pid
        self.note('forkd')
        os.kill(old, signal.SIGKILL)
        self.numbers['forkd'] += 1

        def probe():
            with contextlib.suppress(varlink.Closed, ConnectionError, FileNotFoundError):
                pid = self.daemon.status()['pid']
                return pid if pid != old else None
            return None
        self.daemon.pid = processes.eventually(probe, READY, 'no forkd after one that was killed')
        self.note('forkd')  # for those who came in between
