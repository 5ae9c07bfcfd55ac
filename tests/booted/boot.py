#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boots systemd with forkd installed, and runs the tests of tests/booted/inside there.

    tests/booted/boot.py --build=DIR [--kernel] [--junitxml=FILE] [--keep=DIR] [pytest's arguments]

The build folder's prefix has to be /usr: `meson install` goes into a Debian 12 root, which systemd-nspawn boots, or,
with --kernel, qemu with Debian's own kernel. The exit status is pytest's; 77 says that this machine cannot do it, and
standard output why, in one line that begins with "left out: ". Needs root."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import roots  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CANNOT = 77
DEADLINE = 600  # seconds, of the machine
DISK = '1500M'
MASKED = ['systemd-firstboot.service', 'systemd-timesyncd.service', 'apt-daily.timer', 'apt-daily-upgrade.timer',
          'dpkg-db-backup.timer', 'fstrim.timer', 'e2scrub_all.timer', 'systemd-networkd.service', 'getty.target',
          'console-getty.service', 'getty@tty1.service', 'serial-getty@ttyS0.service',
          'systemd-networkd-wait-online.service', 'systemd-resolved.service']
UNIT = '''[Unit]
Description=Tests of forkd
After=multi-user.target systemd-user-sessions.service dbus.service
[Service]
Type=oneshot
Environment=LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 {environment}
ExecStart=/bin/sh -c 'cd /tests && exec python3 -m pytest -q --tb=short -p no:cacheprovider --junitxml=/report.xml {arguments}'
StandardOutput=file:/log
StandardError=file:/log
ExecStopPost=/bin/sh -c 'echo "$EXIT_STATUS" >/status; journalctl -b --no-pager -o short-precise >/journal; systemctl exit --no-block "$EXIT_STATUS" || systemctl poweroff --no-block'
'''


def run(*command, **keywords):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **keywords)


def installed_targets(build):
    out = subprocess.run(['meson', 'introspect', '--targets', build], capture_output=True, text=True, check=True)
    return [os.path.relpath(name, build) for t in json.loads(out.stdout) if t['installed'] for name in t['filename']]


def install(build, root):
    out = subprocess.run(['meson', 'introspect', '--buildoptions', build], capture_output=True, text=True, check=True)
    prefix = next(o['value'] for o in json.loads(out.stdout) if o['name'] == 'prefix')
    if prefix != '/usr':
        sys.exit(f'boot.py: the prefix of {build} is {prefix}; it has to be /usr')
    run('ninja', '-C', build, *installed_targets(build), stdout=subprocess.DEVNULL)
    run('meson', 'install', '-C', build, '--no-rebuild', '--quiet', env=dict(os.environ, DESTDIR=root))


def write(root, name, text):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def prepare(root, options):
    """What an administrator would do after the installation, and our unit that runs the tests."""
    systemctl = ['systemctl', f'--root={root}', '--quiet']
    install(options.build, root)
    shutil.copytree(os.path.join(HERE, 'inside'), os.path.join(root, 'tests'),
                    ignore=shutil.ignore_patterns('__pycache__'))
    run('chroot', root, 'useradd', '--create-home', '--uid=1500', '--shell=/bin/sh', 'tester')
    run('chroot', root, 'journalctl', '--update-catalog')
    write(root, 'etc/machine-id', '0123456789abcdef0123456789abcdef\n')
    write(root, 'etc/hostname', 'booted\n')
    marks = 'basic or stock' if options.kernel else 'not stock'
    arguments = ' '.join(f'"{a}"' for a in ['-m', marks, *options.rest])
    write(root, 'etc/systemd/system/tests.service',
          UNIT.format(arguments=arguments.replace('%', '%%'),
                      environment=f'FORKD_TEST_SLOW={6 if options.kernel else 1}'))
    # it comes after multi-user.target, so that is not who wants it
    write(root, 'etc/systemd/system/tests.target', '[Unit]\nRequires=multi-user.target\nWants=tests.service\n')
    run(*systemctl, 'set-default', 'tests.target')
    run(*systemctl, 'mask', *MASKED, stderr=subprocess.DEVNULL)
    run(*systemctl, 'enable', 'forkd.socket')
    run(*systemctl, '--global', 'enable', 'forkd.socket')


def machine(command, log, **keywords):
    """Runs it to its end, or ends it, at the deadline or when we are told to end."""
    with open(log, 'wb') as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **keywords)
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            print(f'the machine has not ended after {DEADLINE} s', flush=True)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def nspawn(root):
    return ['systemd-nspawn', '--quiet', '--register=no', '--keep-unit', '--private-network', '--link-journal=no',
            '--resolv-conf=off', '--timezone=off', f'--directory={root}']


