# SPDX-License-Identifier: Apache-2.0
"""forkctl against a stand-in for the daemon: forms, exits, errors, output, signals."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import unicodedata

import pytest

from conftest import FORKCTL
from fake_forkd import ENDS, certificate, status

EXITS = {
    "true": 0,
    "false": 1,
    "exit3": 3,
    "segv": 139,
    "dump": 134,
    "late": 124,
    "latequeue": 124,
    "missing": 127,
    "forbidden": 126,
    "broken": 126,
    "nodir": 125,
    "oom": 137,
    "lost": 125,
    "cancelled": 143,
    "dependency": 125,
    "raise": 1,
    "value": 0,
    "empty": 0,
}


def test_every_end_is_tried():
    assert EXITS.keys() == ENDS.keys()


def job(fake):
    """The job of the last Submit or Run."""
    method, parameters = [a for a in fake.asked if a[0].endswith((".Submit", ".Run"))][-1]
    return parameters["jobs"][-1] if "jobs" in parameters else parameters["job"]


# ---- run


@pytest.mark.parametrize("what", EXITS)
def test_exit_status_of_run(ctl, what):
    p = ctl("run", "--", what, status=EXITS[what])
    result, sentence, _ = ENDS[what]
    # an exit status speaks for itself; everything else is said
    assert p.stderr == ("" if result in ("success", "exit") else f"forkctl: job 1: {sentence}\n")
    assert ctl("run", "-q", "--", what, status=EXITS[what]).stderr == ""


def test_run_gives_its_own_streams(ctl, fake):
    assert ctl("run", "echo", "hello", "--json").stdout == "hello --json\n"
    assert ctl("run", "cat", input="from here").stderr == "from here"
    assert job(fake)["stdin"] == {"descriptor": 0} and job(fake)["stderr"] == {"descriptor": 2}


def test_run_with_closed_streams(ctl, fake):
    # not forkctl's own socket, which would have the first free number
    assert ctl("run", "cat", stdin=subprocess.PIPE, preexec_fn=lambda: os.close(0)).stderr == ""
    ctl("run", "echo", "x", preexec_fn=lambda: os.close(1))


def test_run_with_other_streams(ctl, fake, tmp_path):
    ctl("run", "--stdin=null", "--stdout=x", "--stderr=stdout", "--", "true", cwd=tmp_path)
    assert job(fake)["stdin"] == "null"
    assert job(fake)["stdout"] == {"path": str(tmp_path / "x")}
    assert job(fake)["stderr"] == "stdout"


def test_value_of_an_entry(ctl, fake):
    p = ctl("run", "--method=fork", "value", "n:=5", "text=a=b", "deep:={\"x\": [1]}")
    assert json.loads(p.stdout) == {"value": "120"}
    assert job(fake)["arguments"] == {"n": 5, "text": "a=b", "deep": {"x": [1]}}
    assert job(fake)["startMethod"] == "fork" and "command" not in job(fake)
    ctl("run", "--server=s", "value", ' {"a": 1}')
    assert job(fake)["arguments"] == {"a": 1} and job(fake)["server"] == "s" and "startMethod" not in job(fake)
    assert json.loads(ctl("run", "--json", "value").stdout)["result"] == "success"
    # the job's status is not that of whoever reads its value
    with open("/dev/full", "w") as full:
        ctl("run", "--method=fork", "value", stdout=full, status=125)


def test_run_when_the_connection_breaks(ctl):
    assert "broke before it answered" in ctl("run", "break", status=125).stderr
    assert "without its certificate" in ctl("run", "garbage", status=125).stderr


@pytest.mark.parametrize("name", ["USR1", "USR2", "WINCH", "INT", "TERM", "QUIT", "HUP"])
def test_run_forwards_signals(start, fake, name):
    number = getattr(signal, "SIG" + name)
    p = start("run", "sleep", stderr=subprocess.PIPE)
    fake.wait_for(lambda: fake.asked)
    p.send_signal(number)  # perhaps before forkctl knows the job's id: it is passed on all the same
    fake.wait_for(lambda: fake.signals)
    assert fake.signals == [(1, number)]
    if name in ("USR1", "USR2", "WINCH"):
        p.send_signal(signal.SIGTERM)
        number = signal.SIGTERM
    assert p.wait(30) == 128 + number


def test_run_is_paused_and_goes_on(start, fake):
    p = start("run", "sleep", stderr=subprocess.PIPE)
    fake.wait_for(lambda: fake.asked)
    p.send_signal(signal.SIGUSR1)  # once this has come, the id is known
    fake.wait_for(lambda: fake.signals)
    p.send_signal(signal.SIGTSTP)
    _, how = os.waitpid(p.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(how) and fake.signals[-1] == ("pause", 1)
    p.send_signal(signal.SIGCONT)
    fake.wait_for(lambda: fake.signals[-1] == ("resume", 1))
    p.send_signal(signal.SIGINT)
    assert p.wait(30) == 130


def test_run_asks_for_an_end_twice_before_it_begins(start, fake):
    fake.handlers["Run"] = lambda *a: fake.wait_for(lambda: fake.closing)
    p = start("run", "sleep", stderr=subprocess.PIPE)
    fake.wait_for(lambda: fake.asked)
    p.send_signal(signal.SIGINT)
    while p.poll() is None:  # it cannot be seen whether the first has been taken; one more always helps
        p.send_signal(signal.SIGINT)
        try:
            p.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    assert p.returncode == 130


# ---- submit


def test_submit(ctl, fake, tmp_path):
    p = ctl("submit", "--", "make", "-C", "x", cwd=tmp_path, env={"A": "1"})
    assert p.stdout == "1\n" and p.stderr == ""
    j = job(fake)
    assert j["command"] == ["make", "-C", "x"] and j["directory"] == str(tmp_path)
    assert j["environment"]["A"] == "1" and j["environment"]["TZ"] == "UTC"
    assert re.fullmatch("[0-9a-f]{32}", j["key"])
    assert set(j) == {"command", "directory", "environment", "key"}
    assert json.loads(ctl("submit", "--json", "true").stdout) == {"ids": [2]}
    assert job(fake)["key"] != j["key"]


def test_every_option_of_submit(ctl, fake, tmp_path):
    ctl(
        *"submit --key=k -n name -Q q -p -5 --after=3 --after=4:finished --at=@1800000000 -t 1.5min".split(),
        *"--queue-timeout=infinity --grace=500ms -r 2 --retry-on=exit,lost --retry-delay=1s -C sub --umask=077".split(),
        *"-E A=b=c -E TZ -E ABSENT --clean-env --stdin=in --stdout=append:out --stderr=null -l NOFILE=1K:2K".split(),
        *"-l CORE=infinity -l MemoryMax=1G --nice=5 --affinity=0,2-4 --as=nobody -m spawn -- true".split(),
        cwd=tmp_path,
    )
    assert job(fake) == {
        "startMethod": "spawn",
        "command": ["true"],
        "key": "k",
        "name": "name",
        "queue": "q",
        "priority": -5,
        "after": [{"id": 3}, {"id": 4, "on": "finished"}],
        "startAtUSec": 1800000000 * 10**6,
        "timeoutUSec": 90 * 10**6,
        "graceUSec": 500000,
        "retries": {"max": 2, "on": ["exit", "lost"], "delayUSec": 10**6},
        "directory": str(tmp_path / "sub"),
        "umask": 0o77,
        "environment": {"A": "b=c", "TZ": "UTC"},
        "stdin": {"path": str(tmp_path / "in")},
        "stdout": {"path": str(tmp_path / "out"), "append": True},
        "stderr": "null",
        "limits": {"LimitNOFILE": "1024:2048", "LimitCORE": "infinity", "MemoryMax": str(1 << 30)},
        "nice": 5,
        "affinity": [0, 2, 3, 4],
        "user": "nobody",
    }


def test_clean_environment(ctl, fake):
    ctl("submit", "--clean-env", "true")
    assert "environment" not in job(fake)


def test_a_lost_answer_is_asked_for_once_more(ctl, fake):
    fake.drop_next = 1
    assert ctl("submit", "true").stdout == "1\n"
    assert len(fake.asked) == 2 and len(fake.jobs) == 1
    fake.drop_next = 2
    assert "broke" in ctl("submit", "true", status=125).stderr


def test_submit_from_a_file(ctl, fake, tmp_path):
    lines = ['{"command": ["a"], "name": "own"}', "", '  {"entry": "e", "startMethod": "fork"}']
    (tmp_path / "jobs").write_text("\n".join(lines))
    assert ctl("submit", "--file=jobs", "--name=filled", cwd=tmp_path).stdout == "1\n2\n"
    jobs = fake.asked[0][1]["jobs"]
    assert [j["name"] for j in jobs] == ["own", "filled"]
    assert "environment" not in jobs[0] and "directory" not in jobs[0]
    assert json.loads(ctl("submit", "--file=-", "--json", input="\n".join(lines)).stdout) == {"ids": [3, 4]}
    assert ctl("submit", "--file=-", input="").stdout == ""
    assert "standard input:2" in ctl("submit", "--file=-", input='{"command": ["a"]}\n{"x": }\n', status=125).stderr
    assert "no JSON object" in ctl("submit", "--file=-", input="[]\n", status=125).stderr
    assert "No such file" in ctl("submit", "--file=absent", cwd=tmp_path, status=125).stderr
    assert len(fake.jobs) == 4  # a bad line submits nothing


def test_many_jobs_go_in_several_messages(ctl, fake):
    line = json.dumps({"command": ["x" * 1000]}) + "\n"
    p = ctl("submit", "--file=-", input=line * 3000)
    assert p.stdout.split() == [str(i + 1) for i in range(3000)]
    assert 10 < len(fake.asked) < 30


def test_no_message_has_too_many_values(ctl, fake):
    ctl("submit", "--file=-", input=(json.dumps({"command": ["a"] * 200}) + "\n") * 300)
    assert sum(len(p["jobs"]) for _, p in fake.asked) == 300
    assert all(len(p["jobs"]) * 202 < 16384 for _, p in fake.asked)


def test_what_the_daemon_refuses(ctl, fake):
    from fake_forkd import Failure

    def refuse(*a):
        raise Failure("QueueFull", sentence="100000 jobs wait already")

    fake.handlers["Submit"] = refuse
    assert ctl("submit", "true", status=125).stderr == "forkctl: 100000 jobs wait already\n"


# ---- looking


def populate(fake):
    fake.jobs = {
        1: status(1),
        2: status(2, "running", name="näme 漢字漢字", command=["sh", "-c", "echo 'hi' && " + "x" * 300]),
        300: status(300, "queued", queue="slow", uid=os.getuid() + 1, command=["evil\033[2J\n"]),
    }


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_table_fits(ctl, fake, width):
    populate(fake)
    lines = ctl("list", env={"COLUMNS": str(width)}).stdout.splitlines()
    assert len(lines) == 4
    assert max(map(columns, lines)) <= width
    assert "\033" not in "".join(lines)
    assert lines[0].split()[:2] == ["ID", "STATE"] and "COMMAND" in lines[0]
    assert "…" in lines[2]


def test_table_in_a_pipe_is_whole(ctl, fake):
    populate(fake)
    out = ctl("list").stdout
    assert "x" * 300 in out and "…" not in out
    assert "exited with status 3 after 3 ms" in out
    assert r"evil\x1b[2J\n" in out
    assert ctl("list", "--state=queued,finished", "--limit=1").stdout.count("\n") == 2
    assert fake.asked[-1][1] == {"states": ["queued", "finished"], "limit": 1}
    assert "there is no state 'done'" in ctl("list", "-s", "done", status=125).stderr


def on_terminal(arguments, environment, size=(24, 60)):
    """What forkctl writes on a terminal of its own."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    p = subprocess.Popen([FORKCTL, *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    data = b""
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:
            break
        if not more:
            break
        data += more
    os.close(master)
    assert p.wait(30) == 0
    return data.decode()


