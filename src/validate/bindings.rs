//! The names that a channels file binds, for validation that needs no network and no secret.

use std::collections::BTreeSet;

use serde_json::Value;

/// The channels and the actions that are bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bindings {
    /// Names of channels.
    pub channels: BTreeSet<String>,
    /// Names of actions.
    pub actions: BTreeSet<String>,
}

/// Why a text is no channels file.
#[derive(Debug, thiserror::Error)]
pub enum BindingsError {
    /// It is not JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is no object with `channels` and `actions`.
    #[error(
        "a channels file is an object: {{\"channels\":{{NAME:{{…}}}},\"actions\":{{NAME:{{…}}}}}}, where one of the two may lack"
    )]
    Shape,
}

impl Bindings {
    /// The names in the text of a channels file. What they are bound to is not looked at.
    ///
    /// # Errors
    /// When it is not JSON, or has neither `channels` nor `actions`.
    pub fn parse(text: &[u8]) -> Result<Self, BindingsError> {
        let file: Value = serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))?;
        let names = |key: &str| match file.get(key) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members.keys().cloned().collect())),
            Some(_) => Err(BindingsError::Shape),
        };
        match (names("channels")?, names("actions")?) {
            (None, None) => Err(BindingsError::Shape),
            (channels, actions) => {
                Ok(Self { channels: channels.unwrap_or_default(), actions: actions.unwrap_or_default() })
            }
        }
    }
}
