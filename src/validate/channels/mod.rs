//! A channels file in a text: what names are bound to, each fault with its place.
//!
//! A field that a channel does not know is an error, as in a threshold. Secrets never stand in such a file: it names an
//! environment variable or a file that holds one. Where one stands in it all the same, no finding repeats it, and
//! [`check`] says so, so that the text around is not shown either.

mod parts;

use self::parts::{address, plain, schemes, secret, url};
use super::id_characters::refused_in_id;
use super::json::{Member, Node, Value, quote};
use super::names::nearest;
use super::shape::{Context, Field, Fields, Spot, not_null, optional, required, text};
use super::{Code, Finding};

const LISTS: &[Field] = &[optional("channels"), optional("actions")];
const KINDS: [&str; 5] = ["smtp", "webhook", "slack", "exec", "queue"];
const SMTP: &[Field] = &[
    required("host"),
    required("from"),
    required("to"),
    optional("port"),
    optional("tls"),
    optional("ca_file"),
    optional("user"),
    optional("password"),
];
const WEBHOOK: &[Field] = &[required("url"), required("secret"), optional("token"), optional("ca_file")];
const SLACK: &[Field] = &[required("url"), optional("ca_file")];
const EXEC: &[Field] = &[required("command"), optional("timeout_seconds")];
const QUEUE: &[Field] = &[required("to"), optional("token"), optional("ca_file"), optional("nats_creds")];

const ANSWER: &str =
    "an object with one of smtp, webhook, slack, exec, queue, such as {\"exec\":{\"command\":[\"/bin/true\"]}}";

/// Whether an object with these keys was meant to be a channels file.
pub(super) fn looks_like_channels(node: &Node<'_>) -> bool {
    let Value::Object(members) = &node.value else { return false };
    let lists = || LISTS.iter().map(|field| field.name);
    let named = |member: &Member<'_>| lists().any(|name| member.key == name);
    let meant = |member: &Member<'_>| nearest(&member.key, lists()).is_some();
    let objects = members.iter().all(|member| matches!(member.node.value, Value::Object(_)));
    members.iter().any(named) || objects && members.iter().any(meant)
}

/// Reports every fault of the channels file that `spot` is taken to be. How many channels and actions it binds.
pub(super) fn check(spot: &Spot<'_>, context: &mut Context<'_, '_>) -> u64 {
    let Value::Object(members) = &spot.node.value else {
        context.wrong_type(spot, "a channels file", "an object with `channels` and `actions`");
        return 0;
    };
    let text = context.text;
    let report = &mut |finding: Finding| (context.report)(finding.with_unknown_fields_as_errors());
    let context = &mut Context { text, report };
    let fields = Fields::of(spot.clone(), members, "", LISTS, context);
    let mut count = 0;
    for (index, name) in [(0, "channels"), (1, "actions")] {
        let Some(list) = fields.get(index) else { continue };
        let Value::Object(members) = &list.node.value else {
            context.wrong_type(list, name, "an object: names, and what each is bound to");
            continue;
        };
        for member in members {
            count += 1;
            channel(list, member, context);
        }
    }
    fields.report_rest(context, |_| None);
    count
}

