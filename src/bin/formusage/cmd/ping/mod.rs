//! `ping`: which step to a destination fails.

mod show;

use std::sync::Arc;

use form_usage_events::clock::SystemClock;
use form_usage_events::ping::{NatsCredentials, PingOptions, PingReport, Pinger, Target};
use form_usage_events::transport::{Destination, proxy_of};

use crate::cli::PingArgs;
use crate::exit::Exit;
use crate::output::say;
use crate::secret;
use crate::setup;
use crate::signals::{Ending, Shutdown};

pub(crate) fn run(args: &PingArgs) -> anyhow::Result<Exit> {
    let destination: Option<Destination> = args.to.parse().ok();
    if let Some(destination) = &destination {
        crate::connect::warn_of_plain(destination, &args.tls);
    }
    let target: Target = args.to.parse()?;
    let options = PingOptions {
        timeout: args.timeout,
        token: secret::token(args.token_file.as_deref())?,
        headers: args.header_file.as_deref().map(secret::headers).transpose()?.unwrap_or_default(),
        nats: nats_credentials()?,
        write: args.write,
        credentials_file: args.nats.nats_creds.clone(),
        ca_file: args.tls.ca_file.clone(),
        client_certificate: args.tls.certificate(),
    };
    let mut pinger = Pinger::new(target, options, Arc::new(SystemClock))?;
    let shutdown = Shutdown::listen(Ending::quiet("ended by force, since a step held up the end"))?;
    setup::block_on(async {
        for _ in 0..args.count {
            tokio::select! {
                biased;
                () = shutdown.finish.cancelled() => break,
                () = pinger.round() => {}
            }
        }
        Ok(())
    })?;
    let report = pinger.report();
    show::show(&report, args.format)?;
    sum_up(&report);
    if let Some(proxy) = destination.as_ref().and_then(proxy_of) {
        say(&format!("note: publish and read go through the proxy {proxy} of the environment, and ping does not"));
    }
    Ok(match (report.rounds, report.ok) {
        (0, _) => Exit::Error,
        (_, true) => Exit::Success,
        (_, false) => Exit::Objection,
    })
}

/// User and password of a NATS server, from the environment.
fn nats_credentials() -> anyhow::Result<Option<NatsCredentials>> {
    let user = secret::variable("FORMUSAGE_NATS_USER")?;
    let password = secret::variable("FORMUSAGE_NATS_PASSWORD")?;
    Ok(user.map(|user| NatsCredentials { user, password: password.unwrap_or_default() }))
}

/// The verdict, for people.
fn sum_up(report: &PingReport) {
    for address in &report.addresses {
        if let Some(step) = address.failure() {
            let place = address.address.map_or_else(|| address.host.clone(), |address| address.to_string());
            let times =
                if step.tried > 1 { format!(" in {} of {} rounds", step.failed, step.tried) } else { String::new() };
            let fix = step.problem.as_ref().map(|problem| format!("; {}", problem.fix)).unwrap_or_default();
            say(&format!("{place}: {} failed{times}: {}{fix}", step.step, step.detail));
        }
    }
    if report.rounds == 0 {
        say("ended before the first round was through");
    }
}
