# SPDX-License-Identifier: Apache-2.0
"""forkctl's options stand in one table of its code, which --help prints. The man page and the completion say the
same: all of them, of the same verbs, with or without a value, and nothing else."""

import os
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
OPTION = re.compile(r"^ {2,6}(?:-(\w), )? *--([a-z-]+)(=)?", re.M)


def options(text):
    """name → (letter, takes a value)"""
    return {name: (letter, bool(value)) for letter, name, value in OPTION.findall(text)}


def verbs_of(text):
    listed = text.split("Verbs:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\w+)", listed, re.M)


@pytest.fixture
def forkctl(tree):
    return lambda *arguments: tree.run("client/forkctl", *arguments)


@pytest.fixture
def verbs(forkctl):
    return verbs_of(forkctl("--help"))


@pytest.fixture
def help_of(forkctl):
    """The options of the verb alone, and those of every verb."""

    def get(verb):
        own, general = forkctl(verb, "--help").split("\nOptions of every verb:\n")
        return options(own), options(general.split("\nExample:")[0])

    return get


def man_sections():
    text = (TOP / "man" / "forkctl.1.rst").read_text()
    parts = re.split(r"^([^\n]+)\n(?:=+|-+)\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def man_options(section):
    found = {}
    for line in section.splitlines():
        head = re.split(r"  +", line, maxsplit=1)[0]
        m = re.fullmatch(r"(?:-(\w)(?: [A-Z]+)?, )?--([a-z-]+)(=\S+)?", head)
        if m:
            found[m[2]] = (m[1] or "", bool(m[3]))
    return found


def completion_options():
    text = (TOP / "client" / "ctl" / "forkctl.bash-completion").read_text()
    table = {v: o.split() for v, o in re.findall(r"^        \[(\w+)\]='([^']*)'", text, re.M)}
    general = re.search(r"local general='([^']*)'", text)[1].split()
    return table, general


def words(found):
    return sorted("--" + name + ("=" if value else "") for name, (_, value) in found.items())


def test_general_options(forkctl, verbs, help_of):
    general = options(forkctl("--help").split("\nOptions:\n")[1].split("\nExit status")[0])
    assert len(general) >= 7
    assert man_options(man_sections()["GENERAL OPTIONS"]) == general
    assert sorted(completion_options()[1]) == words(general)
    assert all(help_of(verb)[1] == general for verb in verbs)


def test_verbs(verbs):
    assert len(verbs) >= 14
    assert list(completion_options()[0]) == verbs
    assert [s for s in man_sections() if s in verbs] == verbs


def test_options_of_each_verb(verbs, help_of):
    sections, completion = man_sections(), completion_options()[0]
    for verb in verbs:
        own, _ = help_of(verb)
        documented = man_options(sections[verb])
        if verb in ("submit", "run"):
            assert "JOB OPTIONS" in sections[verb]
            documented = {**documented, **man_options(sections["JOB OPTIONS"])}
        assert documented == own, verb
        assert sorted(completion[verb]) == words(own), verb


def complete(tree, line, environment={}):
    """What bash would offer behind the line."""
    script = f"""
        PATH={tree.build}/client:$PATH
        source '{TOP}/client/ctl/forkctl.bash-completion'
        compopt() {{ :; }}
        COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _forkctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    p = subprocess.run(["bash", "-uc", script], text=True, capture_output=True, env={**os.environ, **environment})
    assert p.returncode == 0 and p.stderr == "", p.stderr
    return p.stdout.split()


def test_completion_works(tree, verbs):
    assert set(complete(tree, "forkctl ''")) == set(verbs)
    assert complete(tree, "forkctl sub") == ["submit"]
    assert complete(tree, "forkctl list --st") == ["--state="]
    assert complete(tree, "forkctl list --state = fin") == ["finished"]
    assert complete(tree, "forkctl kill -s SIGKI") == ["SIGKILL"]
    assert complete(tree, "forkctl drain --no") == ["--no-wait"]
    assert complete(tree, "forkctl submit --method fo") == ["fork", "forkserver"]
    assert complete(tree, "forkctl show ''", {"FORKD_ADDRESS": "/nonexistent"}) == []
