# SPDX-License-Identifier: Apache-2.0
"""forkctl and forkservers, against a stand-in for the daemon: `servers`, the forms of entries, progress, completion."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from conftest import FORKCTL
from fake_forkd import Failure, certificate, server, status
from test_forkctl import job, on_terminal

TOP = Path(__file__).resolve().parents[2]
REASON = "module 'broken': its preload failed: no dictionary in " + "/very/long" * 20


def populate(fake):
    entries = [
        {"name": "check", "help": "the misspelled words of a text", "arguments": "path=FILE | text=TEXT"},
        {"name": "load", "arguments": "n:=0…9"},
        {"name": "size", "help": "how many words there are, x=y"},
    ]
    fake.servers = {
        "spawner": server("spawner", startMethod="spawn", origin="built-in", generation=None, preloadUSec=None),
        "twin": server("twin", startMethod="fork", origin="built-in", entries=[{"name": "factorial"}]),
        "spell": server(
            "spell", generation=2, workers=2, spares=1, spare=1, entries=entries, modules=["spell"],
            privateBytes=3 << 20, sharedBytes=40 << 20,
        ),
        "broken": server("broken", "failed", generation=1, reason=REASON, starts=5),
        "host": server("host", command=["python3", "/x/a host.py"], reason="its last reload failed: no"),
    }
    fake.shown["spell"] = {
        "generations": [
            {"generation": 2, "state": "ready", "pid": 200, "workers": 1, "spares": 1,
             "startedAtUSec": 1_700_000_000_000_000, "preloadUSec": 212000},
            {"generation": 1, "state": "retired", "pid": 150, "workers": 1, "spares": 0,
             "startedAtUSec": 1_600_000_000_000_000},
        ],
        "workers": [
            {"pid": 301, "generation": 2, "state": "running", "job": 17, "entry": "check",
             "privateBytes": 300 << 10, "sharedBytes": 39 << 20},
            {"pid": 302, "generation": 2, "state": "spare"},
        ],
        "output": ["loading", "\033[2Jloaded"],
    }


def test_list(ctl, fake):
    populate(fake)
    p = ctl("servers")
    table, reasons = p.stdout.split("\n\n")
    rows = [re.split("  +", line.strip()) for line in table.splitlines()]
    assert rows[0] == ["NAME", "STATE", "GEN", "WORKERS", "SPARES", "PRELOAD", "ENTRIES"]
    assert rows[2] == ["twin", "ready", "1", "0", "0", "212 ms", "factorial"]
    assert rows[3] == ["spell", "ready", "2", "2", "1", "212 ms", "check load size"]
    assert rows[4] == ["broken", "failed", "1", "0", "0", REASON]
    assert reasons == "host: its last reload failed: no\n"
    assert ctl("servers", "list").stdout == p.stdout
    # however narrow it is, a reason is not cut
    out = ctl("servers", env={"COLUMNS": "80"}).stdout
    assert f"\n\nbroken: {REASON}\nhost: its last reload failed: no\n" in out and out.count(REASON) == 1


def test_list_on_a_terminal(fake, environment):
    populate(fake)
    out = on_terminal(["servers"], dict(environment, FORKD_ADDRESS=fake.path, TERM="xterm"))
    assert "\033[31mfailed\033[0m" in out and "\033[31mbroken: module" in out


def test_show(ctl, fake):
    populate(fake)
    out = ctl("servers", "show", "spell").stdout
    fields, entries, generations, workers, output = out.split("\n\n")
    assert fields.splitlines()[0] == "spell#2: ready"
    for field in (
        r"method: +forkserver", r"origin: +request", r"pid: +200", r"modules: +spell", r"preload: +212 ms",
        r"memory: +3\.0 MiB private, 40\.0 MiB shared", r"workers: +2 running, 1 of 1 spare", r"starts: +1",
        rf"user: .*uid {os.getuid()}\)?",
    ):
        assert re.search(f"^{field}$", fields, re.M), field
    assert [re.split("  +", e) for e in entries.splitlines()] == [
        ["ENTRY", "ARGUMENTS", "HELP"],
        ["check", "path=FILE | text=TEXT", "the misspelled words of a text"],
        ["load", "n:=0…9"],
        ["size", "how many words there are, x=y"],
    ]
    assert [g.split()[:5] for g in generations.splitlines()[1:]] == [
        ["2", "ready", "200", "1", "1"],
        ["1", "retired", "150", "1", "0"],
    ]
    assert [re.split("  +", w) for w in workers.splitlines()] == [
        ["PID", "GEN", "WORK", "PRIVATE", "SHARED"],
        ["301", "2", "job 17 check", "300.0 KiB", "39.0 MiB"],
        ["302", "2", "spare"],
    ]
    assert output == "last output:\n  loading\n  \\x1b[2Jloaded\n"

    out = ctl("servers", "show", "broken").stdout
    assert out.startswith("broken#1: failed\n") and re.search(f"^reason: +{re.escape(REASON)}$", out, re.M)
    assert "command:       python3 '/x/a host.py'\n" in ctl("servers", "show", "host").stdout
    fake.servers["broken"]["state"] = "starting"
    assert re.search(f"^last failure: +{re.escape(REASON)}$", ctl("servers", "show", "broken").stdout, re.M)
    fake.servers["broken"]["state"] = "failed"
    fake.servers["broken"]["nextStartAtUSec"] = 1
    fake.shown["broken"] = {"workers": [{"pid": 5, "generation": 1, "state": "running", "job": 3}]}
    assert ctl("servers", "show", "broken").stdout.endswith("\n  5    1  job 3\n")
    assert re.search("^next start: +in 0 µs$", ctl("servers", "show", "broken").stdout, re.M)


def asked(fake):
    method, parameters = fake.asked[-1]
    assert method.startswith("org.forkd.servers.")
    return method.rsplit(".", 1)[1], parameters


def test_start(ctl, fake, tmp_path):
    p = ctl("servers", "start", "spell", "--module=spell")
    assert p.stdout == "spell#1: ready, preloaded in 212 ms, entries: check, suggest\n" and p.stderr == ""
    assert asked(fake) == ("Start", {"name": "spell", "modules": ["spell"]})
    ctl(
        *"servers start s --module ./x.so --module /y.so --module plain.so --arguments {\"a\":1} -E A=b=c --env=TZ".split(),
        *"--spare=3 --preload-timeout=1.5min --huge-pages -q".split(),
        cwd=tmp_path,
    )
    assert asked(fake)[1] == {
        "name": "s",
        "modules": [f"{tmp_path}/x.so", "/y.so", "plain.so"],
        "arguments": {"a": 1},
        "environment": {"A": "b=c", "TZ": "UTC"},
        "spare": 3,
        "preloadTimeoutUSec": 90 * 10**6,
        "hugePages": True,
    }
    ctl("servers", "start", "h", "--spare=0", "--", "python3", "./host.py", "--module", "--", "x", cwd=tmp_path)
    assert asked(fake)[1] == {"name": "h", "spare": 0, "command": ["python3", "./host.py", "--module", "--", "x"]}
    ctl("servers", "start", "h", "--", "./host", "./a", cwd=tmp_path)
    assert asked(fake)[1]["command"] == [f"{tmp_path}/host", "./a"]
    ctl("servers", "start", "configured")
    assert asked(fake)[1] == {"name": "configured"}


def test_start_that_fails(ctl, fake, tmp_path):
    sentence = "forkctl: the forkserver 'broken' failed: module 'broken': its preload failed: no dictionary\n"
    start = "servers", "start", "broken", "--module=broken"
    p = ctl(*start, status=125)
    assert p.stdout == "" and p.stderr == sentence
    fake.servers["broken"], fake.shown["broken"] = server("broken", "failed"), {"output": ["no dictionary"]}
    assert ctl(*start, status=125).stderr == sentence
    fake.shown["broken"] = {"output": ["tried /a", "no dictionary"]}
    assert ctl(*start, status=125).stderr == f"{sentence}forkctl: what it has written: `forkctl servers show broken`\n"
    assert ctl(*start, "-q", "--json", status=125).stderr == sentence
    fake.servers["broken"]["state"] = "stopping"  # soon there is nothing to show
    assert ctl(*start, status=125).stderr == sentence

    (tmp_path / "host.py").touch()
    command = "servers", "start", "broken", "--", "python3", "-u", "nothing.py", "host.py"
    note = f"forkctl: it does not run in this directory: for the file 'host.py' write {tmp_path}/host.py\n"
    assert ctl(*command, status=125, cwd=tmp_path).stderr == sentence + note
    assert ctl(*command[:-1], f"{tmp_path}/host.py", status=125, cwd=tmp_path).stderr == sentence

    def unknown(*a):
        raise Failure("org.forkd.servers.NoSuchServer", server="x", sentence="there is no forkserver 'x' yet")

    fake.handlers["Start"] = unknown
    assert ctl("servers", "start", "x", status=125).stderr == (
        "forkctl: there is no forkserver 'x' yet\n"
        "forkctl: a new one needs --module=MODULE, or a command behind --\n"
    )

    def taken(*a):
        raise Failure("org.forkd.servers.NameTaken", server="x", sentence="there is a forkserver 'x' already")

    fake.handlers["Start"] = taken
    assert ctl("servers", "start", "x", status=125).stderr == "forkctl: there is a forkserver 'x' already\n"


def test_stop_reload_scale(ctl, fake):
    populate(fake)
    assert ctl("servers", "stop", "spell").stdout == "spell: stopped\n"
    assert asked(fake) == ("Stop", {"name": "spell"})
    assert ctl("servers", "stop", "-q", "--kill", "spell").stdout == ""
    assert asked(fake) == ("Stop", {"name": "spell", "kill": True})
    assert ctl("servers", "reload", "spell").stdout.startswith("spell#3: ready, preloaded in 212 ms, entries: check, ")
    assert ctl("servers", "scale", "spell", "--spare", "1").stdout == "spell: keeps 1 spare\n"
    assert asked(fake) == ("Scale", {"name": "spell", "spare": 1})
    for action in ("stop", "reload", "show"):
        p = ctl("servers", action, "spel", status=125)
        assert p.stderr.startswith("forkctl: there is no forkserver 'spel'; there are: ") and p.stdout == ""


def test_json(ctl, fake):
    populate(fake)
    j = lambda *a, **k: json.loads(ctl("servers", *a, "--json", **k).stdout)
    assert j() == j("list") == list(fake.servers.values())
    assert ctl("servers", "--json").stdout.count("\n") == len(fake.servers) + 2  # one a line
    assert j("show", "spell") == {"server": fake.servers["spell"], **fake.shown["spell"]}
    assert j("reload", "spell")["server"]["generation"] == 3
    assert j("scale", "spell", "--spare=2")["server"]["spare"] == 2
    assert j("stop", "spell") == {"name": "spell"}
    assert j("start", "new", "--module=m")["server"]["entries"][0] == {"name": "check"}
    fake.servers = {}
    assert j() == []


# ---- entries


def test_forms_of_entries(ctl, fake):
    def of(*arguments):
        ctl("submit", "--clean-env", "--directory=/", "--key=k", *arguments)
        return {k: v for k, v in job(fake).items() if k not in ("directory", "key")}

    assert of("--server=s", "check", "a=b") == {"server": "s", "entry": "check", "arguments": {"a": "b"}}
    assert of("--method=forkserver", "--server=s", "check") == {
        "startMethod": "forkserver", "server": "s", "entry": "check", "arguments": {},
    }
    assert of("--method=spawn", "check", "n:=3") == {"startMethod": "spawn", "entry": "check", "arguments": {"n": 3}}
    assert of("--method=spawn", "--server=s", "check", "{}") == {
        "startMethod": "spawn", "server": "s", "entry": "check", "arguments": {},
    }
    # what stands behind "--" is the command of a command, and the command line of an entry
    assert of("--method=spawn", "--", "check", "n:=3") == {"startMethod": "spawn", "command": ["check", "n:=3"]}
    assert of("--server=s", "check", "a=b", "--", "-x", "c=d") == {
        "server": "s", "entry": "check", "arguments": {"a": "b", "argv": ["-x", "c=d"]},
    }
    assert of("--method=fork", "check", '{"a": 1}', "--") == {
        "startMethod": "fork", "entry": "check", "arguments": {"a": 1, "argv": []},
    }
    assert of("--server=s", "--", "-x", "y") == {"server": "s", "entry": "main", "arguments": {"argv": ["-x", "y"]}}
    assert of("--server=s", "--") == {"server": "s", "entry": "main", "arguments": {"argv": []}}
    # a command keeps its own "--"
    assert of("env", "--", "x") == {"command": ["env", "--", "x"]}
    assert ctl("run", "--server=s", "--", "x").stdout == ""  # a value with nothing in it is none
    assert job(fake)["entry"] == "main"


def test_a_command_that_was_taken_for_an_entry(ctl, fake):
    def none(*a):
        raise Failure("NoSuchEntry", entry="make", sentence="there is no entry 'make'; there are: check")

    fake.handlers["Run"] = fake.handlers["Submit"] = none
    for verb in ("run", "submit"):
        assert ctl(verb, "--method=spawn", "make", status=125).stderr == (
            "forkctl: there is no entry 'make'; there are: check\n"
            "forkctl: if 'make' is a command, write -- before it\n"
        )
        assert ctl(verb, "--method=fork", "make", status=125).stderr.count("\n") == 1
        assert ctl(verb, "--server=s", "make", status=125).stderr.count("\n") == 1


def test_jobs_of_forkservers(ctl, fake):
    entry = dict(command=None, entry="check", server="spell", startMethod="forkserver")
    fake.jobs = {
        1: status(1, "running", generation=2, privateBytes=3 << 20, sharedBytes=40 << 20, pid=301, **entry),
        2: status(2, certificate=certificate(2, "success", "succeeded", server="spell", generation=1), **entry),
        3: status(3, "queued", **entry),
        4: status(4, "running", commandTruncated=True),
    }
    work = [line.split("  ")[-1].strip() for line in ctl("list").stdout.splitlines()]
    assert work == ["COMMAND", "spell#2 check", "spell#1 check", "spell check", "make all …"]
    assert ctl("list", env={"LC_ALL": "C"}).stdout.endswith("make all ...\n")
    out = ctl("show", "1").stdout
    assert re.search("^entry: +check$", out, re.M) and re.search("^server: +spell#2$", out, re.M)
    assert re.search(r"^memory: +3\.0 MiB private, 40\.0 MiB shared$", out, re.M) and "command" not in out
    assert re.search("^server: +spell#1$", ctl("show", "2").stdout, re.M)
    assert re.search("^command: +make all …$", ctl("show", "4").stdout, re.M)


# ---- progress


def test_progress(ctl, fake):
    fake.progress = [{"done": 1, "of": 2.5, "what": "a\033b"}, {"value": "half"}, {"value": [1]}]
    assert ctl("run", "--method=fork", "value").stderr == ""  # no terminal, and not asked for
    p = ctl("run", "--method=fork", "--progress", "value")
    assert p.stderr == "done=1 of=2.5 what=a\\x1bb\nhalf\n[1]\n"
    assert json.loads(p.stdout) == {"value": "120"}


def stderr_on_terminal(fake, environment, *arguments, columns="30", status=0):
    master, slave = pty.openpty()
    e = dict(environment, FORKD_ADDRESS=fake.path, COLUMNS=columns, TERM="dumb")
    p = subprocess.Popen([FORKCTL, *arguments], stdin=slave, stdout=subprocess.DEVNULL, stderr=slave, env=e)
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
    assert p.wait(30) == status
    return data.decode()


def test_progress_on_a_terminal(fake, environment):
    fake.progress = [{"value": "a" * 50}, {"value": "b"}]
    out = stderr_on_terminal(fake, environment, "run", "--method=fork", "value")
    # one line, cut so that it stays one, overwritten, and gone at the end
    assert out == "\r" + "a" * 29 + "\rb" + " " * 28 + "\r \r"
    out = stderr_on_terminal(fake, environment, "run", "--method=fork", "raise", status=1)
    assert out.endswith("\r \rforkctl: job 2: failed after 3 ms: NotFound: no such word\r\n")
    assert stderr_on_terminal(fake, environment, "run", "-q", "--method=fork", "value") == ""


# ---- completion


def complete(fake, line, **environment):
    """What bash would offer behind the line."""
    script = f"""
        PATH=$(dirname '{FORKCTL}'):$PATH
        source '{TOP}/client/ctl/forkctl.bash-completion'
        compopt() {{ :; }}
        COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _forkctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    e = {**os.environ, "LC_ALL": "C.UTF-8", "FORKD_ADDRESS": fake.path, **environment}
    p = subprocess.run(["bash", "-uc", script], text=True, capture_output=True, env=e, timeout=30)
    assert p.returncode == 0 and p.stderr == "", p.stderr
    return p.stdout.split()


