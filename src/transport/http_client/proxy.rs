//! The proxy of the environment: which one is in front of a server, and why it refuses.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use super::Server;
use super::direct::{Connection, DialError, dial};
use super::failure::{retry_after, status_kind};
use super::secret::decoded;
use crate::transport::cause::{find, innermost, is_of_the_system, shortage};
use crate::transport::name::NameError;
use crate::transport::{Failure, FailureKind, Reach};

/// How long a proxy may take to say why it opens no tunnel.
const EXPLANATION_TIMEOUT: Duration = Duration::from_secs(5);

/// A proxy that requests go through.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    url: Url,
    /// The variable that names it.
    variable: &'static str,
}

/// The address, without the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.url.username().is_empty() && self.url.password().is_none() { "" } else { "(secret)@" };
        let port = self.url.port_or_known_default().unwrap_or_default();
        write!(f, "{}://{user}{}:{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Proxy {
    /// The proxy that the environment names for `server`, if it names one.
    ///
    /// # Errors
    /// One that can't be used.
    pub(super) fn of_environment(server: &Server<'_>) -> Result<Option<Self>, Failure> {
        Self::choose(server, |name| std::env::var(name).ok())
    }

    /// The same, where `variable` gives the environment's variables. Those that are empty say nothing.
    fn choose(server: &Server<'_>, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Failure> {
        let variable = |name: &'static str| {
            variable(name).filter(|text| !text.trim().is_empty()).map(|text| (name, text.trim().to_owned()))
        };
        let first = |names: [&'static str; 2]| names.into_iter().find_map(variable);
        let own = if server.tls {
            first(["HTTPS_PROXY", "https_proxy"])
        } else {
            // In a CGI program this one is a header that the caller sets (CVE-2016-5385).
            let allowed = variable("REQUEST_METHOD").is_none();
            variable("HTTP_PROXY").filter(|_| allowed).or_else(|| variable("http_proxy"))
        };
        let Some((name, text)) = own.or_else(|| first(["ALL_PROXY", "all_proxy"])) else { return Ok(None) };
        let exceptions = first(["NO_PROXY", "no_proxy"]);
        if is_loopback(server.host) || exceptions.is_some_and(|(_, list)| is_excepted(&list, server.host, server.port))
        {
            return Ok(None);
        }
        let with_scheme = if text.contains("://") { text } else { format!("http://{text}") };
        // Without the text, which may hold a password.
        let refuse = |why: &str| {
            Failure::destination(format!(
                "the proxy of {name} can't be used: it {why}; write {name}=http://HOST:PORT, or name the destination's host in NO_PROXY"
            ))
        };
        let url = Url::parse(&with_scheme).map_err(|error| refuse(&format!("is no URL ({error})")))?;
        match (url.scheme(), url.host_str()) {
            ("http" | "https", Some(_)) => Ok(Some(Self { url, variable: name })),
            ("http" | "https", None) => Err(refuse("names no host")),
            (scheme, _) => Err(refuse(&format!("speaks {scheme}"))),
        }
    }

    /// The proxy for the HTTP client.
    pub(super) fn to_client(&self) -> Result<reqwest::Proxy, Failure> {
        reqwest::Proxy::all(self.url.clone()).map_err(|error| {
            Failure::destination(format!("the proxy {self} of {} can't be used: {}", self.variable, innermost(&error)))
        })
    }

    /// Whether TLS is spoken with the proxy itself.
    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The password, which no error may repeat.
    pub(super) fn password(&self) -> Option<&str> {
        self.url.password()
    }

    /// What a status means that came through the proxy in answer to `what`; it may be the proxy's or the server's. Only the
    /// proxy says 407.
    pub(super) fn refusal(&self, failure: Failure, status: StatusCode, what: &str, url: &str, said: &str) -> Failure {
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Failure::destination(format!(
                "the proxy {self} refused {what} to {url} with {status}{said}; {}",
                self.advice(status)
            ));
        }
        let message = format!("{}; the proxy {self} is in between, and may have said so itself", failure.message);
        Failure { message, ..failure }
    }

    /// Why no connection to `server` came about through the proxy; `None` where that is not the proxy's doing.
    pub(super) async fn explain(
        &self,
        error: &reqwest::Error,
        server: &Server<'_>,
        client: &reqwest::Client,
    ) -> Option<Failure> {
        let variable = self.variable;
        if let Some(unresolved) = find::<NameError>(error) {
            let failure = unresolved.failure();
            let message = format!("the proxy {self} of {variable} can't be reached: {}", failure.message);
            return Some(Failure { message, ..failure });
        }
        #[cfg(feature = "tls")]
        if find::<rustls::Error>(error).is_some() {
            return None;
        }
        if is_of_the_system(error) {
            return Some(self.no_connection(error));
        }
        if !server.tls {
            return None;
        }
        let asked = tokio::time::timeout(EXPLANATION_TIMEOUT, self.ask_for_tunnel(server, client)).await;
        Some(asked.unwrap_or_else(|_| self.no_tunnel(server, &format!("no answer within {EXPLANATION_TIMEOUT:?}"))))
    }

    fn no_connection(&self, error: &(dyn Error + 'static)) -> Failure {
        let cause = innermost(error);
        match shortage(error) {
            Some(advice) => Failure::local(format!("no connection to the proxy {self}: {cause}; {advice}")),
            None => Failure::service(format!(
                "no connection to the proxy {self}: {cause}; check that it runs, and {}",
                self.variable
            ))
            .reached(Reach::Unreached),
        }
    }

    fn no_tunnel(&self, server: &Server<'_>, cause: &str) -> Failure {
        let Server { host, port, .. } = server;
        Failure::service(format!("the proxy {self} opens no tunnel to {host}:{port}: {cause}"))
            .reached(Reach::Unreached)
    }

    /// Asks for a tunnel once more, for the status by which it is refused: the HTTP client keeps that to itself.
    async fn ask_for_tunnel(&self, server: &Server<'_>, client: &reqwest::Client) -> Failure {
        let Server { host, port, .. } = server;
        let (Some(proxy_host), Some(proxy_port)) = (self.url.host_str(), self.url.port_or_known_default()) else {
            return self.no_tunnel(server, "it has no address");
        };
        if self.is_tls() {
            return self.no_tunnel(server, "it refuses to");
        }
        let stream = match dial(proxy_host.trim_matches(['[', ']']), proxy_port, EXPLANATION_TIMEOUT).await {
            Ok(stream) => stream,
            Err(DialError::Name(error)) => return error.failure(),
            Err(DialError::Connection(error)) => return self.no_connection(&error),
        };
        let credentials =
            self.credentials(client).map(|value| format!("proxy-authorization: {value}\r\n")).unwrap_or_default();
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n{credentials}\r\n");
        let head = match Connection::new(stream).send(request.as_bytes()).await {
            Ok(head) if !head.status.is_success() => head,
            Ok(_) => return self.no_tunnel(server, "it opened one when asked again"),
            Err(error) => return self.no_tunnel(server, &error.to_string()),
        };
        let status = head.status;
        let message =
            format!("the proxy {self} refused a connection to {host}:{port} with {status}; {}", self.advice(status));
        let failure = match status_kind(status) {
            FailureKind::Service | FailureKind::Local => Failure::service(message),
            FailureKind::Event | FailureKind::Destination => Failure::destination(message),
        };
        failure.retry_after(head.retry_after().and_then(retry_after)).reached(Reach::Unreached)
    }

    /// The value of `Proxy-Authorization`, by the client that writes it for real requests.
    fn credentials(&self, client: &reqwest::Client) -> Option<String> {
        let (user, password) = (self.url.username(), self.url.password());
        if user.is_empty() && password.is_none() {
            return None;
        }
        let request = client.get("http://proxy/").basic_auth(decoded(user), password.map(decoded));
        let request = request.build().ok()?;
        request.headers().get(reqwest::header::AUTHORIZATION)?.to_str().ok().map(str::to_owned)
    }

    fn advice(&self, status: StatusCode) -> String {
        let variable = self.variable;
        match status.as_u16() {
            407 => format!("it wants a user and a password: {variable}=http://USER:PASSWORD@HOST:PORT"),
            500..=599 => {
                "it does not reach the destination at the moment: check that one, and the proxy's log".to_owned()
            }
            _ => "check the proxy's rules, or name the destination's host in NO_PROXY where no proxy is needed"
                .to_owned(),
        }
    }
}

