# SPDX-License-Identifier: Apache-2.0
"""On a distribution's kernel all controllers are there: what a job used, and that its memory ran out, is in its
certificate."""

import pytest

pytestmark = pytest.mark.stock


def test_controllers(forkd):
    script = 'cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cgroup.controllers'
    controllers = forkd.forkctl('run', '--', 'sh', '-c', script).stdout
    assert {'memory', 'pids'} <= set(controllers.split()), controllers


def test_of_a_user(user):
    """What the user's manager has, it hands on."""
    certificate = user.certificate(user.submit('python3', '-c', 'x = bytearray(64 << 20)'))
    assert certificate['memoryPeak'] >= 64 << 20, certificate


def test_peak_of_memory(forkd):
    job = forkd.submit('python3', '-c', 'x = bytearray(64 << 20)')
    certificate = forkd.certificate(job)
    assert 64 << 20 <= certificate['memoryPeak'] < 200 << 20, certificate


def test_out_of_memory(forkd):
    forkd.override('[Service]\nMemoryMax=200M\nMemorySwapMax=0\n')
    daemon = forkd.daemon()
    job = forkd.submit('python3', '-c', 'x = [bytearray(16 << 20) for _ in range(30)]')
    certificate = forkd.certificate(job)
    assert certificate['result'] == 'oom', certificate
    assert forkd.daemon() == daemon
    assert forkd.state_of() == 'active'
