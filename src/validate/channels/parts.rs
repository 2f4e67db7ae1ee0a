//! What channels are made of: texts, places of secrets, URLs, addresses.

use crate::validate::json::{Value, quote};
use crate::validate::names::nearest;
use crate::validate::shape::{Context, Field, Fields, Spot, optional, text};
use crate::validate::{Code, Finding};

const PLACES: &[Field] = &[optional("env"), optional("file")];
const PLACE: &str = "{\"env\":\"NAME\"} or {\"file\":\"PATH\"}";

/// The schemes of destinations.
pub(super) const fn schemes() -> &'static [&'static str] {
    &["form", "form+https", "https", "http", "sqlite", "nats", "tls", "file"]
}

/// Reports a value of the wrong type without repeating it.
pub(super) fn plain(spot: &Spot<'_>, name: &str, expected: &str, context: &mut Context<'_, '_>) {
    let Value::String(_) = spot.node.value else {
        return context.wrong_type(spot, name, expected);
    };
    let finding = Finding::error(Code::WrongType, format!("{} has the wrong type", quote(name)));
    context.report(spot.node.start, &spot.pointer, finding.found("a string").expected(expected));
}

/// The place of a secret, and not the secret itself.
pub(super) fn secret(spot: Option<&Spot<'_>>, name: &'static str, context: &mut Context<'_, '_>) {
    let Some(spot) = spot else { return };
    let members = match &spot.node.value {
        Value::Object(members) => members,
        Value::String(_) => {
            let finding = Finding::error(Code::PlainSecret, format!("`{name}` stands in the file itself"))
                .expected(PLACE)
                .help("put it where only formusage reads it, and make a new one: this one may have been seen");
            return context.report(spot.node.start, &spot.pointer, finding);
        }
        _ => return plain(spot, name, PLACE, context),
    };
    let prefix = match name {
        "password" => "password.",
        "secret" => "secret.",
        "token" => "token.",
        _ => "url.",
    };
    let fields = Fields::of(spot.clone(), members, prefix, PLACES, context);
    let there = |index| fields.get(index).filter(|spot| !matches!(spot.node.value, Value::Null));
    text(there(0), "env", context);
    text(there(1), "file", context);
    if there(0).is_some() == there(1).is_some() {
        let found = if there(0).is_some() { "both" } else { "neither" };
        let finding = Finding::error(Code::WrongType, format!("`{name}` does not name exactly one place"));
        context.report(spot.node.start, &spot.pointer, finding.found(found).expected(PLACE));
    }
    fields.report_rest(context, |_| None);
}

/// A URL of one of these schemes, which holds no password.
pub(super) fn url(spot: Option<&Spot<'_>>, name: &str, schemes: &[&str], context: &mut Context<'_, '_>) {
    let Some(spot) = spot else { return };
    let Value::String(url) = &spot.node.value else {
        return match spot.node.value {
            Value::Object(_) => {
                let finding = Finding::error(Code::WrongType, format!("`{name}` has the wrong type"))
                    .found("an object")
                    .expected("a URL; this one is no secret");
                context.report(spot.node.start, &spot.pointer, finding);
            }
            _ => context.wrong_type(spot, name, "a URL"),
        };
    };
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    let finding = match scheme {
        _ if holds_user(url) => Finding::error(Code::PlainSecret, format!("`{name}` holds a user or a password"))
            .help("leave it out of the URL; `token` names the place of a bearer token"),
        _ if name == "queue.to" && **url == *"-" => return,
        Some(scheme) if schemes.contains(&scheme) => {
            let local = matches!(scheme, "sqlite" | "file");
            let has_host = url.split_once("://").is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with('/'));
            let parsed = local || scheme == "nats" || scheme == "tls" || url::Url::parse(url).is_ok();
            if parsed && (local || has_host) && !(local && url.ends_with(':')) {
                return;
            }
            let expected = if local { format!("{scheme}:PATH") } else { format!("{scheme}://HOST/…") };
            Finding::error(Code::InvalidUrl, format!("`{name}` is no URL that can be used")).expected(expected)
        }
        _ => {
            let finding = Finding::error(Code::InvalidUrl, format!("`{name}` has no scheme that can be used"))
                .expected(format!(
                    "one of {}",
                    schemes.iter().map(|it| format!("{it}:")).collect::<Vec<_>>().join(", ")
                ));
            match scheme.and_then(|scheme| nearest(scheme, schemes.iter().copied())) {
                Some(near) => finding.help(format!("did you mean \"{near}:\"?")),
                None => finding,
            }
        }
    };
    context.report(spot.node.start, &spot.pointer, finding);
}

/// Whether a URL names a user, and with that mostly a password.
pub(super) fn holds_user(url: &str) -> bool {
    let authority = url.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    authority.is_some_and(|authority| authority.contains('@'))
}

/// An address of a mailbox: `ops@example.org` or `Ops <ops@example.org>`.
pub(super) fn address(spot: &Spot<'_>, name: &str, context: &mut Context<'_, '_>) {
    const ANSWER: &str = "an address like ops@example.org or Ops <ops@example.org>";
    let Value::String(text) = &spot.node.value else {
        return context.wrong_type(spot, name, ANSWER);
    };
    let bare = match text.trim().strip_suffix('>') {
        Some(open) => open.rsplit_once('<').map(|(_, address)| address),
        None => Some(text.trim()),
    };
    let sound = bare.and_then(|address| address.rsplit_once('@')).is_some_and(|(user, host)| {
        let clean = |part: &str| !part.is_empty() && !part.contains(|it: char| it.is_whitespace() || it.is_control());
        clean(user) && clean(host) && !user.contains(['@', '<', '>', ',']) && !host.contains(['<', '>', ',', '/'])
    });
    if !sound {
        let finding = Finding::error(Code::InvalidAddress, format!("`{name}` is no address of a mailbox"));
        let finding = finding.found(spot.node.describe()).expected(ANSWER);
        let several = text.contains([',', ';']);
        let finding = if several && name == "smtp.to" {
            finding.help("write each receiver as a string of its own")
        } else {
            finding
        };
        context.report(spot.node.start, &spot.pointer, finding);
    }
}
