#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Not forkd: as much of it as the harness asks for, and on demand (FAKE=…) one leftover of each kind that the harness
has to see. For test_harness.py alone."""

import json
import os
import signal
import socket
import subprocess
import sys


def main():
    options = dict(a[2:].split('=', 1) for a in sys.argv[1:] if '=' in a)
    fault = os.environ.get('FAKE', '')
    path = os.path.join(options['runtime'], 'org.forkd')
    kept = []

    def stop(*_):
        if fault != 'socket':
            os.unlink(path)
        if fault == 'file':
            open(os.path.join(options['state'], 'rubbish'), 'w').close()
        if fault == 'complaint':
            print('x.c:1: runtime error: shift exponent 64 is too large', file=sys.stderr)
        os._exit(3 if fault == 'status' else 0)

    signal.signal(signal.SIGTERM, stop)
    if fault == 'start':
        print('fake: told to fail', file=sys.stderr)
        return 7
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    if os.environ.get('NOTIFY_SOCKET'):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])
        notify.close()
    served = 0
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile('rwb') as stream:
            text = b''
            while (c := stream.read(1)) not in (b'\0', b''):
                text += c
            served += 1
            if not text:
                continue
            if served == 4:
                if fault == 'process':
                    subprocess.Popen(['sleep', '1000'], start_new_session=True)
                elif fault == 'zombie':
                    kept.append(subprocess.Popen(['true']))
                elif fault == 'descriptor':
                    kept.append(os.open('/dev/zero', os.O_RDONLY))
            method = json.loads(text)['method']
            reply = {'pid': os.getpid(), 'attached': 0, 'servers': []} if method.endswith('.Status') else {}
            stream.write(json.dumps({'parameters': reply}).encode() + b'\0')


sys.exit(main())
