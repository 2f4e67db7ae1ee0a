//! The fields of an object against those that it should have: unknown, misspelt, missing.

use super::json::{Member, Node, Text, Value, escape_pointer, quote};
use super::names::{distance, nearest};
use super::{Code, Finding};

/// So many unknown fields of an object are compared with the right names; more are no misspellings.
const COMPARED_FIELDS: usize = 64;

/// A field that an object may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) required: bool,
}

/// A field that must be there.
pub(super) const fn required(name: &'static str) -> Field {
    Field { name, required: true }
}

/// A field that may be absent.
pub(super) const fn optional(name: &'static str) -> Field {
    Field { name, required: false }
}

/// Where findings go, and the text that they are about.
pub(super) struct Context<'c, 't> {
    pub(super) text: &'c Text<'t>,
    pub(super) report: &'c mut dyn FnMut(Finding),
}

impl Context<'_, '_> {
    pub(super) fn report(&mut self, offset: usize, pointer: &str, finding: Finding) {
        let place = self.text.place(offset, pointer);
        (self.report)(finding.at(place));
    }

    /// Reports that `spot` holds a value of the wrong type. One that could not be read has its finding already.
    pub(super) fn wrong_type(&mut self, spot: &Spot<'_>, name: &str, expected: &str) {
        if !matches!(spot.node.value, Value::Broken) {
            let finding = Finding::error(Code::WrongType, format!("`{name}` has the wrong type"))
                .found(spot.node.describe())
                .expected(expected);
            self.report(spot.node.start, &spot.pointer, finding);
        }
    }
}

/// A value and the pointer to it.
#[derive(Debug, Clone)]
pub(super) struct Spot<'n> {
    pub(super) node: &'n Node<'n>,
    pub(super) pointer: String,
}

impl<'n> Spot<'n> {
    pub(super) fn root(node: &'n Node<'n>) -> Self {
        Self { node, pointer: String::new() }
    }

    pub(super) fn member(&self, member: &'n Member<'n>) -> Self {
        Self { node: &member.node, pointer: format!("{}/{}", self.pointer, escape_pointer(&member.key)) }
    }

    pub(super) fn item(&self, index: usize, node: &'n Node<'n>) -> Self {
        Self { node, pointer: format!("{}/{index}", self.pointer) }
    }
}

/// A text that is not empty.
pub(super) fn text<'n>(spot: Option<&'n Spot<'n>>, name: &str, context: &mut Context<'_, '_>) -> Option<&'n str> {
    let spot = spot?;
    match &spot.node.value {
        Value::String(text) if text.trim().is_empty() => {
            let finding = Finding::error(Code::EmptyId, format!("`{name}` is empty")).help("write its text");
            context.report(spot.node.start, &spot.pointer, finding);
            None
        }
        Value::String(text) => Some(text),
        _ => {
            context.wrong_type(spot, name, "a string");
            None
        }
    }
}

/// What may be absent may be null.
pub(super) fn not_null<'s, 'n>(spot: Option<&'s Spot<'n>>) -> Option<&'s Spot<'n>> {
    spot.filter(|spot| !matches!(spot.node.value, Value::Null))
}

/// An object whose members have been told apart.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    /// What the object is called in messages, with a point behind; empty for the document's own.
    prefix: &'static str,
    spot: Spot<'n>,
    known: &'static [Field],
    /// For each known field, its value: under its name, or under the name that it was misspelt as.
    slots: Vec<Option<Spot<'n>>>,
    unknown: Vec<&'n Member<'n>>,
}

