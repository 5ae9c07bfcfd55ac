# SPDX-License-Identifier: Apache-2.0
"""What forkd writes into the journal can be found by its fields and explained by the catalog."""

import subprocess

import machine


def test_messages_have_ids_and_the_catalog_explains_them(forkd):
    forkd.json('status')
    entries = [e for e in machine.journal(forkd, '-u', 'forkd.service') if e.get('SYSLOG_IDENTIFIER') == 'forkd']
    assert entries, machine.journal_text(forkd)
    ids = {e['MESSAGE_ID'] for e in entries if 'MESSAGE_ID' in e}
    assert ids
    for name in ids:
        done = subprocess.run(['journalctl', '--dump-catalog', name], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and 'Subject:' in done.stdout, name


def test_forkservers_can_be_found(forkd):
    forkd.configure('[Server]\nModule=/nowhere/nothing.so\nStart=boot\n', 'servers/broken.conf')
    forkd.json('status')
    found = machine.until(lambda: machine.journal(forkd, 'FORKD_SERVER=broken'), 'the journal has it')
    assert any('/nowhere/nothing.so' in e['MESSAGE'] for e in found), found
    assert all(int(e['PRIORITY']) <= 7 for e in found)
