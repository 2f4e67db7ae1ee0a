# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_formusage_global_optspecs
    string join \n v/verbose q/quiet log= log-format= h/help V/version
end

function __fish_formusage_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_formusage_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_formusage_using_subcommand
    set -l cmd (__fish_formusage_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c formusage -n "__fish_formusage_needs_command" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_needs_command" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_needs_command" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_needs_command" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_needs_command" -s V -l version -d 'Print version'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "collect" -d 'Sample this host, or what runs on it, into usage events'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "publish" -d 'Deliver usage events to a destination'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "check" -d 'Evaluate usage events against thresholds, and test thresholds'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "validate" -d 'Check that usage events, threshold files, their tests and channels files are valid'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "queue" -d 'Serve the embedded queue with the Form protocol'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "read" -d 'Read events back from a destination'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "report" -d 'Sum up usage events: totals, peaks, gaps and overlaps per user, organization, instance and day'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "spool" -d 'Look at the spool: what waits, what was delivered'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "dlq" -d 'Look at dead letters: what can never be delivered as it is'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "thresholds" -d 'Look after thresholds that are kept in a store, with their history'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "channels" -d 'Look after the channels that alerts go to'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "ping" -d 'Find out why events do not arrive: try the way to a destination, step by step'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "schema" -d 'Print a JSON Schema (draft 2020-12)'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c formusage -n "__fish_formusage_needs_command" -f -a "man" -d 'Print a man page (roff)'
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l interval -d 'How long a period is, in whole seconds; 30s unless given' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l sample-interval -d 'How often to look in between, for averages and GPU time; the shorter of 5s (1s with --watch) and the interval unless given' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l count -d 'End after so many periods of the schedule; one event of each instance comes with each' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l duration -d 'End after so long' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l scope -d 'What is metered: host (the default), cgroup:PATH or a pattern such as \'cgroup:system.slice/*.service\', systemd:UNIT, pid:N with its children. May stand several times. What two scopes name is refused, since it would be billed twice; what a pattern shares with another scope is billed to the first, and said. A process and one of its children are both billed, the child twice' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l config -d 'A TOML file with scopes that each have a user, an organization and labels of their own; SIGHUP reads it again' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l interface -d 'An interface that counts, by name or pattern (eth*); the uplinks unless given. May stand several times' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l mount -d 'A file system that counts, by the path where it is mounted, or a pattern; those on local devices unless given. May stand several times' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l device -d 'The same, by its device. May stand several times' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l instance-id -d 'What instances are called: a name, or a template of {name}, {path}, {parent} and {host}; unless given the host\'s name, and {host}/{path} for what runs on it' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l user-id -d 'Who is billed, a template as well; the login name unless given' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l org-id -d 'The organization that the user belongs to, a template as well; none unless given' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l state -d 'Where state is kept; by default collect.state in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l align -d 'Let periods end at multiples of the interval on the wall clock: 30 s periods at :00 and :30 (the default; the first period is shorter)'
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l no-align -d 'Let every period have the whole interval, counted from the start'
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l watch -d 'Show the open period of each instance, live, on the terminal: a table with sparklines that keys sort and scroll; q ends it as SIGINT does. Events still go to standard output where that is a pipe or a file. Where it is a terminal they are not written, and no state is kept'
complete -c formusage -n "__fish_formusage_using_subcommand collect" -l no-state -d 'Keep no state: every run starts anew, and what the last one did not write is lost'
complete -c formusage -n "__fish_formusage_using_subcommand collect" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand collect" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand collect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l event -d 'Deliver this one event' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l to -d 'Where to: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, nats://HOST/SUBJECT?stream=NAME, tls://…, https://HOST/PATH, sqlite:PATH, file:PATH or -' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l thresholds -d 'Check events against these thresholds before sending; violations are logged, or go to --channels. A file, a folder, http(s)://HOST/PATH, sqlite:PATH or nats://HOST/BUCKET' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l state -d 'Keep the states of thresholds (pending, firing) in this file, so that a restart neither repeats nor forgets an alert; without it, beside the spool, as spool.alerts.json' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l dead-letter -d 'Write dead letters to this file too, as NDJSON with reason, place and the raw line; without a spool, whatever could not be delivered' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l report -d 'How to report what became of everything, at the end' -r -f -a "text\t'A table on a terminal, and words on standard error where something went wrong'
json\t'One JSON object on standard output (on standard error where that carries the events)'"
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l max-skew -d 'How far in the future an event\'s timestamp may lie' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l max-line-bytes -d 'The longest line to accept, in bytes' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l timeout -d 'How long one attempt may take' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l concurrency -d 'Attempts under way at a time: auto finds the level at which the destination takes most, a number fixes it' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l drain-timeout -d 'After the end of input, go on for so long without delivering anything; after SIGTERM or Ctrl-C, end within this time' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l poison-after -d 'Make an event a dead letter that was refused in so many rounds while others went through (of this run, or of several with a spool)' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l token-file -d 'A file that holds a bearer token for the destination (or set FORMUSAGE_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l ca-file -d 'Trust the certificates in this PEM file instead of the system\'s' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l client-cert -d 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l client-key -d 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l nats-creds -d 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l stream-replicas -d 'How many servers hold each event of a stream that is made' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l stream-max-age -d 'How long a stream that is made keeps events; for ever unless given' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l stream-max-bytes -d 'The most bytes that a stream that is made keeps' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l duplicate-window -d 'How long a stream that is made knows repeats of an event' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l spool-max-bytes -d 'The most bytes in use before nothing more is read, three quarters of it for one destination (B, KB, MB, GB, TB: powers of 1024); at least 128KB' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l spool-sync -d 'When what was read counts as taken' -r -f -a "full\t'When the disk has it'
normal\t'When the operating system has it: a power cut may lose the last moments'"
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l retain -d 'Keep delivered events for so long, for `spool reconcile`; 0s for not at all' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l retain-max-bytes -d 'The most bytes of delivered events to keep' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l dead-letter-age -d 'Drop a dead letter that is no event when it is older than this, with a warning; refused events are kept until they are replayed or purged (`formusage dlq`)' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l max-retries -d 'Attempts after the first one, before an event has to wait for its next round' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l initial-backoff -d 'The first wait between attempts' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l max-backoff -d 'The longest wait between attempts' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l backoff-multiplier -d 'By how much each wait exceeds the one before' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l jitter-factor -d 'How far waits are spread, as a share, 0 to 1' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l failure-threshold -d 'So many failures in a row open the breaker' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l reset-timeout -d 'How long it stays open at most before a trial; after a success the first trials come sooner' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l half-open-allowed-calls -d 'Trials at a time; so many successes close it' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l thresholds-token-file -d 'A file that holds a token for the source of the thresholds (or set FORMUSAGE_THRESHOLDS_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l thresholds-nats-creds -d 'A NATS credentials file for the source of the thresholds' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l thresholds-ca-file -d 'Trust the certificates in this PEM file for the source of the thresholds instead of the system\'s' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l thresholds-client-cert -d 'Show this certificate to the source of the thresholds: a PEM file' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l thresholds-client-key -d 'The private key of --thresholds-client-cert: a PEM file; the same file unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l channels -d 'What the channels and actions of thresholds stand for: a JSON file (see formusage schema channels). Without it, alerts are logged' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l alert-spool -d 'The spool of alerts on their way; by default alerts.db beside the spool of events' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l cloudevents-mode -d 'How an event becomes a request, where --to is https: or http:' -r -f -a "binary\t'One a request, its attributes as headers'
structured\t'One a request, with its attributes in one JSON object'
batched\t'Up to a hundred a request, as a JSON array'"
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l cloudevents-source -d 'The source attribute, a URI reference; the same on every host, so that an event sent by two is known as one' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l header-file -d 'A file of further headers, such as an API key: a line for each, "Name: value"' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l metrics-listen -d 'Serve the figures at http://ADDRESS:PORT/metrics, as Prometheus text or, to those that ask for it, as OpenMetrics' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l stats-interval -d 'Log a line of figures so often, and a last one at the end; 0s for never' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l dry-run -d 'Send nothing: print what would be sent'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l strict -d 'Make dead letters of implausible events and of events with fields that are not known, instead of delivering them'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l create-stream -d 'Make the JetStream stream where there is none: kept in files, and when it is full it refuses new events instead of dropping old ones. A stream that exists is left as it is'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l no-spool -d 'Do without: what is not delivered when the run ends goes to --dead-letter or standard error'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l no-circuit-breaker -d 'Do without a circuit breaker'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l allow-exec -d 'Let channels and actions run programs; stands on the command line alone, never in the environment'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -l metrics-allow-remote -d 'Let --metrics-listen serve other machines too, without a password'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand publish" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand check" -l test -d 'Run the cases of these files, tests of thresholds, instead of reading events' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l state -d 'Keep the states of thresholds in this file from one run to the next, so that what fires is told once' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l channels -d 'What the channels and actions of thresholds stand for: a JSON file (see formusage schema channels). Without it, alerts are logged' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l alert-spool -d 'The spool of alerts on their way; by default alerts.db beside the spool of events' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l drain-timeout -d 'After the end of input, go on for so long without delivering an alert; what is left waits in their spool' -r
complete -c formusage -n "__fish_formusage_using_subcommand check" -l format -d 'How the report is written; without it, a table on a terminal and ndjson elsewhere' -r -f -a "table\t'For people'
json\t'One JSON document: the violations, then how many events there were'
ndjson\t'One JSON object a violation'
github\t'Workflow commands, which GitHub shows as annotations: ten errors and ten warnings; the others are in the log'
sarif\t'SARIF 2.1.0, for code scanning and editors'
junit\t'JUnit XML: one test suite a file'
nagios\t'One line with performance data, for monitoring systems that run plugins; exit codes 0 OK, 1 warning, 2 critical (a threshold with that severity), 3 unknown'"
complete -c formusage -n "__fish_formusage_using_subcommand check" -l max-skew -d 'How far in the future an event\'s timestamp may lie' -r
complete -c formusage -n "__fish_formusage_using_subcommand check" -l max-line-bytes -d 'The longest line to accept, in bytes' -r
complete -c formusage -n "__fish_formusage_using_subcommand check" -l thresholds-token-file -d 'A file that holds a token for the source of the thresholds (or set FORMUSAGE_THRESHOLDS_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l thresholds-nats-creds -d 'A NATS credentials file for the source of the thresholds' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l thresholds-ca-file -d 'Trust the certificates in this PEM file for the source of the thresholds instead of the system\'s' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l thresholds-client-cert -d 'Show this certificate to the source of the thresholds: a PEM file' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l thresholds-client-key -d 'The private key of --thresholds-client-cert: a PEM file; the same file unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand check" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand check" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand check" -l allow-exec -d 'Let channels and actions run programs; stands on the command line alone, never in the environment'
complete -c formusage -n "__fish_formusage_using_subcommand check" -l tee -d 'Pass every line on to standard output as it was read, at once; the report goes to standard error'
complete -c formusage -n "__fish_formusage_using_subcommand check" -l explain -d 'Report for each event why each threshold did or did not fire, in place of the violations'
complete -c formusage -n "__fish_formusage_using_subcommand check" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand check" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l error -d 'Make findings of this code errors; several with commas, or given several times' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l warn -d 'Make findings of this code warnings' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l ignore -d 'Leave findings of this code out' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l channels -d 'Hold the channels and actions of thresholds against this channels file: what it does not bind is an error. (Named as a file to validate, it is validated itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l period -d 'How long the periods of events are, for the `for` of thresholds' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l explain -d 'Say what a code means, with an input that gives it and one that just does not; without a code, list all' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l reorder-window -d 'How many further events of its instance a gap waits for one that comes late; 0 tells it at once' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l max-skew -d 'How far in the future an event\'s timestamp may lie' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l max-line-bytes -d 'The longest line to accept, in bytes' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l format -d 'How findings are written; without it, a table on a terminal and ndjson elsewhere' -r -f -a "table\t'For people: the line, and a marker under the place'
json\t'One JSON document: findings, files, totals'
ndjson\t'One JSON object a finding'
github\t'Workflow commands, which GitHub shows as annotations: ten errors and ten warnings; the others are in the log'
sarif\t'SARIF 2.1.0, for code scanning and editors'
junit\t'JUnit XML: one test suite a file'"
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l max-findings -d 'The most errors and the most warnings to write; 0 is all of them. The others are counted' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l strict -d 'Make warnings errors: unknown fields, empty files. Files of folders that are not validated are an error too'
complete -c formusage -n "__fish_formusage_using_subcommand validate" -l continuity -d 'Look at the periods of each instance too: gaps, overlaps, repeats, conflicts, order'
complete -c formusage -n "__fish_formusage_using_subcommand validate" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand validate" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand validate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand queue" -l db -d 'The file that holds the queue; queue.db in the state directory unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand queue" -l listen -d 'Where to listen; beyond loopback a token is needed. Port 0 takes a free one' -r
complete -c formusage -n "__fish_formusage_using_subcommand queue" -l token-file -d 'A file that holds the bearer token that every request needs (or set FORMUSAGE_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand queue" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand queue" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand queue" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand queue" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand queue" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand read" -l from -d 'Where from: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, sqlite:PATH, nats://HOST/SUBJECT?stream=NAME, tls://…, file:PATH or -' -r
complete -c formusage -n "__fish_formusage_using_subcommand read" -l poll-interval -d 'How often to look for new events' -r
complete -c formusage -n "__fish_formusage_using_subcommand read" -l start -d 'Pass over everything in front of this place (a message\'s number in a queue, a line\'s number less one in a file)' -r
complete -c formusage -n "__fish_formusage_using_subcommand read" -s n -l limit -d 'End after so many events' -r
complete -c formusage -n "__fish_formusage_using_subcommand read" -l format -d 'How events are shown; a table on a terminal, NDJSON in a pipe' -r -f -a "table\t'For people: a row for each event'
json\t'One JSON array'
ndjson\t'One event a line, byte for byte as it stands in the source'"
complete -c formusage -n "__fish_formusage_using_subcommand read" -l consumer -d 'Read as this durable JetStream consumer: it keeps its place, and all that read by the same name share what there is. What was shown is acknowledged. Without it, a stream is read from its start' -r
complete -c formusage -n "__fish_formusage_using_subcommand read" -l timeout -d 'How long the source may be silent: before it answers, and between the parts of a long answer. The whole of an answer that keeps coming may take longer' -r
complete -c formusage -n "__fish_formusage_using_subcommand read" -l token-file -d 'A file that holds a bearer token for the source (or set FORMUSAGE_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand read" -l nats-creds -d 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand read" -l ca-file -d 'Trust the certificates in this PEM file instead of the system\'s' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand read" -l client-cert -d 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand read" -l client-key -d 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand read" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand read" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand read" -s f -l follow -d 'Go on with what is written from now on, until a signal'
complete -c formusage -n "__fish_formusage_using_subcommand read" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand read" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand read" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand report" -l from -d 'Read the events from here instead: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, sqlite:PATH, nats://HOST/SUBJECT?stream=NAME, tls://…, file:PATH; passed over where files are named' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l timeout -d 'How long the source may be silent: before it answers, and between the parts of a long answer. The whole of an answer that keeps coming may take longer' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l token-file -d 'A file that holds a bearer token for the source (or set FORMUSAGE_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand report" -l nats-creds -d 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand report" -l ca-file -d 'Trust the certificates in this PEM file instead of the system\'s' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand report" -l client-cert -d 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand report" -l client-key -d 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand report" -l by -d 'What rows are told apart by, in this order: day, org, user, instance; none gives one row for all' -r -f -a "day\t''
org\t''
user\t''
instance\t''
none\t'One row for all'"
complete -c formusage -n "__fish_formusage_using_subcommand report" -l since -d 'Leave out what was before: a date, a date and a time (2026-11-22T08:00, by --tz unless it says Z or +02:00), or Unix seconds. A period across it counts in proportion' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l until -d 'Leave out what was at that time or later: the time itself is not in the report. A date is its first second, so that the whole of November is --since 2026-11-01 --until 2026-12-01' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l tz -d 'The time zone whose midnight ends a day: UTC, local, an offset (+02:00), or a name (Europe/Berlin)' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l thresholds -d 'Count the events over these thresholds, and draw them into plots: a JSON file, a folder of *.json files, http(s)://HOST/PATH, sqlite:PATH or nats://HOST/BUCKET' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l fail-on -d 'What makes the exit code 1' -r -f -a "gaps\t'Time between two periods of an instance that was not metered; with --expect-full also at both ends of the time'
overlaps\t'Time that was metered more than once'
conflicts\t'Different events of one instance and period'
thresholds\t'An event that exceeds a threshold'
not-metered\t'An event that names figures which could not be measured'
none\t'Nothing'"
complete -c formusage -n "__fish_formusage_using_subcommand report" -l format -d 'How the report is written; without it, a table on a terminal and ndjson elsewhere' -r -f -a "table\t'For people: a row for each group, and what was found'
json\t'One JSON document: the total, the rows, gaps, overlaps, conflicts, thresholds'
ndjson\t'One JSON object a row'
csv\t'One line a row, after a line of names'
html\t'One page that holds everything, with plots'"
complete -c formusage -n "__fish_formusage_using_subcommand report" -l html -d 'Write the report as a page with plots to this file; nothing goes to standard output then, unless --format asks for it' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand report" -l max-skew -d 'How far in the future an event\'s timestamp may lie' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l max-line-bytes -d 'The longest line to accept, in bytes' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand report" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand report" -l expect-full -d 'Expect each instance to be metered from --since to --until (without them, from the first event of all to the last): what lacks before its first and behind its last event is a gap then. Of an instance without any event in that time nothing is known'
complete -c formusage -n "__fish_formusage_using_subcommand report" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand report" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -f -a "status" -d 'What the spool holds for each destination, and the state of its circuit breaker'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -f -a "list" -d 'The events that wait, or those that were delivered and are kept'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -f -a "export" -d 'The same events as NDJSON, ready for `publish`'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -f -a "purge" -d 'Forget delivered events that are kept; with --waiting, throw away events that wait'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -f -a "verify" -d 'Check the file, page by page and event by event, and say what is wrong with it'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and not __fish_seen_subcommand_from status list export purge verify reconcile" -f -a "reconcile" -d 'Compare what was delivered with what the destination holds, and send again what is missing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from status" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from status" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from status" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from list" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from list" -l to -d 'Only those of this destination; of an alerts\' spool, channel:NAME or action:NAME' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from list" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from list" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from list" -l delivered -d 'Those that were delivered and are kept, instead of those that wait'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from export" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from export" -l to -d 'Only those of this destination; of an alerts\' spool, channel:NAME or action:NAME' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from export" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from export" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from export" -l delivered -d 'Those that were delivered and are kept, instead of those that wait'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from export" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from export" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -l to -d 'Only those of this destination; of an alerts\' spool, channel:NAME or action:NAME' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -l waiting -d 'Throw away events that wait and that no publisher holds. They are lost: export them first. Asks before'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -l yes -d 'Do not ask before events that wait are thrown away; needed where nobody can be asked'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from purge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from verify" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from verify" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from verify" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from verify" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l to -d 'The destination to compare with; where the spool knows but one, that one unless given. Never taken from the environment' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l timeout -d 'How long the destination may be silent while it is read, and how long one attempt to send may take' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l token-file -d 'A file that holds a bearer token for the destination (or set FORMUSAGE_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l nats-creds -d 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l ca-file -d 'Trust the certificates in this PEM file instead of the system\'s' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l client-cert -d 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l client-key -d 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -l dry-run -d 'Only say what is missing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand spool; and __fish_seen_subcommand_from reconcile" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -f -a "list" -d 'All of them, a line each'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -f -a "show" -d 'One of them, with everything that is known about it'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -f -a "replay" -d 'Put letters back among the events that wait; the next `publish` delivers them'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -f -a "export" -d 'Their raw bytes, a line each, to be mended and published again'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and not __fish_seen_subcommand_from list show replay export purge" -f -a "purge" -d 'Throw letters away'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from list" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from list" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from list" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from show" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from show" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from show" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l to -d 'Where to, instead of where each was to go; never taken from the environment' -r
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l all -d 'All of them'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from replay" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from replay" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from export" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from export" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from export" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from export" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from export" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l spool -d 'The spool\'s file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l all -d 'All of them'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from purge" -l yes -d 'Do not ask before all dead letters are thrown away; needed where nobody can be asked'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from purge" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from purge" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand dlq; and __fish_seen_subcommand_from purge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -f -a "list" -d 'All thresholds of a source: a table on a terminal, NDJSON in a pipe'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -f -a "add" -d 'Add thresholds from files'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -f -a "edit" -d 'Change one threshold: in an editor, or to what a file says'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -f -a "remove" -d 'Remove thresholds'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and not __fish_seen_subcommand_from list add edit remove history" -f -a "history" -d 'What was changed, when and by whom'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l thresholds -d 'The source: a file, a folder, http(s)://HOST/PATH, sqlite:PATH or nats://HOST/BUCKET; by default the store thresholds.db beside the spool' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l format -d 'How they are written' -r -f -a "table\t'For people'
json\t'One JSON array'
ndjson\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l thresholds-token-file -d 'A file that holds a token for the source of the thresholds (or set FORMUSAGE_THRESHOLDS_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l thresholds-nats-creds -d 'A NATS credentials file for the source of the thresholds' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l thresholds-ca-file -d 'Trust the certificates in this PEM file for the source of the thresholds instead of the system\'s' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l thresholds-client-cert -d 'Show this certificate to the source of the thresholds: a PEM file' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l thresholds-client-key -d 'The private key of --thresholds-client-cert: a PEM file; the same file unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from add" -l thresholds -d 'The store, as sqlite:PATH; by default thresholds.db beside the spool' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from add" -l author -d 'Who makes the change; the login name unless given' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from add" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from add" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from add" -l replace -d 'Put them in the place of thresholds that have the same ids'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from edit" -l thresholds -d 'The store, as sqlite:PATH; by default thresholds.db beside the spool' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from edit" -l author -d 'Who makes the change; the login name unless given' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from edit" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from edit" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from edit" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from edit" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from edit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from remove" -l thresholds -d 'The store, as sqlite:PATH; by default thresholds.db beside the spool' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from remove" -l author -d 'Who makes the change; the login name unless given' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from remove" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from remove" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from remove" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from history" -l thresholds -d 'The store, as sqlite:PATH; by default thresholds.db beside the spool' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from history" -l format -d 'How it is written' -r -f -a "table\t'For people'
json\t'One JSON array'
ndjson\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from history" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from history" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from history" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from history" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand thresholds; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and not __fish_seen_subcommand_from list test" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand channels; and not __fish_seen_subcommand_from list test" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand channels; and not __fish_seen_subcommand_from list test" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and not __fish_seen_subcommand_from list test" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and not __fish_seen_subcommand_from list test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and not __fish_seen_subcommand_from list test" -f -a "list" -d 'All channels and actions of a file, where they lead, and whether each could be used'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and not __fish_seen_subcommand_from list test" -f -a "test" -d 'Send a trial alert to a channel, once, and say what became of it'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from list" -l channels -d 'The channels file' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from list" -l format -d 'How they are written; without it, a table on a terminal and ndjson elsewhere' -r -f -a "table\t'For people'
json\t'One JSON array'
ndjson\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from list" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from list" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from test" -l channels -d 'The channels file' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from test" -l timeout -d 'How long each may take' -r
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from test" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from test" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from test" -l allow-exec -d 'Let channels and actions run programs; stands on the command line alone, never in the environment'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from test" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from test" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand channels; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l to -d 'Where to: form://HOST[:3003]/TOPIC, form+https://…, nats://HOST[:4222][,HOST…]/SUBJECT?stream=NAME, tls://…, https://HOST/PATH, sqlite:PATH or file:PATH' -r
complete -c formusage -n "__fish_formusage_using_subcommand ping" -s n -l count -d 'Rounds; each takes every step on new connections' -r
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l timeout -d 'The most that one step may take' -r
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l format -d 'How the steps are shown; a table on a terminal, NDJSON (a step a line) in a pipe' -r -f -a "table\t'For people: a row for each step, and what to do'
json\t'One JSON document: addresses, and the steps of each'
ndjson\t'One JSON object a step'"
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l token-file -d 'A file that holds a token for the destination (or set FORMUSAGE_TOKEN to the token itself)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l header-file -d 'A file of further headers for https: and http:, such as an API key: a line for each, "Name: value"' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l nats-creds -d 'A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l ca-file -d 'Trust the certificates in this PEM file instead of the system\'s' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l client-cert -d 'Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is read anew when it changes' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l client-key -d 'The private key of --client-cert: a PEM file, not encrypted; the same file unless given' -r -F
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand ping" -l write -d 'Write a probe to a topic of its own and read it back'
complete -c formusage -n "__fish_formusage_using_subcommand ping" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand ping" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand schema" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand schema" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand schema" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand schema" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand completions" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand completions" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand completions" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand completions" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c formusage -n "__fish_formusage_using_subcommand man" -l log -d 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"' -r
complete -c formusage -n "__fish_formusage_using_subcommand man" -l log-format -d 'How log lines look' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c formusage -n "__fish_formusage_using_subcommand man" -s v -l verbose -d 'Log more: -v for what happens, -vv for every attempt'
complete -c formusage -n "__fish_formusage_using_subcommand man" -s q -l quiet -d 'Log nothing'
complete -c formusage -n "__fish_formusage_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
