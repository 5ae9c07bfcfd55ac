# SPDX-License-Identifier: Apache-2.0
"""The catalog of the journal has an entry for each event of the code, and the reverse; systemd reads it."""

import pathlib
import re
import shutil
import subprocess

import pytest

FIELDS = {'FORKD_JOB', 'FORKD_SERVER', 'FORKD_GENERATION'}


def events(tree):
    """{name: id} of daemon/common/log-event.h."""
    return dict(re.findall(r'#define LOG_EVENT_(\w+)\s+"([0-9a-f]+)"', tree.read('daemon/common/log-event.h')))


def entries(tree):
    """{id: text} of the catalog."""
    parts = re.split(r'^-- (\S+)$', tree.read('units/forkd.catalog'), flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2]))


def sources(tree):
    return ''.join(path.read_text(encoding='utf-8') for path in
                   pathlib.Path(tree.top, 'daemon').rglob('*.c'))


def test_ids_are_ids(tree):
    found = events(tree)
    assert len(found) > 10
    assert all(re.fullmatch('[0-9a-f]{32}', i) for i in found.values())
    assert len(set(found.values())) == len(found)


def test_each_event_has_an_entry_and_the_reverse(tree):
    assert set(events(tree).values()) == set(entries(tree))


def test_each_event_is_told_somewhere(tree):
    text = sources(tree)
    told = set(re.findall(r'\bLOG_EVENT_(\w+)', text)) | set(re.findall(r'\bLOG_EVENT\((\w+)\)', text))
    assert set(events(tree)) == told


def test_entries_are_whole(tree):
    text = tree.read('units/forkd.catalog')
    for name, number in events(tree).items():
        head, _, body = entries(tree)[number].partition('\n\n')
        assert re.search(r'^Subject: \S', head, re.M), name
        assert re.search(r'^Defined-By: forkd$', head, re.M), name
        assert body.strip(), name
    assert set(re.findall(r'@(\w+)@', text)) <= FIELDS


@pytest.mark.skipif(not shutil.which('journalctl'), reason='systemd is not installed')
def test_systemd_reads_it(tree, tmp_path):
    folder = tmp_path / 'usr/lib/systemd/catalog'
    folder.mkdir(parents=True)
    (tmp_path / 'var/lib/systemd/catalog').mkdir(parents=True)
    shutil.copy(f'{tree.top}/units/forkd.catalog', folder)
    done = subprocess.run(['journalctl', f'--root={tmp_path}', '--update-catalog'], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 0 and done.stderr == '', done.stderr
    listed = subprocess.run(['journalctl', f'--root={tmp_path}', '--list-catalog'], capture_output=True, text=True,
                            timeout=30, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()} == set(events(tree).values())