impl<'n> Fields<'n> {
    /// Tells the members of an object apart, and reports the required ones that are misspelt: that, and not an unknown
    /// field and a missing one. `members` must be those of `spot`.
    pub(super) fn of(
        spot: Spot<'n>,
        members: &'n [Member<'n>],
        prefix: &'static str,
        known: &'static [Field],
        context: &mut Context<'_, '_>,
    ) -> Self {
        let mut slots: Vec<Option<Spot<'n>>> = vec![None; known.len()];
        let mut unknown = Vec::new();
        for member in members {
            match known.iter().position(|field| field.name == member.key) {
                Some(index) => {
                    // The first of two counts here; the second has its finding.
                    if let Some(slot @ None) = slots.get_mut(index) {
                        *slot = Some(spot.member(member));
                    }
                }
                None => unknown.push(member),
            }
        }
        let mut fields = Self { prefix, spot, known, slots, unknown };
        fields.take_misspelt(context);
        fields
    }

    /// The value of the known field at `index`.
    pub(super) fn get(&self, index: usize) -> Option<&Spot<'n>> {
        self.slots.get(index)?.as_ref()
    }

    /// Gives each missing required field the unknown member that is nearest to it, the nearest pair first.
    fn take_misspelt(&mut self, context: &mut Context<'_, '_>) {
        let mut pairs = Vec::new();
        for (index, field) in self.missing() {
            for (at, member) in self.unknown.iter().take(COMPARED_FIELDS).enumerate() {
                if let Some(distance) = distance(&member.key, field.name) {
                    pairs.push((distance, at, index, field.name));
                }
            }
        }
        pairs.sort_unstable();
        let mut taken = Vec::new();
        for (_, at, index, name) in pairs {
            let (Some(member), Some(slot @ None)) = (self.unknown.get(at).copied(), self.slots.get_mut(index)) else {
                continue;
            };
            if taken.contains(&at) {
                continue;
            }
            taken.push(at);
            let spot = self.spot.member(member);
            let message = format!("unknown field {}, and `{}{name}` is missing", quote(&member.key), self.prefix);
            let finding = Finding::error(Code::MisspeltField, message)
                .found(quote(&member.key))
                .expected(quote(name))
                .help(format!("did you mean `{name}`?"));
            context.report(member.start, &spot.pointer, finding);
            *slot = Some(spot);
        }
        let mut at = 0;
        self.unknown.retain(|_| {
            at += 1;
            !taken.contains(&(at - 1))
        });
    }

    /// The required fields that are not there.
    fn missing(&self) -> impl Iterator<Item = (usize, Field)> {
        let slots = self.slots.iter().map(Option::is_none);
        let missing = self.known.iter().zip(slots).enumerate().filter(|(_, (field, none))| field.required && *none);
        missing.map(|(index, (field, _))| (index, *field)).collect::<Vec<_>>().into_iter()
    }

    /// Takes the unknown members that are missing in `inner`, an object inside this one, and reports each as misplaced.
    pub(super) fn take_misplaced(&mut self, inner: &mut Self, context: &mut Context<'_, '_>) {
        let missing: Vec<_> = inner.missing().collect();
        let spot = &self.spot;
        self.unknown.retain(|member| {
            let Some((index, field)) = missing.iter().find(|(_, field)| field.name == member.key) else {
                return true;
            };
            let object = inner.prefix.trim_end_matches('.');
            let member_spot = spot.member(member);
            let finding = Finding::error(Code::MisplacedField, format!("`{}` is in the wrong object", field.name))
                .expected(format!("`{}{}`", inner.prefix, field.name))
                .help(format!("move it into `{object}`"));
            context.report(member.start, &member_spot.pointer, finding);
            if let Some(slot @ None) = inner.slots.get_mut(*index) {
                *slot = Some(member_spot);
            }
            false
        });
    }

    /// Reports what is missing and what is unknown. `note` may say something particular about an unknown name.
    pub(super) fn report_rest(&self, context: &mut Context<'_, '_>, note: impl Fn(&str) -> Option<String>) {
        for (_, field) in self.missing() {
            let finding = Finding::error(Code::MissingField, format!("`{}{}` is missing", self.prefix, field.name))
                .help(match self.prefix.trim_end_matches('.') {
                    "" => "add it; it is required".to_owned(),
                    "metrics" => "add it to `metrics`; an idle instance sends 0".to_owned(),
                    object => format!("add it to `{object}`"),
                });
            context.report(self.spot.node.start, &self.spot.pointer, finding);
        }
        for (at, member) in self.unknown.iter().enumerate() {
            let names = self.known.iter().map(|field| field.name).take_while(|_| at < COMPARED_FIELDS);
            let finding = match (note(&member.key), nearest(&member.key, names)) {
                (Some(note), _) => Finding::warning(Code::UnknownField, note).help("remove it here"),
                (None, Some(name)) => {
                    let there =
                        self.known.iter().zip(&self.slots).any(|(field, slot)| field.name == name && slot.is_some());
                    let help = if there {
                        format!("`{name}` is there too; remove one of them")
                    } else {
                        format!("did you mean `{name}`?")
                    };
                    self.unknown_field(member).help(help)
                }
                (None, None) => self.unknown_field(member).help("remove it, or correct its name"),
            };
            context.report(member.start, &self.spot.member(member).pointer, finding);
        }
    }

    fn unknown_field(&self, member: &Member<'_>) -> Finding {
        let whose = match self.prefix.trim_end_matches('.') {
            "" => String::new(),
            object => format!(" in `{object}`"),
        };
        Finding::warning(Code::UnknownField, format!("unknown field {}{whose}", quote(&member.key)))
    }
}
