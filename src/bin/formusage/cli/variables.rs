//! Which environment variables are read, which of those that are set nothing reads, and errors that name the variable
//! whose value was refused.

use std::collections::{BTreeMap, BTreeSet};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

const PREFIX: &str = "FORMUSAGE_";

/// Variables that are read beside those of the options.
const WITHOUT_OPTION: [&str; 5] = [
    "FORMUSAGE_STATE_DIR",
    "FORMUSAGE_TOKEN",
    "FORMUSAGE_THRESHOLDS_TOKEN",
    "FORMUSAGE_NATS_USER",
    "FORMUSAGE_NATS_PASSWORD",
];

/// What the tests and benchmarks of this repository read, by its beginning.
const OF_TESTS: [&str; 4] = ["FORMUSAGE_REWRITE", "FORMUSAGE_MUTATIONS", "FORMUSAGE_TEST_", "FORMUSAGE_BENCH_"];

/// Options that throw away, redirect or execute stand on the command line alone: a variable that somebody set for another
/// command, or in a file that many services read, must not do so.
const COMMAND_LINE_ALONE: [(&str, &str); 7] = [
    ("FORMUSAGE_ALL", "--all"),
    ("FORMUSAGE_ALLOW_EXEC", "--allow-exec"),
    ("FORMUSAGE_DELIVERED", "--delivered"),
    ("FORMUSAGE_EVENT", "--event"),
    ("FORMUSAGE_HTML", "--html"),
    ("FORMUSAGE_REPLACE", "--replace"),
    ("FORMUSAGE_WAITING", "--waiting"),
];

/// Whether a variable is meant for this program, by its name.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The variables of all options of `command` and its subcommands.
pub(super) fn of_options(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()));
    own.chain(command.get_subcommands().flat_map(of_options)).collect()
}

/// A warning for each of the `set` variables that nothing reads: neither one of `options`, nor one that `is_secret` says a
/// channels file names.
pub(super) fn warnings(
    set: impl IntoIterator<Item = String>,
    options: &BTreeSet<String>,
    is_secret: impl Fn(&str) -> bool,
) -> Vec<String> {
    let known = |name: &str| options.contains(name) || WITHOUT_OPTION.contains(&name) || is_secret(name);
    let unread: BTreeSet<String> = set
        .into_iter()
        .filter(|name| is_ours(name) && !known(name))
        .filter(|name| !OF_TESTS.iter().any(|start| name.starts_with(start)) && !is_of_an_orchestrator(name))
        .collect();
    unread.iter().map(|name| warning(name, options)).collect()
}

/// Kubernetes and Docker set these for a service that is called `formusage`.
fn is_of_an_orchestrator(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    rest == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|start| rest.starts_with(start))
}

fn warning(name: &str, options: &BTreeSet<String>) -> String {
    let in_capitals = name.to_ascii_uppercase();
    if let Some((_, option)) = COMMAND_LINE_ALONE.iter().find(|(variable, _)| *variable == in_capitals) {
        return format!("the variable {name} has no effect: {option} stands on the command line alone");
    }
    let candidates = options.iter().map(String::as_str).chain(WITHOUT_OPTION);
    let distance = |candidate: &str| {
        // Dashes and underscores that were left out or added are the usual slip.
        let (one, other) = (in_capitals.replace('_', ""), candidate.replace('_', ""));
        strsim::osa_distance(&one, &other)
    };
    // Of a short name a few letters are most of it: another option's is no slip.
    let most = ((name.len().saturating_sub(PREFIX.len()) + 1) / 3).clamp(1, 3);
    let nearest = candidates.map(|candidate| (distance(candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= most => {
            format!("unknown variable {name}; did you mean {candidate}?")
        }
        _ => format!("unknown variable {name}: nothing reads it; the help of each command names its variables"),
    }
}

/// `error`, with the variable named where the refused value came from the environment and not from the command line.
/// `command` is the definition, `given` what stands on the command line.
pub(super) fn name_variables(mut error: clap::Error, command: &Command, given: Option<&ArgMatches>) -> clap::Error {
    let variables = set_options(command, given);
    let named = |option: &String| match variables.get(option) {
        Some(variable) => format!("{variable} ({option})"),
        None => option.clone(),
    };
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        let value = match error.get(kind) {
            Some(ContextValue::String(option)) => ContextValue::String(named(option)),
            Some(ContextValue::Strings(options)) => ContextValue::Strings(options.iter().map(named).collect()),
            _ => continue,
        };
        error.insert(kind, value);
    }
    error
}

/// The options that have their value from a variable, as errors write them.
fn set_options(command: &Command, given: Option<&ArgMatches>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for arg in command.get_arguments() {
        let typed = given.is_some_and(|given| {
            let id = arg.get_id().as_str();
            given.try_contains_id(id).is_ok() && given.value_source(id) == Some(ValueSource::CommandLine)
        });
        if let Some(variable) = arg.get_env().filter(|name| !typed && std::env::var_os(name).is_some()) {
            found.insert(arg.to_string(), variable.to_string_lossy().into_owned());
        }
    }
    if let Some((name, below)) = given.and_then(ArgMatches::subcommand)
        && let Some(subcommand) = command.find_subcommand(name)
    {
        found.extend(set_options(subcommand, Some(below)));
    }
    found
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn unknown_variables_are_named_with_the_nearest() {
        let options = of_options(&Cli::command());
        let said = |name: &str| warnings([name.to_owned()], &options, |name| name == "FORMUSAGE_SLACK");
        for (name, words) in [
            ("FORMUSAGE_MAXRETRIES", "unknown variable FORMUSAGE_MAXRETRIES; did you mean FORMUSAGE_MAX_RETRIES?"),
            ("FORMUSAGE_TOKN", "unknown variable FORMUSAGE_TOKN; did you mean FORMUSAGE_TOKEN?"),
            ("FORMUSAGE_MAX_RETRY", "did you mean FORMUSAGE_MAX_RETRIES?"),
            ("FORMUSAGE_YES", "unknown variable FORMUSAGE_YES: nothing reads it"),
            ("FORMUSAGE_html", "has no effect: --html stands on the command line alone"),
            ("FORMUSAGE_COLOUR_OF_LOGS", "unknown variable FORMUSAGE_COLOUR_OF_LOGS: nothing reads it"),
            (
                "FORMUSAGE_ALLOW_EXEC",
                "FORMUSAGE_ALLOW_EXEC has no effect: --allow-exec stands on the command line alone",
            ),
        ] {
            let [only] = &said(name)[..] else { panic!("{name}") };
            assert!(only.contains(words), "{only}");
        }
        for known in [
            "FORMUSAGE_TO",
            "FORMUSAGE_LISTEN",
            "FORMUSAGE_VERBOSE",
            "FORMUSAGE_STATE_DIR",
            "FORMUSAGE_SLACK",
            "FORMUSAGE_TEST_ROUNDS",
            "FORMUSAGE_PORT_3003_TCP_ADDR",
            "FORMUSAGE_SERVICE_PORT",
            "formusage_x",
            "PATH",
        ] {
            assert!(said(known).is_empty(), "{known}");
        }
    }

    #[test]
    fn options_without_a_variable_are_not_set_by_one() {
        let options = of_options(&Cli::command());
        for (variable, _) in COMMAND_LINE_ALONE {
            assert!(!options.contains(variable), "{variable}");
        }
    }
}
