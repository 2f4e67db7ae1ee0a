//! `thresholds`: a store of thresholds with a history.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use comfy_table::{Table, presets};
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::collect::host;
use form_usage_events::files;
use form_usage_events::limited_read::{read_limited, read_to_limit};
use form_usage_events::threshold::{
    Change, Edit, Loaded, MAX_FILE_BYTES, ThresholdConfig, ThresholdSource, ThresholdStore, parse_thresholds,
};
use serde_json::{Value, json};

use super::spool::time;
use crate::cli::{
    AuthorArgs, ListFormat, StoreArgs, ThresholdsAction, ThresholdsAddArgs, ThresholdsArgs, ThresholdsEditArgs,
    ThresholdsHistoryArgs, ThresholdsListArgs, ThresholdsRemoveArgs,
};
use crate::exit::Exit;
use crate::input::Input;
use crate::listing::fit_terminal;
use crate::output::{self, Notation, Stdout, say, stdout_is_terminal};
use crate::thresholds;

pub(crate) fn run(args: &ThresholdsArgs) -> anyhow::Result<Exit> {
    match &args.action {
        ThresholdsAction::List(args) => list(args),
        ThresholdsAction::Add(args) => add(args),
        ThresholdsAction::Edit(args) => edit(args),
        ThresholdsAction::Remove(args) => remove(args),
        ThresholdsAction::History(args) => history(args),
    }
}

fn default_store() -> anyhow::Result<PathBuf> {
    let folder = crate::state_dir::state_dir();
    folder.map(|folder| folder.join("thresholds.db")).context(
        "no place for the store: neither $HOME nor a state directory is set; name it with --thresholds sqlite:PATH",
    )
}

fn path(args: &StoreArgs) -> anyhow::Result<PathBuf> {
    let Some(text) = &args.thresholds else { return default_store() };
    match ThresholdSource::parse(text)? {
        ThresholdSource::Sqlite(path) => Ok(path),
        other => bail!("{other} is no store that can be changed here; name one as sqlite:PATH"),
    }
}

/// A store that is there.
fn existing(path: &Path) -> anyhow::Result<ThresholdStore> {
    ThresholdStore::open_existing(path)?.with_context(|| {
        format!("there is no store at {}; make it with: formusage thresholds add FILE", path.display())
    })
}

fn author(args: &AuthorArgs) -> anyhow::Result<String> {
    let author = args.author.clone().or_else(host::user_name);
    author.context("the login name is not known; say who makes the change with --author")
}

fn apply(store: &mut ThresholdStore, edits: &[Edit], args: &AuthorArgs) -> anyhow::Result<usize> {
    Ok(store.apply(edits, &author(args)?, SystemClock.unix_seconds())?)
}

/// The thresholds in `input`, or every fault of it.
fn read(input: &Input) -> anyhow::Result<Vec<ThresholdConfig>> {
    let text =
        read_to_limit(input.open()?, MAX_FILE_BYTES).with_context(|| format!("can't read {input} to its end"))?;
    parsed(&input.to_string(), &text)
}

fn parsed(name: &str, text: &[u8]) -> anyhow::Result<Vec<ThresholdConfig>> {
    match parse_thresholds(name, text) {
        Ok(Loaded { configs, warnings }) => {
            warnings.iter().for_each(|warning| say(warning));
            Ok(configs)
        }
        Err(error) => {
            say(&error.to_string());
            bail!("nothing was changed: the faults are named above")
        }
    }
}