/// One name and what it is bound to.
fn channel(list: &Spot<'_>, member: &Member<'_>, context: &mut Context<'_, '_>) {
    let spot = list.member(member);
    if member.key.trim().is_empty() {
        let finding = Finding::error(Code::EmptyId, "the name of a channel or an action is empty").help("name it");
        context.report(member.start, &spot.pointer, finding);
    } else if let Some(finding) = refused_in_id("the name", &member.key) {
        context.report(member.start, &spot.pointer, finding);
    }
    let Value::Object(members) = &spot.node.value else {
        // A string here may well be a URL that is a secret.
        return plain(&spot, &member.key, ANSWER, context);
    };
    let [kind] = members.as_slice() else {
        let finding =
            Finding::error(Code::WrongType, format!("{} is not bound to exactly one thing", quote(&member.key)))
                .found(format!("{} members", members.len()))
                .expected(ANSWER);
        return context.report(spot.node.start, &spot.pointer, finding);
    };
    let inner = spot.member(kind);
    let known = KINDS.into_iter().find(|name| kind.key == *name);
    let meant = known.or_else(|| nearest(&kind.key, KINDS));
    if known.is_none() {
        let finding = Finding::error(Code::UnknownVariant, format!("there is no kind of channel {}", quote(&kind.key)))
            .expected(format!("one of {}", KINDS.join(", ")));
        let finding = match meant {
            Some(name) => finding.help(format!("did you mean \"{name}\"?")),
            None => finding,
        };
        context.report(kind.start, &inner.pointer, finding);
    }
    let Value::Object(members) = &inner.node.value else {
        return plain(&inner, &kind.key, "an object", context);
    };
    match meant {
        Some("smtp") => smtp(&inner, members, context),
        Some("webhook") => {
            let fields = Fields::of(inner.clone(), members, "webhook.", WEBHOOK, context);
            url(fields.get(0), "webhook.url", &["https", "http"], context);
            secret(fields.get(1), "secret", context);
            secret(not_null(fields.get(2)), "token", context);
            text(not_null(fields.get(3)), "webhook.ca_file", context);
            fields.report_rest(context, |_| None);
        }
        Some("slack") => {
            let fields = Fields::of(inner.clone(), members, "slack.", SLACK, context);
            secret(fields.get(0), "url", context);
            text(not_null(fields.get(1)), "slack.ca_file", context);
            fields.report_rest(context, |_| None);
        }
        Some("exec") => exec(&inner, members, context),
        Some("queue") => {
            let fields = Fields::of(inner.clone(), members, "queue.", QUEUE, context);
            url(fields.get(0), "queue.to", schemes(), context);
            secret(not_null(fields.get(1)), "token", context);
            text(not_null(fields.get(2)), "queue.ca_file", context);
            text(not_null(fields.get(3)), "queue.nats_creds", context);
            fields.report_rest(context, |_| None);
        }
        _ => {}
    }
}

fn smtp(spot: &Spot<'_>, members: &[Member<'_>], context: &mut Context<'_, '_>) {
    const TLS: [&str; 3] = ["starttls", "implicit", "none"];
    let fields = Fields::of(spot.clone(), members, "smtp.", SMTP, context);
    text(fields.get(0), "smtp.host", context);
    if let Some(from) = fields.get(1) {
        address(from, "smtp.from", context);
    }
    if let Some(to) = fields.get(2) {
        match &to.node.value {
            Value::Array(items) if items.is_empty() => {
                let finding =
                    Finding::error(Code::EmptyList, "`smtp.to` names nobody").expected("one receiver at least");
                context.report(to.node.start, &to.pointer, finding);
            }
            Value::Array(items) => {
                let each = items.iter().enumerate().map(|(index, item)| to.item(index, item));
                each.for_each(|receiver| address(&receiver, "smtp.to", context));
            }
            _ => context.wrong_type(to, "smtp.to", "an array of addresses"),
        }
    }
    whole_number(not_null(fields.get(3)), "smtp.port", 1, 65_535, context);
    let mut in_clear = false;
    if let Some(tls) = fields.get(4) {
        match &tls.node.value {
            Value::String(name) if TLS.contains(&&**name) => in_clear = name == "none",
            Value::String(name) => {
                let finding = Finding::error(Code::UnknownVariant, format!("`smtp.tls` has no {}", quote(name)))
                    .expected(format!("one of {}", TLS.join(", ")));
                context.report(tls.node.start, &tls.pointer, finding);
            }
            _ => context.wrong_type(tls, "smtp.tls", &format!("one of {}", TLS.join(", "))),
        }
    }
    text(not_null(fields.get(5)), "smtp.ca_file", context);
    let (user, password) = (not_null(fields.get(6)), not_null(fields.get(7)));
    text(user, "smtp.user", context);
    secret(password, "password", context);
    for (there, lacking, name) in [(user, password, "password"), (password, user, "user")] {
        if let (Some(there), None) = (there, lacking) {
            let finding = Finding::error(Code::MissingField, format!("`smtp.{name}` is missing"))
                .help("`user` and `password` come together; without both nobody logs in");
            context.report(there.node.start, &there.pointer, finding);
        }
    }
    if let Some(password) = password.or(user).filter(|_| in_clear) {
        let finding =
            Finding::error(Code::CleartextPassword, "a password is not sent in clear, and `smtp.tls` is \"none\"")
                .expected("`smtp.tls` \"starttls\" or \"implicit\"")
                .help("or leave `user` and `password` out, for a server on this machine that asks for none");
        context.report(password.node.start, &password.pointer, finding);
    }
    fields.report_rest(context, |_| None);
}

