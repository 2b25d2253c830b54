//! The terminal: taken on start, given back on every way out. Read [`Screen`] first. Whoever wants to write to
//! stdout or stderr must give the screen back before.

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

use super::view::text::width as width_of;

/// Exit code after a panic, as Rust has it.
const PANICKED: i32 = 101;

/// The terminal in raw mode on the alternate screen. Dropping it gives the terminal back.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal, and sees to it that a panic anywhere, in any task, gives it back and ends the process:
    /// a console whose collector died would go on drawing old figures.
    ///
    /// # Errors
    /// There is no terminal, or it refuses.
    pub(crate) fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on every way out passes `give_back`.
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

    /// Draws a frame, as one step where the terminal knows how.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        execute!(stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(view)?;
        execute!(stdout(), EndSynchronizedUpdate)
    }

    /// Draws a frame and gives its texts, a line a row, as they can be left in the terminal.
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
                // A wide letter lies over the cell behind it as well.
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

    /// Takes the mouse, or gives it back to the terminal, which then selects text by itself.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn mouse(&mut self, on: bool) -> io::Result<()> {
        if on { execute!(stdout(), EnableMouseCapture) } else { execute!(stdout(), DisableMouseCapture) }
    }

    /// How large the terminal is.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    /// For a terminal that is gone, or about to: gives back what there still is. Ratatui's own drop is left out: it
    /// reports on stderr that it cannot show the cursor, and panics when stderr is gone as well.
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

/// Undoes everything that this program may have switched on. Each step is tried whatever became of the others, and
/// none may panic: this runs inside a panic hook.
fn give_back() {
    // Nothing can be done, and nobody be told, when the terminal is gone.
    let _gone = execute!(stdout(), EndSynchronizedUpdate, DisableMouseCapture, DisableBracketedPaste);
    let _gone = execute!(stdout(), LeaveAlternateScreen, Show);
    let _gone = disable_raw_mode();
}