fn add(args: &ThresholdsAddArgs) -> anyhow::Result<Exit> {
    let mut edits = Vec::new();
    for input in Input::or_stdin(&args.files) {
        let edit = |config| if args.replace { Edit::Put(config) } else { Edit::Add(config) };
        edits.extend(read(&input)?.into_iter().map(edit));
    }
    let path = path(&args.author.store)?;
    if let Some(folder) = path.parent().filter(|_| args.author.store.thresholds.is_none()) {
        files::create_private_folder(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    let changed = apply(&mut ThresholdStore::open(&path)?, &edits, &args.author)?;
    let as_they_were = edits.len() - changed;
    let rest = if as_they_were > 0 { format!("; {as_they_were} stood there already") } else { String::new() };
    let what = if args.replace { "added or changed" } else { "added" };
    say(&format!("{} in sqlite:{}{rest}", counted(changed, what), path.display()));
    Ok(Exit::Success)
}

fn remove(args: &ThresholdsRemoveArgs) -> anyhow::Result<Exit> {
    let path = path(&args.author.store)?;
    let edits: Vec<_> = args.ids.iter().cloned().map(Edit::Remove).collect();
    let removed = apply(&mut existing(&path)?, &edits, &args.author)?;
    say(&format!("{} from sqlite:{}; history keeps what they said", counted(removed, "removed"), path.display()));
    Ok(Exit::Success)
}

fn edit(args: &ThresholdsEditArgs) -> anyhow::Result<Exit> {
    let path = path(&args.author.store)?;
    let mut store = existing(&path)?;
    let Some(before) = store.text(&args.id)? else {
        // Removing it would find the nearest name; so does this, without a change.
        bail!("there is no threshold `{}`; see which there are with: formusage thresholds list", args.id);
    };
    let after = match &args.file {
        Some(input) => read(input)?,
        None => in_editor(&before)?,
    };
    let [after] = <[ThresholdConfig; 1]>::try_from(after)
        .map_err(|several| anyhow::anyhow!("one threshold is expected, and there are {}", several.len()))?;
    let changed = apply(&mut store, &[Edit::Replace { before, after }], &args.author)?;
    say(if changed == 0 { "nothing was changed" } else { "changed; see: formusage thresholds history" });
    Ok(Exit::Success)
}

/// What an editor makes of a threshold. A text with faults stays where it was written, and is named.
fn in_editor(before: &str) -> anyhow::Result<Vec<ThresholdConfig>> {
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    let editor = editor.context("neither $VISUAL nor $EDITOR is set; set one, or name a file with the new text")?;
    let value: Value = serde_json::from_str(before)?;
    let folder = std::env::temp_dir();
    let file = folder.join(format!("formusage-threshold-{:016x}.json", fastrand::u64(..)));
    let made = files::create_new(&file, true).with_context(|| format!("can't make {}", file.display()))?;
    serde_json::to_writer_pretty(made, &value)?;
    // An editor may come with arguments, as in `code --wait`.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or_default();
    let status = Command::new(program).args(words).arg(&file).status();
    let status = status.with_context(|| format!("can't start the editor {program:?}"))?;
    if !status.success() {
        let _ = std::fs::remove_file(&file);
        bail!("the editor ended with {status}; nothing was changed");
    }
    let text = read_limited(&file, MAX_FILE_BYTES).with_context(|| format!("can't read {}", file.display()))?;
    let configs = parsed(&file.display().to_string(), &text)
        .with_context(|| format!("your text is kept in {}", file.display()))?;
    let _ = std::fs::remove_file(&file);
    Ok(configs)
}

fn list(args: &ThresholdsListArgs) -> anyhow::Result<Exit> {
    let source = match &args.thresholds {
        Some(source) => source.clone(),
        None => format!("sqlite:{}", default_store()?.display()),
    };
    let mut configs = thresholds::load(&source, thresholds::access(&args.access)?)?.configs;
    configs.sort_by(|a, b| a.id.cmp(&b.id));
    let head = ["id", "resource", "limit", "user", "instance", "action", "channels"];
    let row = |config: &ThresholdConfig| {
        vec![
            config.id.clone(),
            config.resource_type.to_string(),
            config.threshold_type.to_string(),
            config.user_id.clone(),
            config.instance_id.clone().unwrap_or_else(|| "*".to_owned()),
            config.action.to_string(),
            config.notification_channels.join(", "),
        ]
    };
    let values = configs.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    write(args.format, &head, configs.iter().map(row), &values)
}

fn history(args: &ThresholdsHistoryArgs) -> anyhow::Result<Exit> {
    let changes = existing(&path(&args.store)?)?.history(args.id.as_deref())?;
    let what = |change: &Change| match (&change.before, &change.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let row = |change: &Change| {
        let text = match (&change.before, &change.after) {
            (Some(before), Some(after)) => format!("{before}\n{after}"),
            (before, after) => before.iter().chain(after).cloned().collect(),
        };
        vec![time(change.at), change.author.clone(), what(change).to_owned(), change.threshold.clone(), text]
    };
    let parsed = |text: &Option<String>| text.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let value = |change: &Change| {
        json!({
            "number": change.number, "at": change.at, "author": change.author, "change": what(change),
            "id": change.threshold, "before": parsed(&change.before), "after": parsed(&change.after),
        })
    };
    let values: Vec<_> = changes.iter().map(value).collect();
    write(
        args.format,
        &["when", "who", "change", "id", "what stood and stands there"],
        changes.iter().map(row),
        &values,
    )
}

/// Writes a list: a table on a terminal and NDJSON elsewhere, unless `format` says otherwise.
pub(super) fn write(
    format: Option<ListFormat>,
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    values: &[Value],
) -> anyhow::Result<Exit> {
    let default = if stdout_is_terminal() { ListFormat::Table } else { ListFormat::Ndjson };
    let format = format.unwrap_or(default);
    let mut stdout = Stdout::new(if format == ListFormat::Table { Notation::Words } else { Notation::Json });
    match format {
        ListFormat::Table => {
            let mut table = Table::new();
            table.load_style(presets::UTF8_HORIZONTAL_ONLY);
            fit_terminal(&mut table);
            table.set_header(head);
            rows.for_each(|row| {
                table.add_row(row.iter().map(|cell| output::printable(cell).into_owned()));
            });
            stdout.line(table.to_string().as_bytes())?;
        }
        ListFormat::Json => stdout.line(&serde_json::to_vec(values)?)?,
        ListFormat::Ndjson => values.iter().try_for_each(|value| stdout.line(&serde_json::to_vec(value)?))?,
    }
    stdout.flush()?;
    Ok(Exit::Success)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {} {what}", if number == 1 { "threshold was" } else { "thresholds were" })
}
