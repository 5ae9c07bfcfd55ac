# SPDX-License-Identifier: Apache-2.0
"""A stand-in for forkd, for tests of its clients: it speaks the wire, runs nothing, and says what it was told to
say. What it was asked stands in `asked`."""

import array
import json
import os
import signal
import socket
import tempfile
import threading


class Failure(Exception):
    def __init__(self, name, **parameters):
        super().__init__(name)
        self.name = name
        self.parameters = parameters


def certificate(id, result, sentence, **more):
    return dict(
        {"id": id, "attempt": 1, "result": result, "sentence": sentence, "queueUSec": 100, "runUSec": 3000}, **more
    )


def status(id, state="finished", **more):
    s = {
        "id": id,
        "state": state,
        "attached": False,
        "uid": os.getuid(),
        "startMethod": "spawn",
        "attempt": 1,
        "command": ["make", "all"],
        "priority": 0,
        "queuedAtUSec": 1_700_000_000_000_000,
        "startedAtUSec": 1_700_000_001_000_000,
    }
    if state == "finished":
        s["finishedAtUSec"] = 1_700_000_002_000_000
        s["certificate"] = certificate(id, "exit", "exited with status 3 after 3 ms", status=3)
    return dict(s, **more)


def server(name, state="ready", **more):
    s = {
        "name": name,
        "startMethod": "forkserver",
        "state": state,
        "origin": "request",
        "uid": os.getuid(),
        "workers": 0,
        "spares": 0,
        "starts": 1,
        "entries": [],
    }
    if state == "ready":
        s.update(generation=1, pid=200, preloadUSec=212000)
    return dict(s, **more)


# What a command of this name does when it is run, and how its certificate reads.
ENDS = {
    "true": ("success", "succeeded after 3 ms", {"status": 0}),
    "false": ("exit", "exited with status 1 after 3 ms", {"status": 1}),
    "exit3": ("exit", "exited with status 3 after 3 ms", {"status": 3}),
    "segv": ("signal", "killed by SIGSEGV after 3 ms", {"signal": 11}),
    "dump": ("core-dump", "killed by SIGABRT after 3 ms, core dumped", {"signal": 6}),
    "late": ("timeout", "timed out after 3 ms", {"signal": 15}),
    "latequeue": ("queue-timeout", "never started", {}),
    "missing": ("setup-failed", "could not start", {"stage": "exec", "errno": 2}),
    "forbidden": ("setup-failed", "could not start", {"stage": "exec", "errno": 13}),
    "broken": ("setup-failed", "could not start", {"stage": "exec", "errno": 8}),
    "nodir": ("setup-failed", "could not start", {"stage": "directory", "errno": 2}),
    "oom": ("oom", "killed after 3 ms: out of memory", {"signal": 9}),
    "lost": ("lost", "lost after 3 ms", {}),
    "cancelled": ("cancelled", "cancelled", {"signal": 15}),
    "dependency": ("dependency", "never started", {}),
    "raise": ("error", "failed after 3 ms: NotFound: no such word", {"code": "NotFound", "text": "no such word"}),
    "value": ("success", "succeeded after 3 ms", {"value": {"value": "120"}}),
    "empty": ("success", "succeeded after 3 ms", {"value": {}}),
}


