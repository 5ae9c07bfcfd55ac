# SPDX-License-Identifier: Apache-2.0
"""What is installed is what the documents say, and runs from there: with no path given, the programs find one
another, modules are found by their bare names, and what is needed to build clients and modules is there."""

import json
import os
import shutil
import signal
import subprocess

import pytest

import harness
from conftest import TOP, files_below, run

PAGES = ['man1/forkctl.1', 'man3/forkd_serve.3', 'man5/forkd.conf.5', 'man7/forkd-module.7', 'man7/forkd-protocol.7',
         'man7/forkd-server.7', 'man8/forkd.8']

CLIENT = r'''
#include <forkd.h>
#include <stdio.h>

int main(int argc, char **argv) {
        ForkdRequest request = { .method = "org.forkd.manager.Status" };
        ForkdReply reply = { 0 };
        Forkd *f = NULL;

        if (argc != 2 || forkd_connect(&f, argv[1]) != 0 || forkd_call(f, &request, NULL, NULL, &reply) != 0)
                return 1;
        printf("%d\n", (int)json_integer_value(json_object_get(reply.parameters, "pid")));
        forkd_reply_done(&reply);
        forkd_free(f);
        return 0;
}
'''

MODULE = r'''
#include <forkd-module.h>

static int greet(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        const char *name = json_string_value(json_object_get(arguments, "name"));

        if (!name)
                return forkd_call_fail(call, "NoName", "whom?");
        *ret_value = json_pack("{ss}", "hello", name);
        return 0;
}

static const ForkdEntry entries[] = { { "greet", greet, "greets", "name=NAME" }, { 0 } };
const ForkdModule forkd_module = { .abi = FORKD_MODULE_ABI, .name = "greeter", .entries = entries };
'''


class InstalledDaemon(harness.Daemon):
    """As an administrator starts it: the keeper, told its directories and nothing else."""

    def __init__(self, installation, programs, directory, **keywords):
        super().__init__(programs, directory, **keywords)
        self.installation = installation
        for name in [n for n in self.environment if n.startswith('FORKD_')]:
            del self.environment[name]

    def command(self):
        return [self.installation.path('bin', 'forkd-keeper'), f'--runtime={self.runtime}', f'--state={self.state}',
                f'--config={self.config}']

    def forkctl(self, *words):
        return run('forkctl', *words, environment=self.installation.environment(FORKD_ADDRESS=self.address))


@pytest.fixture
def start(installation, tmp_path):
    """Starts daemons of the installation; they end with the test, and leave nothing."""
    daemons = []
    programs = harness.Programs(installation.build)

    def make(**keywords):
        daemons.append(InstalledDaemon(installation, programs, str(tmp_path / f'd{len(daemons)}'), **keywords))
        return daemons[-1].start()

    yield make
    for daemon in daemons:
        daemon.close()


def compiled(installation, tmp_path, name, source, *words):
    """Compiles as documented, and returns the path."""
    code, program = tmp_path / f'{name}.c', tmp_path / name
    code.write_text(source)
    run('sh', '-c', f'cc -Wall -Werror {" ".join(words)}', 'sh', str(program), str(code),
        environment=installation.environment())
    return str(program)


def expected_files(installation):
    lib = installation.libdir
    return {
        'bin/forkctl', 'bin/forkd', 'bin/forkd-keeper', 'libexec/forkd/forkd-server',
        'libexec/forkd/forkd-spawner', 'include/forkd.h', 'include/forkd-module.h', 'include/forkd-serve.h',
        f'{lib}/libforkd.so', f'{lib}/libforkd.so.0', f'{lib}/libforkd.so.{installation.version}',
        f'{lib}/pkgconfig/libforkd.pc', f'{lib}/pkgconfig/forkd-module.pc',
        f'{lib}/forkd/modules/numbers.so', f'{lib}/forkd/modules/spell.so',
        *(f'lib/systemd/{kind}/forkd.{unit}' for kind in ('system', 'user') for unit in ('socket', 'service')),
        'lib/systemd/catalog/forkd.catalog',
        'share/bash-completion/completions/forkctl', *(f'share/man/{page}' for page in PAGES),
    }


def test_files(installation):
    assert files_below(installation.prefix) == expected_files(installation)


def test_destdir(installation, tmp_path):
    """A packager's installation: the same, below another root."""
    installation.install(destdir=str(tmp_path))
    assert files_below(tmp_path / installation.prefix.lstrip('/')) == expected_files(installation)
    assert len(files_below(tmp_path)) == len(expected_files(installation))


