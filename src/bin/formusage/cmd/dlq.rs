//! `dlq`: dead letters.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::{Line, LinePart};
use form_usage_events::publish::{Intake, IntakeReader, Origin};
use form_usage_events::spool::{DeadLetter, Replayed, SpoolFile};
use form_usage_events::transport::Destination;
use serde_json::{Value, json};

use super::confirm::confirm_loss;
use super::spool::{open, shown, time};
use crate::channels::is_channel;
use crate::cli::{DlqAction, DlqArgs, DlqPurgeArgs, DlqSelectArgs, SpoolPath};
use crate::exit::Exit;
use crate::listing::{Column, Listing};
use crate::output::{self, Notation, Stdout, stdout_is_terminal};

pub(crate) fn run(args: &DlqArgs) -> anyhow::Result<Exit> {
    match &args.action {
        DlqAction::List(args) => {
            let mut table = stdout_is_terminal().then(|| Listing::new(COLUMNS.to_vec()));
            let mut stdout = Stdout::new(Notation::Words);
            each(&args.path, "dlq list", |letter| match &mut table {
                Some(table) => table.row(row(letter), &mut stdout),
                None => stdout.line(&serde_json::to_vec(&record(letter))?),
            })?;
            if let Some(table) = &mut table {
                table.write(&mut stdout)?;
            }
            stdout.flush()?;
            Ok(Exit::Success)
        }
        DlqAction::Export(args) => {
            let mut stdout = Stdout::new(Notation::Json);
            each(&args.path, "dlq export", |letter| stdout.line(&letter.raw))?;
            stdout.flush()?;
            Ok(Exit::Success)
        }
        DlqAction::Show(args) => show(&args.path, args.id),
        DlqAction::Replay(args) => {
            let to = args.to.as_ref().map(Destination::spool_key);
            replay(&args.select, to.as_deref())
        }
        DlqAction::Purge(args) => purge(args),
    }
}

fn each(path: &SpoolPath, words: &str, mut show: impl FnMut(&DeadLetter) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let Some(file) = open(path, words)? else { return Ok(()) };
    let mut after = 0;
    loop {
        let letters = file.letters(after)?;
        let Some(last) = letters.last() else { return Ok(()) };
        after = last.id;
        letters.iter().try_for_each(&mut show)?;
    }
}

fn place(letter: &DeadLetter) -> String {
    letter.line.map_or_else(|| letter.source.clone(), |line| format!("{}:{line}", letter.source))
}

const COLUMNS: [Column; 6] = [
    Column::figures("#"),
    Column::text("last"),
    Column::text("kind"),
    Column::figures("tries"),
    Column::long("from"),
    Column::long("reason"),
];

fn row(letter: &DeadLetter) -> Vec<String> {
    let state = if letter.replaying { "(waits for its replay) " } else { "" };
    vec![
        letter.id.to_string(),
        time(letter.last_at),
        letter.kind.name().to_owned(),
        letter.tries.to_string(),
        // Alerts of one spool go to several places.
        if is_channel(&letter.destination) {
            format!("{} to {}", place(letter), letter.destination)
        } else {
            place(letter)
        },
        format!("{state}{}", letter.reason),
    ]
}

/// The bytes as text where they are that, in base64 where they are not.
fn record(letter: &DeadLetter) -> Value {
    let mut record = json!({
        "id": letter.id, "kind": letter.kind, "destination": shown(&letter.destination), "reason": letter.reason,
        "first_at": letter.first_at, "last_at": letter.last_at, "tries": letter.tries,
        "source": letter.source, "line": letter.line, "replaying": letter.replaying,
    });
    if let Some(piece) = letter.piece {
        record["piece"] = piece.into();
    }
    match std::str::from_utf8(&letter.raw) {
        Ok(text) => record["raw"] = text.into(),
        Err(_) => record["raw_base64"] = STANDARD.encode(&letter.raw).into(),
    }
    record
}

fn show(path: &SpoolPath, id: u64) -> anyhow::Result<Exit> {
    let Some(file) = open(path, &format!("dlq show {id}"))? else { return Ok(Exit::Objection) };
    let Some(letter) = file.letter(id)? else {
        let list = path.command("dlq list");
        output::complain(&format!("there is no dead letter {id}; see which there are with: {list}"));
        return Ok(Exit::Objection);
    };
    let mut stdout = Stdout::new(Notation::Words);
    if stdout_is_terminal() {
        let lines = [
            ("dead letter", letter.id.to_string()),
            ("kind", letter.kind.name().to_owned()),
            ("reason", letter.reason.clone()),
            ("from", place(&letter)),
            ("to", shown(&letter.destination)),
            ("first, last", format!("{}, {}", time(letter.first_at), time(letter.last_at))),
            ("tries", letter.tries.to_string()),
            ("replaying", letter.replaying.to_string()),
        ];
        for (name, value) in lines {
            stdout.line(format!("{name:>12}  {}", output::printable(&value)).as_bytes())?;
        }
        // What a terminal might act upon is shown, not sent.
        stdout.line(
            format!("{:>12}  {}", "bytes", letter.raw.escape_ascii().to_string().replace("\\\"", "\"")).as_bytes(),
        )?;
    } else {
        stdout.line(&serde_json::to_vec(&record(&letter))?)?;
    }
    stdout.flush()?;
    Ok(Exit::Success)
}

