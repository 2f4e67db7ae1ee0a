//! The fields in whatever order, with whatever blanks between them: what maps, and libraries that sort, write.
//!
//! Each field once, and none that the format does not have. The first letters of a name tell it from the others of its
//! object, so that it is compared with one or two.

use super::Fields;
use super::cursor::Cursor;

/// Fields that were there, a bit for each.
#[derive(Default)]
struct Present(u32);

impl Present {
    const ALL: u32 = (1 << 18) - 1;
    const ORG_ID: u32 = 1 << 5;

    /// Notes field number `field`, which must not have been there.
    #[inline(always)]
    const fn first(&mut self, field: u32) -> Option<()> {
        let bit = 1 << field;
        if self.0 & bit != 0 {
            return None;
        }
        self.0 |= bit;
        Some(())
    }

    const fn is_complete(&self) -> bool {
        self.0 | Self::ORG_ID == Self::ALL
    }
}

/// What stands in the line at the start of `text`.
#[inline(never)]
pub(super) fn read(text: &[u8]) -> Option<Fields<'_>> {
    let mut at = Cursor::new(text);
    let mut fields = Fields::default();
    let mut present = Present::default();
    members(&mut at, |at| event_field(at, &mut fields, &mut present))?;
    if !present.is_complete() {
        return None;
    }
    at.line_end()?;
    fields.length = text.len() - at.left();
    Some(fields)
}

/// Reads an object, whose fields `field` reads from behind the first quote of a name to the end of the value.
#[inline(always)]
fn members<'a>(at: &mut Cursor<'a>, mut field: impl FnMut(&mut Cursor<'a>) -> Option<()>) -> Option<()> {
    at.expect("{")?;
    loop {
        at.skip_blanks();
        at.expect("\"")?;
        field(at)?;
        at.skip_blanks();
        if at.peek() != Some(b',') {
            return at.expect("}");
        }
        at.expect(",")?;
    }
}

/// The rest of a field's name; the value follows.
macro_rules! name {
    ($at:ident, $present:ident, $number:literal, $name:literal) => {{
        $at.expect(concat!($name, "\""))?;
        $present.first($number)?;
        $at.skip_blanks();
        $at.expect(":")?;
        $at.skip_blanks();
    }};
}

#[inline(always)]
fn event_field<'a>(at: &mut Cursor<'a>, fields: &mut Fields<'a>, present: &mut Present) -> Option<()> {
    match at.peek()? {
        b'e' => {
            name!(at, present, 0, "event_type");
            at.expect("\"resource_usage\"")
        }
        b'v' => {
            name!(at, present, 1, "version");
            at.expect("\"1.0\"")
        }
        b't' => {
            name!(at, present, 2, "timestamp");
            fields.timestamp = at.whole()?;
            Some(())
        }
        b'i' => {
            name!(at, present, 3, "instance_id");
            at.expect("\"")?;
            fields.instance_id = at.id()?;
            Some(())
        }
        b'u' => {
            name!(at, present, 4, "user_id");
            at.expect("\"")?;
            fields.user_id = at.id()?;
            Some(())
        }
        b'o' => {
            name!(at, present, 5, "org_id");
            if at.peek() == Some(b'n') {
                return at.expect("null");
            }
            at.expect("\"")?;
            fields.org_id = Some(at.id()?);
            Some(())
        }
        b'm' => {
            name!(at, present, 6, "metrics");
            members(at, |at| metric(at, fields, present))
        }
        b'p' => {
            name!(at, present, 7, "period");
            members(at, |at| end_of_period(at, fields, present))
        }
        _ => None,
    }
}

#[inline(always)]
fn metric<'a>(at: &mut Cursor<'a>, fields: &mut Fields<'a>, present: &mut Present) -> Option<()> {
    match at.peek()? {
        b'c' if at.starts_with("cpu_s") => {
            name!(at, present, 8, "cpu_seconds");
            fields.cpu_seconds = at.whole()?;
        }
        b'c' => {
            name!(at, present, 9, "cpu_percent_avg");
            fields.cpu_percent_avg = at.figure()?;
        }
        b'm' if at.starts_with("memory_g") => {
            name!(at, present, 10, "memory_gb");
            fields.memory_gb = at.figure()?;
        }
        b'm' => {
            name!(at, present, 11, "memory_percent");
            fields.memory_percent = at.figure()?;
        }
        b's' => {
            name!(at, present, 12, "storage_gb");
            fields.storage_gb = at.figure()?;
        }
        b'n' if at.starts_with("network_e") => {
            name!(at, present, 13, "network_egress_mb");
            fields.network_egress_mb = at.figure()?;
        }
        b'n' => {
            name!(at, present, 14, "network_ingress_mb");
            fields.network_ingress_mb = at.figure()?;
        }
        b'g' => {
            name!(at, present, 15, "gpu_seconds");
            fields.gpu_seconds = at.whole()?;
        }
        _ => return None,
    }
    Some(())
}

#[inline(always)]
fn end_of_period(at: &mut Cursor<'_>, fields: &mut Fields<'_>, present: &mut Present) -> Option<()> {
    if at.peek() == Some(b's') {
        name!(at, present, 16, "start");
        fields.start = at.whole()?;
    } else {
        name!(at, present, 17, "end");
        fields.end = at.whole()?;
    }
    Some(())
}