def test_terminal(fake, environment):
    populate(fake)
    e = dict(environment, FORKD_ADDRESS=fake.path, TERM="xterm")
    out = on_terminal(["list"], e)
    assert "\033[31mfinished\033[0m" in out
    assert all(columns(re.sub("\033\\[[0-9]*m", "", line)) <= 60 for line in out.splitlines())
    assert "\033" not in on_terminal(["list"], dict(e, NO_COLOR="1"))
    assert "\033" not in on_terminal(["list"], dict(e, TERM="dumb"))
    assert '\n  "status"' in on_terminal(["show", "1", "--json"], e).replace("\r", "")
    value = ["run", "--method=fork", "value"]
    assert on_terminal(value, e) == '{"value":"120"}\r\n'
    assert on_terminal(value, e, (24, 15)) == '{"value":"120"}\r\n'  # it fits
    assert on_terminal(value, e, (24, 14)) == '{\r\n  "value": "120"\r\n}\r\n'
    fake.jobs = {}
    assert on_terminal(["list"], e) == "no jobs\r\n"


def test_show(ctl, fake):
    populate(fake)
    lines = ctl("show", "1").stdout.splitlines()
    assert lines[0] == "job 1: exited with status 3 after 3 ms"
    assert re.search(r"^exit status: +3$", "\n".join(lines), re.M)
    assert re.search(r"^command: +make all$", "\n".join(lines), re.M)
    assert re.search(r"^queued: +2023-11-14 22:13:20$", "\n".join(lines), re.M)
    assert ctl("show", "2").stdout.startswith("job 2: running for ")
    assert "there is no job 9" in ctl("show", "9", status=125).stderr
    fake.jobs[1]["certificate"].update(stderrTail="one\n\033two\n", memoryPeak=12897484, stdoutBytes=5000, stdoutLost=1024)
    out = ctl("show", "1").stdout
    assert "12.3 MiB" in out and "4.9 KiB, of which the first 1.0 KiB were given up" in out
    assert out.endswith("last of stderr:\n  one\n  \\x1btwo\n")
    sentence = f"while changing directory to '/{'ä' * 400}': No such file or directory"
    fake.jobs[1]["certificate"].update(sentence=sentence)
    assert ctl("show", "1").stdout.splitlines()[0] == f"job 1: {sentence}"


