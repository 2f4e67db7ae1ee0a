//! `queue`: serves the embedded queue.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use form_usage_events::queue::{self, MAX_LISTS, QueueOptions};
use form_usage_events::transport::EventStore;
use tokio::net::TcpListener;

use crate::cli::QueueArgs;
use crate::exit::Exit;
use crate::open_files;
use crate::setup;
use crate::signals::{Ending, Shutdown};

pub(crate) fn run(args: &QueueArgs) -> anyhow::Result<Exit> {
    let token = crate::secret::token(args.token_file.as_deref())?;
    let db = match &args.db {
        Some(db) => db.clone(),
        None => default_db()?,
    };
    setup::block_on(async {
        let address = resolve(&args.listen).await?;
        if !address.ip().is_loopback() && token.is_none() {
            bail!(
                "{address} is reachable from other machines, and anybody there could write and read usage events; set a token with FORMUSAGE_TOKEN or --token-file, or listen on 127.0.0.1"
            );
        }
        // A file that can't be used is found out before anybody is told that the queue listens.
        drop(EventStore::open(&db)?);
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => anyhow::anyhow!(
                "something listens on {address} already; end it (ss -ltnp shows what it is), or choose another port with --listen"
            ),
            ErrorKind::PermissionDenied => anyhow::anyhow!("no permission to listen on {address}; choose a port above 1023"),
            _ => anyhow::Error::new(error).context(format!("can't listen on {address}")),
        })?;
        let address = listener.local_addr()?;
        let shutdown = Shutdown::listen(Ending {
            announcement: "ending: finishing the requests under way",
            ..Ending::quiet("ended by force, since requests held up the end: what was acknowledged is kept")
        })?;
        crate::output::say(&format!("the queue listens on {address} and keeps its messages in {}", db.display()));
        let finish = shutdown.finish.clone();
        let options = QueueOptions { token, max_connections: max_connections() };
        let served = queue::serve(listener, &db, options, async move { finish.cancelled().await });
        tokio::select! {
            served = served => served?,
            () = shutdown.abort.cancelled() => {}
        }
        Ok(Exit::Success)
    })
}

/// As many connections as the limit of open files leaves; one list for every four takes three files more.
fn max_connections() -> usize {
    let spare = open_files::spare_connections();
    let usual = QueueOptions::default().max_connections;
    (spare.saturating_mul(4) / 7).max(spare.saturating_sub(3 * MAX_LISTS)).clamp(1, usual)
}

async fn resolve(listen: &str) -> anyhow::Result<SocketAddr> {
    let addresses = tokio::net::lookup_host(listen).await;
    let first =
        addresses.with_context(|| format!("--listen {listen:?} is no ADDRESS:PORT such as 127.0.0.1:3003"))?.next();
    first.with_context(|| format!("--listen {listen:?} names no address"))
}

fn default_db() -> anyhow::Result<PathBuf> {
    let folder =
        crate::state_dir::state_dir().context("there is no state directory; name the queue's file with --db")?;
    form_usage_events::files::create_private_folder(&folder).with_context(|| {
        format!("can't make the state directory {}; name the queue's file with --db", folder.display())
    })?;
    Ok(folder.join("queue.db"))
}
