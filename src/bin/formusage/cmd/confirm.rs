//! Asking before what was not delivered is thrown away for good.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::bail;

use crate::output::say;

/// Returns when it may be done: `yes` was given, or a person types it. `what` is what would be lost, `export` the command
/// that keeps it.
///
/// # Errors
/// When nobody agrees, or nobody can be asked.
pub(super) fn confirm_loss(what: &str, export: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        bail!(
            "{what}, and would be lost for good: nothing was thrown away. Keep them with: {export} > kept.ndjson, then \
             purge with --yes"
        );
    }
    say(&format!(
        "{what}, and will be lost for good. To keep them: {export} > kept.ndjson\nType yes to throw them away:"
    ));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != "yes" {
        bail!("nothing was thrown away");
    }
    Ok(())
}