def test_json_everywhere(ctl, fake, tmp_path):
    populate(fake)
    fake.jobs[4] = status(4, certificate=certificate(4, "success", "succeeded"))
    (tmp_path / "out").write_bytes(b"a\xff\xe4\xb8\xadz\0")
    fake.outputs[1, "stdout"] = (tmp_path / "out", 0)
    j = lambda *a, **k: json.loads(ctl(*a, "--json", **k).stdout)
    assert [x["id"] for x in j("list")] == [1, 2, 300, 4]
    assert j("list", "--state=paused") == []
    assert j("show", "1")["status"]["id"] == 1
    assert [c["id"] for c in j("wait", "4", "1")] == [1, 4]
    assert j("kill", "1") == {"ids": [1]}
    assert j("cancel", "1") == j("pause", "1") == j("resume", "1") == {"ids": [1]}
    assert j("cancel", "1", "99", status=125) == {"ids": [1]}
    assert j("forget", "1") == {"ids": [1]}
    assert j("forget", "--finished") == {"forgotten": 5}
    assert j("status")["pid"] == 100
    assert j("reload") == {"warnings": ["forkd.conf:3: unknown key 'Modul'"]}
    assert j("drain") == {"running": 0, "queued": 1}
    assert j("drain", "--no-wait") == {"running": 2, "queued": 1}
    assert j("logs", "1") == {"id": 1, "stdout": {"lost": 0, "text": "a\ufffd中z\ufffd"}}


