# SPDX-License-Identifier: Apache-2.0
"""The units that are installed: systemd accepts them, they name what is installed, and keep what the design promises."""

import configparser
import os
import shutil
import subprocess

import pytest

KINDS = ('system', 'user')


class Multi(dict):
    """Keys may stand several times in a unit: values are collected."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def unit(installation, kind, name):
    parser = configparser.RawConfigParser(dict_type=Multi, strict=False, delimiters=('=',), comment_prefixes=('#', ';'))
    parser.optionxform = str
    with open(installation.path('lib', 'systemd', kind, name), encoding='utf-8') as file:
        text = file.read()
    assert '@' not in text, 'a value of the template was not filled in'
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


@pytest.mark.skipif(not shutil.which('systemd-analyze'), reason='systemd is not installed')
@pytest.mark.parametrize('kind', KINDS)
def test_systemd_accepts_them(installation, kind, tmp_path):
    environment = dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path))
    done = subprocess.run(
        ['systemd-analyze', *(['--user'] if kind == 'user' else []), '--man=no', '--recursive-errors=no', 'verify',
         *(installation.path('lib', 'systemd', kind, f'forkd.{suffix}') for suffix in ('service', 'socket'))],
        env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    # the machine's own units may have their faults
    said = [line for line in (done.stdout + done.stderr).splitlines() if 'forkd' in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize('kind', KINDS)
def test_service(installation, kind):
    service = unit(installation, kind, 'forkd.service')['Service']
    for key in ('ExecStart', 'ExecReload'):
        program, mode, *_ = service[key].split()
        assert program.startswith(installation.path('bin')) and os.access(program, os.X_OK)
        assert mode == f'--{kind}'
    assert service['ExecReload'].endswith(' reload')
    wanted = {'Type': 'notify', 'NotifyAccess': 'main', 'KillMode': 'mixed', 'OOMPolicy': 'continue', 'Delegate': 'yes',
              'TasksMax': 'infinity', 'RuntimeDirectory': 'forkd', 'RuntimeDirectoryPreserve': 'yes'}
    assert {key: service.get(key) for key in wanted} == wanted
    assert 'WatchdogSec' in service
    assert unit(installation, kind, 'forkd.service')['Unit']['StartLimitIntervalSec'] == '0'


@pytest.mark.parametrize('kind', KINDS)
def test_the_stop_outlasts_the_drain(installation, kind):
    """DrainTimeout= is 30 s, then come 5 s, SIGKILL and what the keeper has to end."""
    service = unit(installation, kind, 'forkd.service')['Service']
    assert int(service['TimeoutStopSec'].removesuffix('s')) >= 60


def test_state(installation):
    assert unit(installation, 'system', 'forkd.service')['Service']['StateDirectory'] == 'forkd'
    # before systemd 254 that would be the folder of the configuration
    assert 'StateDirectory' not in unit(installation, 'user', 'forkd.service')['Service']


@pytest.mark.parametrize('kind, path, mode', [('system', '/run/forkd/org.forkd', '0666'),
                                              ('user', '%t/forkd/org.forkd', '0600')])
def test_socket(installation, kind, path, mode):
    found = unit(installation, kind, 'forkd.socket')['Socket']
    assert (found['ListenStream'], found['SocketMode']) == (path, mode)
