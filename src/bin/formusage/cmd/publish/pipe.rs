//! Standard input where it is a pipe: what is read from it nobody can give again, so that it is read as it can be kept.

use std::io::{self, Read};

use form_usage_events::publish::{ReadAhead, ReadSize};

/// A reader that asks before each read.
pub(super) struct HeldPipe<R> {
    input: R,
    ahead: ReadAhead,
    /// The last byte that was read ended no line.
    is_within_line: bool,
}

impl<R: Read> HeldPipe<R> {
    /// Reads `input`, which reads standard input and holds nothing back, as `ahead` allows.
    pub(super) const fn new(input: R, ahead: ReadAhead) -> Self {
        Self { input, ahead, is_within_line: false }
    }
}

impl<R: Read> Read for HeldPipe<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = loop {
            self.ahead.wait(self.is_within_line, writers_are_gone);
            // A read that waits for input would take in what comes after reading was held.
            wait_for_input()?;
            if let Some(size) = self.ahead.start(self.is_within_line, writers_are_gone) {
                break size;
            }
        };
        let most = if size == ReadSize::OneByte { buffer.len().min(1) } else { buffer.len() };
        let count = self.input.read(&mut buffer[..most])?;
        self.is_within_line = count > 0 && buffer[count - 1] != b'\n';
        Ok(count)
    }
}

#[cfg(unix)]
fn wait_for_input() -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdin = io::stdin();
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether something lies in the pipe that was not read.
#[cfg(unix)]
pub(super) fn has_input() -> bool {
    state_now().contains(rustix::event::PollFlags::IN)
}

#[cfg(unix)]
fn writers_are_gone() -> bool {
    use rustix::event::PollFlags;
    state_now().intersects(PollFlags::HUP | PollFlags::ERR)
}

#[cfg(unix)]
fn state_now() -> rustix::event::PollFlags {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdin = io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    let asked = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    asked.map_or(PollFlags::empty(), |_| polled[0].revents())
}

#[cfg(not(unix))]
fn wait_for_input() -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn has_input() -> bool {
    false
}

#[cfg(not(unix))]
fn writers_are_gone() -> bool {
    false
}
