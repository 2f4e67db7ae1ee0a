//! What is in a folder of control groups, sorted, so that who looks for names with one beginning finds them quickly.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirEntryExt as _;
use std::path::Path;

use crate::collect::spelling::spelled;

/// The groups in a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In the order of their spelled names.
    groups: Vec<Listed>,
    /// Why the folder could not be listed, in whole or in part.
    failure: Option<io::Error>,
}

/// A group in a folder.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) name: OsString,
    /// The name as ids and patterns spell it.
    pub(super) spelled: Box<str>,
    pub(super) inode: u64,
}

impl Listing {
    /// Lists `folder`.
    pub(super) fn of(folder: &Path) -> Self {
        let mut listing = Self::default();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return Self { failure: Some(error), ..listing },
        };
        for entry in entries {
            match entry {
                Ok(entry) if entry.file_type().is_ok_and(|kind| kind.is_dir()) => {
                    let name = entry.file_name();
                    let spelled = spelled(name.as_bytes()).into();
                    listing.groups.push(Listed { spelled, inode: entry.ino(), name });
                }
                Ok(_) => {}
                Err(error) => listing.failure = Some(error),
            }
        }
        listing.groups.sort_unstable_by(|one, other| one.spelled.cmp(&other.spelled));
        listing
    }

    pub(super) const fn len(&self) -> usize {
        self.groups.len()
    }

    /// Why groups may be missing.
    pub(super) const fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Those whose spelled name begins with `prefix`.
    pub(super) fn with_prefix<'l>(&'l self, prefix: &str) -> impl Iterator<Item = &'l Listed> {
        let first = self.groups.partition_point(|listed| &*listed.spelled < prefix);
        self.groups.get(first..).unwrap_or_default().iter().take_while(move |listed| listed.spelled.starts_with(prefix))
    }
}
