//! Tables of TOML, read value by value, with the place of each fault.

use std::cell::{OnceCell, RefCell};
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::collect::InstanceTemplate;
use crate::collect::meter::check_id;
use crate::collect::metered::Labels;
use crate::validate::names::nearest;

/// The longest interval: what the wall clock can't count to is none.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600 * 100);
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(10);

/// Bytes between two positions of a text whose line and column are remembered.
const POSITION_STEP: usize = 512;

/// A line and a column, both from 1; columns count characters.
type Position = (usize, usize);

/// Faults, as they are found.
#[derive(Debug)]
pub(super) struct Problems<'t> {
    file: &'t str,
    text: &'t str,
    /// The position of every [`POSITION_STEP`]th byte: a hundred thousand scopes are asked where they stand.
    positions: OnceCell<Vec<Position>>,
    /// Each with the place where it is.
    said: RefCell<Vec<(usize, String)>>,
}

impl<'t> Problems<'t> {
    pub(super) const fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, positions: OnceCell::new(), said: RefCell::new(Vec::new()) }
    }

    /// A fault of the file as a whole.
    pub(super) fn say(&self, problem: &str) {
        self.said.borrow_mut().push((usize::MAX, format!("{}: {problem}", self.file)));
    }

    fn at(&self, span: &Range<usize>, problem: &str) {
        self.said.borrow_mut().push((span.start, format!("{}: {problem}", self.place(span))));
    }

    fn place(&self, span: &Range<usize>) -> String {
        let bytes = self.text.as_bytes();
        let positions = self.positions.get_or_init(|| {
            let step =
                |position: &mut Position, piece: &[u8]| Some(std::mem::replace(position, behind(*position, piece)));
            bytes.chunks(POSITION_STEP).scan((1, 1), step).collect()
        });
        let step = (span.start / POSITION_STEP).min(positions.len().saturating_sub(1));
        let before = bytes.get(step * POSITION_STEP..span.start.min(bytes.len())).unwrap_or_default();
        let (line, column) = behind(positions.get(step).copied().unwrap_or((1, 1)), before);
        format!("{}:{line}:{column}", self.file)
    }

    /// All of them, in the order of the file.
    pub(super) fn into_inner(self) -> Vec<String> {
        let mut said = self.said.into_inner();
        said.sort_by_key(|(place, _)| *place);
        said.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// The position behind `bytes`, which stand at `position`.
fn behind(position: Position, bytes: &[u8]) -> Position {
    bytes.iter().fold(position, |(line, column), byte| match byte {
        b'\n' => (line + 1, 1),
        // What goes on with a character is none of its own.
        0x80..=0xbf => (line, column),
        _ => (line, column + 1),
    })
}

/// The table that `text` is; `None`, with the fault said, where it is none.
pub(super) fn parse<'t>(text: &'t str, problems: &Problems<'_>) -> Option<Spanned<DeTable<'t>>> {
    match DeTable::parse(text) {
        Ok(table) => Some(table),
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            problems.at(&span, &format!("this is no TOML: {}", error.message().replace('\n', "; ")));
            None
        }
    }
}

/// A table whose keys are known.
#[derive(Debug)]
pub(super) struct Table<'a> {
    table: &'a DeTable<'a>,
    span: Range<usize>,
    name: &'a str,
    known: &'a [&'static str],
    problems: &'a Problems<'a>,
}

