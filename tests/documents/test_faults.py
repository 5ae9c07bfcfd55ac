# SPDX-License-Identifier: Apache-2.0
"""tests/FAULTS.md: all its rows are there, each says what covers it or what is left, and the tests that it names exist."""

import os
import re

import pytest

from conftest import TOP

NUMBERS = range(1, 56)
NAME = re.compile(r'`(tests/[^`]*)`')


def rows(text):
    """Cells of each row: number, fault, state, tests, what is left for later."""
    return [[cell.strip() for cell in line.strip('|').split('|')]
            for line in text.splitlines() if re.match(r'\| *\d', line)]


def missing(name, top):
    """Why `path::name` or `path` is no test of the tree; None if it is one."""
    path, _, test = name.partition('::')
    if not os.path.isfile(os.path.join(top, path)):
        return f'{name}: there is no such file'
    if '::' in name:
        definition = rf'^\s*def {re.escape(test)}\(' if path.endswith('.py') else rf'^static void {re.escape(test)}\('
        with open(os.path.join(top, path), encoding='utf-8') as file:
            text = file.read()
        if not re.search(definition, text, re.M):
            return f'{name}: the file has no such test'
        # one of C is run by the table in main
        if path.endswith('.c') and len(re.findall(rf'\b{re.escape(test)}\b', text)) < 2:
            return f'{name}: nothing runs it'
    return None


@pytest.fixture
def text(tree):
    return tree.read('tests/FAULTS.md')


def test_all_faults_are_there_once(text):
    assert [int(row[0]) for row in rows(text)] == list(NUMBERS)


def test_each_fault_says_what_it_has(text):
    for row in rows(text):
        assert len(row) == 5, row
        number, fault, state, tests, left = row
        assert fault, number
        assert state in ('covered', 'partly', 'later'), number
        assert bool(NAME.search(tests)) == (state != 'later'), number
        assert bool(left) == (state != 'covered'), number
        assert not NAME.sub('', tests).strip(), number


def test_tests_of_faults_exist(text):
    names = NAME.findall(text)
    assert len(names) > 100
    assert [why for why in (missing(name, TOP) for name in names) if why] == []


def test_faults_with_wrong_names_are_seen():
    assert missing('tests/documents/test_faults.py::test_tests_of_faults_exist', TOP) is None
    assert missing('tests/documents/test_faults.py', TOP) is None
    assert 'no such test' in missing('tests/documents/test_faults.py::test_tests_of_faults', TOP)
    assert 'no such file' in missing('tests/documents/no_such.py::test_x', TOP)
