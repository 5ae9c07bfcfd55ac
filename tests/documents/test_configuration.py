# SPDX-License-Identifier: Apache-2.0
"""forkd.conf(5) has the keys and defaults of the tables in daemon/forkd/config.c and server-settings.c."""

import re


def keys_in_code(tree):
    """{(section, key): default} of the tables; None where the code computes it, or there is none."""
    daemon = re.search(r'ConfigKey keys\[\] = \{(.*?)^\};', tree.read('daemon/forkd/config.c'), re.M | re.S).group(1)
    server = re.search(r'SettingsKey keys\[\] = \{(.*?)^\};', tree.read('daemon/forkd/server-settings.c'),
                       re.M | re.S).group(1)
    found = {('Daemon', key): default or None
             for key, default in re.findall(r'\{ "(\w+)", (?:NULL|"([^"]*)")', daemon)}
    found |= {(section, key): default or None
              for key, default, section in re.findall(r'\{ "(\w+)", (?:NULL|"([^"]*)"), "(\w+)"', server)}
    return found


def keys_in_page(tree):
    """{(section, key): default}: an item ``Key=`` in the first column whose text says "Default: X."; None for what is
    computed. A heading "[NAME] SECTION" says which section it is in."""
    found, section, key = {}, None, None
    for line in tree.read('man/forkd.conf.5.rst').splitlines():
        heading = re.match(r'\[(\w+)\] SECTION', line)
        item = re.match(r'``(\w+)=``', line)
        if heading:
            section, key = heading.group(1).capitalize(), None
        elif item:
            key = section, item.group(1)
            found[key] = ''
        elif line and not line.startswith(' '):
            key = None
        elif key:
            found[key] += ' ' + line.strip()
    return {key: (re.search(r'Default: (\w+)\.', text) or [None, None])[1] for key, text in found.items()}


def test_keys_and_defaults(tree):
    code, page = keys_in_code(tree), keys_in_page(tree)
    assert {section for section, _ in code} == {'Daemon', 'Server', 'Pool'}
    assert set(page) == set(code)
    assert {key: default for key, default in code.items() if default} == {
        key: page[key] for key, default in code.items() if default}


def test_bounds_of_servers(tree):
    page = tree.read('man/forkd.conf.5.rst')
    header = tree.read('daemon/forkd/server-settings.h')
    spare, name, modules = (re.search(rf'#define SERVER_{what}_MAX +(\d+)', header).group(1)
                            for what in ('SPARE', 'NAME', 'MODULES'))
    assert f'0 to {spare}. ' in page
    assert f'at most {name}' in page
    assert f'at most {modules} modules' in page
