//! Tokens: from the environment or a file, never from the command line, which every user of the machine can read.

use std::path::Path;

use anyhow::{Context as _, bail};

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
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => (text, TOKEN_VARIABLE.to_owned()),
            Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => bail!("{TOKEN_VARIABLE} is not UTF-8"),
        },
    };
    let token = text.trim();
    if token.is_empty() {
        bail!("{origin} holds no token");
    }
    Ok(Some(token.to_owned()))
}
