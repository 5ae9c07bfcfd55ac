# SPDX-License-Identifier: Apache-2.0
"""forkd.conf(5) has the keys and defaults of the table in daemon/forkd/config.c."""

import re


def keys_in_code(tree):
    """{key: default} of the table; None where the code computes it, or there is none."""
    table = re.search(r'ConfigKey keys\[\] = \{(.*?)^\};', tree.read('daemon/forkd/config.c'), re.M | re.S).group(1)
    return {key: default or None for key, default in re.findall(r'\{ "(\w+)", (?:NULL|"([^"]*)")', table)}


def keys_in_page(tree):
    """{key: default}: an item ``Key=`` in the first column whose text says "Default: X."; None for what is computed."""
    found, key = {}, None
    for line in tree.read('man/forkd.conf.5.rst').splitlines():
        item = re.match(r'``(\w+)=``', line)
        if item:
            key = item.group(1)
            found[key] = ''
        elif line and not line.startswith(' '):
            key = None
        elif key:
            found[key] += ' ' + line.strip()
    return {key: (re.search(r'Default: (\w+)\.', text) or [None, None])[1] for key, text in found.items()}


def test_keys_and_defaults(tree):
    code, page = keys_in_code(tree), keys_in_page(tree)
    assert code
    assert set(page) == set(code)
    assert {key: default for key, default in code.items() if default} == {
        key: page[key] for key, default in code.items() if default}
