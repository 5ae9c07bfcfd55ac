# SPDX-License-Identifier: Apache-2.0
"""Death and standstill of forkd and of its keeper, under systemd: the socket outlives all of it."""

import os
import signal
import subprocess

import pytest

import machine


def next_daemon(forkd, before):
    """Waits for a forkd of another pid, by asking the socket, where askers wait rather than fail."""
    def other():
        done = forkd.forkctl('status', '--json', check=False)
        return done.returncode == 0 and f'"pid":{before},' not in done.stdout.replace(' ', '')
    machine.until(other, 'there is another forkd')
    return forkd.daemon()


def kill(forkd, whom):
    """forkd or the keeper; with that, a forkd ends that may have taken connections until it noticed."""
    daemon = forkd.daemon()
    pid = getattr(forkd, whom)()
    forkd.kill(pid)
    machine.until(lambda: not machine.alive(daemon), 'that forkd has ended')
    return pid


@pytest.mark.basic
def test_forkd_is_killed(forkd):
    job = forkd.submit('sleep', '1000')
    daemon, keeper = forkd.daemon(), forkd.keeper()
    pid = forkd.running(job)

    forkd.kill(daemon)

    assert next_daemon(forkd, daemon) != daemon
    assert forkd.keeper() == keeper
    assert forkd.property('NRestarts') == '0'
    machine.until(lambda: not machine.alive(pid), 'the next forkd has ended what it found')


def test_keeper_is_killed(forkd):
    job = forkd.submit('sleep', '1000')
    daemon, keeper = forkd.daemon(), forkd.keeper()
    pid = forkd.running(job)

    forkd.kill(keeper)

    assert next_daemon(forkd, daemon) != daemon
    assert forkd.keeper() not in (0, keeper)
    assert not machine.alive(pid)
    assert forkd.state_of('forkd.socket') == 'active'


def test_who_asks_while_there_is_no_forkd_waits(forkd):
    """The socket is systemd's: a client in between is answered by the next forkd."""
    forkd.json('status')
    for whom in ('daemon', 'keeper'):
        kill(forkd, whom)
        assert forkd.forkctl('run', '--', 'echo', 'here').stdout == 'here\n'


# the keeper's own pauses grow
@pytest.mark.basic
@pytest.mark.parametrize('whom,kills', [('keeper', 20), ('daemon', 6)])
def test_repeated_kills_never_fail_the_socket(forkd, whom, kills):
    forkd.override('[Service]\nRestartSec=10ms\n')
    forkd.json('status')
    pids = set()
    for _ in range(kills):
        pids.add(kill(forkd, whom))
        forkd.forkctl('run', '--', 'true')
        assert forkd.state_of('forkd.socket') == 'active'
    assert len(pids) == kills
    assert forkd.state_of() == 'active'


def test_kills_without_clients(forkd):
    """Nobody asks in between: it comes back by itself."""
    forkd.json('status')
    for i in range(1, 4):
        keeper = forkd.keeper()
        forkd.kill(keeper)
        machine.until(lambda: forkd.keeper() not in (0, keeper) and forkd.state_of() == 'active', 'it is back')
        assert forkd.property('NRestarts') == str(i)


def test_stopped_forkd_comes_back(forkd):
    """The keeper sees that it gives no sign of life, and systemd sees nothing of it."""
    forkd.override('[Service]\nWatchdogSec=4s\n')
    daemon, keeper = forkd.daemon(), forkd.keeper()
    forkd.kill(daemon, signal.SIGSTOP)
    machine.until(lambda: not machine.alive(daemon), 'the keeper has ended it')
    assert next_daemon(forkd, daemon) != daemon
    assert forkd.keeper() == keeper
    assert forkd.property('NRestarts') == '0'


def test_stopped_keeper_comes_back(forkd):
    forkd.override('[Service]\nWatchdogSec=2s\n')
    daemon, keeper = forkd.daemon(), forkd.keeper()
    forkd.kill(keeper, signal.SIGSTOP)
    machine.until(lambda: not machine.alive(keeper), 'systemd has ended it')
    assert next_daemon(forkd, daemon) != daemon
    assert forkd.keeper() != keeper
    assert forkd.state_of('forkd.socket') == 'active'


def test_a_forkd_that_cannot_start_fails_the_unit(forkd):
    forkd.configure('Module=/nowhere/nothing.so\n')
    forkd.override('[Service]\nRestart=no\n')
    with subprocess.Popen(['forkctl', 'status'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        machine.until(lambda: '/nowhere/nothing.so' in machine.journal_text(forkd), 'the journal has the reason')
        client.kill()  # while it waits, systemd tries again and again
    machine.until(lambda: forkd.state_of() == 'failed', 'the unit has failed', 40)
    os.unlink('/etc/forkd/forkd.conf')
    forkd.systemctl('stop', 'forkd.socket')
    forkd.systemctl('reset-failed', 'forkd.service')
