//! The channels file: what the names in thresholds stand for.
//!
//! ```json
//! {"channels": {"email": {"smtp": {"host": "mail.example.org", "from": "meter@example.org", "to": ["ops@example.org"]}}},
//!  "actions": {"scale-down": {"exec": {"command": ["/usr/local/bin/scale", "down"]}}}}
//! ```
//!
//! Secrets do not stand in it: it names an environment variable or a file that holds one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::events::is_refused_in_id;
use crate::limited_read::{MAX_SECRET_BYTES, read_limited_text};
use crate::validate::names::nearest;

/// All channels and actions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelsConfig {
    /// What the names in `notification_channels` stand for.
    #[serde(default)]
    pub channels: BTreeMap<String, ChannelConfig>,
    /// What the names in `{"Action": "NAME"}` stand for.
    #[serde(default)]
    pub actions: BTreeMap<String, ChannelConfig>,
}

/// Where one name leads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ChannelConfig {
    /// A mail.
    Smtp(SmtpConfig),
    /// A request that is signed as Standard Webhooks prescribes.
    Webhook(WebhookConfig),
    /// A message in a Slack channel, or in what takes the same requests.
    Slack(SlackConfig),
    /// A program.
    Exec(ExecConfig),
    /// A `threshold_violation` event to a destination.
    Queue(QueueConfig),
}

impl ChannelConfig {
    /// Its kind, as files write it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Smtp(_) => "smtp",
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Exec(_) => "exec",
            Self::Queue(_) => "queue",
        }
    }
}

/// Where a secret stands: exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The environment variable that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The file that holds it; white space around it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// In clear first, and not at all without STARTTLS: submission on port 587.
    #[default]
    Starttls,
    /// TLS from the first byte, on port 465.
    Implicit,
    /// In clear, on port 25: for a server on this machine. No password is sent then.
    None,
}

/// A mail through an SMTP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// The server's name.
    pub host: String,
    /// The server's port; 587, 465 or 25 unless given, by `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `starttls` unless given.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Trust the certificates in this PEM file instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The user to log in as; no login unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The sender: `meter@example.org` or `formusage <meter@example.org>`.
    pub from: String,
    /// The receivers, one at least.
    pub to: Vec<String>,
}

/// A signed request, see <https://www.standardwebhooks.com>. The header `webhook-id` names the message; what tells an alert
/// that is sent again, after a crash perhaps in another message, is its own id, `data.events[].alert.id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// `https://…` or `http://…`.
    pub url: String,
    /// The signing secret: `whsec_` and 24 to 64 bytes in base64.
    pub secret: SecretRef,
    /// A bearer token; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretRef>,
    /// Trust the certificates in this PEM file instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Show this certificate to a server that demands one: a PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// The private key of `client_cert`: a PEM file; the same file unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
}

/// A Slack incoming webhook. Who knows its URL may write, so the URL is a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {
    /// The URL.
    pub url: SecretRef,
    /// Trust the certificates in this PEM file instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// A program that gets the alerts as JSON on its standard input. Exit code 0 is an acknowledgement, 65 (`EX_DATAERR`)
/// says that it will never take them; with any other it is started again later.
///
/// Its environment is ours without `FORMUSAGE_*` and without each variable that a channel or action of the file names
/// for a secret: what the program itself needs stands in a variable of another name, or in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExecConfig {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// How many seconds it may take; 30 unless given.
    #[serde(default = "thirty")]
    pub timeout_seconds: u32,
}

const fn thirty() -> u32 {
    30
}

/// Events to a destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// The destination's URL, as `publish --to` takes it.
    pub to: String,
    /// A bearer token; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretRef>,
    /// Trust the certificates in this PEM file instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A NATS credentials file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats_creds: Option<PathBuf>,
    /// Show this certificate to a server that demands one: a PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// The private key of `client_cert`: a PEM file; the same file unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
}

impl ChannelsConfig {
    /// Reads the text of a channels file, which people know by `name`.
    ///
    /// # Errors
    /// What is wrong first, as `NAME:LINE:COLUMN: …`, or everything that is wrong beyond the shape, a line each.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, String> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let config: Self = serde_json::from_slice(text).map_err(|error| {
            let said = error.to_string();
            // The place stands in front, as compilers have it.
            let what = said.rsplit_once(" at line ").map_or(&*said, |(what, _)| what);
            format!("{name}:{}:{}: {what}{}", error.line(), error.column(), hint(what))
        })?;
        let mut faults = Vec::new();
        for (list, channels) in [("channels", &config.channels), ("actions", &config.actions)] {
            for (channel, config) in channels {
                let mut fault = |what: &str| faults.push(format!("{name}: {list}.{channel}.{}: {what}", config.kind()));
                if channel.is_empty() || channel.chars().any(is_refused_in_id) {
                    fault(
                        "a name must not be empty and holds no control characters, nor such that turn the direction of text",
                    );
                }
                config.check(&mut fault);
            }
        }
        if faults.is_empty() { Ok(config) } else { Err(faults.join("\n")) }
    }
}

impl ChannelsConfig {
    /// The environment variables that hold secrets of channels and actions, each once.
    pub(super) fn secret_variables(&self) -> Vec<String> {
        let all = self.channels.values().chain(self.actions.values());
        let named = all.flat_map(ChannelConfig::secrets).filter_map(|secret| secret.env.clone());
        named.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl ChannelConfig {
    /// Where its secrets stand.
    fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::Smtp(smtp) => smtp.password.iter().collect(),
            Self::Webhook(webhook) => webhook.token.iter().chain([&webhook.secret]).collect(),
            Self::Slack(slack) => vec![&slack.url],
            Self::Exec(_) => Vec::new(),
            Self::Queue(queue) => queue.token.iter().collect(),
        }
    }

