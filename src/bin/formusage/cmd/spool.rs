//! `spool`: what waits, what was delivered.

use std::path::Path;

use anyhow::{Context as _, bail};
use comfy_table::{CellAlignment, Table, presets};
use form_usage_events::channels::ViolationEvent;
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::UsageEvent;
use form_usage_events::publish::reconcile;
use form_usage_events::spool::{DestinationStatus, SpoolFile, Spooled, Status, StatusFilter};
use form_usage_events::transport::{self, Destination};
use serde::Serialize;
use serde_json::value::RawValue;

use super::confirm::confirm_loss;
use crate::cli::{ReconcileArgs, SpoolAction, SpoolCommandArgs, SpoolListArgs, SpoolPath, SpoolPurgeArgs};
use crate::exit::Exit;
use crate::listing::{Column, Listing, fit_terminal};
use crate::output::{self, Notation, Stdout, counted, stdout_is_terminal};
use crate::setup;

pub(crate) fn run(args: &SpoolCommandArgs) -> anyhow::Result<Exit> {
    match &args.action {
        SpoolAction::Status(args) => status(&args.path),
        SpoolAction::List(args) => list(args, stdout_is_terminal()),
        SpoolAction::Export(args) => export(args),
        SpoolAction::Purge(args) => purge(args),
        SpoolAction::Verify(args) => verify(&args.path),
        SpoolAction::Reconcile(args) => bring_back(args),
    }
}

/// The state directory of the services.
const SERVICE_DIR: &str = "/var/lib/formusage";

/// The spool, for the command of these words. Where nobody named one, that there is none is no error: nothing waits then.
pub(super) fn open(chosen: &SpoolPath, words: &str) -> anyhow::Result<Option<SpoolFile>> {
    let path = chosen.resolve()?;
    let file = SpoolFile::open(&path)?;
    if file.is_none() {
        let path = path.display();
        if chosen.spool.is_some() {
            bail!("there is no spool at {path}: check the path in --spool, or leave it out for the default place");
        }
        let hint = if crate::state_dir::is_root() { None } else { service_hint(Path::new(SERVICE_DIR), words) };
        output::say(&format!("there is no spool at {path} yet{}", hint.unwrap_or_default()));
    }
    Ok(file)
}

/// Where the services keep their spool, for somebody who may not look there.
fn service_hint(state: &Path, words: &str) -> Option<String> {
    // A link, which leads where only root may go.
    state.symlink_metadata().ok()?;
    Some(format!("; the service keeps its own in {}: try: sudo formusage {words}", state.display()))
}

fn status(path: &SpoolPath) -> anyhow::Result<Exit> {
    let Some(file) = open(path, "spool status")? else { return Ok(Exit::Success) };
    let mut status = file.status()?;
    for it in &mut status.destinations {
        it.destination = shown(&it.destination);
    }
    let mut stdout = Stdout::new(Notation::Words);
    if stdout_is_terminal() {
        stdout.line(table(&status).as_bytes())?;
    } else {
        stdout.line(&serde_json::to_vec(&status)?)?;
    }
    stdout.flush()?;
    Ok(Exit::Success)
}

/// A destination's URL without what may be a key in it.
pub(super) fn shown(url: &str) -> String {
    url.parse::<Destination>().map_or_else(|_| url.to_owned(), |destination| destination.shown())
}

fn table(status: &Status) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    fit_terminal(&mut table);
    table.set_header(["destination", "waiting", "oldest", "delivered, kept", "circuit breaker"]);
    let now = SystemClock.unix_seconds();
    for it in &status.destinations {
        let oldest = it.oldest_taken_at.map(|at| age(now.saturating_sub(at)));
        let breaker = match it.breaker_open_until_ms {
            Some(until) if until / 1_000 > now => format!("open for {}", age(until / 1_000 - now)),
            Some(_) => "half-open".to_owned(),
            None => "closed".to_owned(),
        };
        table.add_row([
            output::printable(&it.destination).into_owned(),
            it.waiting.to_string(),
            oldest.unwrap_or_default(),
            it.retained.to_string(),
            breaker,
        ]);
    }
    for at in [1, 2, 3] {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let used = match status.bytes {
        bytes @ ..1_048_576 => format!("{} KB", bytes.div_ceil(1_024)),
        bytes => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    };
    let mut letters = counted(status.dead_letters, "dead letter", "dead letters");
    if let Some(at) = status.oldest_dead_letter_at {
        letters.push_str(&format!(" (the oldest {} old)", age(now.saturating_sub(at))));
    }
    let publishers = counted(status.publishers, "publisher", "publishers");
    let path = status.spool.display().to_string();
    let mut causes = String::new();
    for it in status.destinations.iter().filter(|it| it.breaker_open_until_ms.is_some()) {
        let (Some(at), Some(cause)) = (it.breaker_opened_at, &it.breaker_cause) else { continue };
        let ago = age(now.saturating_sub(at));
        let line = format!("the circuit breaker to {} opened {ago} ago: {cause}", it.destination);
        causes.push_str(&format!("\n{}", output::printable(&line)));
    }
    format!("{table}\n{}: {used} in use, {letters}, {publishers}{causes}", output::printable(&path))
}

