//! Whose links and files may be used where, on Linux.

use std::collections::VecDeque;
use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Every user may make files, and remove nobody else's.
#[cfg(feature = "sqlite")]
const SHARED: u32 = 0o1002;

/// The flag of `open` by which a link at the end of the path is refused.
#[allow(clippy::cast_possible_wrap)]
pub(super) const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits() as i32;

/// A link at the end of the path is refused, and a pipe is not waited for.
pub(super) fn refuse_to_follow(options: &mut OpenOptions) {
    #[allow(clippy::cast_possible_wrap)]
    options.custom_flags(OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32);
}

/// See [`super::resolve`].
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut left: VecDeque<PathBuf> = parts(&path).collect();
    let mut resolved = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        match part.components().next() {
            Some(Component::ParentDir) => {
                resolved.pop();
                continue;
            }
            Some(Component::Normal(name)) => resolved.push(name),
            _ => continue,
        }
        if resolved.starts_with("/proc") {
            if let Some(folder) = folder_of_kernel_link(&resolved)? {
                resolved = PathBuf::from("/");
                prepend(&mut left, &folder);
            }
            continue;
        }
        let Ok(target) = resolved.read_link() else {
            check_folder_owner(&resolved)?;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other(format!("the links of {} lead in a circle", path.display())));
        }
        check_link(&resolved)?;
        resolved.pop();
        if target.is_absolute() {
            resolved = PathBuf::from("/");
        }
        prepend(&mut left, &target);
    }
    Ok(resolved)
}

fn prepend(left: &mut VecDeque<PathBuf>, path: &Path) {
    parts(path).collect::<Vec<_>>().into_iter().rev().for_each(|part| left.push_front(part));
}

/// The path of the folder that a link of the kernel's in `/proc` leads to (`/proc/self/cwd`, `root`, `fd/3`), so that those
/// above it are looked at. `None` where there is no such link: links to files lead on as they are, since they may lead to
/// what has no name (`/dev/stdout` to a pipe), and relative ones (`/proc/self`) stay in `/proc`.
fn folder_of_kernel_link(link: &Path) -> io::Result<Option<PathBuf>> {
    let Ok(target) = link.read_link() else { return Ok(None) };
    let Some(there) = link.metadata().ok().filter(Metadata::is_dir) else { return Ok(None) };
    if target.is_relative() {
        return Ok(None);
    }
    if target.metadata().is_ok_and(|named| (named.dev(), named.ino()) == (there.dev(), there.ino())) {
        return Ok(Some(target));
    }
    Err(refused(format!(
        "{} leads to a folder that has no path here (it was removed, or is another mount's), so that it is not known who can \
         replace what is kept in it; name it by its path",
        link.display()
    )))
}

fn parts(path: &Path) -> impl Iterator<Item = PathBuf> {
    path.components().map(|part| PathBuf::from(part.as_os_str()))
}

/// Refuses a link that somebody else may have put there.
fn check_link(link: &Path) -> io::Result<()> {
    let (there, folder) = (link.symlink_metadata()?, folder_of(link)?);
    if !others_can_write(&folder) || is_trusted(there.uid()) {
        return Ok(());
    }
    Err(refused(format!(
        "{} is a symbolic link of user {} in a folder that others can write, and is not followed; remove it, or name a \
         path in a folder that only this user can write",
        link.display(),
        there.uid()
    )))
}

/// Refuses a file that somebody else may have put there. `path` is resolved.
pub(super) fn check_owner(path: &Path, file: &Metadata) -> io::Result<()> {
    if !may_be_planted(file.uid(), &folder_of(path)?) {
        return Ok(());
    }
    Err(refused(format!(
        "{} belongs to user {}, in a folder that others can write, and is not used; remove it, or name a path in a folder \
         that only this user can write",
        path.display(),
        file.uid()
    )))
}

/// Refuses a folder on the way that somebody else may have made: its owner can put other files under every name in it, at
/// any time.
fn check_folder_owner(path: &Path) -> io::Result<()> {
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    if !found.is_dir() || !may_be_planted(found.uid(), &folder_of(path)?) {
        return Ok(());
    }
    Err(refused(format!(
        "the folder {} belongs to user {}, who can replace what is kept in it, and lies in a folder that others can write; \
         nothing in it is used: name a path in a folder that only this user can write",
        path.display(),
        found.uid()
    )))
}

/// Whether what `owner` has in `folder` may have been put there by somebody who is not trusted. What a service has in its
/// own folder, which root looks into, was not: nobody else can write there.
fn may_be_planted(owner: u32, folder: &Metadata) -> bool {
    let is_its_owners_alone = folder.mode() & 0o022 == 0 && folder.uid() == owner;
    others_can_write(folder) && !is_trusted(owner) && !is_its_owners_alone
}

/// Refuses a folder that all users share, as `/tmp` is, for a file beside which a library makes others by name. `path` is
/// resolved.
///
/// Whoever makes those first keeps them open, with all that is written into them. (Where everybody may also remove what
/// others made, as in volumes of containers, nothing is safe from anybody, and there are mostly no others.)
#[cfg(feature = "sqlite")]
pub(super) fn check_folder(path: &Path) -> io::Result<()> {
    if folder_of(path).is_ok_and(|folder| folder.mode() & SHARED == SHARED) {
        return Err(refused(format!(
            "{} lies in a folder that every user can write: somebody else could make the files that the database has beside \
             it, and read and change what it holds; name a path in a folder of this user's own",
            path.display()
        )));
    }
    Ok(())
}

/// Takes the rights of group and others away; gives the mode before, `None` where nobody else had any.
pub(super) fn narrow(path: &Path) -> io::Result<Option<u32>> {
    // Such a descriptor stands for the file that was looked at, whatever its name leads to now.
    let held = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let Ok(held) = held.map(std::fs::File::from) else { return Ok(None) };
    let metadata = held.metadata()?;
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() || mode & 0o077 == 0 {
        return Ok(None);
    }
    use std::os::fd::AsRawFd as _;
    let name = format!("/proc/self/fd/{}", held.as_raw_fd());
    std::fs::set_permissions(name, std::fs::Permissions::from_mode(mode & 0o7700))?;
    Ok(Some(mode))
}

fn refused(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

fn folder_of(path: &Path) -> io::Result<Metadata> {
    path.parent().unwrap_or(Path::new("/")).metadata()
}

/// Whether another user than this one and root can put files there. An access list shows in the bits of the group.
fn others_can_write(folder: &Metadata) -> bool {
    folder.mode() & 0o022 != 0 || !is_trusted(folder.uid())
}

/// Whether this user is the one, or one who may do everything here: in a user namespace root's files may belong to
/// another number, which then owns `/`.
fn is_trusted(owner: u32) -> bool {
    owner == 0
        || owner == rustix::process::geteuid().as_raw()
        || Path::new("/").metadata().is_ok_and(|root| root.uid() == owner)
}
