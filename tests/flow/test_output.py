# SPDX-License-Identifier: Apache-2.0
"""Output files of submitted jobs: kept, bounded, handed out."""

import os

import pytest

import processes
import varlink


def path_of(daemon, job, suffix='out'):
    return os.path.join(daemon.state, 'output', f'{job}.{suffix}')


def test_output(daemon, work):
    job = daemon.submit(work.job('print', 'to stdout\n', 'to stderr\n'))
    certificate = daemon.wait(job)
    assert certificate['stdoutBytes'] == 10 and certificate['stderrBytes'] == 10
    assert certificate.get('stdoutLost', 0) == 0
    assert certificate['stderrTail'].strip() == 'to stderr'
    assert daemon.output(job) == (b'to stdout\n', 0)
    assert daemon.output(job, 'stderr') == (b'to stderr\n', 0)
    assert processes.read(path_of(daemon, job)) == 'to stdout\n'


def test_stdout_is_the_default_stream(daemon, work):
    job = daemon.submit(work.job('print', 'x'))
    daemon.wait(job)
    with daemon.client() as client:
        reply = client.call('OpenOutput', id=job)
        assert os.read(client.fds[reply['descriptor']], 10) == b'x'


def test_output_while_it_runs(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.job('flood', 1000, beacon.path))
    beacon.expect('ready')
    text, lost = daemon.output(job)
    assert (len(text), lost) == (1000, 0)


def test_the_descriptor_is_for_reading_only(daemon, work):
    job = daemon.submit(work.job('print', 'x'))
    daemon.wait(job)
    with daemon.client() as client:
        reply = client.call('OpenOutput', id=job)
        with pytest.raises(OSError):
            os.write(client.fds[reply['descriptor']], b'y')


def test_both_in_one_file(daemon, work):
    job = daemon.submit(work.job('print', 'o', 'e', stderr='stdout'))
    daemon.wait(job)
    assert daemon.output(job)[0] == b'oe'
    with pytest.raises(varlink.Error):
        daemon.output(job, 'stderr')


def test_no_file_when_none_was_wanted(daemon, work, directory):
    job = daemon.submit(work.job('print', 'o', 'e', stdout='null', stderr={'path': os.path.join(directory, 'err')}))
    certificate = daemon.wait(job)
    assert 'stdoutBytes' not in certificate
    assert processes.read(os.path.join(directory, 'err')) == 'e'
    with pytest.raises(varlink.Error):
        daemon.output(job)
    assert not os.path.exists(path_of(daemon, job))


@pytest.mark.parametrize('parameters,name', [({'id': 77}, 'NoSuchJob'), ({'id': None}, 'InvalidParameter'),
                                             ({'stream': 'stdin'}, 'InvalidParameter')])
def test_bad_requests(daemon, work, parameters, name):
    job = daemon.submit(work.succeed())
    daemon.wait(job)
    with pytest.raises(varlink.Error) as error:
        daemon.call('OpenOutput', {'id': job, **parameters})
    assert error.value.name == name


def test_the_head_is_given_up_above_the_maximum(forkd, work, fifo):
    """Counted, said, and gone from the disk; the tail is all there."""
    daemon = forkd(config='OutputMax=64K')
    beacon = fifo()
    job = daemon.submit(work.job('flood', 4 << 20, beacon.path))
    beacon.expect('ready')
    path = path_of(daemon, job)
    processes.eventually(lambda: os.stat(path).st_blocks * 512 < 256 << 10, 5, lambda: os.stat(path).st_blocks)
    text, lost = daemon.output(job)
    assert lost >= (4 << 20) - (128 << 10)
    assert len(text) == 4 << 20 and text[-64:] == b'x' * 63 + b'\n'
    assert text[:lost].count(b'\0') == lost
    assert b'\0' not in text[lost:]
    daemon.call('Cancel', ids=[job])
    certificate = daemon.wait(job)
    assert certificate['stdoutBytes'] == 4 << 20
    assert certificate['stdoutLost'] == lost
    assert 'given up' in certificate['sentence']


def test_the_head_is_given_up_at_the_end_too(forkd, work):
    """A job that was too quick for the look of each second."""
    daemon = forkd(config='OutputMax=64K')
    job = daemon.submit(work.job('flood', 1 << 20))
    certificate = daemon.wait(job)
    assert certificate['stdoutBytes'] == 1 << 20
    assert certificate['stdoutLost'] >= (1 << 20) - (128 << 10)
    assert os.stat(path_of(daemon, job)).st_blocks * 512 <= 128 << 10


def test_an_unlinked_output_file(daemon, work, fifo):
    beacon = fifo()
    job = daemon.submit(work.job('flood', 1000, beacon.path))
    beacon.expect('ready')
    os.unlink(path_of(daemon, job))
    try:
        daemon.output(job)
    except varlink.Error as error:
        assert error.parameters.get('sentence')
    daemon.call('Cancel', ids=[job])
    assert daemon.wait(job)['result'] == 'cancelled'


def test_files_are_the_owners_alone(daemon, work):
    job = daemon.submit(work.job('print', 'x'))
    daemon.wait(job)
    for suffix in ('out', 'err'):
        assert os.stat(path_of(daemon, job, suffix)).st_mode & 0o077 == 0
    assert os.stat(daemon.state).st_mode & 0o022 == 0
    assert os.stat(os.path.join(daemon.state, 'output')).st_mode & 0o077 == 0


def test_output_of_a_former_daemon_is_removed(forkd, work):
    first = forkd(name='d')
    job = first.submit(work.job('print', 'x'))
    first.wait(job)
    assert first.stop() == 0
    second = forkd(name='d')
    assert os.listdir(os.path.join(second.state, 'output')) == []
