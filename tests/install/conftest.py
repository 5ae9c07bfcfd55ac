# SPDX-License-Identifier: Apache-2.0
"""Tests of what `meson install` installs. The build folder's prefix has to be a folder inside of it, so that the
programs run where they expect to be and nothing else is touched:

    meson setup build-release --buildtype=release --prefix=$PWD/build-release/installed && ninja -C build-release
    python3 -m pytest tests/install --build=build-release"""

import json
import os
import shutil
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'tests', 'flow'))


def pytest_addoption(parser):
    parser.addoption('--build', default=os.path.join(TOP, 'build-release'))


def run(*command, environment=None):
    """Standard output; a failure shows everything that was said."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
                          env=environment)
    assert done.returncode == 0, f'{command} ended with status {done.returncode}\n{done.stdout}{done.stderr}'
    return done.stdout


def files_below(path):
    return {os.path.relpath(os.path.join(folder, name), path) for folder, _, names in os.walk(path) for name in names}


class Installation:
    """The build folder, where it installs to, and its own word for what is where."""

    def __init__(self, build):
        self.build = build
        options = {o['name']: o['value'] for o in json.loads(run('meson', 'introspect', '--buildoptions', build))}
        self.version = json.loads(run('meson', 'introspect', '--projectinfo', build))['version']
        self.prefix = options['prefix']
        self.libdir = options['libdir']

    def path(self, *parts):
        return os.path.join(self.prefix, *parts)

    def install(self, destdir=''):
        run('meson', 'install', '-C', self.build, '--no-rebuild', environment=dict(os.environ, DESTDIR=destdir))

    def environment(self, **more):
        """Of one who has installed it where no one looks by default: only that is said."""
        return {'PATH': self.path('bin') + ':/usr/bin:/bin', 'LANG': 'C.UTF-8', 'HOME': '/nonexistent',
                'LD_LIBRARY_PATH': self.path(self.libdir),
                'PKG_CONFIG_PATH': self.path(self.libdir, 'pkgconfig'), **more}


@pytest.fixture(scope='session')
def installation(request):
    """Freshly installed."""
    build = os.path.abspath(request.config.getoption('--build'))
    result = Installation(build)
    if not result.prefix.startswith(build + os.sep):
        pytest.exit(f'the prefix of {build} is {result.prefix}, which is not inside of it', 2)
    shutil.rmtree(result.prefix, ignore_errors=True)
    result.install()
    return result
