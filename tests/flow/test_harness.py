# SPDX-License-Identifier: Apache-2.0
"""The suite's own eyes: that every kind of leftover is seen, with a daemon that is told to leave it."""

import os
import signal
import time

import pytest

import harness
import processes
import varlink

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'helpers', 'fake_forkd.py')


@pytest.fixture
def fake(programs, directory):
    """Starts fake_forkd.py with a fault."""
    class Fakes:  # pylint: disable=too-few-public-methods
        forkd, spawner, server, modules, sanitized = FAKE, FAKE, None, '', False

    made = []

    def make(fault):
        daemon = harness.Daemon(Fakes, os.path.join(directory, fault or 'none'), keeper=False,
                                environment={'FAKE': fault})
        made.append(daemon)
        return daemon.start()

    yield make
    for daemon in made:
        if not daemon.ended():
            daemon.end_tree()
    harness.Leftovers().find([])


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What is left here is left for good."""
    monkeypatch.setattr(harness, 'PATIENCE', 0.3)


def close(daemon):
    leftovers = harness.Leftovers()
    daemon.call('org.forkd.manager.Status')
    daemon.close()
    assert leftovers.find([]) == []


def test_nothing_is_left(fake):
    leftovers = harness.Leftovers()
    daemon = fake('')
    close(daemon)
    assert leftovers.find([]) == []


@pytest.mark.parametrize('fault,words', [
    ('descriptor', '/dev/zero'), ('zombie', 'processes left'), ('process', 'processes left'), ('socket', 'sockets left'),
    ('file', 'rubbish'), ('complaint', 'complaints'), ('status', 'status 3')])
def test_every_leftover_is_seen(fake, fault, words):
    with pytest.raises(AssertionError) as error:
        close(fake(fault))
    assert words in str(error.value)


def test_a_failed_start_is_seen_at_once(fake):
    begun = time.monotonic()
    with pytest.raises(harness.NotReady) as error:
        fake('start')
    assert (error.value.status, 'told to fail' in error.value.log) == (7, True)
    assert time.monotonic() - begun < 5


def test_an_orphan_is_seen():
    """A process that left its parent and its session is the suite's child."""
    leftovers = harness.Leftovers()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        os._exit(0)
    os.waitpid(pid, 0)
    complaints = leftovers.find([])
    assert len(complaints) == 1 and 'process left' in complaints[0]
    assert leftovers.find([]) == []


@pytest.mark.cgroups
def test_a_cgroup_is_seen():
    leftovers = harness.Leftovers()
    path = os.path.join(processes.cgroup_of(os.getpid()), 'forkd-0-987654321')
    os.mkdir(path)
    assert leftovers.find([1]) == []
    assert leftovers.find([987654321]) == [f'cgroup left: {path}']
    assert not os.path.exists(path)


def test_a_fifo_tells_of_its_writers_end(programs, fifo):
    beacon = fifo()
    pid = os.posix_spawn(programs.work, ['work', 'forever', beacon.path], {})
    assert beacon.expect('ready') == pid
    assert beacon.silent(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    beacon.ended()


def test_errors_have_names():
    error = varlink.Error('org.forkd.jobs.NoSuchJob', {'id': 5})
    assert (error.name, error.parameters) == ('NoSuchJob', {'id': 5})
