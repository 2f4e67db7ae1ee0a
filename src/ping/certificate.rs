//! What a certificate says.

use serde::Serialize;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::plain_text::printable;

const DAY: i64 = 86_400;

/// What TLS showed: the version, and the certificate, trusted or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsFacts {
    /// `TLS 1.3`, `TLS 1.2`; none where the handshake did not get that far.
    pub version: Option<String>,
    /// Whom the certificate is made out to.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The names and addresses that it holds for.
    pub names: Vec<String>,
    /// The first second of its validity, in Unix seconds.
    pub not_before: i64,
    /// The last one.
    pub not_after: i64,
    /// Whole days until then; negative once it has expired.
    pub days_left: i64,
    /// Whether one of the names is the host's.
    pub name_matches: bool,
    /// Whether it passed: trusted, in time, made out to the host.
    pub trusted: bool,
    /// How many certificates were shown, this one included.
    pub chain: usize,
}

impl TlsFacts {
    /// Reads the certificate in `der` as of `now`, in Unix seconds. `None` where it can't be read.
    pub(super) fn read(der: &[u8], chain: usize, now: i64) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default();
        Some(Self {
            version: None,
            subject: printable(&certificate.subject().to_string()).into_owned(),
            issuer: printable(&certificate.issuer().to_string()).into_owned(),
            names,
            not_before,
            not_after,
            days_left: not_after.saturating_sub(now).div_euclid(DAY),
            name_matches: false,
            trusted: false,
            chain,
        })
    }

    /// Whether whom it is made out to issued it.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name).into_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(std::net::Ipv4Addr::from(four).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|six| std::net::Ipv6Addr::from(six).to_string()),
        },
        _ => None,
    }
}

/// `seconds` since 1970 as a date in UTC.
pub(super) fn date(seconds: i64) -> String {
    let time = u64::try_from(seconds).ok().and_then(|since| {
        std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(since)).filter(|_| since < 253_402_300_800)
    });
    time.map_or_else(|| seconds.to_string(), httpdate::fmt_http_date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read() {
        let mut params = rcgen::CertificateParams::new(vec!["queue.example".into(), "127.0.0.1".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 31);
        params.distinguished_name.push(rcgen::DnType::CommonName, "a\u{1b}b");
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let facts = TlsFacts::read(certificate.der(), 1, 1_577_836_800 + DAY / 2).unwrap();
        assert_eq!(facts.names, ["queue.example", "127.0.0.1"]);
        assert_eq!((facts.days_left, facts.not_before), (29, 1_577_836_800));
        assert!(facts.is_self_signed() && facts.subject.contains("a\u{fffd}b"), "{facts:?}");
        assert_eq!(TlsFacts::read(certificate.der(), 1, facts.not_after + 1).unwrap().days_left, -1);
        assert_eq!(date(facts.not_before), "Wed, 01 Jan 2020 00:00:00 GMT");
        assert_eq!(TlsFacts::read(b"junk", 1, 0), None);
    }
}