impl<'a> Table<'a> {
    /// Says which of the keys are unknown. `name` is what messages call the table.
    pub(super) fn new(
        table: &'a Spanned<DeTable<'a>>,
        name: &'a str,
        known: &'a [&'static str],
        problems: &'a Problems<'a>,
    ) -> Self {
        Self::checked(table.get_ref(), table.span(), name, known, problems)
    }

    /// The same of a value that should be one.
    pub(super) fn of_value(
        value: &'a Spanned<DeValue<'a>>,
        name: &'a str,
        known: &'a [&'static str],
        problems: &'a Problems<'a>,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::checked(table, value.span(), name, known, problems)),
            other => {
                problems.at(&value.span(), &format!("{name} should be a table and is {}", kind(other)));
                None
            }
        }
    }

    fn checked(
        table: &'a DeTable<'a>,
        span: Range<usize>,
        name: &'a str,
        known: &'a [&'static str],
        problems: &'a Problems<'a>,
    ) -> Self {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let found = key.get_ref();
            let whose = if name.is_empty() { String::new() } else { format!(" in {name}") };
            let help = nearest(found, known.iter().copied())
                .map_or_else(|| format!("there are {}", known.join(", ")), |near| format!("did you mean {near}?"));
            problems.at(&key.span(), &format!("unknown key {found:?}{whose}; {help}"));
        }
        Self { table, span, name, known, problems }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether there is a key that is unknown and nearest to this one, which was said.
    pub(super) fn has_misspelt(&self, key: &str) -> bool {
        let unknown = self.table.keys().filter(|found| !self.known.contains(&found.get_ref().as_ref()));
        unknown.into_iter().any(|found| nearest(found.get_ref(), self.known.iter().copied()) == Some(key))
    }

    /// Where it stands: `FILE:LINE:COLUMN`.
    pub(super) fn place(&self) -> String {
        self.problems.place(&self.span)
    }

    /// An id or a template of one. One that says the same of all instances has to be fit for an event.
    pub(super) fn id(&self, key: &str) -> Option<InstanceTemplate> {
        let template: InstanceTemplate = self.text(key)?;
        if let Some(Err(why)) = template.fixed().map(check_id) {
            let value = self.table.get(key)?;
            self.problems.at(
                &value.span(),
                &format!("{key} can't be {}: {why}; write an id, or leave {key} out", kind(value.get_ref())),
            );
        }
        Some(template)
    }

    /// A string that stands for something.
    pub(super) fn text<T: FromStr<Err: Display>>(&self, key: &str) -> Option<T> {
        let value = self.table.get(key)?;
        self.parsed(key, value)
    }

    /// The same, where there has to be one.
    pub(super) fn required<T: FromStr<Err: Display>>(&self, key: &str, example: &str) -> Option<T> {
        if !self.has(key) {
            let problem = format!("{} has no {key}; write {key} = {example:?}", self.name);
            self.problems.at(&self.span, &problem);
        }
        self.text(key)
    }

    /// An array of such strings, or one alone; empty where there is none.
    pub(super) fn list<T: FromStr<Err: Display>>(&self, key: &str) -> Vec<T> {
        match self.table.get(key).map(|value| (value, value.get_ref())) {
            None => Vec::new(),
            Some((_, DeValue::Array(items))) => items.iter().filter_map(|item| self.parsed(key, item)).collect(),
            Some((value, _)) => self.parsed(key, value).into_iter().collect(),
        }
    }

    /// An array of tables.
    pub(super) fn tables(&self, key: &str) -> Vec<&'a Spanned<DeValue<'a>>> {
        match self.table.get(key) {
            None => Vec::new(),
            Some(value) => match value.get_ref() {
                DeValue::Array(items) => items.iter().collect(),
                _ => {
                    self.wrong(key, value, "tables, each under a line [[scope]]");
                    Vec::new()
                }
            },
        }
    }

    /// Names with strings.
    pub(super) fn labels(&self, key: &str) -> Labels {
        let Some(value) = self.table.get(key) else { return Labels::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(key, value, "names with strings: { tier = \"gold\" }");
            return Labels::new();
        };
        let label = |(name, value): (&Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name: &std::borrow::Cow<'_, str> = name.get_ref();
            if name.is_empty() {
                self.problems.at(&value.span(), "a label needs a name");
            }
            Some((name.clone().into_owned(), self.parsed::<String>(&format!("{key}.{name}"), value)?))
        };
        table.iter().filter_map(label).collect()
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.table.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(key, value, "true or false");
        }
        flag
    }

    /// A duration of whole seconds.
    pub(super) fn seconds(&self, key: &str) -> Option<Duration> {
        let whole =
            |duration: &Duration| (Duration::from_secs(1)..=LONGEST).contains(duration) && duration.subsec_nanos() == 0;
        self.time(key, "whole seconds, at least one: \"30s\", \"5m\", \"1h\"", whole)
    }

    /// A duration.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        self.time(key, "a time, at least 10ms: \"500ms\", \"5s\"", |duration| (SHORTEST..=LONGEST).contains(duration))
    }

    fn time(&self, key: &str, expected: &str, fits: impl Fn(&Duration) -> bool) -> Option<Duration> {
        let value = self.table.get(key)?;
        let duration = value.get_ref().as_str().and_then(|text| humantime::parse_duration(text).ok()).filter(fits);
        if duration.is_none() {
            self.wrong(key, value, expected);
        }
        duration
    }

    fn parsed<T: FromStr<Err: Display>>(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong(key, value, "a string");
            return None;
        };
        text.parse().map_err(|error| self.problems.at(&value.span(), &format!("{key}: {error}"))).ok()
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let problem = format!("{key} should be {expected}, and is {}", kind(value.get_ref()));
        self.problems.at(&value.span(), &problem);
    }
}

fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
