//! Tokens, passwords and secret headers: from the environment or a file, never from the command line, which every user
//! of the machine can read.

use std::path::Path;

use anyhow::{Context as _, bail};
use clap::error::{ContextKind, ContextValue};
use form_usage_events::limited_read::{MAX_SECRET_BYTES, read_limited_text};

/// The environment variable that holds a bearer token.
pub(crate) const TOKEN_VARIABLE: &str = "FORMUSAGE_TOKEN";

/// The bearer token in `file`, else in the environment, if there is one.
pub(crate) fn token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    token_or(file, TOKEN_VARIABLE)
}

/// The token in `file`, else in the environment variable `name`, if there is one.
pub(crate) fn token_or(file: Option<&Path>, name: &str) -> anyhow::Result<Option<String>> {
    let (text, origin) = match file {
        Some(path) => {
            let text = read_limited_text(path, MAX_SECRET_BYTES)
                .with_context(|| format!("can't read the token file {}", path.display()))?;
            (text, path.display().to_string())
        }
        None => match variable(name)? {
            Some(text) => (text, name.to_owned()),
            None => return Ok(None),
        },
    };
    let token = text.trim();
    if token.is_empty() {
        bail!("{origin} holds no token");
    }
    Ok(Some(token.to_owned()))
}

/// The headers in `file`: a line for each, `Name: value`; blank lines and those that start with # say nothing.
pub(crate) fn headers(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = read_limited_text(file, MAX_SECRET_BYTES)
        .with_context(|| format!("can't read the header file {}", file.display()))?;
    let mut headers = Vec::new();
    for (n, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // A line that is no header is not shown: it may be a secret without its name.
        match line.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some((name, value)) if is_header_name(name) && !value.is_empty() => {
                headers.push((name.to_owned(), value.to_owned()));
            }
            _ => bail!("{}:{n}: no header; write `Name: value`", file.display()),
        }
    }
    Ok(headers)
}

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The environment variable `name`, as it stands there.
pub(crate) fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}

/// A usage error quotes the value that it refuses; what may be a password or a key in it is left out.
pub(crate) fn without_passwords(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) {
        let shown = without_user_and_query(value);
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
    error
}

/// A URL is refused before anyone knows its parts: what stands before its last @ may be a password, and what follows a ?
/// a key.
fn without_user_and_query(value: &str) -> String {
    let (start, rest) = match value.rsplit_once('@') {
        Some((user, rest)) => {
            // `u:password@host` has no scheme: what looks like one is a user.
            let scheme = user.find(":/").map_or("", |colon| {
                let slashes = user[colon + 1..].bytes().take_while(|byte| *byte == b'/').count();
                &user[..colon + 1 + slashes]
            });
            (format!("{scheme}(secret)@"), rest)
        }
        None if value.contains(':') => (String::new(), value),
        None => return value.to_owned(),
    };
    match rest.split_once('?') {
        Some((rest, _)) => format!("{start}{rest}?(secret)"),
        None => start + rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_url_is_shown_without_what_may_be_secret() {
        for (value, shown) in [
            ("form://h/t?token=hush", "form://h/t?(secret)"),
            ("https://u:hush@h/x?y=hush", "https://(secret)@h/x?(secret)"),
            ("https:/u:hush@h/x", "https:/(secret)@h/x"),
            ("https://u:hu/sh?@h/x", "https://(secret)@h/x"),
            ("u:hush@h:99", "(secret)@h:99"),
            ("hush@h:99", "(secret)@h:99"),
            ("from://h/t", "from://h/t"),
            ("127.0.0.1:99999", "127.0.0.1:99999"),
            ("twelve?", "twelve?"),
        ] {
            assert_eq!(without_user_and_query(value), shown);
        }
    }
}
