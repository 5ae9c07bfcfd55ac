# SPDX-License-Identifier: Apache-2.0
"""One client process of the soak: acts, waits for what becomes of it, and judges it. Action k of client i is drawn
from (seed, i, k) alone, whatever came of the actions before."""

import collections
import contextlib
import itertools
import json
import os
import random
import select
import time

import link
import rude
import told
import varlink

HARMLESS = ('WrongState', 'NoSuchJob')  # what acts upon a job may find it ended
ACTIONS = ((40, 'submit'), (6, 'burst'), (30, 'run'), (5, 'chain'), (4, 'key'), (3, 'own_server'), (2, 'reload_server'), (1, 'scale'),
           (2, 'reload'), (10, 'rude'), (5, 'look'), (2, 'refused'))


class Load:
    """The client."""

    def __init__(self, options, index, programs, address, directory, talk):
        self.seed, self.index, self.programs, self.talk = options.seed, index, programs, talk
        self.patience = link.PATIENCE * (3 if programs.sanitized else 1)
        self.link = link.Link(address, self.complain, self.patience)
        self.record = told.Record(os.path.join(directory, f'record-{index}'))
        self.faults_path = os.path.join(directory, 'faults')
        self.crowd = rude.Crowd(self.link)
        self.jobs = []  # since the last rest
        self.ids = set()
        self.numbers = collections.Counter()
        self.wrong = []
        self.step = 0

    def complain(self, sentence):
        self.wrong.append(f'client {self.index}, action {self.step}: {sentence}')

    # ---- orders

    def serve(self):
        """Acts between "go" and "rest"; answers "rest" when nothing of it is under way."""
        buffer, going = b'', False
        while True:
            while not going or select.select([self.talk], [], [], 0)[0]:
                data = self.talk.recv(4096)
                if not data:
                    return
                buffer += data
                while b'\n' in buffer:
                    line, _, buffer = buffer.partition(b'\n')
                    going = line == b'go'
                    if line == b'rest':
                        self.rest()
            if going:
                self.act()

    def rest(self):
        with contextlib.suppress(link.Gone):
            self.crowd.leave()
        report = {'numbers': self.numbers, 'wrong': self.wrong, 'actions': self.step}
        self.talk.sendall(json.dumps(report).encode() + b'\n')
        self.numbers, self.wrong = collections.Counter(), []

    def recheck(self):
        """What has run since it was certified, or too often."""
        self.record.read()
        for job in self.jobs:
            begins = self.record.begins[job.token]
            # what was wrong by then has been said when it was certified
            if begins > (job.runs if job.certified is None else job.certified):
                job.runs = job.certified = begins
                self.complain(f'{job.token} {job.kind} by {job.method} began {begins} times, after its certificate or '
                              'more often than it may')
        self.jobs = [j for j in self.jobs if j.certified is None or j.at > time.monotonic() - 5]

    def act(self):
        self.step += 1
        rng = random.Random(f'{self.seed}/{self.index}/{self.step}')
        weights, names = zip(*ACTIONS)
        name = rng.choices(names, weights)[0]
        self.numbers[f'action {name}'] += 1
        try:
            self.link.look()
            getattr(self, 'act_' + name)(rng)
        except link.Gone:
            self.numbers['broken off with forkd'] += 1
        except (OSError, varlink.Closed, varlink.Error, KeyError, AssertionError) as error:
            self.complain(f'{name}: {error!r}')
        if self.step % 20 == 0:
            self.recheck()

    # ---- jobs

    def make(self, rng, n, method=None):
        made = []
        for i in range(n):
            made.append(told.make(rng, f'{self.index}.{self.step}.{i}', method or rng.choice(told.METHODS)))
        self.jobs += made
        return made

    def specification(self, job, attached=False):
        return job.specification(self.programs, self.record.path, attached)

    def submit(self, jobs):
        begun = time.monotonic()
        for job in jobs:
            job.at = begun
        answer = self.link.call('Submit', {'jobs': [self.specification(j) for j in jobs]})
        if not answer:
            raise link.Gone()
        for job, number in zip(jobs, answer['ids']):
            job.id = number
            if number in self.ids:
                self.complain(f'the id {number} is given twice')
            self.ids.add(number)
        self.numbers['submitted'] += len(jobs)

    def act_submit(self, rng):
        jobs = self.make(rng, rng.randrange(1, 12))
        plan = self.plan(rng, jobs)
        forget = rng.random() < 0.8
        look = rng.choice(jobs)
        self.submit(jobs)
        self.meddle(plan)
        self.collect(jobs)
        if look.bytes is not None and look.certified and not look.cancelled:
            self.look_at_output(look)
        if forget:
            self.link.call('Forget', {'ids': [j.id for j in jobs]}, HARMLESS)

    def act_burst(self, rng):
        """Many short jobs at once: some are always about to start when something dies."""
        jobs = []
        for i in range(rng.randrange(40, 150)):
            status = rng.choice((0, 0, 0, 3, 77))
            jobs.append(told.Told(f'{self.index}.{self.step}.{i}', 'burst', rng.choice(told.METHODS),
                                  ('exit', status) if status else ('linger', 0),
                                  [('exit', status) if status else ('success', None)]))
        self.jobs += jobs
        self.submit(jobs)
        self.collect(jobs)
        self.link.call('Forget', {'ids': [j.id for j in jobs]}, HARMLESS)

    def plan(self, rng, jobs):
        """[(delay, verb, job, parameters)]: what will be done to some of the jobs, in its order."""
        result = []
        for job in jobs:
            draw, at, signal = rng.random(), rng.random() * 0.15, rng.choice(told.SIGNALS)
            if draw < 0.08:
                result += [(at, 'Pause', job, {}), (at + rng.random() * 0.05, 'Resume', job, {})]
            elif draw < 0.14:
                result.append((at, 'Cancel', job, {}))
            elif draw < 0.2 or job.endless and draw < 0.5:
                result.append((at, 'Kill', job, {'signal': signal}))
            if job.endless:
                result.append((0.25, 'Cancel', job, {}))
        return sorted(result, key=lambda entry: entry[0])

    def meddle(self, plan):
        begun = time.monotonic()
        for at, verb, job, parameters in plan:
            time.sleep(max(0, begun + at - time.monotonic()))
            if job.id is None:
                continue
            if verb == 'Cancel':
                job.cancelled = True
            elif verb == 'Kill':
                job.signals.add(parameters['signal'])
            self.link.call(verb, {'ids': [job.id], **parameters}, HARMLESS)
            self.numbers[verb.lower()] += 1

    def collect(self, jobs):
        """Until all have ended."""
        left = {j.id: j for j in jobs}
        try:
            with self.link.watched(f'Watch of {len(left)} jobs'), self.link.connect() as client:
                deadline = time.monotonic() + self.patience
                for reply in client.stream('Watch', {'ids': list(left)}):
                    if reply.get('state') == 'finished' and reply['id'] in left:
                        self.certify(left.pop(reply['id']), reply['certificate'])
                    if time.monotonic() > deadline:
                        raise TimeoutError()
        except varlink.Error as error:
            # a forkd that came between the submission and this knows nothing of them
            if error.name == 'NoSuchJob' and self.link.look() and self.faults(min(j.at for j in jobs), ('forkd',)):
                raise link.Gone() from error
            self.complain(f'{len(left)} jobs are lost: {error}')
            self.numbers['lost'] += len(left)
            return
        except link.Gone:
            if not self.faults(min(j.at for j in jobs), ('forkd',)):
                self.numbers['lost'] += len(left)
                self.complain('no end of ' + '; '.join(self.describe(j) for j in left.values()))
            raise
        if left:
            self.complain(f'Watch ended without {[j.id for j in left.values()]}')

    def describe(self, job):
        state = 'unknown'
        with contextlib.suppress(Exception):
            state = self.link.call('Show', {'id': job.id}, HARMLESS)['status']
        return f'{job.kind} by {job.method}, id {job.id}, told {job.words}: {state}'

    def certify(self, job, certificate):
        self.record.read()
        faults = self.faults(job.at - told.AFTERMATH)
        wrong = told.judge(job, certificate, self.record, faults)
        job.certified = self.record.begins[job.token]
        self.numbers[f'{job.method} {job.kind}'] += 1
        self.numbers[f'result {certificate["result"]}'] += 1
        if wrong:
            short = {k: v for k, v in certificate.items() if k not in ('stderrTail', 'value')}
            self.complain(f'job {job.id} ({job.token}) by {job.method}: {"; ".join(wrong)}; began '
                          f'{self.record.begins[job.token]}, at its end {self.record.lasts[job.token]}, '
                          f'cancelled {job.cancelled}, signals {sorted(job.signals)}, faults {sorted(faults)}; {short}')

    def faults(self, since, kinds=None):
        """Who was killed since then."""
        result = set()
        with open(self.faults_path, encoding='utf-8') as file:
            for line in file:
                at, victim = line.split()
                if float(at) >= since and (not kinds or victim in kinds):
                    result.add(victim)
        return result

    def look_at_output(self, job):
        """The file is what was written."""
        with self.link.watched('OpenOutput'), self.link.connect() as client:
            try:
                reply = client.call('OpenOutput', {'id': job.id})
            except varlink.Error as error:
                if error.name != 'NoSuchJob' or not self.faults(job.at, ('forkd',)):
                    self.complain(f'OpenOutput of {job.id}: {error}')
                return
            with os.fdopen(client.fds.pop(reply['descriptor']), 'rb') as file:
                size = len(file.read())
        if size > job.bytes or size < job.bytes and not job.signals and not self.faults(job.at - told.AFTERMATH):
            self.complain(f'job {job.id} wrote {job.bytes} bytes, its output has {size}')

    def act_run(self, rng):
        """Attached jobs, side by side."""
        jobs = self.make(rng, rng.randrange(1, 7))
        plan = self.plan(rng, jobs)
        leaving = [rng.random() < 0.06 for _ in jobs]
        clients = []
        try:
            with self.link.watched('Run'):
                for job in jobs:
                    client = self.link.connect()
                    clients.append(client)
                    job.at = time.monotonic()
                    client.send('Run', {'job': self.specification(job, attached=True)}, more=True)
                    message = client.receive()  # ids come with the first state
                    self.numbers['attached'] += 1
                    job.id = (message.get('parameters') or {}).get('id')
                    client.early = message
                self.meddle(plan)
                for job, client, leave in zip(jobs, clients, leaving):
                    if leave or not self.attached_end(job, client):
                        client.close()
        finally:
            for client in clients:
                client.close()

    def attached_end(self, job, client):
        """Reads to the end of an attached job; False when there was none."""
        deadline = time.monotonic() + self.patience
        message = client.early
        while True:
            parameters = message.get('parameters') or {}
            if 'error' in message and not message['error'].endswith('.JobFailed'):
                # one that is failed for good refuses at once
                if not (message['error'].endswith('.ServerFailed') and self.faults(job.at - told.AFTERMATH)):
                    self.complain(f'Run of {job.kind} by {job.method} is answered with {message}')
                return False
            if parameters.get('certificate'):
                self.certify(job, parameters['certificate'])
                return True
            if time.monotonic() > deadline:
                raise TimeoutError()
            message = client.receive()

    def act_chain(self, rng):
        """Jobs after others: by their success, or by whatever end."""
        good = rng.random() < 0.5
        on = rng.choice(('success', 'finished'))
        first, second, third = (told.Told(f'{self.index}.{self.step}.{i}', 'chain', rng.choice(told.METHODS),
                                          ('linger', 0)) for i in range(3))
        self.jobs += [first, second, third]
        if not good:
            first.words, first.natural = ['exit', '7'], {('exit', 7)}
        self.submit([first])
        runs = good or on == 'finished'
        for job, before in ((second, first), (third, second)):
            job.fields['after'] = [{'id': before.id, 'on': on}]
            job.natural = {('success', None)} if runs else {('dependency', None)}
            if self.faults(first.at - told.AFTERMATH, told.VICTIMS[before.method] | told.VICTIMS[first.method]):
                job.natural |= {('dependency', None)}
            self.submit([job])
        # what befalls the first befalls those after it
        for job in (second, third):
            job.natural |= {('dependency', None)} if on == 'success' and self.faults(first.at - told.AFTERMATH) else set()
        self.chained([first, second, third], on)

    def chained(self, jobs, on):
        ends = {}
        with self.link.watched('Watch of a chain'), self.link.connect() as client:
            for reply in client.stream('Watch', {'ids': [j.id for j in jobs]}):
                if reply.get('state') == 'finished':
                    ends[reply['id']] = reply['certificate']
        for before, job in itertools.pairwise(jobs):
            good = ends[before.id]['result'] == 'success' or on == 'finished'
            if (ends[job.id]['result'] == 'dependency') == good:
                self.complain(f'job {job.id} after {before.id} on {on}: {ends[job.id]} after {ends[before.id]}')
            job.natural |= {('dependency', None)}
        for job in jobs:
            self.certify(job, ends[job.id])

    def act_key(self, rng):
        """The same key: one job, however often it is submitted."""
        job, = self.make(rng, 1)
        job.fields['key'] = f'key-{job.token}'
        other = told.Told(job.token + 'x', 'other', 'spawn', ('linger', 0), key=job.fields['key'], priority=19)
        self.jobs.append(other)
        other.runs = 0
        self.submit([job])
        again = self.link.call('Submit', {'jobs': [self.specification(job)]})
        if again and again['ids'] != [job.id] and not self.faults(job.at, ('forkd',)):
            self.complain(f'key {job.fields["key"]} gives {again["ids"]}, not {job.id}')
        if again and again['ids'] != [job.id]:
            job.runs *= 2  # a forkd that came between
            raise link.Gone()
        if self.link.call('Submit', {'jobs': [self.specification(other)]}, ('KeyConflict',)):
            other.runs = 1
            if not self.faults(job.at, ('forkd',)):
                self.complain(f'another job got the key {job.fields["key"]}')
        if job.endless:
            self.meddle([(0.05, 'Cancel', job, {})])
        self.collect([job])

    # ---- forkservers, configuration, strangers

    def act_own_server(self, rng):
        """A forkserver of the client's own: started, reloaded, scaled, stopped."""
        name, spare = f'own-{self.index}', rng.randrange(3)
        jobs = self.make(rng, rng.randrange(1, 8), 'own')
        plan, reload_it, kill = self.plan(rng, jobs), rng.random() < 0.4, rng.random() < 0.3
        began = time.monotonic()
        try:
            environment = {'ASAN_OPTIONS': 'handle_segv=0:handle_abort=0:detect_stack_use_after_return=0:'
                                           'disable_coredump=0:quarantine_size_mb=16'} if self.programs.sanitized else {}
            allowed = ['NameTaken', 'ServerFailed'] if self.faults(began - told.AFTERMATH) else []
            if not self.link.call('org.forkd.servers.Start', {'name': name, 'modules': ['flow'], 'spare': spare,
                                                              'environment': environment}, allowed):
                return
            for job in jobs:
                job.fields['server'] = name
            self.submit(jobs)
            if reload_it:
                self.link.call('org.forkd.servers.Reload', {'name': name},
                               ('ServerFailed', 'WrongState') if self.faults(began - told.AFTERMATH) else ())
            self.meddle(plan)
            self.collect(jobs)
        finally:
            self.link.look()
            self.link.call('org.forkd.servers.Stop', {'name': name, 'kill': kill}, ('NoSuchServer',))

    def act_reload_server(self, rng):
        name = rng.choice(('flow', 'spare'))
        began = time.monotonic()
        # it may be killed while it preloads
        if not self.link.call('org.forkd.servers.Reload', {'name': name}, ('ServerFailed', 'WrongState')):
            if not self.faults(began - told.AFTERMATH):
                self.complain(f'the reload of {name} has failed, and nobody had killed anything')

    def act_scale(self, rng):
        self.link.call('org.forkd.servers.Scale', {'name': 'spare', 'spare': rng.randrange(5)}, ('WrongState',))

    def act_reload(self, _rng):
        self.link.call('org.forkd.manager.Reload')

    def act_rude(self, rng):
        for _ in range(rng.randrange(1, 4)):
            self.numbers[f'rude {self.crowd.one(rng)}'] += 1

    def act_look(self, rng):
        if rng.random() < 0.5:
            self.link.call('List', {'limit': rng.randrange(1, 200)})
        else:
            name = rng.choice(('flow', 'spare', 'spawner', 'twin'))
            self.link.call('org.forkd.servers.Show', {'name': name}, ('LimitReached',))

    def act_refused(self, rng):
        """What has no sense is refused, all of it."""
        job = told.Told(f'{self.index}.{self.step}.r', 'refused', 'spawn', ('linger', 0))
        self.jobs.append(job)
        job.runs = 0
        bad = rng.choice(({'command': []}, {'entry': 'work', 'command': ['x']}, {'command': ['x'], 'colour': 1},
                          {'entry': 'none', 'startMethod': 'fork'}, {'entry': 'work', 'server': 'none'},
                          {'command': ['x'], 'after': [{'id': 1 << 50}]}))
        if self.link.call('Submit', {'jobs': [self.specification(job), bad]},
                          ('InvalidParameter', 'NoSuchEntry', 'NoSuchServer', 'NoSuchJob')):
            self.complain(f'{bad} was accepted')