def test_wait(ctl, fake, start):
    populate(fake)
    fake.jobs[4] = status(4, certificate=certificate(4, "success", "succeeded after 1 s"))
    assert ctl("wait", "1", "4").stdout == "1: exited with status 3 after 3 ms\n4: succeeded after 1 s\n"
    assert ctl("wait", "-q", "1").stdout == ""
    ctl("wait", "--exit", "4", "1", status=3)
    ctl("wait", "--exit", "4")
    assert "within 50 ms" in ctl("wait", "--timeout=50ms", "1", "2", status=124).stderr
    assert "there is no job 9" in ctl("wait", "9", status=125).stderr
    p = start("wait", "2", stdout=subprocess.PIPE)
    fake.wait_for(lambda: fake.asked[-1] == ("org.forkd.jobs.Watch", {"ids": [2]}))
    fake.update(lambda: fake.jobs.update({2: status(2)}))
    assert p.stdout.read().startswith("2: exited") and p.wait(30) == 0


def test_acting_on_several(ctl, fake):
    populate(fake)
    p = ctl("cancel", "99", "1", status=125)
    assert p.stderr == "forkctl: there is no job 99\n"
    assert fake.asked[-1] == ("org.forkd.jobs.Cancel", {"ids": [1]})  # the others are not left out
    ctl("kill", "-s", "USR1", "1", "2")
    ctl("kill", "-9", "1")
    ctl("kill", "1")
    assert fake.signals == [(1, 10), (2, 10), (1, 9), (1, 15)]
    assert "no signal" in ctl("kill", "-s", "FOO", "1", status=125).stderr
    assert ctl("forget", "--finished").stdout == "5 jobs forgotten\n"


