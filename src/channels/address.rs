//! Where a channel leads, for people: never a key.

use url::Url;

use super::config::{ChannelConfig, SmtpConfig};
use crate::transport::Destination;

impl ChannelConfig {
    /// Where it leads, without what may be a secret: the mail server and the receivers, the server of a URL whose path and
    /// query may be keys, the program without its arguments, the destination. Reads the secret that a chat's URL is.
    ///
    /// `None` where that can't be told: the secret is not there, or the address can't be read.
    #[must_use]
    pub fn shown(&self) -> Option<String> {
        match self {
            Self::Smtp(smtp) => {
                let SmtpConfig { host, to, .. } = smtp;
                Some(format!("{host}:{} to {}", smtp.port(), to.join(", ")))
            }
            Self::Webhook(webhook) => cut(&webhook.url),
            Self::Slack(slack) => cut(&slack.url.read().ok()?),
            Self::Exec(exec) => {
                let (program, arguments) = exec.command.split_first()?;
                Some(if arguments.is_empty() { program.clone() } else { format!("{program} …") })
            }
            Self::Queue(queue) => queue.to.parse::<Destination>().ok().map(|to| to.shown()),
        }
    }
}

/// A URL as far as its server; `/…` stands for the rest.
fn cut(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let rest = if url.path() == "/" && url.query().is_none() { "" } else { "/…" };
    Some(server(&url)? + rest)
}

/// `https://HOST:PORT`, without a user and a password that may stand before it.
pub(super) fn server(url: &Url) -> Option<String> {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", url.scheme(), url.host_str()?))
}

#[cfg(test)]
mod tests {
    use super::super::ChannelsConfig;

    #[test]
    fn addresses_show_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "https://chat.example/services/hunter2\n").unwrap();
        let text = serde_json::json!({ "channels": {
            "a": { "smtp": { "host": "mail.example", "from": "a@b.c", "to": ["d@e.f", "g@h.i"] } },
            "b": { "smtp": { "host": "mail.example", "from": "a@b.c", "to": ["d@e.f"], "tls": "implicit" } },
            "c": { "webhook": { "url": "https://u:hunter2@h:8443/hunter2?sig=hunter2", "secret": { "env": "S" } } },
            "d": { "webhook": { "url": "http://h", "secret": { "env": "S" } } },
            "e": { "slack": { "url": { "file": file } } },
            "f": { "slack": { "url": { "env": "NO_SUCH_SECRET" } } },
            "g": { "exec": { "command": ["/bin/page", "hunter2"] } },
            "h": { "queue": { "to": "https://h/x?key=hunter2" } },
            "i": { "queue": { "to": "nats://h/alerts" } },
        } });
        let config = ChannelsConfig::parse("c.json", text.to_string().as_bytes()).unwrap();
        let shown: Vec<_> = config.channels.values().map(|it| it.shown().unwrap_or_default()).collect();
        let expected = [
            "mail.example:587 to d@e.f, g@h.i",
            "mail.example:465 to d@e.f",
            "https://h:8443/…",
            "http://h",
            "https://chat.example/…",
            "",
            "/bin/page …",
            "https://h/x",
            "nats://h:4222/alerts",
        ];
        assert_eq!(shown, expected);
    }
}
