
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
            [CompletionResult]::new('collect', 'collect', [CompletionResultType]::ParameterValue, 'Sample this host into usage events')
            [CompletionResult]::new('publish', 'publish', [CompletionResultType]::ParameterValue, 'Deliver usage events to a destination')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Evaluate usage events against thresholds')
            [CompletionResult]::new('validate', 'validate', [CompletionResultType]::ParameterValue, 'Check that usage events and threshold files are valid')
            [CompletionResult]::new('queue', 'queue', [CompletionResultType]::ParameterValue, 'Serve the embedded queue with the Form protocol')
            [CompletionResult]::new('read', 'read', [CompletionResultType]::ParameterValue, 'Read events back from a destination')
            [CompletionResult]::new('schema', 'schema', [CompletionResultType]::ParameterValue, 'Print a JSON Schema (draft 2020-12)')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print a man page (roff)')
            break
        }
        'formusage;collect' {
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'How long a period is, in whole seconds')
            [CompletionResult]::new('--sample-interval', '--sample-interval', [CompletionResultType]::ParameterName, 'How often to look in between, for averages and GPU time; the shorter of 5s and the interval unless given')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'End after so many events')
            [CompletionResult]::new('--duration', '--duration', [CompletionResultType]::ParameterName, 'End after so long')
            [CompletionResult]::new('--instance-id', '--instance-id', [CompletionResultType]::ParameterName, 'What is metered; the host''s name unless given')
            [CompletionResult]::new('--user-id', '--user-id', [CompletionResultType]::ParameterName, 'Who is billed; the login name unless given')
            [CompletionResult]::new('--org-id', '--org-id', [CompletionResultType]::ParameterName, 'The organization that the user belongs to; none unless given')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--align', '--align', [CompletionResultType]::ParameterName, 'Let periods end at multiples of the interval on the wall clock: 30 s periods at :00 and :30 (the default; the first period is shorter)')
            [CompletionResult]::new('--no-align', '--no-align', [CompletionResultType]::ParameterName, 'Let every period have the whole interval, counted from the start')
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
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Where to: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, sqlite:PATH, file:PATH or -')
            [CompletionResult]::new('--thresholds', '--thresholds', [CompletionResultType]::ParameterName, 'Check events against these thresholds (a file or a folder) before sending; violations are logged')
            [CompletionResult]::new('--dead-letter', '--dead-letter', [CompletionResultType]::ParameterName, 'Keep what could not be delivered here, as NDJSON with reason, place and the raw line; without it, on standard error')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'How to report what became of everything, at the end')
            [CompletionResult]::new('--max-skew', '--max-skew', [CompletionResultType]::ParameterName, 'How far in the future an event''s timestamp may lie')
            [CompletionResult]::new('--max-line-bytes', '--max-line-bytes', [CompletionResultType]::ParameterName, 'The longest line to accept, in bytes')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long one attempt may take')
            [CompletionResult]::new('--concurrency', '--concurrency', [CompletionResultType]::ParameterName, 'Attempts under way at a time')
            [CompletionResult]::new('--drain-timeout', '--drain-timeout', [CompletionResultType]::ParameterName, 'After the end of input, go on for so long without delivering anything')
            [CompletionResult]::new('--poison-after', '--poison-after', [CompletionResultType]::ParameterName, 'An event that was refused by name in so many rounds, while others went through, is a dead letter')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file that holds a bearer token for the destination (or set FORMUSAGE_TOKEN to the token itself)')
            [CompletionResult]::new('--max-retries', '--max-retries', [CompletionResultType]::ParameterName, 'Attempts after the first one, before an event has to wait for its next round')
            [CompletionResult]::new('--initial-backoff', '--initial-backoff', [CompletionResultType]::ParameterName, 'The first wait between attempts')
            [CompletionResult]::new('--max-backoff', '--max-backoff', [CompletionResultType]::ParameterName, 'The longest wait between attempts')
            [CompletionResult]::new('--backoff-multiplier', '--backoff-multiplier', [CompletionResultType]::ParameterName, 'By how much each wait exceeds the one before')
            [CompletionResult]::new('--jitter-factor', '--jitter-factor', [CompletionResultType]::ParameterName, 'How far waits are spread, as a share, 0 to 1')
            [CompletionResult]::new('--failure-threshold', '--failure-threshold', [CompletionResultType]::ParameterName, 'So many failures in a row open the breaker')
            [CompletionResult]::new('--reset-timeout', '--reset-timeout', [CompletionResultType]::ParameterName, 'How long it stays open before a trial')
            [CompletionResult]::new('--half-open-allowed-calls', '--half-open-allowed-calls', [CompletionResultType]::ParameterName, 'Trials at a time; so many successes close it')
            [CompletionResult]::new('--metrics-listen', '--metrics-listen', [CompletionResultType]::ParameterName, 'Serve the figures as OpenMetrics at http://ADDRESS:PORT/metrics')
            [CompletionResult]::new('--stats-interval', '--stats-interval', [CompletionResultType]::ParameterName, 'Log a line of figures so often, and a last one at the end; 0s for never')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Send nothing: print what would be sent')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Refuse events with fields that are not known, instead of passing the fields on')
            [CompletionResult]::new('--no-circuit-breaker', '--no-circuit-breaker', [CompletionResultType]::ParameterName, 'Do without a circuit breaker')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log more: -v for what happens, -vv for every attempt')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Log nothing')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'formusage;check' {
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How the report is written; without it, a table on a terminal and ndjson elsewhere')
            [CompletionResult]::new('--max-skew', '--max-skew', [CompletionResultType]::ParameterName, 'How far in the future an event''s timestamp may lie')
            [CompletionResult]::new('--max-line-bytes', '--max-line-bytes', [CompletionResultType]::ParameterName, 'The longest line to accept, in bytes')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
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
            [CompletionResult]::new('--max-skew', '--max-skew', [CompletionResultType]::ParameterName, 'How far in the future an event''s timestamp may lie')
            [CompletionResult]::new('--max-line-bytes', '--max-line-bytes', [CompletionResultType]::ParameterName, 'The longest line to accept, in bytes')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How findings are written; without it, a table on a terminal and ndjson elsewhere')
            [CompletionResult]::new('--max-findings', '--max-findings', [CompletionResultType]::ParameterName, 'The most errors and the most warnings to write; 0 is all of them. The others are counted')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--strict', '--strict', [CompletionResultType]::ParameterName, 'Make warnings errors: unknown fields, empty files')
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
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Where from: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, sqlite:PATH, file:PATH or -')
            [CompletionResult]::new('--poll-interval', '--poll-interval', [CompletionResultType]::ParameterName, 'How often to look for new events')
            [CompletionResult]::new('--start', '--start', [CompletionResultType]::ParameterName, 'Pass over everything in front of this place (a message''s number in a queue, a line''s number less one in a file)')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'End after so many events')
            [CompletionResult]::new('--limit', '--limit', [CompletionResultType]::ParameterName, 'End after so many events')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'How events are shown; a table on a terminal, NDJSON in a pipe')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long to wait for the source to answer')
            [CompletionResult]::new('--token-file', '--token-file', [CompletionResultType]::ParameterName, 'A file that holds a bearer token for the source (or set FORMUSAGE_TOKEN to the token itself)')
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
