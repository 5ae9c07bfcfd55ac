# SPDX-License-Identifier: Apache-2.0
"""Debian 12 roots that can be booted: made once by debootstrap, kept as tars in $XDG_CACHE_HOME/forkd. One is for
containers, another has a kernel and its initrd too. A change of PACKAGES makes new ones."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile

SUITE = 'bookworm'
PACKAGES = ['systemd', 'systemd-sysv', 'udev', 'kmod', 'dbus', 'dbus-user-session', 'libpam-systemd',  # a login
            'libjansson4', 'libsqlite3-0',  # what forkd is linked with
            'python3', 'python3-pytest']  # the tests
KERNEL = ['linux-image-cloud-amd64', 'initramfs-tools']
NOT_NEEDED = ['./var/cache/apt/*', './var/lib/apt/lists/*', './usr/share/doc/*', './usr/share/man/*',
              './usr/share/locale/*', './dev/*']


class Impossible(Exception):
    """This machine cannot do it; the text says why."""


def cache():
    home = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.environ.get('HOME') or '/root', '.cache')
    path = os.path.join(home, 'forkd')
    os.makedirs(path, exist_ok=True)
    return path


def mirror():
    """Of the machine's own apt sources, the one that has the suite."""
    if not shutil.which('apt-get') or not shutil.which('debootstrap'):
        raise Impossible('debootstrap and apt are not here to make a root')
    lines = subprocess.run(['apt-get', 'indextargets', '--format', '$(CODENAME) $(COMPONENT) $(REPO_URI)',
                            'Identifier: Packages'], capture_output=True, text=True, check=True).stdout.splitlines()
    for codename, component, uri in (line.split() for line in lines):
        if (codename, component) == (SUITE, 'main') and uri.startswith(('http:', 'https:', 'file:')):
            return uri
    raise Impossible(f"none of this machine's apt sources has {SUITE} main")


@contextlib.contextmanager
def scratch():
    """A directory that is removed at the end."""
    path = tempfile.mkdtemp(prefix='booted-', dir=cache())
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        subprocess.run(['rm', '-rf', '--one-file-system', path], check=False)


def make(tar, packages):
    with scratch() as work:
        subprocess.run(['debootstrap', '--variant=minbase', '--include=' + ','.join(packages), SUITE, work, mirror()],
                       check=True, stdin=subprocess.DEVNULL)
        subprocess.run(['tar', '-cf', tar + '.new', *(f'--exclude={name}' for name in NOT_NEEDED), '-C', work, '.'],
                       check=True)
        os.rename(tar + '.new', tar)


def base(kernel):
    """The tar."""
    packages = PACKAGES + (KERNEL if kernel else [])
    name = hashlib.sha256(' '.join([SUITE, *packages, *NOT_NEEDED]).encode()).hexdigest()[:12]
    tar = os.path.join(cache(), f'{SUITE}-{"kernel" if kernel else "booted"}-{name}.tar')
    with open(tar + '.lock', 'w', encoding='ascii') as lock:  # two checks at a time make one root
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(tar):
            make(tar, packages)
    return tar


def unpack(kernel, path):
    subprocess.run(['tar', '-xf', base(kernel), '-C', path], check=True)