    fn check(&self, fault: &mut dyn FnMut(&str)) {
        match self {
            Self::Smtp(smtp) => {
                if smtp.host.is_empty() {
                    fault("host is empty");
                }
                if smtp.to.is_empty() {
                    fault("to is empty; name one receiver at least");
                }
                if smtp.user.is_some() != smtp.password.is_some() {
                    fault("user and password come together");
                }
                if smtp.user.is_some() && smtp.tls == SmtpTls::None {
                    fault("a password is not sent in clear; use tls `starttls` or `implicit`");
                }
                smtp.password.iter().for_each(|secret| secret.check("password", fault));
            }
            Self::Webhook(webhook) => {
                webhook.secret.check("secret", fault);
                webhook.token.iter().for_each(|secret| secret.check("token", fault));
            }
            Self::Slack(slack) => slack.url.check("url", fault),
            Self::Exec(exec) => {
                if exec.command.first().is_none_or(String::is_empty) {
                    fault("command is empty; it is a program and its arguments");
                }
                if exec.timeout_seconds == 0 {
                    fault("timeout_seconds is 0; it must be at least 1");
                }
            }
            Self::Queue(queue) => queue.token.iter().for_each(|secret| secret.check("token", fault)),
        }
    }
}

impl SmtpConfig {
    /// The server's port, chosen or usual.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            SmtpTls::Starttls => 587,
            SmtpTls::Implicit => 465,
            SmtpTls::None => 25,
        })
    }
}

impl SecretRef {
    fn check(&self, field: &str, fault: &mut dyn FnMut(&str)) {
        if self.env.is_some() == self.file.is_some() {
            fault(&format!("{field} names an environment variable or a file: {{\"env\": NAME}} or {{\"file\": PATH}}"));
        }
    }

    /// The secret itself.
    ///
    /// # Errors
    /// Where it should stand and does not; never the secret.
    pub(crate) fn read(&self) -> Result<String, String> {
        let (text, place) = match (&self.env, &self.file) {
            (Some(name), _) => {
                let value = std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?;
                (value, name.clone())
            }
            (None, Some(path)) => {
                let text = read_limited_text(path, MAX_SECRET_BYTES);
                let place = path.display().to_string();
                (text.map_err(|error| format!("{place} can't be read: {error}"))?, place)
            }
            (None, None) => return Err("no place of the secret is named".to_owned()),
        };
        let secret = text.trim();
        if secret.is_empty() { Err(format!("{place} is empty")) } else { Ok(secret.to_owned()) }
    }
}

/// `; did you mean …?` where serde lists what it expected.
fn hint(what: &str) -> String {
    let mut names = what.split('`').skip(1).step_by(2);
    let best = names.next().and_then(|found| nearest(found, names));
    best.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read() {
        let text = br#"{"channels": {
            "email": {"smtp": {"host": "h", "from": "a@b.c", "to": ["d@e.f"], "user": "u", "password": {"env": "P"}}},
            "pager": {"webhook": {"url": "https://h/x", "secret": {"file": "/s"}}},
            "chat": {"slack": {"url": {"env": "S"}}},
            "bus": {"queue": {"to": "nats://h/alerts"}}},
          "actions": {"down": {"exec": {"command": ["true"]}}}}"#;
        let config = ChannelsConfig::parse("c.json", text).unwrap();
        let kinds: Vec<_> = config.channels.values().map(ChannelConfig::kind).collect();
        assert_eq!(kinds, ["queue", "slack", "smtp", "webhook"]);
        assert!(matches!(&config.actions["down"], ChannelConfig::Exec(exec) if exec.timeout_seconds == 30));
    }

    #[test]
    fn faults_are_named_with_their_place() {
        for (text, expected) in [
            ("{\n\"chanels\":{}}", "c.json:2:9: unknown field `chanels`"),
            ("{\n\"chanels\":{}}", "did you mean `channels`?"),
            (r#"{"channels":{"a":{"smpt":{}}}}"#, "did you mean `smtp`?"),
            (r#"{"channels":{"a":{"slack":{"url":"https://h"}}}}"#, "expected struct SecretRef"),
            (r#"{"channels":{"a":{"slack":{"url":{}}}}}"#, "channels.a.slack: url names an environment variable"),
            (r#"{"actions":{"a":{"exec":{"command":[]}}}}"#, "actions.a.exec: command is empty"),
            (r#"{"channels":{"a":{"smtp":{"host":"h","from":"a@b","to":[]}}}}"#, "name one receiver"),
            (
                r#"{"channels":{"a":{"smtp":{"host":"h","from":"a@b","to":["x@y"],"tls":"none","user":"u","password":{"env":"P"}}}}}"#,
                "not sent in clear",
            ),
        ] {
            let error = ChannelsConfig::parse("c.json", text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_secret_that_is_not_there_is_said_without_guessing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s");
        let secret = SecretRef { env: None, file: Some(file.clone()) };
        assert!(secret.read().unwrap_err().contains("can't be read"));
        std::fs::write(&file, "\n").unwrap();
        assert!(secret.read().unwrap_err().contains("is empty"));
        std::fs::write(&file, " hush \n").unwrap();
        assert_eq!(secret.read(), Ok("hush".to_owned()));
    }
}
