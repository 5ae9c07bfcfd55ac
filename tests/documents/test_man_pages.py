# SPDX-License-Identifier: Apache-2.0
"""Man pages compile without a warning, refer to pages that exist, and have the options that programs have."""

import os
import re
import subprocess

import pytest

from conftest import TOP, options_in_help, options_in_page

PAGES = sorted(name for name in os.listdir(os.path.join(TOP, 'man')) if name.endswith('.rst'))
REQUIRED = {'forkd.8.rst', 'forkctl.1.rst', 'forkd.conf.5.rst', 'forkd-module.7.rst', 'forkd-protocol.7.rst',
            'forkd-server.7.rst', 'forkd_serve.3.rst'}


def test_all_pages_are_there():
    assert REQUIRED <= set(PAGES)


@pytest.mark.parametrize('page', PAGES)
def test_compiles_without_warnings(tree, page):
    done = subprocess.run(['rst2man', '--report=1', '--halt=5', os.path.join(tree.top, 'man', page)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ''
    assert '.SH NAME' in done.stdout


@pytest.mark.parametrize('page', PAGES)
def test_title_section_and_file_agree(tree, page):
    text = tree.read('man/' + page)
    name, section = re.match(r'(.*)\.(\d)\.rst$', page).groups()
    assert re.search(r'^=+\n' + re.escape(name) + r'\n=+$', text, re.M)
    assert re.search(r'^:Manual section: ' + section + '$', text, re.M)


@pytest.mark.parametrize('page', PAGES)
def test_refers_to_pages_that_exist(tree, page):
    references = re.findall(r'\*\*(forkd?[a-z._-]*)\*\*\\\((\d)\)', tree.read('man/' + page))
    assert references
    assert {f'{name}.{section}.rst' for name, section in references} <= set(PAGES)


def test_pages_are_built(tree):
    listed = set(re.findall(r"^    '([a-z._-]+)': '(\d)',$", tree.read('man/meson.build'), re.M))
    assert {f'{name}.{section}.rst' for name, section in listed} == set(PAGES)


def test_options_of_forkd_and_its_keeper(tree):
    page = tree.read('man/forkd.8.rst')
    both, keeper = page.split('Of **forkd-keeper** alone:')
    keeper = keeper.split('\nMODES\n')[0]
    both = both.split('\nOPTIONS\n')[1]
    assert options_in_page(both) == options_in_help(tree.run('daemon/forkd/forkd', '--help'))
    assert (options_in_page(keeper) | {'help', 'version'}
            == options_in_help(tree.run('daemon/keeper/forkd-keeper', '--help')))


def test_version_is_that_of_the_project(tree):
    version = re.search(r"version: '([0-9.]+)'", tree.read('meson.build')).group(1)
    for program in ('daemon/forkd/forkd', 'daemon/keeper/forkd-keeper', 'client/forkctl'):
        assert version in tree.run(program, '--version')
    assert version in tree.read('NEWS.md')
