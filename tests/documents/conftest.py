# SPDX-License-Identifier: Apache-2.0
"""Tests that documents and code agree. Run from the top of the tree, with the Python that has pytest:
python3 -m pytest tests/documents [--build=DIR]"""

import os
import re
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def pytest_addoption(parser):
    parser.addoption('--build', default=os.environ.get('FORKD_BUILD') or os.path.join(TOP, 'build'))


class Tree:
    """The source tree and the build folder."""

    def __init__(self, build):
        self.top = TOP
        self.build = build

    def read(self, path):
        with open(os.path.join(self.top, path), encoding='utf-8') as f:
            return f.read()

    def run(self, program, *arguments):
        """Standard output of a program of the build."""
        done = subprocess.run([os.path.join(self.build, program), *arguments], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=10, check=True)
        return done.stdout


@pytest.fixture(scope='session')
def tree(request):
    return Tree(os.path.abspath(request.config.getoption('--build')))


def options_in_help(text):
    """--name of each line that begins with options: '  -h, --help   …'."""
    found = set()
    for line in text.splitlines():
        if re.match(r'\s+-', line):
            found |= set(re.findall(r'(?<![\w-])--([a-z][a-z-]*)', re.split(r'\s{2,}', line.strip())[0]))
    return found


def options_in_page(text):
    """--name of each item of an option list: a line that begins with it in the first column."""
    found = set()
    for line in text.splitlines():
        if line.startswith('-') and not re.match(r'-+$', line):
            found |= set(re.findall(r'--([a-z][a-z-]*)', re.split(r'\s{2,}', line)[0]))
    return found
