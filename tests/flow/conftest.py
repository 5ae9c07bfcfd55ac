# SPDX-License-Identifier: Apache-2.0
"""The flow suite: real daemons, driven over their sockets. Run from the top of the tree, with the Python that has
pytest:  python3 -m pytest tests/flow [--build=DIR] [--as-user=NAME] [--long]

--build, or FORKD_BUILD: the build folder (default: build/). --as-user: drop to this user first (needs root), so
that all daemons run in user mode. --no-cgroups: FORKD_CGROUP=off for every daemon. --long adds what is slow."""

import contextlib
import grp
import os
import pwd
import signal
import sys
import tempfile

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))

pytest.register_assert_rewrite('harness', 'fifos')
import harness  # noqa: E402
import processes  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIMEOUT = 30
SCOPES = {'long', 'root', 'cgroups'}  # marks of tests that do not apply everywhere


class TimedOut(BaseException):
    """A test's own deadline. No Exception, so that no test swallows it."""


def pytest_addoption(parser):
    parser.addoption('--build', default=os.environ.get('FORKD_BUILD') or os.path.join(TOP, 'build'))
    parser.addoption('--as-user', default=None, help='run the whole suite as this user')
    parser.addoption('--no-cgroups', action='store_true', help='FORKD_CGROUP=off for every daemon')
    parser.addoption('--long', action='store_true', help='run the slow tests too')


def become(name):
    """Root becomes the user, for good; what is made from now on is the user's."""
    user = pwd.getpwnam(name)
    if os.getuid() == user.pw_uid:
        return  # a worker of pytest-xdist, whose controller has done it
    os.setgroups([g.gr_gid for g in grp.getgrall() if name in g.gr_mem] + [user.pw_gid])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    processes.prctl(processes.PR_SET_DUMPABLE, 1)
    os.environ.update(USER=name, LOGNAME=name, HOME='/nonexistent')
    os.chdir(TOP)  # where workers of pytest-xdist look for what the command line names


def pytest_configure(config):
    config.addinivalue_line('markers', 'long: slow; only with --long')
    config.addinivalue_line('markers', 'timeout(seconds): deadline of the test (default 30, tripled for sanitizers)')
    config.addinivalue_line('markers', 'root: needs to be root')
    config.addinivalue_line('markers', 'cgroups: needs cgroups')
    if config.getoption('--as-user'):
        become(config.getoption('--as-user'))
    os.umask(0o022)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a suite that is told to end takes its daemons along
    processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1)
    config.forkd_programs = harness.Programs(os.path.abspath(config.getoption('--build')))
    missing = [n for n in ('forkd', 'keeper', 'spawner', 'server', 'work') if not getattr(config.forkd_programs, n)]
    if missing:
        raise pytest.UsageError(f'{config.forkd_programs.build} lacks {", ".join(missing)}: build first, or '
                                'name the folder with --build')