def test_completion(fake, tmp_path):
    populate(fake)
    names = list(fake.servers)
    assert complete(fake, "forkctl servers ''") == ["list", "start", "stop", "reload", "show", "scale"]
    assert complete(fake, "forkctl servers st") == ["start", "stop"]
    assert complete(fake, "forkctl servers stop --kill ''") == names
    assert complete(fake, "forkctl servers scale --spare = 3 sp") == ["spawner", "spell"]
    assert complete(fake, "forkctl servers stop spell ''") == []
    assert complete(fake, "forkctl servers start x --pre") == ["--preload-timeout="]
    for line in ("forkctl run --server ''", "forkctl submit --server = ''", "forkctl submit --name x --server ="):
        assert complete(fake, line) == names, line
    for which in ("--server spell", "--server = spell", "--method spawn --server spell", "-m forkserver --server spell"):
        assert complete(fake, f"forkctl run {which} ''") == ["check", "load", "size"], which
        assert complete(fake, f"forkctl run {which} c") == ["check"], which
    assert complete(fake, "forkctl run -m fork ''") == complete(fake, "forkctl run --method = spawn ''") == ["factorial"]
    keys = "forkctl run --server spell --timeout 3s check"
    assert complete(fake, f"{keys} ''") == ["path=", "text="]
    assert complete(fake, f"{keys} p") == ["path="]
    assert complete(fake, f"{keys} path = /x ''") == ["text="]
    assert complete(fake, f"{keys} path=/x ''") == ["text="]
    assert complete(fake, f"{keys} path = text ''") == ["text="]  # a value is no key
    assert complete(fake, "forkctl run --server spell load ''") == ["n:="]
    assert complete(fake, "forkctl run --server spell size ''") == []  # its help is none of its arguments
    assert complete(fake, f"{keys} ''", COLUMNS="20") == ["path=", "text="]
    (tmp_path / "file").touch()
    assert complete(fake, f"{keys} path = {tmp_path}/f") == [f"{tmp_path}/file"]
    assert complete(fake, "forkctl run --timeout ''") == []


def test_completion_runs_nothing_that_a_stranger_said(fake, tmp_path):
    trap = f"$(touch${{IFS}}{tmp_path}/trap)"
    fake.servers = {trap: server(trap), "evil": server("evil", entries=[{"name": trap}, {"name": "e", "arguments": f"{trap}x={trap}"}])}
    assert complete(fake, "forkctl servers stop ''") == ["evil"]
    assert complete(fake, "forkctl run --server evil ''") == ["e"]
    complete(fake, "forkctl run --server evil e ''")
    assert not (tmp_path / "trap").exists()
