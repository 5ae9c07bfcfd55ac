# SPDX-License-Identifier: Apache-2.0
import os
import subprocess

import pytest

from fake_forkd import Fake

FORKCTL = os.environ.get("FORKCTL")


def pytest_configure(config):
    if not FORKCTL:
        raise pytest.UsageError("name forkctl's binary in FORKCTL; `meson test` does")


@pytest.fixture
def fake():
    f = Fake()
    yield f
    f.close()


@pytest.fixture
def environment():
    """What forkctl finds by default: nothing of whoever runs the tests."""
    e = {k: v for k, v in os.environ.items() if not k.startswith(("FORKD_", "XDG_", "LC_", "LANG", "COLUMNS"))}
    return dict(e, LC_ALL="C.UTF-8", TZ="UTC")


@pytest.fixture
def ctl(fake, environment):
    """Runs forkctl to its end against the fake."""

    def run(*arguments, status=0, env={}, **more):
        if "input" not in more:
            more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        e = dict(environment, FORKD_ADDRESS=fake.path, **env)
        p = subprocess.run([FORKCTL, *arguments], env=e, text=True, timeout=30, **more)
        assert p.returncode == status, (p.returncode, p.stdout, p.stderr)
        return p

    return run


@pytest.fixture
def start(fake, environment):
    """Starts forkctl; what still runs at the end of the test is ended."""
    started = []

    def popen(*arguments, **more):
        p = subprocess.Popen([FORKCTL, *arguments], env=dict(environment, FORKD_ADDRESS=fake.path), text=True, **more)
        started.append(p)
        return p

    yield popen
    for p in started:
        if p.poll() is None:
            p.kill()
        p.wait()
        for f in (p.stdin, p.stdout, p.stderr):
            if f:
                f.close()