def test_daemon(ctl):
    out = ctl("status").stdout
    assert "2 running of 2" in out and "spell: no dictionary" in out and "unknown key 'Modul'" in out
    p = ctl("reload")
    assert p.stdout == "" and p.stderr == "forkctl: warning: forkd.conf:3: unknown key 'Modul'\n"
    assert ctl("drain").stdout == "draining: 0 running, 1 queued\n"


# ---- logs


def test_logs(ctl, fake, tmp_path):
    populate(fake)
    (tmp_path / "out").write_text("to stdout\n")
    (tmp_path / "err").write_text("to stderr\n")
    fake.outputs = {(1, "stdout"): (tmp_path / "out", 0), (1, "stderr"): (tmp_path / "err", 0)}
    p = ctl("logs", "1")
    assert (p.stdout, p.stderr) == ("to stdout\n", "to stderr\n")
    assert ctl("logs", "--stderr", "1").stdout == "to stderr\n"
    assert ctl("logs", "--stdout", "1").stderr == ""
    del fake.outputs[1, "stderr"]  # it went elsewhere
    assert ctl("logs", "1").stdout == "to stdout\n"
    assert "it is not kept" in ctl("logs", "--stderr", "1", status=125).stderr
    fake.outputs = {}
    assert "it is not kept" in ctl("logs", "1", status=125).stderr


def test_logs_whose_head_was_given_up(ctl, fake, tmp_path):
    populate(fake)
    with open(tmp_path / "out", "wb") as f:
        f.seek(1 << 20)  # as a punched hole reads
        f.write(b"the rest\n")
    fake.outputs = {(1, "stdout"): (tmp_path / "out", (1 << 20) + 4)}
    p = ctl("logs", "1")
    assert p.stdout == "rest\n"
    assert p.stderr == "forkctl: stdout: the first 1048580 bytes were given up\n"
    fake.outputs = {(1, "stdout"): (tmp_path / "out", 0)}  # given up after the file was opened
    p = ctl("logs", "1")
    assert p.stdout == "the rest\n" and "1048576 more bytes were given up" in p.stderr


def test_logs_follow(fake, start, tmp_path):
    populate(fake)
    with open(tmp_path / "out", "w", buffering=1) as f:
        f.write("one\n")
        fake.outputs = {(2, "stdout"): (tmp_path / "out", 0)}
        p = start("logs", "-f", "2", stdout=subprocess.PIPE)
        assert p.stdout.readline() == "one\n"
        f.write("two\n")
        assert p.stdout.readline() == "two\n"
        f.write("three\n")
        fake.update(lambda: fake.jobs.update({2: status(2)}))
        assert p.stdout.read() == "three\n" and p.wait(30) == 0


def test_logs_follow_without_a_state(ctl, fake, tmp_path):
    populate(fake)
    (tmp_path / "out").write_text("one\n")
    fake.outputs = {(2, "stdout"): (tmp_path / "out", 0)}
    fake.handlers["Watch"] = lambda p, more, send, fds, send_fds: {"cursor": 0, "id": 2}
    assert ctl("logs", "-f", "2").stdout == "one\n"


