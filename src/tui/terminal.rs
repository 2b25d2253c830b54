//! The terminal: taken at the start, given back on every way out. Code that writes to stdout or stderr must give it
//! back first. Read [`Screen`] first.

use std::io::{self, IsTerminal as _, Stdout, stdout};
use std::panic;

use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::execute;
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::Size;
use ratatui::prelude::CrosstermBackend;
use ratatui::{Frame, Terminal};

use crate::tui::text::cells::width as width_of;

/// Exit code after a panic, the same as Rust's default.
const PANICKED: i32 = 101;

/// The terminal in raw mode on the alternate screen. Dropping it gives the terminal back.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal. From now on a panic in any task gives it back and ends the process: without its sources
    /// the console would go on drawing old figures.
    ///
    /// # Errors
    /// There is no terminal, or it cannot be set up.
    pub(crate) fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on every way out calls `give_back`.
        let taken = execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match taken {
            Ok(terminal) => {
                let report = panic::take_hook();
                panic::set_hook(Box::new(move |panic| {
                    give_back();
                    report(panic);
                    std::process::exit(PANICKED);
                }));
                Ok(Self { terminal })
            }
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws a frame, in one synchronised update where the terminal supports it.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        execute!(stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(view)?;
        execute!(stdout(), EndSynchronizedUpdate)
    }

    /// Draws a frame and returns its text, one line per row, to leave it in the terminal.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn shown(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<String> {
        let frame = self.terminal.draw(view)?;
        let width = usize::from(frame.area.width).max(1);
        let mut text = String::new();
        for row in frame.buffer.content.chunks(width) {
            let (mut line, mut covered) = (String::new(), 0);
            for symbol in row.iter().map(ratatui::buffer::Cell::symbol) {
                // A wide character covers the next cell too.
                if covered == 0 {
                    line += symbol;
                    covered = width_of(symbol);
                }
                covered = covered.saturating_sub(1);
            }
            text += line.trim_end();
            text.push('\n');
        }
        Ok(text)
    }

    /// Captures the mouse, or releases it, so that the terminal selects text again.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn mouse(&mut self, on: bool) -> io::Result<()> {
        if on { execute!(stdout(), EnableMouseCapture) } else { execute!(stdout(), DisableMouseCapture) }
    }

    /// The size of the terminal.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    /// Gives back a terminal that is gone or closing. Ratatui's drop is skipped: it reports on stderr that it cannot
    /// show the cursor, and panics when stderr is gone too.
    pub(crate) fn abandon(self) {
        give_back();
        std::mem::forget(self);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether there is a terminal to draw on.
pub(crate) fn is_there() -> bool {
    stdout().is_terminal()
}

/// Undoes all terminal modes of this program. Each step runs even if another failed, and none may panic, because this
/// runs in the panic hook.
fn give_back() {
    // When the terminal is gone, nothing can be done and nobody can read an error.
    let _gone = execute!(stdout(), EndSynchronizedUpdate, DisableMouseCapture, DisableBracketedPaste);
    let _gone = execute!(stdout(), LeaveAlternateScreen, Show);
    let _gone = disable_raw_mode();
}
