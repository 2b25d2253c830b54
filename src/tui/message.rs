//! Everything that can happen to the console, and everything that it can ask for. `update` turns the one into the
//! other; only the event loop carries out effects.

use std::time::Duration;

use crossterm::event::KeyEvent;
use ratatui::layout::Size;

use super::reading::{Reading, Trouble};
use super::url::NodeUrl;

/// A moment, on both clocks. The model reads no clock: time comes with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
}

/// What came of asking a node.
#[derive(Debug, Clone)]
pub(crate) struct Polled {
    pub(crate) url: NodeUrl,
    /// When the answer, or the trouble, was known.
    pub(crate) at: Moment,
    pub(crate) outcome: Result<Answer, Failed>,
}

/// A node's answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// From the request to the head of the answer.
    pub(crate) rtt: Duration,
    pub(crate) reading: Reading,
}

/// A try that gave nothing.
#[derive(Debug, Clone)]
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
    /// Ask this node from now on.
    Follow(NodeUrl),
    /// Ask it no longer.
    Forget(NodeUrl),
}