def pytest_collection_modifyitems(config, items):
    """What does not apply here is deselected, never counted as passed or skipped."""
    cgroups = not config.getoption('--no-cgroups') and os.getuid() == 0 and processes.cgroup2_mount()

    def applies(item):
        if item.get_closest_marker('long') and not config.getoption('--long'):
            return False
        if item.get_closest_marker('root') and os.getuid() != 0:
            return False
        if item.get_closest_marker('cgroups') and not cgroups:
            return False
        return True

    out = [i for i in items if not applies(i)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [i for i in items if applies(i)]
        config.forkd_left_out = [len(out), *sorted({m.name for i in out for m in i.iter_markers()} & SCOPES)]
        if hasattr(config, 'workeroutput'):
            config.workeroutput['forkd_left_out'] = config.forkd_left_out


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """pytest-xdist: every worker has collected, and so left out, the same."""
    left_out = getattr(node, 'workeroutput', {}).get('forkd_left_out')
    if left_out:
        node.config.forkd_left_out = left_out


def pytest_terminal_summary(terminalreporter, config):
    """One line, for check, of what was deselected: nothing is left out without a word."""
    if getattr(config, 'forkd_left_out', None):
        number, *scopes = config.forkd_left_out
        terminalreporter.write_line(f'left out: {number} tests marked {", ".join(scopes)}')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Every test has a deadline, teardown included."""
    marker = item.get_closest_marker('timeout')
    seconds = (marker.args[0] if marker else TIMEOUT) * (3 if item.config.forkd_programs.sanitized else 1)
    armed = [True]

    def on_alarm(_number, _frame):
        if armed[0]:
            armed[0] = False
            signal.setitimer(signal.ITIMER_REAL, 20)  # the teardown's own
            armed[0] = True
            raise TimedOut(f'the test took more than {seconds} s')

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    armed[0] = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if call.excinfo and call.excinfo.errisinstance(TimedOut):
        report.outcome = 'failed'
    if report.failed:
        item.forkd_failed = True
        directory = getattr(item, 'forkd_directory', None)
        if directory:
            logs = [os.path.join(d, 'log') for d, _, files in os.walk(directory) if 'log' in files]
            report.sections.append(('daemon', f'FAILED {item.name}: logs in {", ".join(logs) or directory}'))
            for log in logs[:2]:
                report.sections.append((log, processes.read(log)[-4000:]))


@pytest.fixture(scope='session')
def programs(request):
    return request.config.forkd_programs


@pytest.fixture
def directory(request):
    """The test's own: removed when it has passed. Other users may look into it, for their jobs."""
    path = tempfile.mkdtemp(prefix='forkd-flow-')
    os.chmod(path, 0o755)
    request.node.forkd_directory = path
    yield path
    if not getattr(request.node, 'forkd_failed', False):
        harness.remove_tree(path)


@pytest.fixture
def forkd(request, programs, directory):
    """Starts daemons: forkd(config=…, keeper=…, name=…). All are stopped and looked after at the end."""
    leftovers = harness.Leftovers()
    daemons = []

    def make(name='d', start=True, **keywords):
        if hasattr(request.node, 'callspec'):
            keywords.setdefault('method', request.node.callspec.params.get('method'))
        if request.config.getoption('--no-cgroups'):
            keywords['cgroups'] = False
        daemon = harness.Daemon(programs, os.path.join(directory, name), **keywords)
        daemons.append(daemon)
        return daemon.start() if start else daemon

    yield make
    complaints = []
    for daemon in reversed(daemons):
        try:
            daemon.close()
        except Exception as error:  # one that fails to stop must not keep the others
            complaints.append(str(error) or repr(error))
    complaints += leftovers.find([os.stat(d.state).st_ino for d in daemons])
    assert not complaints, '\n'.join(complaints)


@pytest.fixture
def daemon(forkd):
    """forkd under its keeper, with the module `flow`."""
    return forkd()


def pytest_generate_tests(metafunc):
    """method: how workers come to be. All there are; or those that the test's own mark names, or its file's METHODS."""
    marks = [m for m in metafunc.definition.iter_markers('parametrize') if 'method' in m.args[0].split(',')]
    if 'method' in metafunc.fixturenames and not marks:
        metafunc.parametrize('method', getattr(metafunc.module, 'METHODS', harness.METHODS))


@pytest.fixture
def work(programs, method):
    """Jobs of the method under test."""
    return harness.Work(programs, method)


@pytest.fixture
def spawn(programs):
    """Jobs of method spawn, where the method makes no difference."""
    return harness.Work(programs, 'spawn')


@pytest.fixture
def fifo(directory):
    """Makes FIFOs that jobs write to: fifo('name')."""
    made = []

    def make(name='fifo'):
        made.append(harness.Fifo(os.path.join(directory, name)))
        return made[-1]

    yield make
    for f in made:
        f.close()


@pytest.fixture
def gate(directory):
    """Makes FIFOs that jobs wait on: gate('name')."""
    made = []

    def make(name='gate'):
        made.append(harness.Gate(os.path.join(directory, name)))
        return made[-1]

    yield make
    for g in made:
        with contextlib.suppress(OSError):
            g.close()


@pytest.fixture
def nobody():
    """(uid, gid) of another user."""
    user = pwd.getpwnam('nobody')
    return user.pw_uid, user.pw_gid
