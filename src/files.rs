//! Files that the program writes: which names may be trusted, and who may read what is private.
//!
//! Others may be able to write into a folder: its mode lets them, or it is theirs. In such a folder a symbolic link is
//! followed only if it is this user's or root's, and a file or a folder is used only if it belongs to this user, to root,
//! or to the one user who can write there. So it is for every folder on the way. Whoever plants a link, a file or a folder
//! there gets an error said, and nothing written through it. A link in a folder that this user and root alone can write
//! is an operator's, and is followed.
//!
//! Private files (events, states, locks) are made for their owner alone, whatever the umask: who can open a file can lock
//! it, and a lock stops billing. Outside Linux modes are set on files that are made, and nothing more is checked.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// How many random names are tried before making a file fails.
const MAX_TRIES: usize = 16;

/// The path without symbolic links, whether there is a file or not; a relative one becomes absolute.
///
/// # Errors
/// When a link or a folder on the way is another user's in a folder that others can write, or links lead in a circle.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    return trust::resolve(path);
    #[cfg(not(target_os = "linux"))]
    Ok(path.to_owned())
}

/// Opens a private file. One that is made is for its owner alone, and an existing one is narrowed to that, with a warning.
///
/// # Errors
/// Those of [`resolve`]; when it is no regular file, or another user's in a folder that others can write.
pub fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let path = resolve(path)?;
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(target_os = "linux")]
    trust::refuse_to_follow(options);
    let file = options.open(&path)?;
    if !file.metadata()?.is_file() {
        return Err(no_regular_file(&path));
    }
    #[cfg(target_os = "linux")]
    {
        trust::check_owner(&path, &file.metadata()?)?;
        narrow(&path);
    }
    Ok(file)
}

/// Opens a private file for reading, without changing its mode.
///
/// # Errors
/// As for [`open_private`].
pub fn read_private(path: &Path) -> io::Result<File> {
    let path = resolve(path)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(target_os = "linux")]
    trust::refuse_to_follow(&mut options);
    let file = options.open(&path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(no_regular_file(&path));
    }
    #[cfg(target_os = "linux")]
    trust::check_owner(&path, &metadata)?;
    Ok(file)
}

/// Takes the name of a private file that is not there yet, before it is needed, so that nobody else can put anything there
/// that it could not replace, such as a folder. What the file holds is `placeholder`, until it is replaced. `None` where
/// the disk has no room for it.
///
/// # Errors
/// When something stands there by now, or nothing may be made there.
pub(crate) fn take_name(path: &Path, placeholder: &[u8]) -> io::Result<Option<File>> {
    match create_new(path, true) {
        Ok(mut file) => match io::Write::write_all(&mut file, placeholder) {
            Ok(()) => Ok(Some(file)),
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "the name could not be taken");
                let _ = std::fs::remove_file(path);
                Ok(None)
            }
        },
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens what a user named for output: a file, which is made with the modes of the umask, a pipe or a device.
///
/// # Errors
/// Those of [`resolve`]; when it is another user's in a folder that others can write.
pub fn open_output(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let path = resolve(path)?;
    #[cfg(target_os = "linux")]
    {
        // Checked before it is opened too: to open a planted pipe for writing waits for its reader.
        if let Ok(there) = path.symlink_metadata() {
            trust::check_owner(&path, &there)?;
        }
        // Links are left in /proc alone, where the kernel itself leads on.
        if !path.is_symlink() {
            std::os::unix::fs::OpenOptionsExt::custom_flags(options, trust::NO_FOLLOW);
        }
    }
    let file = options.open(&path)?;
    #[cfg(target_os = "linux")]
    trust::check_owner(&path, &file.metadata()?)?;
    Ok(file)
}

