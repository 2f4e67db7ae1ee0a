//! The address of a service that takes CloudEvents.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::transport::DestinationError;

/// The URL that events are posted to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpAddress {
    /// HTTPS instead of HTTP.
    pub tls: bool,
    /// A host's name or address; an IPv6 address in brackets.
    pub host: String,
    /// 80 unless given; 443 for `https`.
    pub port: u16,
    /// The path, percent-encoded, with its slash in front.
    pub path: String,
    /// The query, percent-encoded, without its question mark. It is the service's; nothing here reads it.
    pub query: Option<String>,
}

impl HttpAddress {
    /// The URL without its query, as errors and logs name it: in a query some services want a key.
    #[must_use]
    pub fn without_query(&self) -> String {
        let (scheme, default_port) = self.scheme();
        let port = if self.port == default_port { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{}{port}{}", self.host, self.path)
    }

    const fn scheme(&self) -> (&'static str, u16) {
        if self.tls { ("https", 443) } else { ("http", 80) }
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_query())?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

impl FromStr for HttpAddress {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Without the text itself: it may hold a password.
        let refuse =
            |why: &str| Err(DestinationError::new(format!("the destination URL {why}; write https://HOST/PATH")));
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => return refuse(&format!("can't be read ({error})")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(
                "holds a user or a password, which would show in the process list: put a token into FORMUSAGE_TOKEN or --token-file, any other header into --header-file",
            );
        }
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return refuse("is neither http nor https"),
        };
        if url.fragment().is_some() {
            return refuse("has a fragment (#…), which is never sent");
        }
        let Some((host, port)) = url.host_str().zip(url.port_or_known_default()) else {
            return refuse("names no host");
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            path: url.path().to_owned(),
            query: url.query().map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Destination;

    fn http(text: &str) -> HttpAddress {
        match text.parse() {
            Ok(Destination::Http(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn shown_urls_read_back() {
        for text in [
            "https://billing.example/api/v1/events",
            "http://127.0.0.1:8888/",
            "https://[::1]:8443/a%20b/?tenant=7&x=a%26b",
            "http://h/?",
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string(), text);
            assert_eq!(destination.to_string().parse(), Ok(destination), "{text}");
        }
        assert_eq!(http("https://h:443").to_string(), "https://h/");
        assert_eq!((http("https://h/").port, http("http://h/").port, http("https://h:1/").port), (443, 80, 1));
    }

    #[test]
    fn errors_name_no_query() {
        assert_eq!(http("https://h:1/events?key=hunter2").without_query(), "https://h:1/events");
    }

    #[test]
    fn refusals_say_what_to_write_and_hide_passwords() {
        for (text, expected) in [
            ("https://joe:hunter2@h/", "--header-file"),
            ("https://hunter2@h/", "FORMUSAGE_TOKEN"),
            ("https://hunter2:99999/", "invalid port"),
            ("https://", "empty host"),
            ("http://h/#hunter2", "fragment"),
            ("htps://h/", "did you mean \"https\"?"),
        ] {
            let message = text.parse::<Destination>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