fn exec(spot: &Spot<'_>, members: &[Member<'_>], context: &mut Context<'_, '_>) {
    const ANSWER: &str = "an array: the program and each of its arguments";
    let fields = Fields::of(spot.clone(), members, "exec.", EXEC, context);
    if let Some(command) = fields.get(0) {
        match &command.node.value {
            Value::Array(items) if items.is_empty() => {
                let finding = Finding::error(Code::EmptyList, "`exec.command` is empty").expected(ANSWER);
                context.report(command.node.start, &command.pointer, finding);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let item = command.item(index, item);
                    match &item.node.value {
                        Value::String(program) if index == 0 && program.is_empty() => {
                            let finding =
                                Finding::error(Code::EmptyId, "the name of the program is empty").help("name it");
                            context.report(item.node.start, &item.pointer, finding);
                        }
                        Value::String(_) => {}
                        _ => context.wrong_type(&item, "exec.command", "strings"),
                    }
                }
            }
            Value::String(line) => {
                let words: Vec<_> = line.split_whitespace().map(quote).collect();
                let finding = Finding::error(Code::WrongType, "`exec.command` has the wrong type")
                    .found("a string, which no shell reads")
                    .expected(ANSWER)
                    .help(format!("write [{}]", words.join(", ")));
                context.report(command.node.start, &command.pointer, finding);
            }
            _ => context.wrong_type(command, "exec.command", ANSWER),
        }
    }
    whole_number(fields.get(1), "exec.timeout_seconds", 1, u64::from(u32::MAX), context);
    fields.report_rest(context, |_| None);
}

fn whole_number(spot: Option<&Spot<'_>>, name: &str, least: u64, most: u64, context: &mut Context<'_, '_>) {
    let Some(spot) = spot else { return };
    let expected = format!("a whole number from {least} to {most}");
    let Value::Number(text) = spot.node.value else {
        return context.wrong_type(spot, name, &expected);
    };
    match text.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => {}
        _ if text.contains(['.', 'e', 'E']) => context.wrong_type(spot, name, &expected),
        _ => {
            let finding = Finding::error(Code::OutOfRange, format!("`{name}` is out of range"));
            let finding = finding.found(spot.node.describe()).expected(expected);
            context.report(spot.node.start, &spot.pointer, finding);
        }
    }
}

/// Whether a secret may stand in the file itself: then its text is not to be shown.
pub(super) fn may_hold_secret(node: &Node<'_>) -> bool {
    const SECRET: [&str; 6] = ["password", "secret", "token", "api_key", "credentials", "passwd"];
    match &node.value {
        Value::Object(members) => members.iter().any(|member| {
            let text = matches!(member.node.value, Value::String(_));
            let secret = text && (nearest(&member.key, SECRET).is_some() || member.key == "value");
            secret || member.key == "slack" && slack_url(&member.node) || may_hold_secret(&member.node)
        }),
        Value::Array(items) => items.iter().any(may_hold_secret),
        Value::String(text) => {
            parts::holds_user(text) || text.contains("hooks.slack.com/") || text.starts_with("whsec_")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Broken => false,
    }
}

/// Whether a Slack channel has any text where only the place of one belongs.
fn slack_url(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Object(members) => {
            members.iter().any(|member| member.key != "ca_file" && matches!(member.node.value, Value::String(_)))
        }
        Value::String(_) => true,
        _ => false,
    }
}