class Fake:
    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="forkd-fake-")
        self.path = os.path.join(self.directory.name, "socket")
        self.asked = []
        self.changed = threading.Condition()
        self.jobs = {}  # id → status, for List, Show, Watch
        self.servers = {}  # name → server, for the methods of org.forkd.servers
        self.shown = {}  # name → what else Show has: generations, workers, output
        self.outputs = {}  # (id, stream) → (path, lost)
        self.signals = []
        self.handlers = {}
        self.next_id = 1
        self.connections = []
        self.threads = []
        self.drop_next = 0  # so many Submits are accepted, and their connection is closed instead of answered
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.acceptor = threading.Thread(target=self.accept)
        self.acceptor.start()

    def close(self):
        self.closing = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()
        self.listener.close()
        with self.changed:
            self.changed.notify_all()
        for c in self.connections:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for t in self.threads:
            t.join()
        self.directory.cleanup()

    closing = False
    progress = ()  # what every job that is run says of it

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self.serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def wait_for(self, condition):
        """Waits until what was asked or done makes condition() true."""
        with self.changed:
            if not self.changed.wait_for(condition, 20):
                raise TimeoutError(f"still not so; asked: {self.asked}, signals: {self.signals}")

    def update(self, function):
        with self.changed:
            result = function()
            self.changed.notify_all()
        return result

    def serve(self, connection):
        buffered, fds = b"", []
        with connection:
            while True:
                try:
                    data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(64))
                except OSError:
                    return
                for level, kind, payload in ancillary:
                    if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                        got = array.array("i")
                        got.frombytes(payload[: len(payload) - len(payload) % got.itemsize])
                        fds += got
                if not data:
                    for fd in fds:
                        os.close(fd)
                    return
                buffered += data
                while b"\0" in buffered:
                    text, buffered = buffered.split(b"\0", 1)
                    call = json.loads(text)
                    mine, fds = fds, []
                    try:
                        if not self.answer(connection, call, mine):
                            return
                    except OSError:
                        return
                    finally:
                        for fd in mine:
                            os.close(fd)

    def answer(self, connection, call, fds):
        method, parameters = call["method"], call.get("parameters") or {}
        self.update(lambda: self.asked.append((method, parameters)))
        name = method.rsplit(".", 1)[1]
        own = "on_servers_" if method.startswith("org.forkd.servers.") else "on_"
        handler = self.handlers.get(name) or getattr(self, own + name.lower(), None)
        send_fds = []

        def send(parameters, continues=False, error=None):
            message = {"parameters": parameters}
            if continues:
                message["continues"] = True
            if error:
                message["error"] = error
            data = json.dumps(message).encode() + b"\0"
            if send_fds:
                socket.send_fds(connection, [data], send_fds)
            else:
                connection.sendall(data)

        try:
            if not handler:
                raise Failure("org.varlink.service.MethodNotFound", method=method)
            reply = handler(parameters, call.get("more", False), lambda p: send(p, True), fds, send_fds)
            if reply is None:
                return False
            send(reply)
        except Failure as f:
            if f.name == "close":
                return False
            name = f.name if "." in f.name else "org.forkd.jobs." + f.name
            send(f.parameters, error=name)
        finally:
            for fd in send_fds:
                os.close(fd)
        return True

    # ---- methods

    def on_submit(self, p, more, send, fds, send_fds):
        ids = []
        for job in p["jobs"]:
            known = [i for i, s in self.jobs.items() if s.get("key") == job["key"]]
            if known:
                ids += known
                continue
            ids.append(self.next_id)
            self.jobs[self.next_id] = status(self.next_id, "queued", key=job["key"], command=job.get("command"))
            self.next_id += 1
        if self.drop_next > 0:
            self.drop_next -= 1
            raise Failure("close")
        return {"ids": ids}

    def on_run(self, p, more, send, fds, send_fds):
        job = p["job"]
        what = job["command"][0] if "command" in job else job["entry"]
        id = self.next_id
        self.next_id += 1
        if more:
            send({"id": id, "state": "starting"})
            send({"id": id, "state": "running", "pid": 4711})
        for progress in self.progress if more else []:
            send({"id": id, "state": "running", "progress": progress})
        if what == "main":
            what = "empty"
        if what == "echo":
            os.write(fds[job["stdout"]["descriptor"]], " ".join(job["command"][1:]).encode() + b"\n")
            what = "true"
        if what == "cat":
            data = os.read(fds[job["stdin"]["descriptor"]], 4096)
            os.write(fds[job["stderr"]["descriptor"]], data)
            what = "true"
        if what == "break":
            raise Failure("close")
        if what == "garbage":
            return {"id": id, "state": "finished"}
        if what == "sleep":  # until a signal that ends it
            ending = {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP}
            self.wait_for(lambda: self.closing or ending & {s for i, s in self.signals if i == id})
            number = [s for i, s in self.signals if i == id and s in ending][0] if not self.closing else 9
            raise Failure(
                "JobFailed",
                id=id,
                sentence="killed",
                certificate=certificate(id, "signal", "killed by a signal", signal=number),
            )
        result, sentence, more_fields = ENDS[what]
        c = certificate(id, result, sentence, **more_fields)
        if result != "success":
            raise Failure("JobFailed", id=id, sentence=sentence, certificate=c)
        return {"id": id, "state": "finished", "certificate": c}

    def find(self, id):
        if id not in self.jobs:
            raise Failure("NoSuchJob", id=id, sentence=f"there is no job {id}")
        return self.jobs[id]

    def on_kill(self, p, more, send, fds, send_fds):
        self.update(lambda: self.signals.extend((i, p.get("signal", 15)) for i in p["ids"]))
        return {}

    def on_cancel(self, p, more, send, fds, send_fds):
        for id in p["ids"]:
            self.find(id)
        return {}

    def on_pause(self, p, more, send, fds, send_fds):
        self.update(lambda: self.signals.append(("pause", p["ids"][0])))
        return {}

    def on_resume(self, p, more, send, fds, send_fds):
        self.update(lambda: self.signals.append(("resume", p["ids"][0])))
        return {}

    def on_list(self, p, more, send, fds, send_fds):
        jobs = [j for j in self.jobs.values() if not p.get("states") or j["state"] in p["states"]]
        jobs = jobs[: p.get("limit") or None]
        for job in jobs[:-1]:
            send({"job": job})
        return {"job": jobs[-1]} if jobs else {}

    def on_show(self, p, more, send, fds, send_fds):
        s = self.find(p["id"])
        return {"status": s, "job": {"command": s.get("command"), "directory": "/", "environment": {"A": "b"}}}

    def on_watch(self, p, more, send, fds, send_fds):
        ids = p["ids"]
        waiting = set(ids)
        for id in ids:
            self.find(id)
        cursor = 0
        for id in ids:
            if self.jobs[id]["state"] != "finished":
                send({"cursor": cursor, "id": id, "state": self.jobs[id]["state"]})
        while waiting:
            self.wait_for(lambda: self.closing or any(self.jobs[i]["state"] == "finished" for i in waiting))
            if self.closing:
                return None
            for id in sorted(i for i in waiting if self.jobs[i]["state"] == "finished"):
                waiting.discard(id)
                cursor += 1
                reply = {"cursor": cursor, "id": id, "state": "finished", "certificate": self.jobs[id]["certificate"]}
                if waiting:
                    send(reply)
        return reply

    def on_openoutput(self, p, more, send, fds, send_fds):
        self.find(p["id"])
        if (p["id"], p["stream"]) not in self.outputs:
            raise Failure("org.varlink.service.InvalidParameter", parameter="stream", sentence="it is not kept")
        path, lost = self.outputs[p["id"], p["stream"]]
        send_fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        return {"descriptor": 0, "lost": lost}

    def on_forget(self, p, more, send, fds, send_fds):
        for id in p.get("ids") or []:
            self.find(id)
        return {"forgotten": len(p["ids"]) if p.get("ids") else 5}

    def on_status(self, p, more, send, fds, send_fds):
        return {
            "version": "0.1.0",
            "pid": 100,
            "keeperPid": 99,
            "mode": "user",
            "address": self.path,
            "stateDirectory": "/var/lib/forkd",
            "draining": False,
            "startedAtUSec": 1_700_000_000_000_000,
            "cgroups": "every job has a cgroup of its own",
            "clients": 1,
            "queued": 0,
            "running": 2,
            "attached": 1,
            "paused": 0,
            "parked": 0,
            "finished": 10,
            "maxRunning": 2,
            "maxAttached": 256,
            "queueMax": 100000,
            "totalStarted": 12,
            "totalFinished": 10,
            "warnings": ["forkd.conf:3: unknown key 'Modul'"],
            "servers": [
                {"name": "spawner", "startMethod": "spawn", "state": "ready", "pid": 101, "workers": 1, "starts": 1},
                {
                    "name": "twin",
                    "startMethod": "fork",
                    "state": "failed",
                    "workers": 0,
                    "starts": 3,
                    "preloadUSec": 12345,
                    "reason": "spell: no dictionary",
                },
            ],
        }

    def on_reload(self, p, more, send, fds, send_fds):
        return {"warnings": ["forkd.conf:3: unknown key 'Modul'"]}

    def on_drain(self, p, more, send, fds, send_fds):
        if more:
            send({"running": 2, "queued": 1})
        return {"running": 0 if more else 2, "queued": 1}

    # ---- org.forkd.servers

    def find_server(self, p):
        if p["name"] not in self.servers:
            sentence = f"there is no forkserver '{p['name']}'; there are: {', '.join(self.servers)}"
            raise Failure("org.forkd.servers.NoSuchServer", server=p["name"], sentence=sentence)
        return self.servers[p["name"]]

    def on_servers_list(self, p, more, send, fds, send_fds):
        return {"servers": list(self.servers.values())}

    def on_servers_show(self, p, more, send, fds, send_fds):
        found = self.find_server(p)
        return {"server": found, "generations": [], "workers": [], "output": [], **self.shown.get(p["name"], {})}

    def on_servers_start(self, p, more, send, fds, send_fds):
        name = p["name"]
        if name == "broken":
            raise Failure(
                "org.forkd.servers.ServerFailed",
                server=name,
                reason="module 'broken': its preload failed: no dictionary",
                sentence=f"the forkserver '{name}' failed: module 'broken': its preload failed: no dictionary",
            )
        self.servers[name] = server(name, entries=[{"name": "check"}, {"name": "suggest"}])
        return {"server": self.servers[name]}

    def on_servers_stop(self, p, more, send, fds, send_fds):
        self.find_server(p)
        return {}

    def on_servers_reload(self, p, more, send, fds, send_fds):
        found = self.find_server(p)
        found["generation"] += 1
        return {"server": found}

    def on_servers_scale(self, p, more, send, fds, send_fds):
        found = self.find_server(p)
        found["spare"] = p["spare"]
        return {"server": found}
