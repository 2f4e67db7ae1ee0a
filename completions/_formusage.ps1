
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'formusage' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'formusage'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'formusage' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('collect', 'collect', [CompletionResultType]::ParameterValue, 'Sample this host, or what runs on it, into usage events')
            [CompletionResult]::new('publish', 'publish', [CompletionResultType]::ParameterValue, 'Deliver usage events to a destination')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Evaluate usage events against thresholds, and test thresholds')
            [CompletionResult]::new('validate', 'validate', [CompletionResultType]::ParameterValue, 'Check that usage events, threshold files, their tests and channels files are valid')
            [CompletionResult]::new('queue', 'queue', [CompletionResultType]::ParameterValue, 'Serve the embedded queue with the Form protocol')
            [CompletionResult]::new('read', 'read', [CompletionResultType]::ParameterValue, 'Read events back from a destination')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Sum up usage events: totals, peaks, gaps and overlaps per user, organization, instance and day')
            [CompletionResult]::new('spool', 'spool', [CompletionResultType]::ParameterValue, 'Look at the spool: what waits, what was delivered')
            [CompletionResult]::new('dlq', 'dlq', [CompletionResultType]::ParameterValue, 'Look at dead letters: what can never be delivered as it is')
            [CompletionResult]::new('thresholds', 'thresholds', [CompletionResultType]::ParameterValue, 'Look after thresholds that are kept in a store, with their history')
            [CompletionResult]::new('channels', 'channels', [CompletionResultType]::ParameterValue, 'Look after the channels that alerts go to')
            [CompletionResult]::new('ping', 'ping', [CompletionResultType]::ParameterValue, 'Find out why events do not arrive: try the way to a destination, step by step')
            [CompletionResult]::new('schema', 'schema', [CompletionResultType]::ParameterValue, 'Print a JSON Schema (draft 2020-12)')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print a man page (roff)')
            break
        }
        'formusage;collect' {
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'How long a period is, in whole seconds; 30s unless given')
            [CompletionResult]::new('--sample-interval', '--sample-interval', [CompletionResultType]::ParameterName, 'How often to look in between, for averages and GPU time; the shorter of 5s (1s with --watch) and the interval unless given')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'End after so many periods of the schedule; one event of each instance comes with each')
            [CompletionResult]::new('--duration', '--duration', [CompletionResultType]::ParameterName, 'End after so long')
            [CompletionResult]::new('--scope', '--scope', [CompletionResultType]::ParameterName, 'What is metered: host (the default), cgroup:PATH or a pattern such as ''cgroup:system.slice/*.service'', systemd:UNIT, pid:N with its children. May stand several times. What two scopes name is refused, since it would be billed twice; what a pattern shares with another scope is billed to the first, and said. A process and one of its children are both billed, the child twice')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'A TOML file with scopes that each have a user, an organization and labels of their own; SIGHUP reads it again')
            [CompletionResult]::new('--interface', '--interface', [CompletionResultType]::ParameterName, 'An interface that counts, by name or pattern (eth*); the uplinks unless given. May stand several times')
            [CompletionResult]::new('--mount', '--mount', [CompletionResultType]::ParameterName, 'A file system that counts, by the path where it is mounted, or a pattern; those on local devices unless given. May stand several times')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'The same, by its device. May stand several times')
            [CompletionResult]::new('--instance-id', '--instance-id', [CompletionResultType]::ParameterName, 'What instances are called: a name, or a template of {name}, {path}, {parent} and {host}; unless given the host''s name, and {host}/{path} for what runs on it')
            [CompletionResult]::new('--user-id', '--user-id', [CompletionResultType]::ParameterName, 'Who is billed, a template as well; the login name unless given')
            [CompletionResult]::new('--org-id', '--org-id', [CompletionResultType]::ParameterName, 'The organization that the user belongs to, a template as well; none unless given')
            [CompletionResult]::new('--state', '--state', [CompletionResultType]::ParameterName, 'Where state is kept; by default collect.state in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--align', '--align', [CompletionResultType]::ParameterName, 'Let periods end at multiples of the interval on the wall clock: 30 s periods at :00 and :30 (the default; the first period is shorter)')
            [CompletionResult]::new('--no-align', '--no-align', [CompletionResultType]::ParameterName, 'Let every period have the whole interval, counted from the start')
            [CompletionResult]::new('--watch', '--watch', [CompletionResultType]::ParameterName, 'Show the open period of each instance, live, on the terminal: a table with sparklines that keys sort and scroll; q ends it as SIGINT does. Events still go to standard output where that is a pipe or a file. Where it is a terminal they are not written, and no state is kept')
            [CompletionResult]::new('--no-state', '--no-state', [CompletionResultType]::ParameterName, 'Keep no state: every run starts anew, and what the last one did not write is lost')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;publish' {
            [CompletionResult]::new('--event', '--event', [CompletionResultType]::ParameterName, 'Deliver this one event')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Where to: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, nats://HOST/SUBJECT?stream=NAME, tls://…, https://HOST/PATH, sqlite:PATH, file:PATH or -')
            [CompletionResult]::new('--thresholds', '--thresholds', [CompletionResultType]::ParameterName, 'Check events against these thresholds before sending; violations are logged, or go to --channels. A file, a folder, http(s)://HOST/PATH, sqlite:PATH or nats://HOST/BUCKET')
            [CompletionResult]::new('--state', '--state', [CompletionResultType]::ParameterName, 'Keep the states of thresholds (pending, firing) in this file, so that a restart neither repeats nor forgets an alert; without it, beside the spool, as spool.alerts.json')
            [CompletionResult]::new('--dead-letter', '--dead-letter', [CompletionResultType]::ParameterName, 'Write dead letters to this file too, as NDJSON with reason, place and the raw line; without a spool, whatever could not be delivered')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'How to report what became of everything, at the end')
            [CompletionResult]::new('--max-skew', '--max-skew', [CompletionResultType]::ParameterName, 'How far in the future an event''s timestamp may lie')
            [CompletionResult]::new('--max-line-bytes', '--max-line-bytes', [CompletionResultType]::ParameterName, 'The longest line to accept, in bytes')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long one attempt may take')
            [CompletionResult]::new('--concurrency', '--concurrency', [CompletionResultType]::ParameterName, 'Attempts under way at a time: auto finds the level at which the destination takes most, a number fixes it')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'After the end of input, go on for so long without delivering anything; after SIGTERM or Ctrl-C, end within this time')
            [CompletionResult]::new('--poison-after', '--poison-after', [CompletionResultType]::ParameterName, 'Make an event a dead letter that was refused in so many rounds while others went through (of this run, or of several with a spool)')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file that holds a bearer token for the destination (or set FORMUSAGE_TOKEN to the token itself)')
            [CompletionResult]::new('--ca-file', '--ca-file', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file instead of the system''s')
            [CompletionResult]::new('--client-cert', '--client-cert', [CompletionResultType]::ParameterName, 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes')
            [CompletionResult]::new('--client-key', '--client-key', [CompletionResultType]::ParameterName, 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given')
            [CompletionResult]::new('--nats-creds', '--nats-creds', [CompletionResultType]::ParameterName, 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)')
            [CompletionResult]::new('--stream-replicas', '--stream-replicas', [CompletionResultType]::ParameterName, 'How many servers hold each event of a stream that is made')
            [CompletionResult]::new('--stream-max-age', '--stream-max-age', [CompletionResultType]::ParameterName, 'How long a stream that is made keeps events; for ever unless given')
            [CompletionResult]::new('--stream-max-bytes', '--stream-max-bytes', [CompletionResultType]::ParameterName, 'The most bytes that a stream that is made keeps')
            [CompletionResult]::new('--duplicate-window', '--duplicate-window', [CompletionResultType]::ParameterName, 'How long a stream that is made knows repeats of an event')
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--spool-max-bytes', '--spool-max-bytes', [CompletionResultType]::ParameterName, 'The most bytes in use before nothing more is read, three quarters of it for one destination (B, KB, MB, GB, TB: powers of 1024); at least 128KB')
            [CompletionResult]::new('--spool-sync', '--spool-sync', [CompletionResultType]::ParameterName, 'When what was read counts as taken')
            [CompletionResult]::new('--retain', '--retain', [CompletionResultType]::ParameterName, 'Keep delivered events for so long, for `spool reconcile`; 0s for not at all')
            [CompletionResult]::new('--retain-max-bytes', '--retain-max-bytes', [CompletionResultType]::ParameterName, 'The most bytes of delivered events to keep')
            [CompletionResult]::new('--dead-letter-age', '--dead-letter-age', [CompletionResultType]::ParameterName, 'Drop a dead letter that is no event when it is older than this, with a warning; refused events are kept until they are replayed or purged (`formusage dlq`)')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Attempts after the first one, before an event has to wait for its next round')
            [CompletionResult]::new('--initial-backoff', '--initial-backoff', [CompletionResultType]::ParameterName, 'The first wait between attempts')
            [CompletionResult]::new('--max-backoff', '--max-backoff', [CompletionResultType]::ParameterName, 'The longest wait between attempts')
            [CompletionResult]::new('--backoff-multiplier', '--backoff-multiplier', [CompletionResultType]::ParameterName, 'By how much each wait exceeds the one before')
            [CompletionResult]::new('--jitter-factor', '--jitter-factor', [CompletionResultType]::ParameterName, 'How far waits are spread, as a share, 0 to 1')
            [CompletionResult]::new('--failure-threshold', '--failure-threshold', [CompletionResultType]::ParameterName, 'So many failures in a row open the breaker')
            [CompletionResult]::new('--reset-timeout', '--reset-timeout', [CompletionResultType]::ParameterName, 'How long it stays open at most before a trial; after a success the first trials come sooner')
            [CompletionResult]::new('--half-open-allowed-calls', '--half-open-allowed-calls', [CompletionResultType]::ParameterName, 'Trials at a time; so many successes close it')
            [CompletionResult]::new('--thresholds-token-file', '--thresholds-token-file', [CompletionResultType]::ParameterName, 'A file that holds a token for the source of the thresholds (or set FORMUSAGE_THRESHOLDS_TOKEN to the token itself)')
            [CompletionResult]::new('--thresholds-nats-creds', '--thresholds-nats-creds', [CompletionResultType]::ParameterName, 'A NATS credentials file for the source of the thresholds')
            [CompletionResult]::new('--thresholds-ca-file', '--thresholds-ca-file', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file for the source of the thresholds instead of the system''s')
            [CompletionResult]::new('--thresholds-client-cert', '--thresholds-client-cert', [CompletionResultType]::ParameterName, 'Show this certificate to the source of the thresholds: a PEM file')
            [CompletionResult]::new('--thresholds-client-key', '--thresholds-client-key', [CompletionResultType]::ParameterName, 'The private key of --thresholds-client-cert: a PEM file; the same file unless given')
            [CompletionResult]::new('--channels', '--channels', [CompletionResultType]::ParameterName, 'What the channels and actions of thresholds stand for: a JSON file (see formusage schema channels). Without it, alerts are logged')
            [CompletionResult]::new('--alert-spool', '--alert-spool', [CompletionResultType]::ParameterName, 'The spool of alerts on their way; by default alerts.db beside the spool of events')
            [CompletionResult]::new('--cloudevents-mode', '--cloudevents-mode', [CompletionResultType]::ParameterName, 'How an event becomes a request, where --to is https: or http:')
            [CompletionResult]::new('--cloudevents-source', '--cloudevents-source', [CompletionResultType]::ParameterName, 'The source attribute, a URI reference; the same on every host, so that an event sent by two is known as one')
            [CompletionResult]::new('--header-file', '--header-file', [CompletionResultType]::ParameterName, 'A file of further headers, such as an API key: a line for each, "Name: value"')
            [CompletionResult]::new('--metrics-listen', '--metrics-listen', [CompletionResultType]::ParameterName, 'Serve the figures at http://ADDRESS:PORT/metrics, as Prometheus text or, to those that ask for it, as OpenMetrics')
            [CompletionResult]::new('--stats-interval', '--stats-interval', [CompletionResultType]::ParameterName, 'Log a line of figures so often, and a last one at the end; 0s for never')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Send nothing: print what would be sent')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Make dead letters of implausible events and of events with fields that are not known, instead of delivering them')
            [CompletionResult]::new('--create-stream', '--create-stream', [CompletionResultType]::ParameterName, 'Make the JetStream stream where there is none: kept in files, and when it is full it refuses new events instead of dropping old ones. A stream that exists is left as it is')
            [CompletionResult]::new('--no-spool', '--no-spool', [CompletionResultType]::ParameterName, 'Do without: what is not delivered when the run ends goes to --dead-letter or standard error')
            [CompletionResult]::new('--no-circuit-breaker', '--no-circuit-breaker', [CompletionResultType]::ParameterName, 'Do without a circuit breaker')
            [CompletionResult]::new('--allow-exec', '--allow-exec', [CompletionResultType]::ParameterName, 'Let channels and actions run programs; stands on the command line alone, never in the environment')
            [CompletionResult]::new('--metrics-allow-remote', '--metrics-allow-remote', [CompletionResultType]::ParameterName, 'Let --metrics-listen serve other machines too, without a password')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;check' {
            [CompletionResult]::new('--test', '--test', [CompletionResultType]::ParameterName, 'Run the cases of these files, tests of thresholds, instead of reading events')
            [CompletionResult]::new('--state', '--state', [CompletionResultType]::ParameterName, 'Keep the states of thresholds in this file from one run to the next, so that what fires is told once')
            [CompletionResult]::new('--channels', '--channels', [CompletionResultType]::ParameterName, 'What the channels and actions of thresholds stand for: a JSON file (see formusage schema channels). Without it, alerts are logged')
            [CompletionResult]::new('--alert-spool', '--alert-spool', [CompletionResultType]::ParameterName, 'The spool of alerts on their way; by default alerts.db beside the spool of events')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'After the end of input, go on for so long without delivering an alert; what is left waits in their spool')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How the report is written; without it, a table on a terminal and ndjson elsewhere')
            [CompletionResult]::new('--max-skew', '--max-skew', [CompletionResultType]::ParameterName, 'How far in the future an event''s timestamp may lie')
            [CompletionResult]::new('--max-line-bytes', '--max-line-bytes', [CompletionResultType]::ParameterName, 'The longest line to accept, in bytes')
            [CompletionResult]::new('--thresholds-token-file', '--thresholds-token-file', [CompletionResultType]::ParameterName, 'A file that holds a token for the source of the thresholds (or set FORMUSAGE_THRESHOLDS_TOKEN to the token itself)')
            [CompletionResult]::new('--thresholds-nats-creds', '--thresholds-nats-creds', [CompletionResultType]::ParameterName, 'A NATS credentials file for the source of the thresholds')
            [CompletionResult]::new('--thresholds-ca-file', '--thresholds-ca-file', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file for the source of the thresholds instead of the system''s')
            [CompletionResult]::new('--thresholds-client-cert', '--thresholds-client-cert', [CompletionResultType]::ParameterName, 'Show this certificate to the source of the thresholds: a PEM file')
            [CompletionResult]::new('--thresholds-client-key', '--thresholds-client-key', [CompletionResultType]::ParameterName, 'The private key of --thresholds-client-cert: a PEM file; the same file unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--allow-exec', '--allow-exec', [CompletionResultType]::ParameterName, 'Let channels and actions run programs; stands on the command line alone, never in the environment')
            [CompletionResult]::new('--tee', '--tee', [CompletionResultType]::ParameterName, 'Pass every line on to standard output as it was read, at once; the report goes to standard error')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Report for each event why each threshold did or did not fire, in place of the violations')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;validate' {
            [CompletionResult]::new('--error', '--error', [CompletionResultType]::ParameterName, 'Make findings of this code errors; several with commas, or given several times')
            [CompletionResult]::new('--warn', '--warn', [CompletionResultType]::ParameterName, 'Make findings of this code warnings')
            [CompletionResult]::new('--ignore', '--ignore', [CompletionResultType]::ParameterName, 'Leave findings of this code out')
            [CompletionResult]::new('--channels', '--channels', [CompletionResultType]::ParameterName, 'Hold the channels and actions of thresholds against this channels file: what it does not bind is an error. (Named as a file to validate, it is validated itself)')
            [CompletionResult]::new('--period', '--period', [CompletionResultType]::ParameterName, 'How long the periods of events are, for the `for` of thresholds')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say what a code means, with an input that gives it and one that just does not; without a code, list all')
            [CompletionResult]::new('--reorder-window', '--reorder-window', [CompletionResultType]::ParameterName, 'How many further events of its instance a gap waits for one that comes late; 0 tells it at once')
            [CompletionResult]::new('--max-skew', '--max-skew', [CompletionResultType]::ParameterName, 'How far in the future an event''s timestamp may lie')
            [CompletionResult]::new('--max-line-bytes', '--max-line-bytes', [CompletionResultType]::ParameterName, 'The longest line to accept, in bytes')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How findings are written; without it, a table on a terminal and ndjson elsewhere')
            [CompletionResult]::new('--max-findings', '--max-findings', [CompletionResultType]::ParameterName, 'The most errors and the most warnings to write; 0 is all of them. The others are counted')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Make warnings errors: unknown fields, empty files. Files of folders that are not validated are an error too')
            [CompletionResult]::new('--continuity', '--continuity', [CompletionResultType]::ParameterName, 'Look at the periods of each instance too: gaps, overlaps, repeats, conflicts, order')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;queue' {
            [CompletionResult]::new('--db', '--db', [CompletionResultType]::ParameterName, 'The file that holds the queue; queue.db in the state directory unless given')
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Where to listen; beyond loopback a token is needed. Port 0 takes a free one')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file that holds the bearer token that every request needs (or set FORMUSAGE_TOKEN to the token itself)')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;read' {
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Where from: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, sqlite:PATH, nats://HOST/SUBJECT?stream=NAME, tls://…, file:PATH or -')
            [CompletionResult]::new('--poll-interval', '--poll-interval', [CompletionResultType]::ParameterName, 'How often to look for new events')
            [CompletionResult]::new('--start', '--start', [CompletionResultType]::ParameterName, 'Pass over everything in front of this place (a message''s number in a queue, a line''s number less one in a file)')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'End after so many events')
            [CompletionResult]::new('--limit', '--limit', [CompletionResultType]::ParameterName, 'End after so many events')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How events are shown; a table on a terminal, NDJSON in a pipe')
            [CompletionResult]::new('--consumer', '--consumer', [CompletionResultType]::ParameterName, 'Read as this durable JetStream consumer: it keeps its place, and all that read by the same name share what there is. What was shown is acknowledged. Without it, a stream is read from its start')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the source may be silent: before it answers, and between the parts of a long answer. The whole of an answer that keeps coming may take longer')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file that holds a bearer token for the source (or set FORMUSAGE_TOKEN to the token itself)')
            [CompletionResult]::new('--nats-creds', '--nats-creds', [CompletionResultType]::ParameterName, 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)')
            [CompletionResult]::new('--ca-file', '--ca-file', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file instead of the system''s')
            [CompletionResult]::new('--client-cert', '--client-cert', [CompletionResultType]::ParameterName, 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes')
            [CompletionResult]::new('--client-key', '--client-key', [CompletionResultType]::ParameterName, 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Go on with what is written from now on, until a signal')
            [CompletionResult]::new('--follow', '--follow', [CompletionResultType]::ParameterName, 'Go on with what is written from now on, until a signal')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;report' {
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Read the events from here instead: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, sqlite:PATH, nats://HOST/SUBJECT?stream=NAME, tls://…, file:PATH; passed over where files are named')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the source may be silent: before it answers, and between the parts of a long answer. The whole of an answer that keeps coming may take longer')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file that holds a bearer token for the source (or set FORMUSAGE_TOKEN to the token itself)')
            [CompletionResult]::new('--nats-creds', '--nats-creds', [CompletionResultType]::ParameterName, 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)')
            [CompletionResult]::new('--ca-file', '--ca-file', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file instead of the system''s')
            [CompletionResult]::new('--client-cert', '--client-cert', [CompletionResultType]::ParameterName, 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes')
            [CompletionResult]::new('--client-key', '--client-key', [CompletionResultType]::ParameterName, 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given')
            [CompletionResult]::new('--by', '--by', [CompletionResultType]::ParameterName, 'What rows are told apart by, in this order: day, org, user, instance; none gives one row for all')
            [CompletionResult]::new('--since', '--since', [CompletionResultType]::ParameterName, 'Leave out what was before: a date, a date and a time (2026-11-22T08:00, by --tz unless it says Z or +02:00), or Unix seconds. A period across it counts in proportion')
            [CompletionResult]::new('--until', '--until', [CompletionResultType]::ParameterName, 'Leave out what was at that time or later: the time itself is not in the report. A date is its first second, so that the whole of November is --since 2026-11-01 --until 2026-12-01')
            [CompletionResult]::new('--tz', '--tz', [CompletionResultType]::ParameterName, 'The time zone whose midnight ends a day: UTC, local, an offset (+02:00), or a name (Europe/Berlin)')
            [CompletionResult]::new('--thresholds', '--thresholds', [CompletionResultType]::ParameterName, 'Count the events over these thresholds, and draw them into plots: a JSON file, a folder of *.json files, http(s)://HOST/PATH, sqlite:PATH or nats://HOST/BUCKET')
            [CompletionResult]::new('--fail-on', '--fail-on', [CompletionResultType]::ParameterName, 'What makes the exit code 1')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How the report is written; without it, a table on a terminal and ndjson elsewhere')
            [CompletionResult]::new('--html', '--html', [CompletionResultType]::ParameterName, 'Write the report as a page with plots to this file; nothing goes to standard output then, unless --format asks for it')
            [CompletionResult]::new('--max-skew', '--max-skew', [CompletionResultType]::ParameterName, 'How far in the future an event''s timestamp may lie')
            [CompletionResult]::new('--max-line-bytes', '--max-line-bytes', [CompletionResultType]::ParameterName, 'The longest line to accept, in bytes')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--expect-full', '--expect-full', [CompletionResultType]::ParameterName, 'Expect each instance to be metered from --since to --until (without them, from the first event of all to the last): what lacks before its first and behind its last event is a gap then. Of an instance without any event in that time nothing is known')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;spool' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'What the spool holds for each destination, and the state of its circuit breaker')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'The events that wait, or those that were delivered and are kept')
            [CompletionResult]::new('export', 'export', [CompletionResultType]::ParameterValue, 'The same events as NDJSON, ready for `publish`')
            [CompletionResult]::new('purge', 'purge', [CompletionResultType]::ParameterValue, 'Forget delivered events that are kept; with --waiting, throw away events that wait')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check the file, page by page and event by event, and say what is wrong with it')
            [CompletionResult]::new('reconcile', 'reconcile', [CompletionResultType]::ParameterValue, 'Compare what was delivered with what the destination holds, and send again what is missing')
            break
        }
        'formusage;spool;status' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;spool;list' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Only those of this destination; of an alerts'' spool, channel:NAME or action:NAME')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--delivered', '--delivered', [CompletionResultType]::ParameterName, 'Those that were delivered and are kept, instead of those that wait')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;spool;export' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Only those of this destination; of an alerts'' spool, channel:NAME or action:NAME')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--delivered', '--delivered', [CompletionResultType]::ParameterName, 'Those that were delivered and are kept, instead of those that wait')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;spool;purge' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Only those of this destination; of an alerts'' spool, channel:NAME or action:NAME')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--waiting', '--waiting', [CompletionResultType]::ParameterName, 'Throw away events that wait and that no publisher holds. They are lost: export them first. Asks before')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask before events that wait are thrown away; needed where nobody can be asked')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;spool;verify' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;spool;reconcile' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'The destination to compare with; where the spool knows but one, that one unless given. Never taken from the environment')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long the destination may be silent while it is read, and how long one attempt to send may take')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file that holds a bearer token for the destination (or set FORMUSAGE_TOKEN to the token itself)')
            [CompletionResult]::new('--nats-creds', '--nats-creds', [CompletionResultType]::ParameterName, 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)')
            [CompletionResult]::new('--ca-file', '--ca-file', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file instead of the system''s')
            [CompletionResult]::new('--client-cert', '--client-cert', [CompletionResultType]::ParameterName, 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes')
            [CompletionResult]::new('--client-key', '--client-key', [CompletionResultType]::ParameterName, 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Only say what is missing')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;dlq' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'All of them, a line each')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'One of them, with everything that is known about it')
            [CompletionResult]::new('replay', 'replay', [CompletionResultType]::ParameterValue, 'Put letters back among the events that wait; the next `publish` delivers them')
            [CompletionResult]::new('export', 'export', [CompletionResultType]::ParameterValue, 'Their raw bytes, a line each, to be mended and published again')
            [CompletionResult]::new('purge', 'purge', [CompletionResultType]::ParameterValue, 'Throw letters away')
            break
        }
        'formusage;dlq;list' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;dlq;show' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;dlq;replay' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Where to, instead of where each was to go; never taken from the environment')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All of them')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;dlq;export' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;dlq;purge' {
            [CompletionResult]::new('--spool', '--spool', [CompletionResultType]::ParameterName, 'The spool''s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All of them')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask before all dead letters are thrown away; needed where nobody can be asked')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;thresholds' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'All thresholds of a source: a table on a terminal, NDJSON in a pipe')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add thresholds from files')
            [CompletionResult]::new('edit', 'edit', [CompletionResultType]::ParameterValue, 'Change one threshold: in an editor, or to what a file says')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove thresholds')
            [CompletionResult]::new('history', 'history', [CompletionResultType]::ParameterValue, 'What was changed, when and by whom')
            break
        }
        'formusage;thresholds;list' {
            [CompletionResult]::new('--thresholds', '--thresholds', [CompletionResultType]::ParameterName, 'The source: a file, a folder, http(s)://HOST/PATH, sqlite:PATH or nats://HOST/BUCKET; by default the store thresholds.db beside the spool')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How they are written')
            [CompletionResult]::new('--thresholds-token-file', '--thresholds-token-file', [CompletionResultType]::ParameterName, 'A file that holds a token for the source of the thresholds (or set FORMUSAGE_THRESHOLDS_TOKEN to the token itself)')
            [CompletionResult]::new('--thresholds-nats-creds', '--thresholds-nats-creds', [CompletionResultType]::ParameterName, 'A NATS credentials file for the source of the thresholds')
            [CompletionResult]::new('--thresholds-ca-file', '--thresholds-ca-file', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file for the source of the thresholds instead of the system''s')
            [CompletionResult]::new('--thresholds-client-cert', '--thresholds-client-cert', [CompletionResultType]::ParameterName, 'Show this certificate to the source of the thresholds: a PEM file')
            [CompletionResult]::new('--thresholds-client-key', '--thresholds-client-key', [CompletionResultType]::ParameterName, 'The private key of --thresholds-client-cert: a PEM file; the same file unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;thresholds;add' {
            [CompletionResult]::new('--thresholds', '--thresholds', [CompletionResultType]::ParameterName, 'The store, as sqlite:PATH; by default thresholds.db beside the spool')
            [CompletionResult]::new('--author', '--author', [CompletionResultType]::ParameterName, 'Who makes the change; the login name unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--replace', '--replace', [CompletionResultType]::ParameterName, 'Put them in the place of thresholds that have the same ids')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;thresholds;edit' {
            [CompletionResult]::new('--thresholds', '--thresholds', [CompletionResultType]::ParameterName, 'The store, as sqlite:PATH; by default thresholds.db beside the spool')
            [CompletionResult]::new('--author', '--author', [CompletionResultType]::ParameterName, 'Who makes the change; the login name unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;thresholds;remove' {
            [CompletionResult]::new('--thresholds', '--thresholds', [CompletionResultType]::ParameterName, 'The store, as sqlite:PATH; by default thresholds.db beside the spool')
            [CompletionResult]::new('--author', '--author', [CompletionResultType]::ParameterName, 'Who makes the change; the login name unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;thresholds;history' {
            [CompletionResult]::new('--thresholds', '--thresholds', [CompletionResultType]::ParameterName, 'The store, as sqlite:PATH; by default thresholds.db beside the spool')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How it is written')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;channels' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'All channels and actions of a file, where they lead, and whether each could be used')
            [CompletionResult]::new('test', 'test', [CompletionResultType]::ParameterValue, 'Send a trial alert to a channel, once, and say what became of it')
            break
        }
        'formusage;channels;list' {
            [CompletionResult]::new('--channels', '--channels', [CompletionResultType]::ParameterName, 'The channels file')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How they are written; without it, a table on a terminal and ndjson elsewhere')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;channels;test' {
            [CompletionResult]::new('--channels', '--channels', [CompletionResultType]::ParameterName, 'The channels file')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long each may take')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--allow-exec', '--allow-exec', [CompletionResultType]::ParameterName, 'Let channels and actions run programs; stands on the command line alone, never in the environment')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;ping' {
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Where to: form://HOST[:3003]/TOPIC, form+https://…, nats://HOST[:4222][,HOST…]/SUBJECT?stream=NAME, tls://…, https://HOST/PATH, sqlite:PATH or file:PATH')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Rounds; each takes every step on new connections')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Rounds; each takes every step on new connections')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'The most that one step may take')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How the steps are shown; a table on a terminal, NDJSON (a step a line) in a pipe')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file that holds a token for the destination (or set FORMUSAGE_TOKEN to the token itself)')
            [CompletionResult]::new('--header-file', '--header-file', [CompletionResultType]::ParameterName, 'A file of further headers for https: and http:, such as an API key: a line for each, "Name: value"')
            [CompletionResult]::new('--nats-creds', '--nats-creds', [CompletionResultType]::ParameterName, 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)')
            [CompletionResult]::new('--ca-file', '--ca-file', [CompletionResultType]::ParameterName, 'Trust the certificates in this PEM file instead of the system''s')
            [CompletionResult]::new('--client-cert', '--client-cert', [CompletionResultType]::ParameterName, 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes')
            [CompletionResult]::new('--client-key', '--client-key', [CompletionResultType]::ParameterName, 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--write', '--write', [CompletionResultType]::ParameterName, 'Write a probe to a topic of its own and read it back')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;schema' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;completions' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;man' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
