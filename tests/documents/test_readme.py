# SPDX-License-Identifier: Apache-2.0
"""README's first ten minutes, typed into the shell of `./quickstart --stay`: each command runs, and says what README
says. '…' stands for anything; times are not compared."""

import os
import re
import subprocess

import pytest

# Run by check itself, or by the fixture below.
ELSEWHERE = {'./quickstart', './quickstart --stay', './check'}

# The "shell" that quickstart --stay starts: runs what FORKD_TEST_COMMANDS holds, one command a NUL.
RUNNER = r'''#!/bin/bash
status=0
mapfile -d '' -t commands <"$FORKD_TEST_COMMANDS"
for command in "${commands[@]}"; do
    printf '\1'
    (exit "$status")
    eval "$command"
    status=$?
done >"$FORKD_TEST_OUTPUT" 2>&1
'''


def sessions(text):
    """(command, expected output) of the console blocks, in order."""
    found = []
    for block in re.findall(r'^```console\n(.*?)^```', text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith('$ '):
                found.append([line[2:], []])
            elif line.startswith('> '):
                found[-1][0] += '\n' + line[2:]
            else:
                found[-1][1].append(line)
    return [(command, '\n'.join(lines)) for command, lines in found]


def normal(text):
    """Times, sizes, ids and blanks of columns differ from run to run."""
    text = re.sub(r'\d+(\.\d+)? (µs|ms|s)\b', 'TIME', text)
    text = re.sub(r'\d+(\.\d+)? (B|KiB|MiB|GiB)\b', 'SIZE', text)
    text = re.sub(r'\b(job|pid|uid) \d+', r'\1 N', text)
    text = re.sub(r'^\s*\d+(:|  )', r'N\1', text, flags=re.M)
    text = re.sub(r'^ *ID  ', 'ID  ', text, flags=re.M)
    text = re.sub(r'  +', '  ', text)
    return '\n'.join(line.rstrip() for line in text.splitlines()).strip()


def matches(expected, actual):
    pattern = '.*?'.join(re.escape(part) for part in normal(expected).split('…'))
    return re.fullmatch(pattern, normal(actual), re.S) is not None


def commands(tree):
    return [(c, e) for c, e in sessions(tree.read('README.md')) if c not in ELSEWHERE]


@pytest.fixture(scope='module')
def outputs(tree, tmp_path_factory):
    """What each command really said."""
    directory = tmp_path_factory.mktemp('readme')
    runner = directory / 'runner'
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    (directory / 'commands').write_bytes(b''.join(c.encode() + b'\0' for c, _ in commands(tree)))
    environment = dict(os.environ, SHELL=str(runner), FORKD_BUILD=tree.build, LC_ALL='C.UTF-8', COLUMNS='100',
                       FORKD_TEST_COMMANDS=str(directory / 'commands'), FORKD_TEST_OUTPUT=str(directory / 'output'))
    done = subprocess.run([os.path.join(tree.top, 'quickstart'), '--stay'], env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (directory / 'output').read_text().split('\1')[1:]


def test_commands_are_there(tree):
    assert len(commands(tree)) >= 10


def test_each_command_says_what_is_shown(tree, outputs):
    wrong = [f'$ {command}\nREADME: {expected}\nreally: {actual}'
             for (command, expected), actual in zip(commands(tree), outputs) if not matches(expected, actual)]
    assert not wrong, '\n\n'.join(wrong)
    assert len(outputs) == len(commands(tree))


def test_code_is_an_example(tree):
    """What README shows of C stands so in examples/."""
    blocks = re.findall(r'^```c\n(.*?)^```', tree.read('README.md'), re.M | re.S)
    examples = [tree.read(os.path.join('examples', name)) for name in os.listdir(os.path.join(tree.top, 'examples'))
                if name.endswith('.c')]
    assert blocks
    assert all(any(block in example for example in examples) for block in blocks)


def test_comparison_can_fail():
    assert matches('a … b after 3 ms', 'a long way to b after 12 ms')
    assert not matches('a … b', 'a long way to c')
    assert not matches('one', 'one\ntwo')
