//! Thresholds from wherever a command's options say.

use std::time::Duration;

use anyhow::bail;
use form_usage_events::threshold::{Loaded, SourceError, ThresholdReader, ThresholdSource};
use form_usage_events::transport::{ClientCertificate, ConnectOptions, NatsOptions};

use crate::cli::ThresholdAccessArgs;
use crate::output::say;
use crate::secret;

/// How long a service may take to hand its thresholds out.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What reaching a source takes.
pub(crate) fn access(args: &ThresholdAccessArgs) -> anyhow::Result<ConnectOptions> {
    Ok(ConnectOptions {
        timeout: TIME_LIMIT,
        token: secret::token_or(args.thresholds_token_file.as_deref(), "FORMUSAGE_THRESHOLDS_TOKEN")?,
        ca_file: args.thresholds_ca_file.clone(),
        client_certificate: args.thresholds_client_cert.clone().map(|certificate| ClientCertificate {
            key: args.thresholds_client_key.clone().unwrap_or_else(|| certificate.clone()),
            certificate,
        }),
        nats: NatsOptions {
            user: secret::variable("FORMUSAGE_NATS_USER")?,
            password: secret::variable("FORMUSAGE_NATS_PASSWORD")?,
            credentials_file: args.thresholds_nats_creds.clone(),
            ..NatsOptions::default()
        },
        ..ConnectOptions::default()
    })
}

/// The thresholds of `source`, or every reason why they can't be used. Warnings are said.
pub(crate) fn load(source: &str, access: ConnectOptions) -> anyhow::Result<Loaded> {
    let parsed = ThresholdSource::parse(source);
    // A file needs no runtime, and is there sooner without one.
    let remote = matches!(parsed, Ok(ThresholdSource::Http(_) | ThresholdSource::Nats(_)));
    let reading = async { ThresholdReader::new(parsed?, access)?.poll().await };
    let loaded = if remote { crate::setup::block_on(async { Ok(reading.await) })? } else { at_once(reading) };
    match loaded {
        Ok(loaded) => {
            let loaded = loaded.unwrap_or_default();
            loaded.warnings.iter().for_each(|warning| say(warning));
            Ok(loaded)
        }
        Err(error) => match (error.problems(), error.left_out()) {
            ([problem], 0) => bail!("{problem}"),
            (problems, left_out) => {
                problems.iter().for_each(|problem| say(problem));
                let all = problems.len() as u64 + left_out;
                let named = if left_out == 0 { "each".to_owned() } else { format!("the first {}", problems.len()) };
                bail!("the thresholds can't be used: {all} faults, {named} named above");
            }
        },
    }
}

/// Runs what never waits.
fn at_once(reading: impl Future<Output = Result<Option<Loaded>, SourceError>>) -> Result<Option<Loaded>, SourceError> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(reading).poll(&mut context) {
        std::task::Poll::Ready(loaded) => loaded,
        std::task::Poll::Pending => Ok(None),
    }
}
