# SPDX-License-Identifier: Apache-2.0
"""What /proc and cgroup2 say of processes: the suite's own view, independent of forkd's."""

import ctypes
import os
import select
import signal
import time

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None, use_errno=True)


def prctl(option, value):
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl')


def read(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read()


def stat(pid):
    """Fields of /proc/PID/stat from the state on: [state, parent, group, session, …]; None when gone."""
    try:
        return read(f'/proc/{pid}/stat').rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_time(pid):
    fields = stat(pid)
    return int(fields[19]) if fields else None


def state(pid):
    fields = stat(pid)
    return fields[0] if fields else None


def name(pid):
    try:
        words = read(f'/proc/{pid}/cmdline').split('\0')
        return ' '.join(words).strip() or '[' + read(f'/proc/{pid}/comm').strip() + ']'
    except (FileNotFoundError, ProcessLookupError):
        return '(gone)'


def children(pid):
    result = []
    try:
        for thread in os.listdir(f'/proc/{pid}/task'):
            result += [int(p) for p in read(f'/proc/{pid}/task/{thread}/children').split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return result


def descendants(pid):
    result = []
    for child in children(pid):
        result.append(child)
        result += descendants(child)
    return result


def describe(pids):
    return ', '.join(f'{p} {state(p)} {name(p)}' for p in pids)


def descriptors(pid):
    """{number: what it is}; numbers in brackets are cut from the text, so that two lists compare."""
    result = {}
    for number in os.listdir(f'/proc/{pid}/fd'):
        try:
            result[int(number)] = os.readlink(f'/proc/{pid}/fd/{number}')
        except FileNotFoundError:
            pass
    return result


def status_field(pid, field):
    for line in read(f'/proc/{pid}/status').splitlines():
        if line.startswith(field + ':'):
            return line.split(':', 1)[1].strip()
    return None


def private_kib(pid):
    total = 0
    for line in read(f'/proc/{pid}/smaps_rollup').splitlines():
        if line.startswith(('Private_Clean:', 'Private_Dirty:')):
            total += int(line.split()[1])
    return total


def rss_kib(pid):
    return int(status_field(pid, 'VmRSS').split()[0])


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def wait_gone(pid, timeout=10):
    """Waits until a process that is no child of ours has ended (or is a zombie)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], timeout)[0])
    finally:
        os.close(fd)


def eventually(probe, timeout=10, what=None):
    """For what sends no event: asks /proc again and again until probe() is true, and returns that."""
    deadline = time.monotonic() + timeout
    pause = 0.002
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {timeout} s: {what() if callable(what) else what or probe}')
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def gone(*pids, timeout=10):
    """Waits until they are no processes any more, nor zombies."""
    eventually(lambda: not any(state(p) for p in pids), timeout, lambda: describe(pids))


def cgroup2_mount():
    for line in read('/proc/self/mountinfo').splitlines():
        left, _, right = line.partition(' - ')
        if right.split()[0] == 'cgroup2':
            return left.split()[4]
    return None


def cgroup_of(pid):
    """The cgroup2 directory of a process, or None."""
    mount = cgroup2_mount()
    try:
        lines = read(f'/proc/{pid}/cgroup').splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in lines:
        if line.startswith('0::') and mount:
            return mount + line[3:]
    return None


def cgroup_bases():
    """All directories below our own cgroup that are named as a base of forkd's."""
    own = cgroup_of(os.getpid())
    if not own or not os.path.isdir(own):
        return set()
    return {os.path.join(own, d) for d in os.listdir(own) if d.startswith('forkd-')}
