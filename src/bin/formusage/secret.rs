//! Tokens and passwords: from the environment or a file, never from the command line, which every user of the machine
//! can read.

use std::path::Path;

use anyhow::{Context as _, bail};
use clap::error::{ContextKind, ContextValue};

/// The environment variable that holds a bearer token.
pub(crate) const TOKEN_VARIABLE: &str = "FORMUSAGE_TOKEN";

/// The bearer token in `file`, else in the environment, if there is one.
pub(crate) fn token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let (text, origin) = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("can't read the token file {}", path.display()))?;
            (text, path.display().to_string())
        }
        None => match variable(TOKEN_VARIABLE)? {
            Some(text) => (text, TOKEN_VARIABLE.to_owned()),
            None => return Ok(None),
        },
    };
    let token = text.trim();
    if token.is_empty() {
        bail!("{origin} holds no token");
    }
    Ok(Some(token.to_owned()))
}

/// The environment variable `name`, as it stands there.
pub(crate) fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}

/// A usage error quotes the value that it refuses; one that may hold a password is cut down to where it begins.
pub(crate) fn without_passwords(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && let Some((scheme, rest)) = value.split_once("://")
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        let shown = format!("{scheme}://(secret)@{host}");
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
    error
}