/// The letters that were chosen.
fn chosen(file: &SpoolFile, args: &DlqSelectArgs) -> anyhow::Result<Vec<u64>> {
    if !args.all {
        return Ok(args.ids.clone());
    }
    let mut ids = Vec::new();
    loop {
        let letters = file.letters(ids.last().copied().unwrap_or(0))?;
        if letters.is_empty() {
            return Ok(ids);
        }
        ids.extend(letters.iter().map(|letter| letter.id));
    }
}

fn replay(args: &DlqSelectArgs, to: Option<&str>) -> anyhow::Result<Exit> {
    let Some(mut file) = open(&args.path, "dlq replay")? else { return Ok(Exit::Objection) };
    let now = SystemClock.unix_seconds();
    let read = |raw: &[u8]| {
        let line = Line { number: 1, bytes: raw, part: LinePart::Whole };
        match IntakeReader::default().judge(line, Origin { input: "dlq".into(), line: None }, now) {
            Intake::Event(event) => Ok(event.encoded),
            Intake::Refused(line) => Err(line.reason),
            Intake::Broken(reason) => Err(reason),
        }
    };
    let (mut waiting, mut refused) = (0u64, 0u64);
    let mut urls = BTreeSet::new();
    for id in chosen(&file, args)? {
        let from = file.letter(id)?.map(|letter| letter.destination);
        if let (Some(to), Some(channel)) = (to, from.as_ref().filter(|url| is_channel(url))) {
            output::complain(&format!(
                "dead letter {id} is an alert for {channel}, and goes nowhere else: not to {}",
                shown(to)
            ));
            refused += 1;
            continue;
        }
        let url = to.map(str::to_owned).or(from);
        match file.replay(id, to, now, &read)? {
            Replayed::Waiting | Replayed::Already => {
                waiting += 1;
                urls.extend(url);
            }
            Replayed::Invalid(reason) => {
                let export = args.path.command("dlq export");
                output::complain(&format!(
                    "dead letter {id} is still no valid event: {reason}; export it with: {export}, mend and publish it"
                ));
                refused += 1;
            }
            Replayed::Unknown => {
                output::complain(&format!("there is no dead letter {id}"));
                refused += 1;
            }
        }
    }
    if waiting > 0 {
        output::say(&format!(
            "{} for the next publish; try now with:",
            output::counted(waiting, "letter waits", "letters wait")
        ));
        for url in urls {
            if is_channel(&url) {
                let alerts = args.path.spool.as_ref().map(|path| {
                    let path = path.to_string_lossy();
                    format!(" --alert-spool {}", output::shell_word(&path))
                });
                let alerts = alerts.unwrap_or_default();
                output::say(&format!(
                    "  formusage publish --thresholds … --channels …{alerts} </dev/null   # for {}",
                    shown(&url)
                ));
                continue;
            }
            let publish = args.path.command(&format!("publish --to {}", output::shell_word(&shown(&url))));
            output::say(&format!("  {publish} </dev/null"));
        }
    } else if refused == 0 {
        output::say("there are no dead letters");
    }
    Ok(if refused == 0 { Exit::Success } else { Exit::Objection })
}

fn purge(args: &DlqPurgeArgs) -> anyhow::Result<Exit> {
    let (select, path) = (&args.select, &args.select.path);
    let Some(mut file) = open(path, "dlq purge")? else { return Ok(Exit::Success) };
    let ids = chosen(&file, select)?;
    // Who names letters by their numbers has looked at them.
    if select.all && !ids.is_empty() {
        let what = output::counted(ids.len() as u64, "dead letter holds", "dead letters hold");
        let what = format!("{what} what was never delivered");
        confirm_loss(&what, &path.command("dlq export"), args.yes)?;
    }
    let (mut purged, mut left) = (0u64, 0u64);
    for id in ids {
        if file.purge_letter(id)? {
            purged += 1;
        } else {
            output::complain(&format!("dead letter {id} is not there, or waits for its replay"));
            left += 1;
        }
    }
    output::say(&format!("{} thrown away", output::counted(purged, "dead letter was", "dead letters were")));
    Ok(if left == 0 { Exit::Success } else { Exit::Objection })
}
