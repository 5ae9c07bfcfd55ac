# SPDX-License-Identifier: Apache-2.0
"""Many jobs in a row leave nothing in any process of the daemon."""

import os

import pytest

import processes

METHODS = ('spawn', 'fork', 'forkserver', 'spares')
SLACK_KIB = 1024


def measure(daemon):
    """{name: (resident KiB, descriptors, children)} of every process of ours."""
    result = {}
    for name, pid in daemon.tree().items():
        result[name] = (processes.rss_kib(pid), len(processes.descriptors(pid)), len(processes.children(pid)))
    return result


def quiet(daemon, before):
    """Waits until every process has as many children as it had then; what it is now."""
    def probe():
        now = measure(daemon)
        return now if {n: m[2] for n, m in now.items()} == {n: m[2] for n, m in before.items()} else None
    return processes.eventually(probe, what=lambda: (before, measure(daemon)))


def cgroups(daemon):
    """Directories below the base, by the daemon's own word for it: empty without cgroups."""
    return [d for base in processes.cgroup_bases() if str(os.stat(daemon.state).st_ino) in base
            for d in os.listdir(base) if os.path.isdir(os.path.join(base, d))]


def batch(daemon, work, n, attached):
    """n jobs: submitted 500 at a time, or attached over one connection."""
    if attached:
        with daemon.client() as client:
            for _ in range(n):
                assert client.call('Run', {'job': work.succeed()})['certificate']['result'] == 'success'
        return
    for _ in range(n // 500):
        ids = daemon.submit(*(work.succeed() for _ in range(500)))
        assert {c['result'] for c in daemon.wait(*ids)} == {'success'}
        assert daemon.call('Forget', finished=True)['forgotten'] == 500


@pytest.mark.parametrize('attached', [
    pytest.param(False, id='submitted'), pytest.param(True, id='attached')])
@pytest.mark.parametrize('jobs', [
    pytest.param(1000, marks=pytest.mark.timeout(60)),
    pytest.param(20_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_everything_is_back_where_it_was(forkd, work, jobs, attached):
    """Memory of every process within 1 MiB, descriptors and children exactly, cgroups within those kept ready."""
    daemon = forkd(config='MaxRunning=4')
    fresh = measure(daemon)
    batch(daemon, work, 1000, attached)  # lazy allocations and the first growth of tables
    quiet(daemon, fresh)
    before, groups = measure(daemon), len(cgroups(daemon))
    batch(daemon, work, jobs, attached)

    def differences():
        result = []
        after = measure(daemon)
        assert after.keys() == before.keys()
        for name, (rss, fds, children) in after.items():
            if rss - before[name][0] > (SLACK_KIB if not daemon.programs.sanitized else 64 << 10):
                result.append(f'{name}: {before[name][0]} KiB before, {rss} KiB after')
            if fds > before[name][1] + 8:  # cgroups kept ready
                result.append(f'{name}: {before[name][1]} descriptors before, {fds} after')
            if children != before[name][2]:
                result.append(f'{name}: {before[name][2]} children before, {children} after')
        if len(cgroups(daemon)) > groups + 8:
            result.append(f'{groups} cgroups before, {len(cgroups(daemon))} after')
        return result

    processes.eventually(lambda: not differences(), 10, lambda: '; '.join(differences()))
    assert daemon.list() == []
    assert os.listdir(os.path.join(daemon.state, 'output')) == []
    assert daemon.preloads() == 1
    assert daemon.preloads('flow') == (work.server == 'flow')


@pytest.mark.timeout(60)
def test_failures_leave_nothing_either(forkd, work):
    """The same for jobs that are refused, that cannot start, that time out and that are cancelled."""
    daemon = forkd(config='MaxRunning=4')

    def round_of_failures():
        ids = daemon.submit(*(job for _ in range(25) for job in (
            work.exit(1), work.succeed(directory='/no/such'), work.forever(timeoutUSec=20_000),
            work.job('signal', 9))))
        daemon.wait(*ids)
        ids = daemon.submit(*(work.forever() for _ in range(50)))
        daemon.call('Cancel', ids=ids)
        daemon.wait(*ids)
        for _ in range(50):
            with daemon.client() as client:
                client.send('Submit', {'jobs': [{'command': []}]})
                assert 'error' in client.receive()
        daemon.call('Forget', finished=True)

    fresh = measure(daemon)
    round_of_failures()
    before = quiet(daemon, fresh)
    for _ in range(3):
        round_of_failures()
    after = quiet(daemon, before)
    for name, (rss, _, _) in after.items():
        assert rss - before[name][0] < (SLACK_KIB if not daemon.programs.sanitized else 64 << 10), name
