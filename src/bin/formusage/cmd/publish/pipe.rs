//! Standard input where it is a pipe: what is read from it nobody can give again, so that it is read as it can be kept.

use std::io::{self, Read};

use form_usage_events::publish::ReadAhead;

/// A reader that asks before each read. When it is to end, it reads what is there and closes standard input at once: a meter
/// that writes into it keeps what it could not write, while a pipe that is open and that nobody reads takes it and loses it.
pub(super) struct HeldPipe<R> {
    input: R,
    ahead: ReadAhead,
    /// The last byte that was read ended no line.
    is_within_line: bool,
    end: EndOfRun,
    /// It was closed with something in it.
    pub(super) left_something: bool,
}

impl<R: Read> HeldPipe<R> {
    /// Reads `input`, which reads standard input and holds nothing back, as `ahead` allows.
    pub(super) const fn new(input: R, ahead: ReadAhead, end: EndOfRun) -> Self {
        Self { input, ahead, is_within_line: false, end, left_something: false }
    }
}

impl<R: Read> Read for HeldPipe<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = loop {
            self.ahead.wait(self.is_within_line, writers_are_gone);
            if self.ahead.is_over(self.is_within_line, has_input) {
                self.left_something = has_input();
                close()?;
                return Ok(0);
            }
            // A read that waits for input would take in what comes after reading was held.
            if !self.end.comes_before_input()?
                && let Some(size) = self.ahead.start(self.is_within_line, writers_are_gone)
            {
                break size;
            }
        };
        let most = size.min(buffer.len());
        let count = self.input.read(&mut buffer[..most])?;
        self.is_within_line = count > 0 && buffer[count - 1] != b'\n';
        Ok(count)
    }
}

#[cfg(unix)]
pub(super) use self::unix::{EndOfRun, has_input};
#[cfg(unix)]
use self::unix::{close, writers_are_gone};

#[cfg(unix)]
mod unix {
    use std::io::{self, PipeReader};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use tokio_util::sync::CancellationToken;

    /// How often a reader that may have to end looks whether it is to.
    const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

    /// Wakes who waits for input when the run is asked to end.
    pub(in super::super) struct EndOfRun {
        asked: PipeReader,
        was_asked: bool,
    }

    impl EndOfRun {
        /// To be called within a runtime.
        pub(in super::super) fn new(finish: CancellationToken) -> io::Result<Self> {
            let (asked, writer) = io::pipe()?;
            tokio::spawn(async move {
                finish.cancelled().await;
                drop(writer);
            });
            Ok(Self { asked, was_asked: false })
        }

        /// Waits until there is input. True where the run was asked to end before, or a little later where it was already.
        pub(super) fn comes_before_input(&mut self) -> io::Result<bool> {
            let stdin = io::stdin();
            let mut polled = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&self.asked, PollFlags::IN)];
            let (polled, patience) =
                if self.was_asked { (&mut polled[..1], Some(&LOOK_AGAIN)) } else { (&mut polled[..], None) };
            match poll(polled, patience) {
                Ok(_) => {}
                Err(Errno::INTR) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
            let has_input = !polled[0].revents().is_empty();
            let was_asked = polled.get(1).is_some_and(|asked| !asked.revents().is_empty());
            self.was_asked |= was_asked;
            Ok(!has_input)
        }
    }

    /// Leaves `/dev/null` in the place of standard input, so that nothing else is opened there.
    pub(super) fn close() -> io::Result<()> {
        Ok(rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?)
    }

    /// Whether something lies in the pipe that was not read.
    pub(in super::super) fn has_input() -> bool {
        state_now().contains(PollFlags::IN)
    }

    pub(super) fn writers_are_gone() -> bool {
        state_now().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    fn state_now() -> PollFlags {
        let stdin = io::stdin();
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        let asked = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        asked.map_or(PollFlags::empty(), |_| polled[0].revents())
    }
}

#[cfg(not(unix))]
pub(super) use self::elsewhere::{EndOfRun, has_input};
#[cfg(not(unix))]
use self::elsewhere::{close, writers_are_gone};

/// A read can't be waited for, nor ended.
#[cfg(not(unix))]
mod elsewhere {
    use std::io;

    use tokio_util::sync::CancellationToken;

    pub(in super::super) struct EndOfRun;

    impl EndOfRun {
        #[expect(clippy::unnecessary_wraps, reason = "on Unix it may fail")]
        pub(in super::super) fn new(_: CancellationToken) -> io::Result<Self> {
            Ok(Self)
        }

        #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "on Unix it may fail")]
        pub(super) fn comes_before_input(&mut self) -> io::Result<bool> {
            Ok(false)
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "on Unix it may fail")]
    pub(super) fn close() -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn has_input() -> bool {
        false
    }

    pub(super) fn writers_are_gone() -> bool {
        false
    }
}
