//! Streams that are not level with their loop: bytes that wait, and a feed of their own. Read [`EventLoop::serve`] first.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event_loop::EventLoop;
use super::log_request::{Delivery, Failure, LogRequest, Offload, Question};
use super::portion::{Portion, StreamEnd, sync_frame};
use super::stream::{End, Stream, Work};
use crate::net::Key;
use crate::node::close::CloseCode;
use crate::node::connections::Connection;
use crate::node::feed::{Feed, Step};
use crate::node::limits::ABORT_PAUSE;
use crate::node::window::{Place, WindowFrame};
use crate::protocol::Cursor;

impl EventLoop {
    pub(super) fn on_answer(&mut self, key: Key, feed: Box<Feed>, outcome: Result<Delivery, Failure>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(work) = stream.work.as_mut().filter(|work| work.end == End::Open) else { return };
        record_position(stream.subscription.as_ref().map(|subscription| &**subscription.connection()), &feed);
        work.feed = Some(feed);
        match outcome {
            Ok(Delivery { portion, backlog }) => {
                work.backlog = backlog;
                if !portion.wire.is_empty() {
                    work.queue.push_back(portion);
                }
                self.enqueue(key);
            }
            Err((code, reason)) => self.announce(key, code, reason),
        }
    }

    /// Does one thing for a stream with work.
    pub(super) fn serve(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(work) = &mut stream.work else { return };
        work.queued = false;
        match stream.flush(&mut self.counts, &self.ticks) {
            Err(_) => return self.close(key, CloseCode::ClientGone),
            Ok(false) => return,
            Ok(true) => {}
        }
        let Some(work) = &mut stream.work else { return };
        if let End::Announced(code) = work.end {
            if self.settings.end == StreamEnd::Abort {
                work.end = End::Pause(code);
                return self.deadlines.push(Reverse((self.now + ABORT_PAUSE, key)));
            }
            stream.transport.close_write();
            return self.close(key, code);
        }
        if let Some(feed) = work.feed.take() {
            self.step(key, feed);
        }
    }

    pub(super) fn step(&mut self, key: Key, mut feed: Box<Feed>) {
        let goal = self.goal();
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (Some(work), Some(subscription)) = (&mut stream.work, &stream.subscription) else { return };
        let known = feed.cursor();
        let backlog = work.backlog.take();
        let step = match backlog {
            Some(backlog) => return self.ask(key, feed, (known, Question::Mail(backlog))),
            None => feed.step(goal.ordinal.max(work.until)),
        };
        record_position(Some(subscription.connection()), &feed);
        let question = match step {
            Step::TooSlow => return self.announce(key, CloseCode::Slow, "too far behind"),
            Step::Idle if feed.place() == Some(goal) => {
                stream.become_level(*feed, goal);
                return;
            }
            Step::Idle => {
                work.feed = Some(feed);
                return self.ahead.push(key);
            }
            Step::Frames(frames) => return self.write_frames(key, feed, &frames),
            Step::Sync(sync) => {
                self.context.metrics.syncs.fetch_add(1, Ordering::Relaxed);
                work.queue.push_back(Portion::new(stream.form.framing.wrap(sync_frame(&sync)), None));
                work.feed = Some(feed);
                return self.enqueue(key);
            }
            Step::Gap(missing) => Question::Gap(missing),
            Step::ReadLog { after, limit } => Question::Page { after, limit },
        };
        self.ask(key, feed, (known, question));
    }

    /// Leaves a stream to a task, which asks the log.
    fn ask(&mut self, key: Key, feed: Box<Feed>, (known, question): (Cursor, Question)) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(subscription) = &stream.subscription else { return };
        let connection = Arc::clone(subscription.connection());
        let (handle, form, ack) = (Arc::clone(&self.handle), stream.form, subscription.ack);
        (self.offload)(Offload::Ask(LogRequest {
            key,
            handle,
            connection,
            form,
            ack,
            feed,
            known,
            question,
        }));
    }

    pub(super) fn write_frames(&mut self, key: Key, mut feed: Box<Feed>, frames: &[Arc<WindowFrame>]) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.scratch.clear();
        frames.iter().for_each(|frame| self.scratch.extend_from_slice(frame.bytes(stream.form)));
        let Ok(count) = stream.transport.push(&self.scratch) else {
            return self.close(key, CloseCode::ClientGone);
        };
        let cut = stream.note_frames(frames.iter().enumerate(), count, (&mut self.counts, &self.ticks));
        let Some(work) = &mut stream.work else { return };
        work.note_taken(count);
        if let Some((index, rest)) = cut {
            feed.return_to(&frames[index]);
            work.block(rest, 0, &self.ticks);
            work.feed = Some(feed);
            return;
        }
        work.feed = Some(feed);
        self.enqueue(key);
    }

    /// Gives a level stream a feed of its own, from its place or another one.
    pub(super) fn fall_behind(&mut self, key: Key, at: Option<Place>) {
        let Some(served) = self.streams.get_mut(key).filter(|s| s.work.is_none()).map(|s| s.served) else {
            return;
        };
        let at = at.unwrap_or_else(|| self.level_place(served));
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(subscription) = &stream.subscription else { return };
        let connection = subscription.connection();
        let reader = self.context.window.reader(connection.identity.addresses(&self.settings.node), at);
        let had = std::mem::take(&mut stream.had).into_vec();
        let feed = Box::new(Feed::live(reader.with_had(had), self.settings.limits));
        connection.set_cursor(Some(at.cursor));
        stream.work = Some(Box::new(Work::new(Some(feed), VecDeque::new())));
    }
}

fn record_position(connection: Option<&Connection>, feed: &Feed) {
    if let Some(connection) = connection {
        connection.set_cursor(Some(feed.cursor()));
        connection.lag.store(feed.lag(), Ordering::Relaxed);
        connection.replaying.store(feed.is_replaying(), Ordering::Relaxed);
    }
}

impl Stream {
    /// The stream has everything up to here, and needs no feed of its own.
    fn become_level(&mut self, feed: Feed, at: Place) {
        self.work = None;
        self.served = at.ordinal;
        self.had = feed.into_had().into_boxed_slice();
        if let Some(connection) = self.connection() {
            connection.set_cursor(None);
            connection.lag.store(0, Ordering::Relaxed);
        }
    }
}