def test_logs_follow_into_a_closed_pipe(fake, start, tmp_path):
    populate(fake)
    (tmp_path / "out").write_text("one\n")
    fake.outputs = {(2, "stdout"): (tmp_path / "out", 0)}
    p = start("logs", "-f", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.readline() == "one\n"
    p.stdout.close()  # although the job says nothing more
    assert p.wait(30) == -signal.SIGPIPE
    assert p.stderr.read() == ""


# ---- usage, connections, pipes


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "say what to do"),
        (["lits"], "did you mean 'list'?"),
        (["submit", "--timout=3"], "did you mean --timeout?"),
        (["submit"], "give a command"),
        (["submit", "--method=fork"], "name the entry"),
        (["submit", "--method=frok", "x"], "there is no start method 'frok'"),
        (["submit", "--method=fork", "--server=s", "x"], "contradicts"),
        (["submit", "--method=fork", "--server=s", "x"], "spawn for a fresh process"),
        (["submit", "--method=spawn"], "give a command"),
        (["submit", "--method=spawn", "/bin/ls"], "`forkctl submit -- /bin/ls`"),
        (["submit", "--server=s"], "the entry main of a program may be left out before --"),
        (["submit", "--server=s", "text=a"], "before its arguments: ENTRY text=a"),
        (["submit", "--server=s", '{"a": 1}'], "before its arguments"),
        (["submit", "--server=s", "2"], "no name of an entry"),
        (["submit", "--server=s", "a.b"], "no name of an entry"),
        (["submit", "--method=fork", "--", "x"], "before --"),
        (["submit", "--server=s", "e", "argv:=[]", "--", "x"], "given twice"),
        (["submit", "--method=forkserver", "x"], "needs --server"),
        (["submit", "--method=fork", "e", "x"], "none of KEY=TEXT"),
        (["submit", "--method=fork", "e", "x:=y"], "for text, write x=y"),
        (["submit", "--method=fork", "e", "x=1", "x=2"], "given twice"),
        (["submit", "--method=fork", "e", "{"], "no JSON"),
        (["submit", "--timeout=soon", "x"], "no span of time"),
        (["submit", "--priority=20", "x"], "from -20 to 19"),
        (["submit", "--after=x", "x"], "not ID"),
        (["submit", "--at=later", "x"], "no time"),
        (["submit", "--umask=9", "x"], "octal"),
        (["submit", "--limit=NOFILE", "x"], "NAME=VALUE"),
        (["submit", "--limit=NOFILE=many", "x"], "NAME=VALUE"),
        (["submit", "--affinity=a", "x"], "list of CPUs"),
        (["submit", "--affinity=3-1", "x"], "list of CPUs"),
        (["submit", "--retry-on=exit", "x"], "--retries=N"),
        (["submit", "--env==x", "x"], "names no variable"),
        (["submit", "--file=-", "x"], "no room for 'x'"),
        (["run", "--after=3", "x"], "belongs to submit"),
        (["show"], "needs the id"),
        (["show", "1", "2"], "one argument too many"),
        (["show", "x"], "no id of a job"),
        (["show", "0"], "no id of a job"),
        (["show", "99999999999999999999"], "no id of a job"),
        (["list", "x"], "one argument too many"),
        (["forget"], "--finished"),
        (["forget", "--finished", "1"], "either"),
        (["list", "--system", "--user"], "exclude"),
        (["submit", "--progress", "x"], "it belongs to run"),
        (["servers", "strat"], "did you mean `servers start`?"),
        (["servers", "x"], "there are list, start, stop, reload, show and scale"),
        (["servers", "start"], "name the forkserver"),
        (["servers", "--", "x"], "nothing stands behind --"),
        (["servers", "list", "x"], "one argument too many"),
        (["servers", "stop", "a", "b"], "one argument too many"),
        (["servers", "stop", "a", "--", "b"], "nothing stands behind --"),
        (["servers", "stop", ""], "no name of a forkserver"),
        (["servers", "stop", b"\xff"], "no name of a forkserver"),
        (["servers", "start", "a", "python3"], "a command goes behind --"),
        (["servers", "start", "a", "--"], "a command is missing"),
        (["servers", "start", "a", "--module=m", "--", "b"], "not both"),
        (["servers", "start", "a", "--module="], "names nothing"),
        (["servers", "start", "a", "--module=m", "--arguments=x"], "no JSON"),
        (["servers", "start", "a", "--module=m", "--arguments=[1]"], "no JSON object"),
        (["servers", "start", "a", "--module=m", "--spare=x"], "no number from 0 on"),
        (["servers", "start", "a", "--module=m", "--preload-timeout=x"], "no span of time"),
        (["servers", "start", "a", "--kill"], "it belongs to `servers stop`"),
        (["servers", "--spare=2"], "`servers list` has no option --spare"),
        (["servers", "scale", "a"], "--spare=N"),
        (["servers", "scale", "a", "--spare=-1"], "no number from 0 on"),
        (["logs", "-f", "--json", "1"], "cannot --follow"),
    ],
)
def test_bad_usage(ctl, fake, arguments, says):
    p = ctl(*arguments, status=125)
    assert p.stdout == "" and p.stderr.startswith("forkctl: ") and says in p.stderr and p.stderr.count("\n") == 1
    assert "--help" in p.stderr or p.stderr.endswith("?\n")
    assert fake.asked == []


