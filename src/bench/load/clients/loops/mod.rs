//! Threads that read the sockets of the clients, a share of them each. A client on a loop has no task, no timer and no
//! buffer: what it does next is a [`client::State`], and a deadline where that waits for a moment.
//!
//! Only a connect is a task. Once the head of the response is there, the socket belongs to the loop, which reads it into
//! one buffer for all and hands the items to the [`Subscriber`](super::Subscriber) as the task of a client with
//! `reqwest` does. What a loop cannot do (`https`, a redirect) goes on as such a task.
//!
//! Every kind of work has a budget a turn, so that none starves another. Read [`client_loop`] first.

mod client;
mod client_loop;
mod commands;
mod connects;
mod handle;

pub(super) use client_loop::ClientLoop;
pub(super) use handle::{LoopHandle, LoopSetting, Message};
