# SPDX-License-Identifier: Apache-2.0
"""Python's ways to a new process, for bench-server: os.fork, and the start methods of multiprocessing, each with a
process that answers over a pipe and ends. A helper of bench-server, which it obeys over standard input (see
helper-lane.h) until end-of-file."""

import math
import multiprocessing
import os
import sys
import time


def answer(pipe):
    pipe.send(str(math.factorial(10)))


def rest(pipe):
    """Ends when the other end is closed."""
    pipe.send('here')
    try:
        pipe.recv()
    except EOFError:
        pass


def by_os_fork():
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, str(math.factorial(10)).encode())
        os._exit(0)
    os.close(writer)
    value = os.read(reader, 64)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    assert (value, status) == (b'3628800', 0)


def by_process(context):
    reader, writer = context.Pipe(False)
    process = context.Process(target=answer, args=(writer,))
    process.start()
    writer.close()
    value = reader.recv()
    process.join()
    reader.close()
    assert (value, process.exitcode) == ('3628800', 0)


def times(method, n, gap):
    context = None if method == 'os.fork' else multiprocessing.get_context(method)
    result = []
    for _ in range(n):
        if gap:
            time.sleep(gap / 1e6)
        start = time.monotonic()
        if context:
            by_process(context)
        else:
            by_os_fork()
        result.append((time.monotonic() - start) * 1e6)
    return result


def idle(method, n):
    """n processes that wait, until the next line comes."""
    context = multiprocessing.get_context(method)
    processes, pipes = [], []
    for _ in range(n):
        mine, theirs = context.Pipe()
        process = context.Process(target=rest, args=(theirs,))
        process.start()
        theirs.close()
        mine.recv()
        processes.append(process)
        pipes.append(mine)
    print(*(process.pid for process in processes), flush=True)
    sys.stdin.readline()
    # forked ones have copies of the pipes of those before them
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
    for pipe in pipes:
        pipe.close()


def main():
    multiprocessing.set_forkserver_preload(['__main__', 'multiprocessing.connection', 'math'])
    while line := sys.stdin.readline():
        what, method, *numbers = line.split()
        numbers = [int(number) for number in numbers]
        if what == 'time':
            print(*(f'{usec:.3f}' for usec in times(method, *numbers)), flush=True)
        else:
            idle(method, *numbers)


if __name__ == '__main__':
    main()
