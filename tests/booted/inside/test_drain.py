# SPDX-License-Identifier: Apache-2.0
"""`systemctl stop` and `restart` drain: jobs that end in time end by themselves."""

import time

import machine


def start(forkd, tmp_path, script):
    started = tmp_path / 'started'
    job = forkd.submit('sh', '-c', f'echo $$ >{started}.new; mv {started}.new {started}; {script}')
    machine.until(started.exists, 'the job has started')
    return job, int(started.read_text())


def test_jobs_that_end_within_the_deadline_do_so(forkd, tmp_path):
    forkd.configure('DrainTimeout=20s\n')
    ended = tmp_path / 'ended'
    go_on = tmp_path / 'go-on'
    _job, pid = start(forkd, tmp_path, f'while ! [ -e {go_on} ]; do sleep 0.05; done; echo yes >{ended}')
    forkd.systemctl('stop', '--no-block', 'forkd.service')
    machine.until(lambda: forkd.state_of() == 'deactivating', 'the stop has begun')
    assert machine.alive(pid)
    go_on.write_text('')
    machine.until(lambda: forkd.state_of() == 'inactive', 'it has stopped')
    assert ended.read_text() == 'yes\n'
    assert forkd.property('Result') == 'success'


def test_jobs_past_the_deadline_are_ended(forkd, tmp_path):
    _job, pid = start(forkd, tmp_path, 'trap : TERM; while :; do sleep 0.1; done')
    begun = time.monotonic()
    forkd.systemctl('stop', 'forkd.service')
    assert 0.5 <= time.monotonic() - begun < 20 * machine.SLOW
    assert not machine.alive(pid)
    assert forkd.property('Result') == 'success'


def test_attached_jobs_and_their_clients_end_too(forkd, tmp_path):
    forkd.json('status')
    forkd.systemctl('restart', 'forkd.service')
    assert forkd.forkctl('run', '--', 'echo', 'again').stdout == 'again\n'
    _job, pid = start(forkd, tmp_path, 'exec sleep 1000')
    forkd.systemctl('restart', 'forkd.service')
    assert not machine.alive(pid)
    assert forkd.json('status')['running'] == 0