def test_programs_find_one_another(installation, start):
    daemon = start(module=None)
    own = [os.path.realpath(f'/proc/{pid}/exe') for pid in daemon.tree().values()]
    assert all(path.startswith(installation.prefix) for path in own), own
    assert {os.path.basename(path) for path in own} == {'forkd', 'forkd-keeper', 'forkd-spawner'}
    assert daemon.forkctl('run', '--', 'echo', 'hello') == 'hello\n'
    job = daemon.forkctl('submit', '--', 'sh', '-c', 'echo one; exit 3').strip()
    assert subprocess.run(['forkctl', 'wait', '--exit', job], check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, timeout=60, env=installation.environment(
                              FORKD_ADDRESS=daemon.address)).returncode == 3
    assert daemon.forkctl('logs', job) == 'one\n'
    assert daemon.stop(signal.SIGTERM) == 0


def test_modules_by_their_bare_names(start):
    daemon = start(module='numbers spell')
    assert json.loads(daemon.forkctl('run', '--method=fork', 'factorial', 'n:=20'))['value'] == '2432902008176640000'
    found = json.loads(daemon.forkctl('run', '--method=fork', 'check', 'text=a shiny new wrod'))
    assert [u['word'] for u in found['unknown']] == ['wrod']


def test_versions(installation):
    environment = installation.environment()
    for program in ('forkctl', 'forkd', 'forkd-keeper'):
        assert installation.version in run(program, '--version', environment=environment), program
    for package in ('libforkd', 'forkd-module'):
        assert run('pkg-config', '--modversion', package, environment=environment).strip() == installation.version


def test_a_client_builds_and_runs(installation, start, tmp_path):
    daemon = start(module=None)
    client = compiled(installation, tmp_path, 'client', CLIENT, '-o "$1" "$2"', '$(pkg-config --cflags --libs libforkd)')
    assert int(run(client, daemon.address, environment=installation.environment())) == daemon.pid


def test_a_module_builds_and_runs(installation, start, tmp_path):
    """Built as forkd-module(7) says, and found where pkg-config says that modules belong."""
    module = compiled(installation, tmp_path, 'greeter.so', MODULE,
                      '-shared -fPIC $(pkg-config --cflags forkd-module) "$2" -o "$1"')
    folder = run('pkg-config', '--variable=moduledir', 'forkd-module', environment=installation.environment()).strip()
    assert folder == installation.path(installation.libdir, 'forkd', 'modules')
    place = shutil.copy(module, folder)
    try:
        assert json.loads(start(module='greeter').forkctl('run', '--method=fork', 'greet', 'name=you')) == {'hello': 'you'}
    finally:
        os.unlink(place)


def source(name):
    with open(os.path.join(TOP, 'examples', name), encoding='utf-8') as file:
        return file.read()


def test_the_smallest_module_builds_with_one_line(installation, start, tmp_path):
    hello = compiled(installation, tmp_path, 'hello.so', source('hello.c'),
                     '-shared -fPIC $(pkg-config --cflags forkd-module) "$2" -o "$1"')
    daemon = start(module=hello)
    assert json.loads(daemon.forkctl('run', '--method=fork', 'hello', 'name=you')) == {'greeting': 'hello you'}


def test_a_program_is_what_it_was_by_hand(installation, tmp_path):
    program = compiled(installation, tmp_path, 'wordcount', source('wordcount.c'),
                       '$(pkg-config --cflags libforkd) "$2" -o "$1" $(pkg-config --libs libforkd)')
    text = tmp_path / 'text'
    text.write_text('one two\nthree')
    assert run(program, str(text), environment=installation.environment()) == f'3 {text}\n'


def test_the_library_shows_what_its_header_says(installation):
    """Nothing but forkd_…, so that no program gets symbols from us that it has itself."""
    symbols = [line.split()[-1] for line in run(
        'nm', '-D', '--defined-only', installation.path(installation.libdir, 'libforkd.so')).splitlines()]
    assert symbols and all(s.startswith('forkd_') for s in symbols if not s.startswith('LIBFORKD')), symbols


@pytest.mark.parametrize('page', PAGES)
def test_man_pages(installation, page):
    with open(installation.path('share', 'man', page), encoding='utf-8') as file:
        assert '\n.TH ' in file.read()


def test_completion_is_found_by_name(installation):
    """bash-completion loads it when the first word is forkctl."""
    script = '. /usr/share/bash-completion/bash_completion; _completion_loader forkctl; complete -p forkctl'
    said = run('bash', '-c', script, environment=installation.environment(
        XDG_DATA_DIRS=installation.path('share'), XDG_DATA_HOME='/nonexistent'))
    assert '_forkctl' in said