fn age(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

/// A time for people.
pub(super) fn time(seconds: i64) -> String {
    let at = u64::try_from(seconds).ok().map(|it| std::time::UNIX_EPOCH + std::time::Duration::from_secs(it));
    at.map_or_else(|| seconds.to_string(), |at| humantime::format_rfc3339_seconds(at).to_string())
}

fn list(args: &SpoolListArgs, terminal: bool) -> anyhow::Result<Exit> {
    let mut stdout = Stdout::new(Notation::Words);
    let mut table: Option<Listing> = None;
    let mut several = true;
    each(args, "spool list", |file, event| {
        if !terminal {
            return stdout.line(&serde_json::to_vec(&record(event)?)?);
        }
        let table = match &mut table {
            Some(table) => table,
            none => {
                several = args.to.is_none() && file.status()?.destinations.len() > 1;
                none.insert(Listing::new(columns(args.delivered, several)))
            }
        };
        table.row(row(event, args.delivered, several), &mut stdout)
    })?;
    if let Some(table) = &mut table {
        table.write(&mut stdout)?;
    }
    stdout.flush()?;
    Ok(Exit::Success)
}

fn columns(delivered: bool, several: bool) -> Vec<Column> {
    let delivered = delivered.then_some(Column::text("delivered"));
    let before = [Column::figures("#"), Column::text("taken")].into_iter();
    let behind = ["instance", "period (UTC)", "from"].map(Column::long);
    before.chain(delivered).chain(behind).chain(several.then_some(Column::long("to"))).collect()
}

/// An event; where there are several destinations, with its own.
fn row(event: &Spooled, delivered: bool, several: bool) -> Vec<String> {
    let from = event.line.map_or_else(|| event.source.clone(), |line| format!("{}:{line}", event.source));
    let delivered = delivered.then(|| event.delivered_at.map(time).unwrap_or_default());
    let (instance, period) = match serde_json::from_slice::<UsageEvent>(&event.body) {
        Ok(UsageEvent { instance_id, period, .. }) => {
            let start = time(period.start).trim_end_matches('Z').replace('T', " ");
            (instance_id, format!("{start} +{}s", period.end.saturating_sub(period.start)))
        }
        Err(_) => match serde_json::from_slice::<ViolationEvent>(&event.body) {
            Ok(ViolationEvent { instance_id, alert, .. }) => {
                (instance_id, format!("{} {}", alert.kind, time(alert.at).trim_end_matches('Z').replace('T', " ")))
            }
            Err(_) => ("?".to_owned(), format!("{} bytes", event.body.len())),
        },
    };
    let before = [event.seq.to_string(), time(event.taken_at)].into_iter();
    let to = several.then(|| shown(&event.destination));
    before.chain(delivered).chain([instance, period, from]).chain(to).collect()
}

/// An event with what the spool knows about it.
#[derive(Serialize)]
struct Record<'a> {
    seq: u64,
    destination: String,
    source: &'a str,
    line: Option<u64>,
    taken_at: i64,
    delivered_at: Option<i64>,
    /// Its bytes as they are sent: the id is a digest of them.
    event: &'a RawValue,
}

fn record(event: &Spooled) -> anyhow::Result<Record<'_>> {
    Ok(Record {
        seq: event.seq,
        destination: shown(&event.destination),
        source: &event.source,
        line: event.line,
        taken_at: event.taken_at,
        delivered_at: event.delivered_at,
        event: serde_json::from_slice(&event.body)?,
    })
}

fn export(args: &SpoolListArgs) -> anyhow::Result<Exit> {
    let mut stdout = Stdout::new(Notation::Json);
    each(args, "spool export", |_, event| stdout.line(&event.body))?;
    stdout.flush()?;
    Ok(Exit::Success)
}

fn each(
    args: &SpoolListArgs,
    words: &str,
    mut show: impl FnMut(&SpoolFile, &Spooled) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(file) = open(&args.path, words)? else { return Ok(()) };
    let filter = if args.delivered { StatusFilter::Delivered } else { StatusFilter::Waiting };
    let to = args.to.as_ref().map(|it| it.key.as_str());
    let mut lister = file.list(filter, to);
    loop {
        let piece = lister.next_piece()?;
        if piece.is_empty() {
            return Ok(());
        }
        piece.iter().try_for_each(|event| show(&file, event))?;
    }
}

