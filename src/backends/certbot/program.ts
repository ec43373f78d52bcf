// What runs certbot, in a Job or as a child process: one Python program, for which any image with certbot has what it needs. It is given a
// plan, runs certbot in the folder it finds itself in, and says on its standard output, on lines that begin with the plan's marker, what
// the operator must know. All else there is what certbot said, without what stands in Secrets.
import type { CertbotRun, Random } from '../../ports.ts';

/** Marked lines, by their first word. */
export const Word = {
  /** An answer to a challenge: a key authorization that is to be laid out. */
  answer: 'answer',
  /** The chain follows, PEM, up to `end`. */
  chain: 'chain',
  end: 'end',
  /** Type of the last problem that the ACME server told certbot, as its own log has it: what certbot makes of it differs. */
  problem: 'problem',
  /** The last line: certbot's exit code, or `timeout`. */
  exit: 'exit',
} as const;

/** What certbot is to do. Everything in it may be seen by whoever may read Jobs. */
export interface Plan {
  /** Begins the lines that are meant for us; known to nobody that certbot talks to. */
  marker: string;
  /** Of certbot, which runs in the folder. */
  arguments: readonly string[];
  /** Text by path in the folder. */
  files: Readonly<Record<string, string>>;
  /** Paths in the folder, by the path that a secret is copied from. */
  secrets: Readonly<Record<string, string>>;
  /** CA bundle for certbot, a path in the folder. */
  caBundle?: string;
  /** Where answers are seen once they are laid out, up to the token. */
  answersURL: string;
  deadlineSeconds: number;
  /** Ends when its standard input does, for then nobody reads what it says, and removes the folder above its own; limits certbot's memory. */
  attached: boolean;
}

const MARKER_BYTES = 24;
/** Of what a run writes, this much is read: more than it passes on. */
export const LOG_BYTES = 1024 * 1024;

/** The plan of a run, with a marker of its own; `secrets` are paths in the folder by where each is copied from. */
export function planOf(
  run: Pick<CertbotRun, 'arguments' | 'files' | 'caBundle' | 'deadlineMs'>,
  { random, ...place }: { random: Random } & Pick<Plan, 'secrets' | 'answersURL' | 'attached'>,
): Plan {
  return {
    marker: random.bytes(MARKER_BYTES).toString('base64url'),
    arguments: run.arguments,
    files: run.files,
    ...(run.caBundle === undefined ? {} : { caBundle: run.caBundle }),
    deadlineSeconds: Math.ceil(run.deadlineMs / 1000),
    ...place,
  };
}

/** Environment variable of the plan. */
export const PLAN_VARIABLE = 'COUNTERSIGN_CERTBOT_PLAN';
/** As the program wants it: without anything that Kubernetes reads as a reference to a variable. */
export const renderPlan = (plan: Plan): string => Buffer.from(JSON.stringify(plan)).toString('base64');

/** Of what certbot itself says, this much is passed on. */
const SAID_BYTES = 65_536;
const LINE_BYTES = 16_384;
/** Words of Secrets that are as long are not passed on. */
const SECRET_CHARACTERS = 6;
const CHAIN_BYTES = 262_144;
/** Address space, of which little is memory. */
const ATTACHED_BYTES = 1024 ** 3;
const LOG_CHARACTERS = 262_144;

/** Called by certbot for each name (`--manual-auth-hook`): hands the answer on, and after the last one waits until all are to be seen. */
export const HOOK_PROGRAM = String.raw`import hashlib, os, re, sys, time, urllib.parse, urllib.request
value = os.environ['CERTBOT_VALIDATION']
if not re.fullmatch(r'[A-Za-z0-9_-]{1,128}\.[A-Za-z0-9_-]{43}', value):
    sys.exit('the answer to the challenge is not one')
name = 'answers/' + hashlib.sha256(value.encode()).hexdigest()
with open(name + '.new', 'w') as file:
    file.write(value)
os.rename(name + '.new', name)
if os.environ.get('CERTBOT_REMAINING_CHALLENGES', '0') != '0':
    sys.exit(0)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def seen(value):
    try:
        url = os.environ['COUNTERSIGN_ANSWERS_URL'] + urllib.parse.quote(value.split('.')[0], safe='')
        with opener.open(url, timeout=5) as answer:
            return answer.read(1024).decode('ascii', 'replace').strip() == value
    except (OSError, ValueError):
        return False
for name in os.listdir('answers'):
    with open('answers/' + name) as file:
        value = file.read()
    times = 0
    # Each of several replicas may be the one that the CA asks.
    while times < 3:
        times = times + 1 if seen(value) else 0
        time.sleep(0.2)
`;

