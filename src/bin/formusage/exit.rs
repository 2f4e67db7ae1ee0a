//! Exit codes: what each means, and which error gets which.

use std::process::ExitCode;

use crate::output::StdoutClosed;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The work is done and there is nothing to object to.
    Success,
    /// The work is done and there is something to object to: violations, invalid input, undelivered events.
    Objection,
    /// The work could not be done.
    Error,
    /// A code by another convention: that of monitoring plugins.
    Status(u8),
}

impl Exit {
    /// The process's exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Objection => 1,
            Self::Error => 2,
            Self::Status(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Says what went wrong, for people, and gives the exit code. A reader that closed our standard output has all that it
/// wanted, so that is a quiet success.
pub(crate) fn report(result: anyhow::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) if error.chain().any(|cause| cause.is::<StdoutClosed>()) => Exit::Success,
        Err(error) => {
            crate::output::complain(&format!("{error:#}"));
            Exit::Error
        }
    }
}

/// What every command's exit code means, for `--help` and the man pages: command, code, meaning.
pub(crate) const TABLE: &[(&str, Exit, &str)] = &[
    ("collect", Exit::Success, "ended as asked: by --count, --duration, a signal or a closed pipe"),
    ("collect", Exit::Error, "could not run"),
    ("publish", Exit::Success, "every event was delivered"),
    (
        "publish",
        Exit::Objection,
        "some events wait in the spool or are dead letters, each kept and named; or alerts are lost",
    ),
    ("publish", Exit::Error, "could not run: input, settings or destination"),
    ("check", Exit::Success, "no threshold is exceeded, or fires; with --test, every case passed"),
    (
        "check",
        Exit::Objection,
        "at least one threshold is exceeded, or fires; alerts are lost; with --test, a case failed",
    ),
    ("check", Exit::Error, "could not run; alerts could not be told; or events out of order leave the verdict open"),
    ("check", Exit::Status(3), "with --format nagios: unknown; there 1 is a warning, 2 critical"),
    ("validate", Exit::Success, "everything is valid"),
    ("validate", Exit::Objection, "something is not valid"),
    ("validate", Exit::Error, "could not run: a file can't be read"),
    ("queue", Exit::Success, "ended by a signal"),
    ("queue", Exit::Error, "could not run"),
    ("read", Exit::Success, "read to the end, or ended by a signal or a closed pipe"),
    ("read", Exit::Error, "could not read"),
    ("report", Exit::Success, "everything was summed up"),
    (
        "report",
        Exit::Objection,
        "everything was summed up, and there are overlaps or conflicts (or what --fail-on names)",
    ),
    ("report", Exit::Error, "could not run, or an input or a line could not be read; what could is in the report"),
    ("spool", Exit::Success, "done"),
    ("spool", Exit::Objection, "verify: the file is damaged; reconcile: events are missing (with --dry-run)"),
    ("spool", Exit::Error, "could not run"),
    ("dlq", Exit::Success, "done"),
    ("dlq", Exit::Objection, "some letters are not there, or can't be replayed as they are"),
    ("dlq", Exit::Error, "could not run"),
    ("thresholds", Exit::Success, "done"),
    ("thresholds", Exit::Error, "could not run; nothing was changed"),
    ("channels", Exit::Success, "every channel took the trial, or could be used"),
    ("channels", Exit::Objection, "a channel did not"),
    ("channels", Exit::Error, "could not run: no such channel, or a faulty file"),
    ("ping", Exit::Success, "every step is fine at every address"),
    ("ping", Exit::Objection, "a step failed at one address at least"),
    ("ping", Exit::Error, "could not run: arguments, URL, token or roots"),
];

/// The exit codes of `command`, and what each means.
pub(crate) fn codes_of(command: &str) -> Vec<(Exit, &'static str)> {
    let own: Vec<_> =
        TABLE.iter().filter(|(name, ..)| *name == command).map(|(_, exit, meaning)| (*exit, *meaning)).collect();
    if own.is_empty() { vec![(Exit::Success, "printed"), (Exit::Error, "could not run")] } else { own }
}

/// The same for its help, one a line.
pub(crate) fn help_for(command: &str) -> String {
    let row = |(exit, meaning): (Exit, &str)| format!("  {}  {meaning}", exit.code());
    format!("Exit codes:\n{}", codes_of(command).into_iter().map(row).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_standard_output_is_a_quiet_success() {
        assert_eq!(report(Err(anyhow::Error::new(StdoutClosed).context("writing events"))), Exit::Success);
    }
}
