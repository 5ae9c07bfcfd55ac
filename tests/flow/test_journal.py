# SPDX-License-Identifier: Apache-2.0
"""Under systemd: log lines as entries of the journal, and output of jobs in it. The journal is the test's own."""

import os
import re
import select
import socket

import pytest

import processes
import varlink

METHODS = ('spawn', 'fork', 'forkserver')
EVENTS = dict(re.findall(r'#define LOG_EVENT_(\w+)\s+"(\w+)"', processes.read(os.path.join(
    os.path.dirname(__file__), '../../daemon/common/log-event.h'))))


class Journal:
    """The two sockets of systemd-journald, in a directory of their own."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, 'journal')
        os.mkdir(self.directory)
        self.entries = self.bind('socket', socket.SOCK_DGRAM)
        self.streams = self.bind('stdout', socket.SOCK_STREAM)
        self.streams.listen(8)
        self.seen = []

    def bind(self, name, kind):
        path = os.path.join(self.directory, name)
        result = socket.socket(socket.AF_UNIX, kind)
        result.bind(path)
        os.chmod(path, 0o666)
        result.settimeout(10)
        return result

    def take(self):
        """Whatever has come."""
        while select.select([self.entries], [], [], 0)[0]:
            text = self.entries.recv(65536).decode()
            self.seen.append(dict(line.split('=', 1) for line in text.splitlines()))
        return self.seen

    def entry(self, event, **fields):
        """The one of this event with these fields."""
        wanted = dict(fields, MESSAGE_ID=EVENTS[event])
        found = []
        processes.eventually(lambda: found.extend(e for e in self.take() if wanted.items() <= e.items()) or found,
                             what=lambda: self.seen)
        return found[0]

    def stream(self):
        """(identifier, what was written) of the next stream, once its writers are gone."""
        connection, _ = self.streams.accept()
        with connection:
            connection.settimeout(10)
            text = b''.join(iter(lambda: connection.recv(65536), b'')).decode()
        identifier, *_, rest = text.split('\n', 7)
        return identifier, rest

    def close(self):
        self.entries.close()
        self.streams.close()


@pytest.fixture
def journal(directory):
    made = Journal(directory)
    yield made
    made.close()


@pytest.fixture
def at_home(forkd, journal, directory):
    """Starts forkd with the journal at its standard error, as systemd does."""
    def start(**keywords):
        log = os.path.join(directory, 'd', 'log')
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, 'ab') as file:
            stat = os.fstat(file.fileno())
        environment = {'FORKD_JOURNAL': journal.directory, 'JOURNAL_STREAM': f'{stat.st_dev}:{stat.st_ino}'}
        daemon = forkd(environment=environment, **keywords)
        assert daemon.log_path == log
        return daemon

    return start


def test_entries(at_home, journal):
    daemon = at_home(config='Moduel=x')
    assert journal.entry('READY')['SYSLOG_IDENTIFIER'] == 'forkd'
    assert 'Moduel' in journal.entry('CONFIG_IGNORED', PRIORITY='4')['MESSAGE']
    daemon.call('org.forkd.manager.Reload')
    journal.entry('RELOADED')
    assert daemon.stop() == 0
    journal.entry('STOPPING')
    assert daemon.log() == '', 'what is in the journal is not on standard error too'


def test_entries_of_forkservers_name_them(at_home, journal):
    daemon = at_home(servers={'spell': {'start': 'boot'}})
    found = journal.entry('SERVER_READY', FORKD_SERVER='spell')
    assert found['FORKD_GENERATION'] == '1'
    daemon.clean = False
    processes.kill(daemon.tree()['spell'])
    assert journal.entry('SERVER_GONE', FORKD_SERVER='spell')['FORKD_GENERATION'] == '1'


def test_output_in_the_journal(at_home, journal, work):
    daemon = at_home(config='LogTo=journal')
    job = daemon.submit(work.job('print', 'to stdout\n', 'to stderr\n'))
    certificate = daemon.wait(job)
    assert certificate['result'] == 'success'
    assert not {'stdoutBytes', 'stderrBytes', 'stderrTail'} & set(certificate)
    assert sorted(journal.stream() for _ in range(2)) == [(f'forkd-{job}', 'to stderr\n'), (f'forkd-{job}', 'to stdout\n')]
    assert os.listdir(os.path.join(daemon.state, 'output')) == []
    with pytest.raises(varlink.Error) as error:
        daemon.output(job)
    assert error.value.name == 'WrongState'
    assert f'`journalctl -t forkd-{job}`' in error.value.parameters['sentence']


def test_what_goes_elsewhere_is_not_in_the_journal(at_home, journal, work, directory):
    daemon = at_home(config='LogTo=journal')
    path = os.path.join(directory, 'd', 'mine')
    job = daemon.submit(work.job('print', 'x', 'y', stdout={'path': path}, stderr='null'))
    assert daemon.wait(job)['result'] == 'success'
    assert processes.read(path) == 'x'
    assert not select.select([journal.streams], [], [], 0)[0]


def test_without_a_journal_it_is_a_file(at_home, journal, work):
    daemon = at_home(config='LogTo=journal')
    os.unlink(os.path.join(journal.directory, 'stdout'))
    job = daemon.submit(work.job('print', 'x\n'))
    assert daemon.wait(job)['stdoutBytes'] == 2
    assert daemon.output(job) == (b'x\n', 0)
    assert journal.entry('OUTPUT_TO_FILE', FORKD_JOB=str(job))['PRIORITY'] == '4'
    assert sum(e.get('MESSAGE_ID') == EVENTS['OUTPUT_TO_FILE'] for e in journal.take()) == 1