def test_help(ctl):
    assert "forkctl submit" in ctl("submit", "--help").stdout
    assert ctl("--version").stdout.startswith("forkctl ")
    out = ctl("--help").stdout
    assert all(len(line) <= 80 for line in out.splitlines())
    for verb in re.findall(r"^  (\w+) +\w", out.split("Verbs:")[1].split("Options:")[0], re.M):
        text = ctl(verb, "--help").stdout
        assert text.startswith(f"Usage: forkctl {verb} ") and "\nExample:\n  forkctl " in text
        assert all(len(line) <= 80 for line in text.split("\nOptions", 1)[1].splitlines())


def test_no_daemon(environment, tmp_path):
    def run(*a, **e):
        p = subprocess.run([FORKCTL, *a], env=dict(environment, **e), text=True, capture_output=True, timeout=30)
        assert p.returncode == 125 and p.stdout == ""
        return p.stderr

    path = str(tmp_path / "socket")
    assert run("list", "--address", path) == (
        f"forkctl: cannot connect to {path}: No such file or directory; is forkd running? "
        "start it with `forkd-keeper`, or name its socket with --address\n"
    )
    (tmp_path / "socket").touch()
    assert "Connection refused; is forkd running?" in run("list", FORKD_ADDRESS="unix:" + path)
    assert "XDG_RUNTIME_DIR is not set" in run("list", "--user")
    assert "FORKD_ADDRESS is 'x', which is no address" in run("list", FORKD_ADDRESS="x")
    assert "'x' is no address" in run("list", "-a", "x")
    own = run("list", "--user", XDG_RUNTIME_DIR=str(tmp_path))
    assert str(tmp_path) + "/forkd/org.forkd" in own
    assert "start it with `systemctl --user start forkd.socket` or `forkd-keeper`" in own


def test_closed_pipe(fake, environment):
    fake.jobs = {i: status(i) for i in range(1, 2000)}
    e = dict(environment, FORKD_ADDRESS=fake.path)
    for verb in ("list", "list --json"):
        r, w = os.pipe()
        os.close(r)
        p = subprocess.run([FORKCTL, *verb.split()], env=e, stdout=w, stderr=subprocess.PIPE, timeout=30)
        os.close(w)
        assert p.returncode == -signal.SIGPIPE and p.stderr == b""


def test_run_into_a_closed_pipe(fake, environment):
    r, w = os.pipe()
    os.close(r)
    e = dict(environment, FORKD_ADDRESS=fake.path)
    for what, expected in (("exit3", 3), ("value", 0)):
        p = subprocess.run([FORKCTL, "run", what], env=e, stdout=w, stderr=subprocess.PIPE, timeout=30)
        assert p.returncode == expected and p.stderr == b""
    os.close(w)


def test_full_disk(ctl, fake):
    populate(fake)
    with open("/dev/full", "w") as full:
        p = ctl("list", stdout=full, status=125)
    assert p.stderr == "forkctl: cannot write to standard output: No space left on device\n"


def test_nothing_of_a_stranger_reaches_the_terminal(ctl, fake):
    from fake_forkd import Failure

    def evil(*a):
        raise Failure("NoSuchJob", sentence="\033]0;owned\007")

    fake.handlers["Show"] = evil
    assert ctl("show", "1", status=125).stderr == "forkctl: \\x1b]0;owned\\x07\n"
