//! The terminal: taken over while the table is shown, and given back however the process ends.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEvent};
use ratatui::crossterm::{cursor, execute, terminal};
use tokio::sync::mpsc;

use super::{Asked, Board};
use crate::output;

/// How long a look at the keyboard takes at most, so that the thread which looks can end.
const KEYS: Duration = Duration::from_millis(200);

/// The terminal that is taken over now.
static TAKEN_OVER: Mutex<Option<On>> = Mutex::new(None);

/// Where the table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Stderr,
    Stdout,
}

impl On {
    fn writer(self) -> Box<dyn Write> {
        match self {
            Self::Stderr => Box::new(io::stderr()),
            Self::Stdout => Box::new(io::stdout()),
        }
    }
}

/// Whether events are written to standard output beside the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// They go on to whatever reads them.
    Events,
    /// Standard output is the terminal that the table is on, or one beside it.
    Nothing,
}

/// The table on a terminal.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Box<dyn Write>>>,
    keys: mpsc::UnboundedReceiver<Option<KeyEvent>>,
    ended: Arc<AtomicBool>,
    on: On,
    /// The logged line that a key was pressed at: it is read.
    read: Option<String>,
    /// What is shown.
    pub(crate) board: Board,
}

impl Screen {
    /// Takes the terminal over: standard error, or standard output where standard error goes elsewhere. What is logged
    /// from now on is shown in the last line, and written in full when the terminal is given back.
    ///
    /// # Errors
    /// When neither is a terminal, or it can't be taken over.
    pub(crate) fn open() -> anyhow::Result<(Self, Writes)> {
        let on = match (io::stderr().is_terminal(), io::stdout().is_terminal()) {
            (true, _) => On::Stderr,
            (false, true) => On::Stdout,
            (false, false) => bail!(
                "--watch draws on a terminal, and neither standard error nor standard output is one; leave it out to \
                 have the events alone"
            ),
        };
        let writes = if io::stdout().is_terminal() { Writes::Nothing } else { Writes::Events };
        restore_on_panic(on);
        // From here on dropping what was taken gives it back.
        let taken = Taken(on);
        terminal::enable_raw_mode().context("can't take over the terminal")?;
        execute!(on.writer(), terminal::EnterAlternateScreen, cursor::Hide).context("can't take over the terminal")?;
        let terminal = Terminal::new(CrosstermBackend::new(on.writer())).context("can't take over the terminal")?;
        output::hold_words();
        let (sender, keys) = mpsc::unbounded_channel();
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        // A read of the keyboard blocks.
        let read = move || {
            while !end.load(Ordering::Relaxed) {
                let found = match event::poll(KEYS) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let sent = match found {
                    Ok(Event::Key(key)) => sender.send(Some(key)),
                    Ok(Event::Resize(..)) => sender.send(None),
                    Ok(_) => Ok(()),
                    // No keyboard: signals still end it.
                    Err(_) => return,
                };
                if sent.is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("keys".into()).spawn(read).context("could not listen for keys")?;
        std::mem::forget(taken);
        *TAKEN_OVER.lock().unwrap_or_else(PoisonError::into_inner) = Some(on);
        Ok((Self { terminal, keys, ended, on, read: None, board: Board::default() }, writes))
    }

    /// Draws what there is.
    pub(crate) fn draw(&mut self) -> anyhow::Result<()> {
        let Self { terminal, board, read, .. } = self;
        let said = output::last_held_words().filter(|said| read.as_ref() != Some(said));
        terminal
            .draw(|frame| super::view::draw(board, frame, said.as_deref()))
            .context("can't draw on the terminal")?;
        Ok(())
    }

    /// Waits for a key, does what it asks for and draws; for ever where there is no keyboard. May be cancelled.
    pub(crate) async fn key(&mut self) -> anyhow::Result<Asked> {
        match self.keys.recv().await {
            Some(key) => {
                let asked = key.map_or(Asked::Nothing, |key| self.board.key(key));
                if key.is_some() {
                    self.read = output::last_held_words();
                }
                self.draw()?;
                Ok(asked)
            }
            None => std::future::pending().await,
        }
    }
}

/// Waits for a key on the screen; for ever where there is none. May be cancelled.
pub(crate) async fn key(screen: &mut Option<Screen>) -> anyhow::Result<Asked> {
    match screen {
        Some(screen) => screen.key().await,
        None => std::future::pending().await,
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        *TAKEN_OVER.lock().unwrap_or_else(PoisonError::into_inner) = None;
        restore(self.on);
        output::release_words();
    }
}

/// Gives the terminal back where it is taken over, for a process that is ended from another thread.
pub(crate) fn give_terminal_back() {
    let taken = TAKEN_OVER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(on) = taken {
        restore(on);
        output::release_words();
    }
}

/// A terminal that is not wholly taken over yet.
struct Taken(On);

impl Drop for Taken {
    fn drop(&mut self) {
        restore(self.0);
    }
}

/// Gives the terminal back. What fails here can't be said anywhere.
fn restore(on: On) {
    let _ = execute!(on.writer(), terminal::LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
}

/// A panic's message is written to a terminal that shows it.
fn restore_on_panic(on: On) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore(on);
        output::release_words();
        before(panic);
    }));
}
