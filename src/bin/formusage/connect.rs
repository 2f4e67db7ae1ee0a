//! What connecting takes, from the command line, the environment and files.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use form_usage_events::transport::{ConnectOptions, Destination, NatsOptions, StreamOptions};

use crate::cli::{DestinationArgs, NatsArgs, ReadArgs, SourceArgs, TlsArgs};
use crate::secret;

/// Says so where a certificate was named that nobody will ever ask for: whoever named it believes to be known there.
pub(crate) fn warn_of_plain(to: &Destination, tls: &TlsArgs) {
    let secure = match to {
        Destination::Form(_) => "form+https://",
        Destination::Http(_) => "https://",
        _ => return,
    };
    let shown = to.shown();
    if tls.client_cert.is_some() && !shown.starts_with(secure) {
        tracing::warn!(
            "{shown} is reached without TLS, so the client certificate is never shown there; with TLS the URL starts with {secure}"
        );
    }
}

/// The options of a destination that is written to.
pub(crate) fn to_write(
    args: &DestinationArgs,
    token_file: Option<&Path>,
    timeout: Duration,
) -> anyhow::Result<ConnectOptions> {
    let stream = args.create_stream.then(|| StreamOptions {
        replicas: args.stream_replicas.into(),
        max_age: args.stream_max_age,
        max_bytes: args.stream_max_bytes,
        duplicate_window: args.duplicate_window,
    });
    let options = options(&args.nats, &args.tls, token_file, timeout)?;
    Ok(ConnectOptions { nats: NatsOptions { create_stream: stream, ..options.nats }, ..options })
}

/// The options of a source.
pub(crate) fn to_read(args: &ReadArgs) -> anyhow::Result<ConnectOptions> {
    if args.consumer.is_some() && !matches!(args.from, Destination::Nats(_)) {
        bail!("--consumer is for nats:// and tls://, and --from is {}: nothing else keeps a reader's place", args.from);
    }
    warn_of_plain(&args.from, &args.source.tls);
    let options = of_source(&args.source)?;
    Ok(ConnectOptions { nats: NatsOptions { consumer: args.consumer.clone(), ..options.nats }, ..options })
}

/// The options of a source whose reader keeps no place there.
pub(crate) fn of_source(args: &SourceArgs) -> anyhow::Result<ConnectOptions> {
    options(&args.nats, &args.tls, args.token_file.as_deref(), args.timeout)
}

/// The options that do not depend on the direction.
pub(crate) fn options(
    args: &NatsArgs,
    tls: &TlsArgs,
    token_file: Option<&Path>,
    timeout: Duration,
) -> anyhow::Result<ConnectOptions> {
    Ok(ConnectOptions {
        timeout,
        token: secret::token(token_file)?,
        ca_file: tls.ca_file.clone(),
        client_certificate: tls.certificate(),
        nats: NatsOptions {
            user: secret::variable("FORMUSAGE_NATS_USER")?,
            password: secret::variable("FORMUSAGE_NATS_PASSWORD")?,
            credentials_file: args.nats_creds.clone(),
            ..NatsOptions::default()
        },
        ..ConnectOptions::default()
    })
}
