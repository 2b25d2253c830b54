//! The loops: threads that have the streams of the node, a share of them each. A stream needs no task, no timer and, while
//! it is level with its loop, no cursor. While a thread waits, the tail may do a small pass in its place.
//!
//! A loop has one place in the window. A stream that is *level* has everything that it is owed up to there; a *pass*
//! takes the next slots once and writes them to all level streams that they concern. Any other stream (it has just
//! come, its socket takes no more, an event for it alone overtakes a long pass) has *work*: bytes that wait, and a feed
//! of its own, which goes to the end of the pass under way and is level then. So nobody needs to know whether a pass has
//! gone by a stream that was behind.
//!
//! Every kind of work has a budget a turn, so that none starves another. Read [`event_loop`] first.

mod event_loop;
mod handle;
mod keepalive;
mod lists;
mod log_request;
mod pass;
mod portion;
mod progress;
mod shared_loop;
mod stream;
mod ticks;
mod work;

pub(crate) use event_loop::{Budget, EventLoop, LoopSettings};
pub(crate) use handle::{LoopHandle, Loops, Message};
#[cfg(test)]
pub(crate) use log_request::Question;
pub(crate) use log_request::{Backlog, Offload};
pub use portion::StreamEnd;
pub(crate) use portion::{Portion, close_portion, gap_frame, mail_portion, response_head, sync_frame};
pub(crate) use shared_loop::SharedLoop;
pub(crate) use stream::{Arrival, Following, LoopPermit, NewStream, Subscription};