export const RUN_PROGRAM = String.raw`import atexit, base64, json, os, re, resource, shutil, signal, subprocess, sys, threading, time
plan = json.loads(base64.b64decode(os.environ.pop('${PLAN_VARIABLE}')))
begun = time.monotonic()
lock = threading.Lock()
def write(text):
    with lock:
        sys.stdout.write(text)
        sys.stdout.flush()
def say(word, value=''):
    write('%s %s %s\n' % (plan['marker'], word, value))
os.umask(0o077)
for folder in ('answers', 'tmp', 'config', 'work', 'logs', 'out'):
    os.makedirs(folder, exist_ok=True)
for path, text in plan['files'].items():
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(path, 'w') as file:
        file.write(text)
kept = set()
for source, path in plan['secrets'].items():
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    shutil.copyfile(source, path)
    with open(path, encoding='utf-8', errors='replace') as file:
        for line in file:
            if line.lstrip()[:1] in ('#', ';'):
                continue
            # Names of settings may be told.
            text = re.sub(r'^\s*[A-Za-z0-9_.:-]+\s*=\s*', '', line)
            kept.update(each for each in re.split(r'[\s"\'=:;,{}\[\]()]+', text) if len(each) >= ${SECRET_CHARACTERS})
here = os.getcwd()
env = dict(os.environ, HOME=here, TMPDIR=os.path.join(here, 'tmp'), XDG_CONFIG_HOME=os.path.join(here, 'tmp'),
           COUNTERSIGN_ANSWERS_URL=plan['answersURL'], PYTHONUNBUFFERED='1')
if 'caBundle' in plan:
    env['REQUESTS_CA_BUNDLE'] = os.path.join(here, plan['caBundle'])
def limit():
    # In a Pod its limit does that. An answer of any length is kept in memory by certbot.
    if plan['attached']:
        resource.setrlimit(resource.RLIMIT_AS, (${ATTACHED_BYTES}, ${ATTACHED_BYTES}))
certbot = subprocess.Popen(['certbot'] + plan['arguments'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env=env, start_new_session=True, preexec_fn=limit)
def kill():
    try:
        os.killpg(certbot.pid, signal.SIGKILL)
    except OSError:
        pass
def tidy():
    kill()
    if plan['attached']:
        try:
            # It may write as long as it is there.
            certbot.wait(5)
        except subprocess.TimeoutExpired:
            pass
        shutil.rmtree(os.path.dirname(here), ignore_errors=True)
def leave(*_):
    tidy()
    os._exit(1)
# Whoever started it may be gone in the moment that it ends, or is no longer told.
atexit.register(tidy)
signal.signal(signal.SIGTERM, leave)
def attend():
    # Unbuffered: a thread that waits within a buffer would be in the way of the end.
    while os.read(0, 4096):
        pass
    leave()
if plan['attached']:
    threading.Thread(target=attend, daemon=True).start()
# Longest first: one may be within another. Python writes some characters otherwise.
kept = sorted(kept.union(repr(each)[1:-1] for each in kept), key=len, reverse=True)
# What is looked for in it is words of certbot's, names and types of problems.
plain = re.compile(r'\s*(Certbot failed to authenticate|An unexpected error occurred:$|Requested name \S+ is an IP address|(Domain|Identifier|Type):\s+\S+$)')
def said(line):
    text = line.decode('utf-8', 'replace').rstrip('\n').replace(plan['marker'], '')
    if plain.match(text):
        return text
    for each in kept:
        text = text.replace(each, '[secret]')
    return text
def pass_on():
    left = ${SAID_BYTES}
    for line in iter(lambda: certbot.stdout.readline(${LINE_BYTES}), b''):
        if left > 0:
            left -= len(line)
            write(said(line) + '\n')
reader = threading.Thread(target=pass_on, daemon=True)
reader.start()
told = set()
timeout = False
while certbot.poll() is None:
    for name in sorted(os.listdir('answers')):
        if name in told or name.endswith('.new'):
            continue
        with open('answers/' + name) as file:
            say('${Word.answer}', file.read(512))
        told.add(name)
    if time.monotonic() - begun > plan['deadlineSeconds']:
        timeout = True
        kill()
    time.sleep(0.1)
reader.join(5)
kill()
if timeout:
    say('${Word.exit}', 'timeout')
    sys.exit(1)
if certbot.returncode == 0:
    with open('out/fullchain.pem', encoding='ascii', errors='replace') as file:
        chain = file.read(${CHAIN_BYTES})
    say('${Word.chain}')
    write(chain if chain.endswith('\n') else chain + '\n')
    say('${Word.end}')
if certbot.returncode != 0:
    try:
        with open('logs/letsencrypt.log', errors='replace') as file:
            found = re.findall(r'urn:ietf:params:acme:error:([A-Za-z]{1,40})', file.read()[-${LOG_CHARACTERS}:])
        for problem in [each for each in found if each != 'badNonce'][-1:]:
            say('${Word.problem}', problem)
    except OSError:
        pass
say('${Word.exit}', certbot.returncode)
sys.exit(0 if certbot.returncode == 0 else 1)
`;