fn purge(args: &SpoolPurgeArgs) -> anyhow::Result<Exit> {
    let Some(mut file) = open(&args.path, "spool purge")? else { return Ok(Exit::Success) };
    let to = args.to.as_ref().map(|it| it.key.as_str());
    if to.is_none() && std::env::var_os("FORMUSAGE_TO").is_some() {
        output::say("the variable FORMUSAGE_TO has no effect here: --to stands on the command line alone");
    }
    if args.waiting {
        let status = file.status()?;
        let chosen: Vec<_> = status
            .destinations
            .iter()
            .filter(|it| it.waiting > 0 && to.is_none_or(|to| it.destination == to))
            .collect();
        let waiting: u64 = chosen.iter().map(|it| it.waiting).sum();
        if waiting > 0 {
            let what = counted(waiting, "event that was not delivered waits", "events that were not delivered wait");
            let of = to.map(|to| format!(" --to {}", output::shell_word(&shown(to)))).unwrap_or_default();
            let export = format!("{}{of}", args.path.command("spool export"));
            let of_each = |it: &&DestinationStatus| format!("{} for {}", it.waiting, shown(&it.destination));
            let whose = chosen.iter().map(of_each).collect::<Vec<_>>().join(", ");
            confirm_loss(&format!("{what} in {} ({whose})", status.spool.display()), &export, args.yes)?;
        }
        let count = file.purge_waiting(to)?;
        output::say(&format!("{} thrown away", counted(count, "event that waited was", "events that waited were")));
    } else {
        let count = file.purge_delivered(to)?;
        output::say(&format!("{} no longer kept", counted(count, "delivered event is", "delivered events are")));
    }
    Ok(Exit::Success)
}

fn verify(chosen: &SpoolPath) -> anyhow::Result<Exit> {
    let path = chosen.resolve()?;
    let opened = match SpoolFile::open(&path) {
        Err(error) if error.is_damage() => Err(error.to_string()),
        _ => Ok(open(chosen, "spool verify")?),
    };
    let file = match opened {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Exit::Success),
        Err(fault) => {
            output::complain(&fault);
            return Ok(Exit::Objection);
        }
    };
    let faults = file.verify()?;
    if faults.is_empty() {
        let status = file.status()?;
        let waiting: u64 = status.destinations.iter().map(|it| it.waiting).sum();
        output::say(&format!(
            "{} is sound: {}, {}",
            path.display(),
            counted(waiting, "event waits", "events wait"),
            counted(status.dead_letters, "dead letter", "dead letters")
        ));
        return Ok(Exit::Success);
    }
    for fault in &faults {
        output::complain(&format!("{}: {fault}", path.display()));
    }
    output::say("the next publish puts a damaged file aside and carries over what can be read; nothing is deleted");
    Ok(Exit::Objection)
}

fn bring_back(args: &ReconcileArgs) -> anyhow::Result<Exit> {
    let path = args.path.resolve()?;
    let Some(mut file) = open(&args.path, "spool reconcile")? else { return Ok(Exit::Success) };
    let to = match &args.to {
        Some(to) => to.clone(),
        None => only_destination(&file)?,
    };
    crate::connect::warn_of_plain(&to, &args.tls);
    let options = crate::connect::options(&args.nats, &args.tls, args.token_file.as_deref(), args.timeout)?;
    let url = to.spool_key();
    let found = setup::block_on(async {
        let mut source = transport::open(&to, &options)?;
        anyhow::Ok(reconcile(&file, &url, &mut *source).await?)
    })?;
    let missing = found.missing.len();
    output::say(&format!(
        "{} holds {} messages; of {} delivered events that the spool keeps for it, {missing} are missing there",
        to.shown(),
        found.held,
        found.retained
    ));
    if missing == 0 {
        return Ok(Exit::Success);
    }
    if args.dry_run {
        return Ok(Exit::Objection);
    }
    let count = file.put_back(&found.missing)?;
    drop(file);
    if count == 0 {
        bail!("none of them is kept any more; raise --retain of publish");
    }
    let back = counted(count, "event is back", "events are back");
    output::say(&format!("{back} in the spool, to be sent again under the same ids"));
    super::publish::deliver_waiting(&to, &path, args)
}

/// The destination of a spool that knows but one.
fn only_destination(file: &SpoolFile) -> anyhow::Result<Destination> {
    let known: Vec<String> = file.status()?.destinations.into_iter().map(|it| it.destination).collect();
    match &known[..] {
        [only] => only.parse().with_context(|| format!("the spool knows {} alone; name it with --to", shown(only))),
        [] => bail!("the spool knows no destination yet; name one with --to"),
        several => {
            let shown: Vec<_> = several.iter().map(|url| shown(url)).collect();
            bail!("the spool serves several destinations; name one with --to: {}", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_spool_is_told_of_the_services_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("formusage");
        assert_eq!(service_hint(&state, "dlq list"), None);
        // As systemd makes it for a dynamic user: it leads where nobody else may go.
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("private/formusage"), &state).unwrap();
        #[cfg(not(unix))]
        std::fs::create_dir(&state).unwrap();
        let hint = service_hint(&state, "dlq list").unwrap();
        assert!(hint.ends_with("try: sudo formusage dlq list") && hint.contains(&*state.to_string_lossy()), "{hint}");
    }
}
