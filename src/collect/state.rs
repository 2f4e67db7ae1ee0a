//! Kept state: what a collector needs to go on where another one ended, however that one ended. Pure; the file is
//! `StateFile`'s.
//!
//! Two lines of JSON: a head with the version and a digest of the second line, which holds the host, the boot, the
//! events that are being written, and the agent.
//!
//! **Neither lost nor doubled.** Events are written to standard output between two saves: the one before holds them as
//! *closing*, the one after does not. Who was killed in between, or whose reader was gone, leaves them closing; the next
//! process writes them again, byte for byte, so that they have the id that they had, and where they are delivered a
//! repeat is known by its id.

use serde::{Deserialize, Serialize};

use super::agent::{Snapshot, SnapshotRef};
use super::timeline::Now;
use crate::events::EventId;

/// What the first line says that the file is.
const FORMAT: &str = "formusage collect state";
/// The version that is written. Older ones are read.
const VERSION: u32 = 1;

/// Where a state was made: on which host, in which boot of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The machine's id where it has one, else its name.
    pub host: String,
    /// The boot's id; `None` where boots can't be told apart.
    pub boot: Option<String>,
}

/// A state that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Where it was made.
    pub origin: Origin,
    /// Events that may or may not have been written, each a line without its end.
    pub closing: Vec<String>,
    /// The agent.
    pub agent: Snapshot,
}

/// Why a state can't be gone on with. The file is put aside, and never deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateFault {
    /// It is no state, or not whole.
    #[error("it is damaged ({0})")]
    Damaged(String),
    /// A newer version of this program wrote it.
    #[error("it is of version {0}, and this program knows up to {VERSION}: run the newer program that wrote it")]
    Newer(u32),
    /// It was made on another machine.
    #[error("it is of another host ({0})")]
    OtherHost(String),
    /// A later one was saved in its place.
    #[error(
        "it is an older copy of the state that was saved last, and what was metered since then would be billed again; to go on \
         with it all the same, put it back and remove the .lock file beside it"
    )]
    OlderCopy,
    /// It was made at a time that has not been yet.
    #[error("it is from the future: the clock stood at Unix second {0} when it was kept")]
    Future(i64),
}

/// How to go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Continuation {
    /// In the same boot: without a gap.
    Same(Snapshot),
    /// In another boot, whose counters began at zero: anew, and not before.
    Rebooted(Snapshot),
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    digest: String,
}

#[derive(Serialize)]
struct BodyRef<'a> {
    #[serde(flatten)]
    origin: &'a Origin,
    closing: &'a [String],
    agent: &'a SnapshotRef<'a>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    origin: Origin,
    closing: Vec<String>,
    agent: Snapshot,
}

impl Saved {
    /// The state of an agent as bytes; `closing` are the events that are about to be written.
    ///
    /// # Errors
    /// When a figure is infinite or not a number. The meter has none.
    pub fn encode(origin: &Origin, closing: &[String], agent: &SnapshotRef<'_>) -> Result<Vec<u8>, serde_json::Error> {
        let body = serde_json::to_string(&BodyRef { origin, closing, agent })?;
        let digest = EventId::of(body.as_bytes()).to_string();
        let head = serde_json::to_string(&Head { format: FORMAT.to_owned(), version: VERSION, digest })?;
        Ok(format!("{head}\n{body}\n").into_bytes())
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the bytes are no state, not all of it, or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateFault> {
        let damaged = |why: &str| StateFault::Damaged(why.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
        if text.is_empty() {
            return Err(damaged("it is empty"));
        }
        let (head, body) = text.split_once('\n').ok_or_else(|| damaged("it has no second line"))?;
        let head: Head = serde_json::from_str(head).map_err(|error| damaged(&format!("its first line: {error}")))?;
        if head.format != FORMAT {
            return Err(damaged("its first line does not say that it is the state of a collector"));
        }
        if head.version > VERSION {
            return Err(StateFault::Newer(head.version));
        }
        let body = body.strip_suffix('\n').ok_or_else(|| damaged("its end is missing"))?;
        if EventId::of(body.as_bytes()).to_string() != head.digest {
            return Err(damaged("its digest is another one"));
        }
        let body: Body = serde_json::from_str(body).map_err(|error| damaged(&format!("its second line: {error}")))?;
        if !body.agent.is_possible() {
            return Err(damaged("it holds times that no clock shows"));
        }
        Ok(Self { origin: body.origin, closing: body.closing, agent: body.agent })
    }

    /// Whether and how a collector goes on with this state at `here` and `now`; gives the closing events too.
    ///
    /// # Errors
    /// When it is of another host or from the future.
    pub fn continuation(self, here: &Origin, now: Now) -> Result<(Vec<String>, Continuation), StateFault> {
        if self.origin.host != here.host {
            return Err(StateFault::OtherHost(self.origin.host));
        }
        let same = here.boot.is_some() && self.origin.boot == here.boot;
        if self.agent.line().is_ahead_of(now, same) {
            return Err(StateFault::Future(self.agent.line().second()));
        }
        let continuation = if same { Continuation::Same(self.agent) } else { Continuation::Rebooted(self.agent) };
        Ok((self.closing, continuation))
    }
}