def remove_cgroups():
    """What systemd-nspawn leaves where it runs in nobody's unit: empty, in every hierarchy."""
    own = {line.split(':', 2)[1]: line.split(':', 2)[2].strip() for line in open('/proc/self/cgroup', encoding='utf-8')}
    for line in open('/proc/mounts', encoding='utf-8'):
        _what, point, kind, options = line.split()[:4]
        if not kind.startswith('cgroup'):
            continue
        path = own.get('', '/') if kind == 'cgroup2' else next(
            (p for names, p in own.items() if names and set(names.split(',')) <= set(options.split(','))), '/')
        for name in ('payload', 'supervisor'):
            for folder, _folders, _files in os.walk(point + path.rstrip('/') + '/' + name, topdown=False):
                with contextlib.suppress(OSError):  # another machine's
                    os.rmdir(folder)


def boot_container(root, work):
    environment = dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY='1', SYSTEMD_NSPAWN_LOCK='0')
    probe = subprocess.run([*nspawn(root), '/bin/true'], capture_output=True, text=True, env=environment,
                           stdin=subprocess.DEVNULL, timeout=60, check=False)
    if probe.returncode != 0:
        raise roots.Impossible('systemd-nspawn does not work here: ' + (probe.stderr.strip() or 'no reason given'))
    machine([*nspawn(root), '--boot'], os.path.join(work, 'console'), env=environment)
    remove_cgroups()
    for name in ('report.xml', 'log', 'journal', 'status'):
        if os.path.exists(os.path.join(root, name)):
            shutil.copy(os.path.join(root, name), work)


def boot_kernel(root, work):
    disk = os.path.join(work, 'disk')
    boot = {name.split('-')[0]: os.path.join(root, 'boot', name) for name in sorted(os.listdir(root + '/boot'))}
    write(root, 'etc/fstab', '/dev/vda / ext4 defaults 0 0\n')
    run('mkfs.ext4', '-q', '-d', root, disk, DISK)
    machine(['qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '1024',
             '-display', 'none', '-monitor', 'none', '-nic', 'none', '-no-reboot', '-serial', 'stdio',
             '-kernel', boot['vmlinuz'], '-initrd', boot['initrd.img'],
             '-append', 'root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.show_status=no',
             '-drive', f'file={disk},format=raw,if=virtio,cache=unsafe'], os.path.join(work, 'console'))
    for name in ('report.xml', 'log', 'journal', 'status'):
        run('debugfs', '-R', f'dump /{name} {work}/{name}', disk, stderr=subprocess.DEVNULL)


def read(work, name):
    try:
        with open(os.path.join(work, name), encoding='utf-8', errors='replace') as f:
            return f.read()
    except OSError:
        return ''


def hand_out(options, work):
    """What the tests have said; without their word, what the machine has."""
    status = read(work, 'status').strip()
    print(read(work, 'log') or 'the tests have not run; the console:\n' + read(work, 'console')[-8000:])
    if status != '0':
        print('the journal:\n' + read(work, 'journal')[-12000:])
    if options.junitxml and read(work, 'report.xml'):
        shutil.copy(os.path.join(work, 'report.xml'), options.junitxml)
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
        for name in ('report.xml', 'log', 'journal', 'status', 'console'):
            if read(work, name):
                shutil.copy(os.path.join(work, name), options.keep)
    return int(status) if status.isdigit() else 1


def possible(options):
    if os.getuid() != 0:
        raise roots.Impossible('only root can boot a machine')
    needed = ['qemu-system-x86_64', 'mkfs.ext4', 'debugfs'] if options.kernel else ['systemd-nspawn']
    missing = [name for name in [*needed, 'systemctl', 'chroot'] if not shutil.which(name)]
    if missing:
        raise roots.Impossible(f'{", ".join(missing)} not found')
    if not options.kernel:  # known before a root is made: systemd-nspawn does this first
        done = subprocess.run(['unshare', '--mount', '--propagation=slave', 'true'], capture_output=True, check=False)
        if done.returncode != 0:
            raise roots.Impossible('systemd-nspawn needs mount namespaces, and a root that is a mount (no chroot)')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', required=True, type=os.path.abspath)
    parser.add_argument('--kernel', action='store_true')
    parser.add_argument('--junitxml')
    parser.add_argument('--keep')
    options, options.rest = parser.parse_known_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        possible(options)
        with roots.scratch() as work:
            root = os.path.join(work, 'root')
            os.mkdir(root, 0o755)
            roots.unpack(options.kernel, root)
            prepare(root, options)
            (boot_kernel if options.kernel else boot_container)(root, work)
            return hand_out(options, work)
    except roots.Impossible as reason:
        print(f'left out: {reason}')
        return CANNOT


if __name__ == '__main__':
    sys.exit(main())