/// Makes a new file beside `path`, under a name that nobody can foretell, to be renamed to it once it is written. With
/// `private` it is for its owner alone.
///
/// # Errors
/// When the folder can't be written.
pub fn create_beside(path: &Path, private: bool) -> io::Result<(File, PathBuf)> {
    let mut result = Err(io::ErrorKind::AlreadyExists.into());
    for _ in 0..MAX_TRIES {
        let name = with_suffix(path, &format!(".{:016x}.new", fastrand::u64(..)));
        result = create_new(&name, private).map(|file| (file, name));
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    result
}

/// As [`create_beside`], for a private file that this process has locked: the name is `PATH.new`, so that what a killed
/// process left there is used up, unless somebody else put something there that can't be removed.
///
/// # Errors
/// When the folder can't be written.
pub(crate) fn create_replacement(path: &Path) -> io::Result<(File, PathBuf)> {
    let usual = with_suffix(path, ".new");
    let _ = std::fs::remove_file(&usual);
    match create_new(&usual, true) {
        Ok(file) => Ok((file, usual)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => create_beside(path, true),
        Err(error) => Err(error),
    }
}

/// Makes a folder, and those above it, for their owner alone. One that is there stays as it is.
///
/// # Errors
/// Those of [`resolve`], and when it can't be made.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    let folder = resolve(folder)?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the file at `path` anew: fails where anything, also a link, stands there.
///
/// # Errors
/// When something is there, or the folder can't be written.
pub fn create_new(path: &Path, private: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let _ = private;
    options.open(path)
}

/// Checks a file that another library opens by name, and makes it, for its owner alone, where `create` says so. Its mode is
/// left as it is: it may turn out to be another program's. Returns the path without links.
///
/// # Errors
/// As for [`open_private`].
#[cfg(feature = "sqlite")]
pub(crate) fn check_private(path: &Path, create: bool) -> io::Result<PathBuf> {
    let path = resolve(path)?;
    let check_owner = || -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Ok(there) = path.symlink_metadata() {
            trust::check_owner(&path, &there)?;
        }
        Ok(())
    };
    check_owner()?;
    #[cfg(target_os = "linux")]
    trust::check_folder(&path)?;
    if create {
        // What fails here fails again when the file is opened, and is said there.
        let _ = create_new(&path, true);
        check_owner()?;
    }
    Ok(path)
}

/// Takes the rights of group and others from a private file, and warns of what it did. The path must be one of
/// [`resolve`]. The file is not opened for reading: closing it would end the locks that SQLite holds on it.
pub(crate) fn narrow(path: &Path) {
    narrow_all(std::slice::from_ref(&path));
}

/// As [`narrow`], for files that belong together: one warning, for the first that others could open.
pub(crate) fn narrow_all<P: AsRef<Path>>(paths: &[P]) {
    #[cfg(target_os = "linux")]
    {
        let mut is_said = false;
        for path in paths {
            let path = path.as_ref();
            let narrowed = trust::narrow(path);
            if is_said || matches!(narrowed, Ok(None)) {
                continue;
            }
            is_said = true;
            match narrowed {
                Ok(before) => tracing::warn!(
                    "{} could be opened by other users (mode {:04o}), who could read or lock it; it is for its owner \
                     alone now (mode 0600)",
                    path.display(),
                    before.unwrap_or_default()
                ),
                Err(error) => tracing::warn!(
                    "{} can be opened by other users, who can read or lock it, and its mode can't be changed: {error}; \
                     run as its owner: chmod 600 {}",
                    path.display(),
                    path.display()
                ),
            }
        }
    }
    let _ = paths;
}

/// Whether a file was refused because another user made it or a link that leads to it.
#[cfg(feature = "sqlite")]
pub(crate) fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && error.kind() == io::ErrorKind::PermissionDenied
}

fn no_regular_file(path: &Path) -> io::Error {
    io::Error::other(format!("{} is no regular file; name another", path.display()))
}

/// The name of a file beside `path`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(target_os = "linux")]
mod trust;
mod whole_lines;

pub use whole_lines::LineFile;
