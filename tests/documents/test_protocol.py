# SPDX-License-Identifier: Apache-2.0
"""forkd-protocol(7) names every method, field, state, result, error and limit that the code has, and no other."""

import re

import pytest

INTERFACES = ['org.forkd.jobs', 'org.forkd.servers', 'org.forkd.manager']


@pytest.fixture(scope='module')
def page(tree):
    return tree.read('man/forkd-protocol.7.rst')


def section(page, title):
    """The text of a section with this title."""
    return re.search(r'^' + title + r'\n=+\n(.*?)(?=^[A-Z][A-Z. ]+\n=+$|\Z)', page, re.M | re.S).group(1)


def literals(text):
    return {word for literal in re.findall(r'``([^`]+)``', text) for word in re.findall(r'[\w.-]+', literal)}


def table(text, number=0):
    """First cells of the rows of the number-th simple table."""
    rows = re.findall(r'^=+ =[= ]+\n(.*?)\n=+ =[= ]+$', text, re.M | re.S)[number]
    return {cell for line in rows.splitlines() if not line.startswith(' ')
            for cell in re.findall(r'``([\w.-]+)``', re.split(r'``\s{2,}', line + '   ')[0] + '``')}


@pytest.mark.parametrize('interface', INTERFACES)
def test_methods(tree, page, interface):
    declared = re.findall(r'^method (\w+)\((.*?)\) -> \(', tree.read(f'proto/{interface}.varlink'), re.M | re.S)
    documented = dict(re.findall(r'``(\w+)\(([\w, ]*)\) → ', section(page, interface.upper())))
    assert set(documented) == {name for name, _ in declared}
    for name, parameters in declared:
        assert documented[name].split(', ') == re.findall(r'(\w+):', parameters) or not documented[name], name


@pytest.mark.parametrize('interface', INTERFACES)
def test_replies(tree, page, interface):
    """Every field of a reply is named in the section."""
    text = re.sub(r'^ *#.*$', '', tree.read(f'proto/{interface}.varlink'), flags=re.M)
    words = set(re.findall(r'\w+', section(page, interface.upper())))
    for _, reply in re.findall(r'^method (\w+)\(.*?\) -> \((.*?)\n?\)$', text, re.M | re.S):
        if 'maxRunning' not in reply:  # Status is told in prose
            assert set(re.findall(r'(\w+):', reply)) <= words


def test_fields_of_a_job(tree, page):
    fields = set(re.findall(r'^        \{ "(\w+)", field_parse', tree.read('proto/job-spec.c'), re.M))
    assert fields
    declared = re.search(r'^type Job \((.*?)^\)', tree.read('proto/org.forkd.jobs.varlink'), re.M | re.S).group(1)
    assert fields == set(re.findall(r'(\w+):', declared))
    documented = set()
    for line in section(page, 'THE JOB').splitlines():
        if line.startswith('``'):
            documented |= set(re.findall(r'``(\w+)``', line))
    assert documented == fields


def test_fields_of_a_certificate_and_a_status(tree, page):
    text = tree.read('proto/org.forkd.jobs.varlink')
    declared = re.search(r'^type Certificate \((.*?)^\)', text, re.M | re.S).group(1)
    assert table(section(page, 'THE CERTIFICATE')) == set(re.findall(r'(\w+):', declared))
    declared = re.search(r'^type Status \((.*?)^\)', text, re.M | re.S).group(1)
    documented = re.search(r'A ``Status``.*?, has ``([^`]*)``', page, re.S).group(1).split()
    assert documented == re.findall(r'(\w+):', declared)


def fields(tree, interface, name):
    declared = re.search(r'^type ' + name + r' \((.*?)\)$', tree.read(f'proto/{interface}.varlink'), re.M | re.S).group(1)
    return re.findall(r'(\w+): ', declared.replace('startMethod: (fork, spawn, forkserver)', 'startMethod: x'))


def test_fields_of_a_server(tree, page):
    text = section(page, 'ORG.FORKD.SERVERS')
    assert table(text) == set(fields(tree, 'org.forkd.servers', 'Server'))
    for name, words in (('Generation', 'generations'), ('Worker', 'workers')):
        documented = re.search(r'One of \*' + words + r'\* is\s+``{([\w, ]*)}``', text).group(1)
        assert documented.split(', ') == fields(tree, 'org.forkd.servers', name)


def test_states_of_a_server(tree, page):
    text = section(page, 'ORG.FORKD.SERVERS')
    states = re.findall(r'^        \[NAMED_\w+\] = \{ "(\w+)"', tree.read('daemon/forkd/named.c'), re.M)
    assert states
    assert table(text, 1) == set(states)
    limits = re.findall(r'^#define NAMED_MAX +(\d+)', tree.read('daemon/forkd/named.h'), re.M)
    assert f'There are at most {limits[0]}' in text


def test_states_and_results(tree, page):
    states = re.search(r'^type State \((.*?)\)', tree.read('proto/org.forkd.jobs.varlink'), re.M).group(1)
    assert table(section(page, 'STATES')) == set(states.split(', '))
    results = re.findall(r'^        \[RESULT_\w+\] = "([\w-]+)"', tree.read('daemon/forkd/certificate.c'), re.M)
    assert table(section(page, 'THE CERTIFICATE'), 1) == set(results)


def test_errors(tree, page):
    declared = set()
    for interface in INTERFACES:
        declared |= {f'{interface}.{name}' for name in
                     re.findall(r'^error (\w+) \(', tree.read(f'proto/{interface}.varlink'), re.M)}
    assert table(section(page, 'ERRORS')) == {name.split('.')[-1] for name in declared}
    sent = re.findall(r'^        \[WIRE_\w+\] = "([\w.]+)"', tree.read('daemon/forkd/wire-error.c'), re.M)
    assert sorted(sent) == sorted(declared)


def test_limits(tree, page):
    def constant(path, name):
        expression = re.search(rf'{name}\s*(?:=|\s)\s*([^,/;\n]+)', tree.read(path)).group(1)
        value = 1
        for number in re.findall(r'\d+', expression):
            value *= int(number)
        return value

    limits = re.search(r'^Limits\n-+\n(.*?)^Descriptors', page, re.M | re.S).group(1)
    rows = dict(re.findall(r'^(\S.*?) {2,}(\S.*)$', limits, re.M))
    mib = 1024 * 1024
    assert rows == {
        'a message': f"{constant('proto/stream.h', 'STREAM_MESSAGE_MAX') // mib} MiB",
        'nesting': f"{constant('proto/scan.h', 'SCAN_DEPTH_MAX')} levels",
        'values in a message': f"{constant('proto/scan.h', 'SCAN_VALUES_MAX')}",
        'descriptors with a message': f"{constant('proto/stream.h', 'STREAM_DESCRIPTORS_MAX')}",
        'an unfinished message': f"{constant('proto/service.h', r'.half_message_usec')} s",
        'output that waits for a client': f"{constant('proto/service.h', r'.output_max') // mib} MiB, and "
                                          f"{constant('proto/service.h', r'.stalled_output_usec')} s without progress",
        'buffered input and output of a user': f"{constant('proto/service.h', r'.buffered_per_uid_max') // mib} MiB",
        'connections of a user, of all': f"{constant('proto/service.h', r'.connections_per_uid_max')}, "
                                         f"{constant('proto/service.h', r'.connections_max')}",
    }
