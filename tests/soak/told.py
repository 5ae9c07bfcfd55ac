# SPDX-License-Identifier: Apache-2.0
"""Jobs of the soak: what each was told to do, and whether what forkd certifies agrees with that and with the record,
a file that the jobs append to and that forkd does not know. `begin` stands there before a job does anything, `last`
when it has done all but to end."""

import collections
import time

METHODS = ('spawn', 'spawn-entry', 'fork', 'forkserver', 'spares')
# Whose death may cost a job of that method its certificate.
VICTIMS = {'spawn': {'spawner'}, 'spawn-entry': {'spawner'}, 'fork': {'twin'}, 'forkserver': {'flow', 'spawner'},
           'spares': {'spare', 'spawner'}, 'own': {'own', 'spawner'}}
AFTERMATH = 15  # seconds that a killed forkserver may be felt: its restarts are put off longer and longer
ESCAPES = True  # whether forkd reaches processes in a session of their own: with cgroups
SANITIZED = False  # the leak checker's own process at the end of an entry counts as left behind
LATE = 30_000  # microseconds between a start and forkd's knowledge of it, on a loaded machine
SIGNALS = (1, 2, 9, 11, 13, 15)


class Record:
    """The file of one client's jobs, read as it grows."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.begins = collections.Counter()
        self.lasts = collections.Counter()
        self.begun = {}  # when, first
        with open(path, 'ab'):
            pass

    def read(self):
        with open(self.path, 'rb') as file:
            file.seek(self.offset)
            data = file.read()
        data = data[:data.rfind(b'\n') + 1]
        self.offset += len(data)
        for line in data.decode().splitlines():
            token, what, when = line.split()
            (self.begins if what == 'begin' else self.lasts)[token] += 1
            self.begun.setdefault(token, int(when))


class Told:
    """One job: made from random numbers alone, so that the same seed tells the same."""

    def __init__(self, token, kind, method, words=(), natural=(('success', None),), runs=1, **fields):
        self.token = token
        self.kind = kind
        self.method = method
        self.words = [str(w) for w in words]
        self.natural = set(natural)
        self.runs = runs  # at most so many attempts may begin
        self.fields = fields
        self.bytes = None  # of standard output
        self.orphans = 0
        self.linger = 0
        self.later = 0  # it is not to start for so many microseconds
        self.endless = False  # somebody has to end it
        self.recorded = bool(words)
        self.value = None
        # what has been done to it since
        self.cancelled = False
        self.signals = set()
        self.id = None
        self.at = 0.0
        self.certified = None  # how often it had begun when it was certified

    def specification(self, programs, record, attached):
        words = ['recorded', record, self.token, *self.words] if self.recorded else self.words
        job = dict(self.fields, name=self.token)
        job.setdefault('limits', {'LimitCORE': 0})
        if attached:  # starts now, once, and has no file of forkd's
            self.runs, self.later = 1, 0
            job = {k: v for k, v in job.items() if k not in ('retries', 'queueTimeoutUSec')}
        elif self.later:
            job['startAtUSec'] = self.fields.setdefault('startAtUSec', int(time.time() * 1e6) + self.later)
        if self.kind == 'mirror':
            job.update(entry='mirror', arguments={'token': self.token})
            self.value = job['arguments']
        elif self.kind == 'complain':
            job.update(entry='complain', arguments={'code': 'Token', 'text': self.token})
        elif self.kind == 'nothing':
            job['command'] = ['/no/such/program']
        elif self.method == 'spawn':
            job['command'] = [programs.work, *words]
        else:
            job.update(entry='work', arguments={'argv': words})
        if 'entry' in job:
            job.update({'spawn-entry': {'startMethod': 'spawn'}, 'fork': {'startMethod': 'fork'},
                        'forkserver': {'server': 'flow'}, 'spares': {'server': 'spare'}}.get(self.method, {}))
            if self.method == 'spawn-entry' and (programs.sanitized or self.fields.get('priority', 0) % 2):
                job['server'] = 'flow'  # else of forkd's own modules
        return job


def kinds(entries):
    """[(weight, kind)] of what a job can be told."""
    result = [(20, 'done'), (10, 'linger'), (8, 'exit'), (6, 'signal'), (2, 'abort'), (6, 'print'), (3, 'flood'),
              (4, 'orphans'), (5, 'timeout'), (6, 'forever'), (4, 'stubborn'), (3, 'directory'), (4, 'retry'),
              (3, 'retry-any'), (2, 'queue-timeout'), (2, 'later')]
    return result + ([(6, 'mirror'), (4, 'complain')] if entries else [(2, 'nothing')])


def make(rng, token, method):
    """A job of any kind."""
    entries = method != 'spawn'
    weights, names = zip(*kinds(entries))
    kind = rng.choices(names, weights)[0]
    number, short, draw = rng.randrange(1, 120), rng.randrange(1_000, 60_000), rng.random()
    priority, pick = rng.randrange(0, 20), rng.choice(SIGNALS)

    def told(*words, **keywords):
        return Told(token, kind, method, words, priority=priority, **keywords)

    if kind == 'linger':
        job = told('linger', short)
        job.linger = short
    elif kind == 'exit':
        job = told('exit', number, natural=[('exit', number)])
    elif kind == 'signal':
        job = told('signal', pick, natural=[('signal', pick)])
    elif kind == 'abort':
        job = told('core', natural=[('signal', 6), ('core-dump', 6)])
    elif kind == 'print':
        job = told('print', 'x' * number, 'to stderr')
        job.bytes = number
    elif kind == 'flood':
        job = told('flood', short * 8)
        job.bytes = short * 8
    elif kind == 'orphans':
        # it leaves by _exit(): an entry without an answer
        job = told('orphans', '/dev/null', number % 3 + 1, 's' if draw < 0.5 and ESCAPES else '',
                   natural=[('exit', 0) if entries else ('success', None)])
        job.orphans = number % 3 + 1
    elif kind == 'timeout':
        job = told('stubborn' if draw < 0.3 else 'forever', '/dev/null', natural=[('timeout', None)],
                   timeoutUSec=short * 4, graceUSec=50_000)
    elif kind in ('forever', 'stubborn'):
        job = told(kind, '/dev/null', natural=[], graceUSec=50_000)
        job.endless = True
    elif kind == 'directory':
        job = told('linger', 0, natural=[('setup-failed', 'directory')], directory='/no/such/directory')
    elif kind == 'nothing':
        job = Told(token, kind, method, natural=[('setup-failed', 'exec')])
    elif kind == 'retry':
        job = told('exit', number, natural=[('exit', number)], runs=3,
                   retries={'max': 2, 'delayUSec': short, 'on': ['exit']})
    elif kind == 'retry-any':
        job = told('signal', pick, natural=[('signal', pick)], runs=2, retries={'max': 1, 'delayUSec': short})
    elif kind == 'queue-timeout':
        job = told('linger', 0, natural=[('success', None), ('queue-timeout', None)], queueTimeoutUSec=short)
    elif kind == 'complain':
        job = Told(token, kind, method, natural=[('error', 'Token')])
    elif kind == 'mirror':
        job = Told(token, kind, method)
    else:
        job = told('linger', 0)
        job.later = short if kind == 'later' else 0
    return job


def detail(certificate):
    result = certificate['result']
    member = {'exit': 'status', 'signal': 'signal', 'core-dump': 'signal', 'error': 'code',
              'setup-failed': 'stage'}.get(result)
    return result, certificate.get(member) if member else None


def excused(job, outcome, faults):
    """Whether what was done to the job or to its forkserver explains what is not its own doing."""
    result, what = outcome
    if result == 'cancelled':
        return job.cancelled
    if result == 'signal' and what == 15 and SANITIZED and VICTIMS[job.method] & faults:
        return True  # by fork() a worker is born in its host's cgroup, and ended there with what a dead host left
    if result == 'signal':
        return what in job.signals or (what == 9 and f'worker-{job.id}' in faults)
    if result in ('lost', 'server-failed'):
        return bool(VICTIMS[job.method] & faults)
    return False


def judge(job, certificate, record, faults):
    """What is wrong with the certificate: sentences. faults: who was killed while the job was there."""
    wrong = []
    outcome = detail(certificate)
    result = outcome[0]
    natural = outcome in job.natural
    if not natural and not excused(job, outcome, faults):
        wrong.append(f'nothing explains its end, it was told {job.kind} {job.words}')
    if certificate['id'] != job.id:
        wrong.append(f'it is about job {certificate["id"]}')
    if job.recorded:
        wrong += judge_record(job, certificate, record, natural)
    wrong += judge_members(job, certificate, result, faults)
    return wrong


def judge_record(job, certificate, record, natural):
    begins, lasts = record.begins[job.token], record.lasts[job.token]
    result, attempt = certificate['result'], certificate['attempt']
    wrong = []
    if begins > job.runs:
        wrong.append(f'it began {begins} times')
    if begins > attempt:
        wrong.append(f'it began {begins} times in {attempt} attempts')
    if result in ('dependency', 'queue-timeout', 'setup-failed', 'server-failed') and begins and job.runs == 1:
        wrong.append('it is said not to have run, and it ran')
    if result in ('success', 'exit', 'signal', 'core-dump') and natural and not (job.signals or lasts):
        wrong.append('it is said to have run, and it did not')
    if begins and record.begun[job.token] < job.fields.get('startAtUSec', 0):
        wrong.append(f'it began {job.fields["startAtUSec"] - record.begun[job.token]} us before its time')
    if job.kind == 'retry' and result == 'exit' and (attempt, lasts) != (job.runs, job.runs):
        wrong.append(f'{attempt} attempts, {lasts} ran, of {job.runs}')
    return wrong


def judge_members(job, certificate, result, faults):
    wrong = []
    run = certificate['runUSec']
    if result == 'success' and job.linger > run + LATE:
        wrong.append(f'it ran for {run} us and lingered for {job.linger}')
    if result == 'timeout' and run < job.fields['timeoutUSec']:
        wrong.append(f'it timed out after {run} us of {job.fields["timeoutUSec"]}')
    if result == 'success' and job.value is not None and certificate.get('value') != job.value:
        wrong.append(f'it was to return {job.value}')
    if result == 'error' and job.kind == 'complain' and certificate.get('text') != job.token:
        wrong.append(f'it was to say {job.token}')
    if result == 'success' and 'stdoutBytes' in certificate and certificate['stdoutBytes'] != (job.bytes or 0):
        wrong.append(f'it wrote {job.bytes} bytes')
    left = certificate.get('leftBehind', 0)
    if left > job.orphans + SANITIZED or left < job.orphans and detail(certificate) in job.natural and not faults:
        wrong.append(f'it left {job.orphans} processes behind')
    return wrong
