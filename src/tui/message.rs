//! Everything that can happen to the console, and everything that it can ask for. `update` turns the one into the
//! other; only the event loop carries out effects.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crossterm::event::KeyEvent;
use ratatui::layout::{Position, Size};

use super::act::{Act, Acted};
use super::keymap::Step;
use super::listing::{ListQuery, Listed};
use super::reading::{Reading, Trouble};
use super::run::RunNews;
use super::tail::{Batch, TailQuery};
use super::url::NodeUrl;

/// A moment, on both clocks. The model reads no clock: time comes with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// Since the console started; never goes back.
    pub(crate) elapsed: Duration,
    /// Since 1970, for people; may jump.
    pub(crate) unix: Duration,
}

/// Something happened.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Key(KeyEvent),
    Resized(Size),
    /// Time passed.
    Tick(Moment),
    /// A node was asked.
    Polled(Box<Polled>),
    /// A part of the list of connections came, or did not.
    Listed(Box<Listed>),
    /// Events came.
    Streamed(Box<Batch>),
    /// A node was asked whether the token may act.
    Checked(Access),
    /// Something was done, or refused.
    Acted(Box<Acted>),
    /// The wheel over this cell: so many rows down, or up.
    Scrolled(Step, Position),
    /// A click on this cell.
    Clicked(Position),
    /// A text was pasted.
    Pasted(String),
    /// A bench run went on.
    Run(RunNews),
    /// A recording ended.
    Ended,
}

/// Whether the console may change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// No token was given, or a recording is shown.
    ReadOnly,
    /// A token was given, and no node said yet what it is worth.
    Unknown,
    Granted,
    /// The status with which it was refused.
    Refused(u16),
}

/// What came of asking a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Polled {
    pub(crate) url: NodeUrl,
    /// When the answer, or the trouble, was known.
    pub(crate) at: Moment,
    pub(crate) outcome: Result<Answer, Failed>,
}

/// A node's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// From the request to the head of the answer.
    pub(crate) rtt: Duration,
    pub(crate) reading: Reading,
}

/// A try that gave nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) trouble: Trouble,
    /// Tries since the last success, this one included.
    pub(crate) tries: u32,
    /// Until the next try.
    pub(crate) retry_in: Duration,
}

/// Something is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Quit,
    /// Ends the console and leaves what it showed last in the terminal.
    QuitAndLeave,
    /// Ask this node from now on.
    Follow(NodeUrl),
    /// The same for one that only a bench run named, or a node that only it named: the token is not for it.
    FollowStranger(NodeUrl),
    /// Ask it no longer.
    Forget(NodeUrl),
    /// Ask for this part of the list of connections from now on; for none with `None`.
    List(Option<ListQuery>),
    /// Read this stream from now on; none with `None`.
    Tail(Option<TailQuery>),
    /// Ask this node what the token is worth.
    Check(NodeUrl),
    /// Do this, once.
    Act(Act),
    /// Take the mouse, or give it back to the terminal.
    Mouse(bool),
}
