# SPDX-License-Identifier: Apache-2.0
"""Runs as root in a machine that systemd has booted and that is there for nothing else. Every test begins with
forkd.socket listening and no service, and ends with what the units should leave: nothing."""

import os
import signal
import subprocess

import pytest

import machine

TIMEOUT = 60 * machine.SLOW


def pytest_configure(config):
    config.addinivalue_line('markers', 'basic: of interest on every kernel')
    config.addinivalue_line('markers', "stock: needs a distribution's kernel, with all controllers")


class TimedOut(BaseException):
    """A test's own deadline. No Exception, so that no test swallows it."""


def on_alarm(_number, _frame):
    raise TimedOut(f'the test took more than {TIMEOUT} s')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    del item
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(TIMEOUT)
    yield
    signal.alarm(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if call.excinfo and call.excinfo.errisinstance(TimedOut):
        report.outcome = 'failed'
    if report.failed:
        report.sections.append(('forkd in the journal', machine.journal_text(machine.SYSTEM)))


@pytest.fixture
def forkd():
    """The system's units: the socket listens, the service does not run."""
    service = machine.SYSTEM
    service.clear()
    service.systemctl('start', 'forkd.socket')
    yield service
    service.systemctl('stop', 'forkd.service', 'forkd.socket', timeout=120)
    left = service.left()
    service.clear()
    assert not left, f'after the stop there is still {left}'


@pytest.fixture
def user(forkd):
    """The units of a user who lingers."""
    del forkd
    service = machine.User('tester')
    service.configure()
    subprocess.run(['loginctl', 'enable-linger', 'tester'], check=True)
    machine.until(lambda: os.path.exists(service.runtime + '/bus'), 'the user manager runs')
    machine.until(lambda: service.systemctl('is-active', 'default.target', check=False).strip() == 'active',
                  'the user manager is up')
    yield service
    subprocess.run(['loginctl', 'disable-linger', 'tester'], check=True)
    machine.until(lambda: not os.path.exists(service.runtime), 'the user manager has ended')
