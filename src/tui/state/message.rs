//! Messages, the input of `update`, and effects, its requests to the event loop. Read [`Message`] and [`Effect`]
//! first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crossterm::event::KeyEvent;
use ratatui::layout::{Position, Size};

use crate::tui::config::key::Step;
use crate::tui::state::action_request::{ActionRequest, ActionResult};
use crate::tui::state::bench_run::RunUpdate;
use crate::tui::state::connections::{ListQuery, ListResult};
use crate::tui::state::events::{EventBatch, EventQuery};
use crate::tui::state::moment::Moment;
use crate::tui::state::reading::{FetchError, Reading};
use crate::tui::text::url::NodeUrl;

/// An input of the console.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Key(KeyEvent),
    Resized(Size),
    /// The time, several times per interval.
    Tick(Moment),
    /// The result of a poll of a node.
    Polled(Box<Polled>),
    /// The result of a request for a part of the list of connections.
    Listed(Box<ListResult>),
    /// A batch of events, or a new state of their stream.
    Streamed(Box<EventBatch>),
    /// The result of a check of the token.
    Checked(Access),
    /// The node's answer to an action, or the error.
    Acted(Box<ActionResult>),
    /// A turn of the wheel over this cell.
    Scrolled(Step, Position),
    /// A click on this cell.
    Clicked(Position),
    /// Pasted text, with its control characters.
    Pasted(String),
    /// A line of the bench run, or a change of its file.
    Run(RunUpdate),
    /// The end of the replayed recording.
    RecordingEnded,
}

/// Whether the console may send actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// Without a token, or in a replay.
    ReadOnly,
    /// With a token that no node has checked yet.
    Unknown,
    Granted,
    /// The HTTP status that refused the token.
    Refused(u16),
}

/// The result of a poll of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Polled {
    pub(crate) url: NodeUrl,
    /// When the answer or the error arrived.
    pub(crate) at: Moment,
    pub(crate) outcome: Result<Answer, Failed>,
}

/// A node's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Time from the request to the head of the answer.
    pub(crate) rtt: Duration,
    pub(crate) reading: Reading,
}

/// A failed poll.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failed {
    #[serde(rename = "trouble")]
    pub(crate) error: FetchError,
    /// Failed polls since the last success, including this one.
    pub(crate) tries: u32,
    /// Time until the next poll.
    pub(crate) retry_in: Duration,
}

/// A request of `update` to the event loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Quit,
    /// Ends the console and leaves the last frame in the terminal.
    QuitAndLeave,
    /// Start polling this node.
    Follow(NodeUrl),
    /// Start polling a node that only a bench run named, directly or through a roster: it must not get the token.
    FollowUntrusted(NodeUrl),
    /// Stop polling this node.
    Forget(NodeUrl),
    /// Poll this part of the list of connections; `None` stops.
    List(Option<ListQuery>),
    /// Read this stream of events; `None` closes it.
    ReadEvents(Option<EventQuery>),
    /// Check whether this node accepts the token.
    Check(NodeUrl),
    /// Send this request, once.
    Act(ActionRequest),
    /// Capture the mouse, or release it to the terminal.
    Mouse(bool),
}
