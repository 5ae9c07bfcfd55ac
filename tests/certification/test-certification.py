#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ours and Go's implementation of org.varlink.certification, each way round, and Go's generator over our
interface files. usage: test-certification.py SERVER CLIENT INTERFACE..."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

GO = "varlink-go-certification"
GENERATOR = "varlink-go-interface-generator"
SKIPPED = 77
TIMEOUT = 30


class Server:
    """A server process that is up when the block is entered, and gone after it."""

    def __init__(self, command, path):
        self.command, self.path = command, path

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + TIMEOUT
        while not self.answers():
            # Go's server says nothing when it is up, so there is nothing to wait for
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise SystemExit(f"{self.command[0]} does not come up")
            time.sleep(0.01)
        return self

    def answers(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.path)) == 0

    def __exit__(self, *_):
        self.process.terminate()
        self.output = self.process.communicate(timeout=TIMEOUT)[0]


def run(*command):
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT
    )


def require(good, what, output=""):
    print(("ok: " if good else "FAILED: ") + what)
    if not good:
        sys.exit(output or 1)


def main():
    server, client, *interfaces = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)

        path = directory / "ours"
        with Server([server, str(path)], path) as ours:
            done = run(client, str(path))
            require(done.returncode == 0, "our client, our server", done.stdout)
            again = run(client, str(path))
            require(again.returncode == 0, "our client, our server, again", again.stdout)
        require(ours.process.returncode == 0, "our server ends in order")
        require(ours.output.count("Test11: passed\n") == 2, "Test11 of our client", ours.output)
        require(not path.exists(), "our server leaves no socket")

        if not shutil.which(GO) or not shutil.which(GENERATOR):
            print(f"skipped: no {GO}")
            sys.exit(SKIPPED)

        path = directory / "ours-for-go"
        with Server([server, str(path)], path) as ours:
            # its exit status is always 0
            done = run(GO, "-client", "-varlink", f"unix:{path}")
            require("End: 'true'\n" in done.stdout, "Go's client, our server", done.stdout)
        require("Test11: passed\n" in ours.output, "Test11 of Go's client", ours.output)

        path = directory / "go"
        with Server([GO, "-varlink", f"unix:{path}"], path):
            done = run(client, str(path))
            require(done.returncode == 0, "our client, Go's server", done.stdout)

        for interface in interfaces:
            copy = directory / os.path.basename(interface)
            shutil.copy(interface, copy)
            done = run(GENERATOR, str(copy))
            made = list(directory.glob("*.go"))
            require(
                done.returncode == 0 and len(made) == 1 and made[0].stat().st_size > 0,
                f"Go's generator takes {copy.name}",
                done.stdout,
            )
            made[0].unlink()


if __name__ == "__main__":
    main()
