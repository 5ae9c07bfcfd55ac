# SPDX-License-Identifier: Apache-2.0
"""The soak's leak invariants: with nobody at work, forkd and its own processes are what they were at the start."""

import collections
import contextlib
import os

import harness
import processes
import varlink

SPARES = {'flow': 0, 'spare': 2}
CGROUPS_KEPT = 64  # ready for the next jobs
RSS_SLACK_KIB = 8 << 10
RSS_SLACK_SANITIZED_KIB = 256 << 10


class Rest:
    """Looks at a daemon that rests."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.slack = RSS_SLACK_SANITIZED_KIB if daemon.programs.sanitized else RSS_SLACK_KIB
        self.patience = 60 if daemon.programs.sanitized else 20
        self.base = None
        self.first = None
        self.loaded = {}
        self.zombies = 0

    def settle(self):
        """Until no job and no client is left, and every forkserver is ready with its spares."""
        daemon = self.daemon

        def rests():
            status = daemon.status()
            return not any(status[k] for k in ('queued', 'running', 'attached', 'paused', 'parked')) and \
                status['clients'] == 1
        processes.eventually(rests, self.patience, lambda: {k: v for k, v in daemon.status().items()
                                                            if isinstance(v, int)})
        for name, spare in SPARES.items():
            with contextlib.suppress(varlink.Error):
                daemon.server_call('Start', name)  # one that has failed for good
            daemon.server_call('Scale', name, spare=spare)
        processes.eventually(lambda: all(s['state'] == 'ready' and s.get('pid') for s in daemon.status()['servers']),
                             self.patience, lambda: daemon.status()['servers'])
        processes.eventually(lambda: all(len(daemon.idle(n)) == s for n, s in SPARES.items()), self.patience,
                             lambda: [daemon.server(n) for n in SPARES])
        daemon.call('Forget', finished=True)

    def measure(self):
        """{name: (resident KiB, {kind of descriptor: number})}"""
        result = {}
        for name, pid in self.daemon.tree().items():
            kinds = collections.Counter()
            for target in processes.descriptors(pid).values():
                if 'cgroup' in target or 'timerfd' in target or '/forkd-' in target and '/cgroup' in target:
                    continue
                kinds[target.split(':')[0] if target.startswith(('socket:', 'pipe:')) else target] += 1
            result[name] = (processes.rss_kib(pid), kinds)
        return result

    def cgroups(self):
        inode = str(os.stat(self.daemon.state).st_ino)
        return [d for base in processes.cgroup_bases() if base.endswith(f'-{inode}')
                for d in os.listdir(base) if os.path.isdir(os.path.join(base, d))]

    def differences(self):
        daemon, result = self.daemon, []
        now = self.measure()
        if set(now) != set(self.base):
            result.append(f'processes {sorted(now)}, {sorted(self.base)} at the start')
        for name, (rss, kinds) in now.items():
            was_rss, was = self.base.get(name, (rss, kinds))
            for kind, n in kinds.items():
                if n > max(was[kind], 'eventpoll' in kind):
                    result.append(f'{name} has {n} x {kind}, {was[kind]} at the start')
            # what a first load of this kind takes is not known yet; what it takes again and again is a leak
            most = max(was_rss, self.loaded.get(name, 0)) + self.slack
            if self.loaded and rss > most:
                result.append(f'{name} has {rss} KiB, {most} is allowed')
        own = set(daemon.tree().values()) | {p for n in SPARES for p in daemon.idle(n)}
        strangers = [p for p in processes.descendants(daemon.process.pid) if p not in own]
        if strangers:
            result.append('processes left: ' + processes.describe(strangers))
        if len(self.cgroups()) > CGROUPS_KEPT + 2 * len(self.base):
            result.append(f'{len(self.cgroups())} cgroups')
        files = os.listdir(os.path.join(daemon.state, 'output'))
        if files:
            result.append(f'output files of jobs that were forgotten: {files[:5]}')
        return result

    def check(self):
        """Complaints."""
        try:
            self.settle()
            if self.base is None:
                self.base = self.first = self.measure()
                return []
            processes.eventually(lambda: not self.differences(), self.patience,
                                 lambda: '; '.join(self.differences()))
            for name, (rss, _) in self.measure().items():
                self.loaded[name] = max(rss, self.loaded.get(name, 0)) if len(self.loaded) < len(self.base) else \
                    self.loaded[name]
        except AssertionError as error:
            self.zombies += sum(processes.state(p) == 'Z' for p in processes.descendants(self.daemon.process.pid))
            return [f'at rest: {error}']
        except (varlink.Error, varlink.Closed, OSError) as error:
            return [f'at rest: {error!r}']
        return []

    def figures(self, measured):
        """"keeper 8 descriptors 2112 KiB, …" """
        return ', '.join(f'{n} {sum(kinds.values())} descriptors {rss} KiB' for n, (rss, kinds) in measured.items())


def log_complaints(text, forgiven=()):
    """Lines of the log that no fault explains."""
    bad = harness.COMPLAINTS + ('no way from', 'ignoring a move', 'out of memory', 'giving up', 'event loop failed',
                                'cannot ', 'Traceback')
    return [line for line in text.splitlines() if any(b in line for b in bad) and not any(f in line for f in forgiven)]