/// A proxy of the environment is for other machines.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether `list`, a value of `NO_PROXY`, has the server: `*`, a domain with all below it, an address, a network
/// (`10.0.0.0/8`); each but `*` and networks with a port or without.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    list.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let (name, entry_port) = split_port(entry);
        if entry == "*" {
            return true;
        }
        if entry_port.is_some_and(|entry_port| entry_port != port) {
            return false;
        }
        match address {
            Some(address) => match name.split_once('/') {
                Some((network, length)) => is_in_network(address, network, length),
                None => name.parse() == Ok(address),
            },
            None => {
                let domain = name.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
                let domain = domain.to_ascii_lowercase();
                let rest = host.strip_suffix(&domain).filter(|_| !domain.is_empty());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    })
}

/// A name or an address without brackets, and the port behind it, if there is one.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        // More than one colon is an address of IPv6.
        Some((name, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn is_in_network(address: IpAddr, network: &str, length: &str) -> bool {
    let Ok(length) = length.parse::<u32>() else { return false };
    match (address, network.parse()) {
        (IpAddr::V4(address), Ok(IpAddr::V4(network))) if length <= 32 => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), Ok(IpAddr::V6(network))) if length <= 128 => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.checked_shr(128 - length).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: (&str, u16, bool), variables: &[(&str, &str)]) -> Option<String> {
        let (host, port, tls) = server;
        let of = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Proxy::choose(&Server { host, port, tls }, of).unwrap().map(|proxy| proxy.to_string())
    }

    const PLAIN: (&str, u16, bool) = ("queue.example", 3003, false);
    const SECURE: (&str, u16, bool) = ("queue.example", 443, true);

    #[test]
    fn each_scheme_has_its_variables_and_all_is_for_the_rest() {
        let http = ("HTTP_PROXY", "http://one:1");
        let https = ("https_proxy", "two:2");
        let all = ("ALL_PROXY", "http://three:3");
        assert_eq!(chosen(PLAIN, &[http, https, all]).as_deref(), Some("http://one:1"));
        assert_eq!(chosen(SECURE, &[http, https, all]).as_deref(), Some("http://two:2"));
        assert_eq!(chosen(PLAIN, &[https, all]).as_deref(), Some("http://three:3"));
        assert_eq!(chosen(PLAIN, &[https]), None);
        assert_eq!(chosen(PLAIN, &[("HTTP_PROXY", ""), all]).as_deref(), Some("http://three:3"));
        assert_eq!(chosen(PLAIN, &[http, ("REQUEST_METHOD", "GET")]), None);
        assert!(
            ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"]
                .iter()
                .all(|host| chosen((host, 1, false), &[http]).is_none())
        );
    }

    #[test]
    fn a_proxys_password_does_not_show() {
        let proxy = chosen(PLAIN, &[("HTTP_PROXY", "http://joe:hunter2@proxy.example:3128")]);
        assert_eq!(proxy.as_deref(), Some("http://(secret)@proxy.example:3128"));
        for bad in ["socks5://joe:hunter2@h", "http://joe:hunter2@"] {
            let of = |name: &str| (name == "ALL_PROXY").then(|| bad.to_owned());
            let message = Proxy::choose(&Server { host: "h", port: 1, tls: false }, of).unwrap_err().message;
            assert!(message.contains("ALL_PROXY") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn no_proxy_excepts_hosts_ports_addresses_and_networks() {
        for (list, host, port, expected) in [
            ("*", "queue.example", 3003, true),
            ("*", "10.1.2.3", 3003, true),
            ("other, *", "10.1.2.3", 3003, true),
            ("queue.example", "queue.example", 3003, true),
            ("QUEUE.example.", "queue.Example", 3003, true),
            ("example", "queue.example", 3003, true),
            (".example", "queue.example", 3003, true),
            ("*.example", "queue.example", 3003, true),
            ("ample", "queue.example", 3003, false),
            ("queue.example:3003", "queue.example", 3003, true),
            ("queue.example:443", "queue.example", 3003, false),
            ("10.1.2.3:3003", "10.1.2.3", 3003, true),
            ("10.1.2.3:443", "10.1.2.3", 3003, false),
            ("10.1.2.3", "10.1.2.3", 3003, true),
            ("10.0.0.0/8", "10.1.2.3", 3003, true),
            ("10.0.0.0/16", "10.1.2.3", 3003, false),
            ("0.0.0.0/0", "10.1.2.3", 3003, true),
            ("10.0.0.0/8", "queue.example", 3003, false),
            ("fd00::/8", "[fd00::7]", 3003, true),
            ("fd00::7", "[fd00::7]", 3003, true),
            ("[fd00::7]:3003", "[fd00::7]", 3003, true),
            ("[fd00::7]:443", "[fd00::7]", 3003, false),
            ("a b\tqueue.example", "queue.example", 3003, true),
            ("", "queue.example", 3003, false),
            (" , ", "queue.example", 3003, false),
        ] {
            assert_eq!(is_excepted(list, host, port), expected, "{list:?} {host} {port}");
        }
    }
}
