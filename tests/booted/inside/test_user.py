# SPDX-License-Identifier: Apache-2.0
"""A user's own forkd, under the user's manager, which lingers without a login."""

import os
import stat

import pytest

import machine


@pytest.mark.basic
def test_user_instance(user):
    socket = f'{user.runtime}/forkd/org.forkd'
    assert user.state_of('forkd.socket') == 'active'
    assert stat.S_IMODE(os.stat(socket).st_mode) == 0o600
    assert user.state_of() == 'inactive'

    status = user.json('status')

    assert status['mode'] == 'user'
    assert status['address'].endswith(socket)
    assert status['cgroups'] == 'one cgroup per attempt'
    assert os.stat(f'/proc/{status["pid"]}').st_uid == user.uid
    assert user.state_of() == 'active'
    assert user.forkctl('run', '--', 'id', '-un').stdout == 'tester\n'
    assert f'/user@{user.uid}.service/' in user.forkctl('run', '--', 'cat', '/proc/self/cgroup').stdout
    assert os.path.isdir(user.state)

    user.systemctl('reload', 'forkd.service')
    user.forkctl('submit', '--', 'sleep', '1000')
    user.kill(user.daemon())
    assert user.forkctl('run', '--', 'echo', 'here').stdout == 'here\n'
    user.systemctl('stop', 'forkd.service', 'forkd.socket')
    assert not user.left()


def test_forkctl_finds_the_instance(user):
    """The user's own while its socket is there, then the system's."""
    assert user.json('status')['mode'] == 'user'
    assert user.json('--system', 'status')['mode'] == 'system'
    user.systemctl('stop', 'forkd.service', 'forkd.socket')
    assert user.json('status')['mode'] == 'system'
    assert machine.SYSTEM.json('status')['mode'] == 'system'
