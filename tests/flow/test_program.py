# SPDX-License-Identifier: Apache-2.0
"""Programs that one line, forkd_serve(), has made forkservers: started by Command=, worker by worker the program
itself."""

import os
import subprocess

import pytest

import processes
import varlink


@pytest.fixture
def program(programs):
    """tests/modules/program.c, which tells what it knows."""
    path = programs.find('tests/modules/program')
    assert path, 'the build folder has no tests/modules/program'
    return path


@pytest.fixture
def wordcount(programs):
    path = programs.find('examples/wordcount')
    assert path, 'the build folder has no examples/wordcount'
    return path


def main(server, *argv, **fields):
    return {'server': server, 'entry': 'main', 'arguments': {'argv': [str(a) for a in argv]}, **fields}


def test_wordcount(forkd, wordcount, directory):
    """By hand, as a forkserver, with and without a spare, and as a one-shot host: the same words."""
    ignore, text = os.path.join(directory, 'ignore'), os.path.join(directory, 'text')
    with open(ignore, 'w') as file:
        file.write('the\nof\n')
    with open(text, 'w') as file:
        file.write('The end of the beginning')
    environment = {'WORDCOUNT_IGNORE': ignore}
    by_hand = subprocess.run([wordcount, 'text'], env=environment, cwd=directory, capture_output=True, text=True, timeout=10)
    assert (by_hand.returncode, by_hand.stdout) == (0, '2 text\n')
    daemon = forkd(servers={'wc': {'module': '', 'command': wordcount, 'environment': environment, 'start': 'boot',
                                   'spare': 1},
                            'cold': {'module': '', 'command': wordcount, 'environment': environment}})
    os.unlink(ignore)  # it has been read
    assert [e['name'] for e in daemon.servers()['wc']['entries']] == ['main']
    for attached in (True, False, True):
        job = main('wc', 'text', directory=directory)
        if attached:
            reader, writer = os.pipe()
            certificate = daemon.run({**job, 'stdout': {'descriptor': 0}}, [writer])
            os.close(writer)
            out = os.read(reader, 100).decode()
            os.close(reader)
        else:
            number = daemon.submit(job)
            certificate = daemon.wait(number)
            out = daemon.output(number)[0].decode()
        assert (certificate['result'], certificate['status']) == ('success', 0), certificate
        assert out == '2 text\n'
    certificate = daemon.wait(daemon.submit(main('wc', 'missing', directory=directory)))
    assert (certificate['result'], certificate['status']) == ('exit', 1)
    assert 'missing' in certificate['stderrTail']
    number = daemon.submit(main('cold', text, startMethod='spawn', environment={}))
    assert daemon.wait(number)['result'] == 'exit'  # one of its own, that finds no list
    with open(ignore, 'w') as file:
        file.write('the\n')
    number = daemon.submit(main('cold', text, startMethod='spawn'))
    assert daemon.wait(number)['result'] == 'success'
    assert daemon.output(number)[0].decode() == f'3 {text}\n'


def test_standard_input(forkd, wordcount):
    daemon = forkd(servers={'wc': {'module': '', 'command': wordcount}})
    reader, writer = os.pipe()
    os.write(writer, b'one two three')
    os.close(writer)
    out_read, out_write = os.pipe()
    certificate = daemon.run(main('wc', stdin={'descriptor': 0}, stdout={'descriptor': 1}), [reader, out_write])
    os.close(reader)
    os.close(out_write)
    assert certificate['result'] == 'success'
    assert os.read(out_read, 100) == b'3\n'
    assert os.read(out_read, 100) == b''
    os.close(out_read)


def test_statuses_and_handlers(forkd, program):
    """The exit status is the job's; handlers and buffers of before the fork are not the worker's."""
    daemon = forkd(servers={'program': {'module': '', 'command': program, 'arguments': '{"model": "large"}', 'spare': 1}})
    for status in (0, 1, 77, 255):
        number = daemon.submit(main('program', status, 'two words'))
        certificate = daemon.wait(number)
        assert certificate['status'] == status
        assert certificate['result'] == ('exit' if status else 'success')
        assert daemon.output(number)[0].decode() == f'worker 3 {status} two words ended 0 large\nafter\n'
    with pytest.raises(varlink.Error) as error:
        daemon.run({'server': 'program', 'entry': 'other'})
    assert error.value.name == 'NoSuchEntry'


@pytest.mark.parametrize('word,words', [('thread', ['thread']), ('leak', ['descriptor', '/dev/full']), ('bad', ['name'])])
def test_a_program_that_cannot_serve(forkd, program, word, words):
    daemon = forkd()
    with pytest.raises(varlink.Error) as error:
        daemon.start_server('program', command=[program, word])
    assert error.value.name == 'ServerFailed'
    for part in words:
        assert part in error.value.parameters['reason']


def test_a_descriptor_that_is_kept(forkd, program):
    daemon = forkd(servers={'program': {'module': '', 'command': f'{program} keep'}})
    number = daemon.submit(main('program', 0))
    assert daemon.wait(number)['result'] == 'success'
    assert 'ended 1 none' in daemon.output(number)[0].decode()


def test_a_program_that_offers_a_module(forkd, program):
    daemon = forkd(servers={'program': {'module': '', 'command': f'{program} module', 'spare': 1}})
    for _ in range(3):
        assert daemon.run({'server': 'program', 'entry': 'count'})['value'] == {'preloads': 0}
    assert processes.state(daemon.servers()['program']['pid'])


def test_a_program_that_never_serves(forkd):
    """It has no such line: it ends, and that is the reason."""
    daemon = forkd()
    with pytest.raises(varlink.Error) as error:
        daemon.start_server('program', command=['/bin/true'])
    assert 'exit' in error.value.parameters['reason'] or 'status 0' in error.value.parameters['reason']
