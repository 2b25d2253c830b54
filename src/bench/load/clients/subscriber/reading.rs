//! A client with an open stream: receives events, and commands meanwhile. Read [`Subscriber::read`] first.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::observing::{is_joined, observe_event};
use super::recent;
use super::subscriber::{Session, Stopped, Subscriber};
use crate::bench::load::clients::control::{Command, CommandReceiver};
use crate::bench::load::clients::throttle::Pace;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::tags::Tags;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario::dialect::{Dialect, Message};
use crate::bench::stamp::{Stamp, Unreadable, difference};
use crate::bench::verdict::Seen;
use crate::bench::verdict::ledger::{Arrival, Fields};
use crate::client::{Ending, Intake, Stream};
use crate::protocol::event::control;
use crate::protocol::{Cursor, Format, Item};
use crate::runtime::sleep_until_opt;

/// Time between two looks whether the history is written.
const HISTORY_WAIT: Duration = Duration::from_millis(5);

/// An event of the stream.
pub(super) struct Incoming<'a> {
    pub(super) event: &'a str,
    /// The `id:` field of this event; `None`: it has none.
    pub(super) id: Option<&'a str>,
    /// How that id follows the last one; `None`: there is none to compare.
    pub(super) step: Option<Ordering>,
    pub(super) data: &'a str,
}

impl Subscriber {
    pub(super) async fn read(&mut self, stream: &mut Stream, session: &mut Session) -> Stopped {
        let mut receiver = self.receiver.clone();
        let stopped = self.read_until_command(stream, session, &mut receiver).await;
        self.receiver = receiver;
        stopped
    }

    /// Waits for one command across many events: a new wait for each event would cost as much as the event.
    async fn read_until_command(
        &mut self,
        stream: &mut Stream,
        session: &mut Session,
        receiver: &mut CommandReceiver,
    ) -> Stopped {
        loop {
            let command = {
                let mut receiving = std::pin::pin!(receiver.recv());
                let mut leaving = std::pin::pin!(sleep_until_opt(self.leaves()));
                loop {
                    let (reads, until) = self.pace();
                    tokio::select! {
                        // Data before commands: at a cut, everything received has been read, as with a broken
                        // connection.
                        biased;
                        () = sleep_until_opt(until), if until.is_some() => {}
                        ready = stream.ready(), if reads => {
                            if let Err(ending) = ready.and_then(|()| self.take(stream, session)) {
                                return Stopped::Ended(ending);
                            }
                            self.ledger.hand_in_many().await;
                        }
                        command = &mut receiving => break Some(command),
                        () = &mut leaving => break None,
                    }
                }
            };
            let stopped = match command {
                Some(command) => self.obey(command, session),
                None => self.is_time_to_leave().then_some(Stopped::Leaves),
            };
            if let Some(stopped) = stopped {
                return stopped;
            }
        }
    }

    /// Does what a command asks of a client with an open stream. Returns why that ends, if it does.
    pub(in crate::bench::load::clients) fn obey(
        &mut self,
        command: Command,
        session: &Session,
    ) -> Option<Stopped> {
        match command {
            Command::Cut => Some(Stopped::Cut),
            Command::Sentinels(addresses) => {
                self.expect_sentinels(addresses);
                None
            }
            Command::Recheck => self.is_stalled(session).then_some(Stopped::Recheck),
            Command::Over => Some(Stopped::Over),
        }
    }

    /// Whether this stream is open and lacks what it was sent.
    fn is_stalled(&self, session: &Session) -> bool {
        session.is_confirmed
            && self.sentinels.as_ref().is_some_and(|all| self.ledger.sentinels_missing(all) > 0)
    }

    /// Whether the client reads now, and until when; `None`: for ever.
    pub(in crate::bench::load::clients) fn pace(&self) -> (bool, Option<Instant>) {
        let Some(throttle) = &self.throttle else { return (true, None) };
        match throttle.pace(self.context.clock.now().since_start()) {
            Pace::Reads(until) => (true, until.map(|until| Instant::now() + until)),
            Pace::Waits(wait) => (false, Some(Instant::now() + wait)),
        }
    }

    /// Longest silence of a stream; `None`: for ever. A server that an ad hoc swarm does not know may be silent for any
    /// time.
    pub(in crate::bench::load::clients) fn idle_timeout(&self) -> Option<Duration> {
        self.adhoc.is_none().then(|| self.group().idle_timeout)
    }

    /// Until when the client must not read, because the history is not written fast enough.
    pub(in crate::bench::load::clients) fn history_is_behind(&mut self) -> Option<Instant> {
        (!self.ledger.try_hand_in_many()).then(|| Instant::now() + HISTORY_WAIT)
    }

    /// Handles everything received so far, with one arrival time: an event must not seem later because of the work on the
    /// events before it.
    fn take(&mut self, stream: &mut Stream, session: &mut Session) -> Result<(), Ending> {
        let arrived = self.bytes_arrived(session);
        stream.take(|item| self.receive(session, arrived, &item))
    }

    /// Notes that bytes arrived; when, for all items in them.
    pub(in crate::bench::load::clients) fn bytes_arrived(&self, session: &mut Session) -> (RunTime, Instant) {
        let arrived = (self.context.clock.now(), Instant::now());
        self.observe_bytes(session, arrived.0);
        arrived
    }

    /// Handles one item.
    pub(in crate::bench::load::clients) fn receive(
        &mut self,
        session: &mut Session,
        (now, received_at): (RunTime, Instant),
        item: &Item<'_>,
    ) {
        let step = self.step_to(item);
        self.reconnect.learn_of(item);
        match *item {
            Item::Event { event, data, last_event_id, id_in_block } => {
                let id = id_in_block.then_some(last_event_id);
                self.receive_event(session, now, &Incoming { event, id, step, data });
                if let Some(throttle) = &mut self.throttle {
                    throttle.took(now.since_start(), data.len());
                }
            }
            Item::Comment(_) => {
                session.notes.events.comments += 1;
                self.heartbeat(session, now, received_at);
            }
            Item::Retry(_) | Item::IdCommitted(_) => {}
        }
        session.last_data = received_at;
    }

    fn receive_event(&mut self, session: &mut Session, now: RunTime, incoming: &Incoming<'_>) {
        if let Some(dialect) = &self.context.plan.dialect {
            let dialect = Arc::clone(dialect);
            return self.receive_in(&dialect, session, now, incoming);
        }
        match incoming.event {
            control::CONNECTION => {
                self.learn_node(session, incoming.data);
                self.confirm(session, now);
            }
            control::GAP => {
                self.ledger.gap(now);
                self.samples.count(Counter::Gaps, self.tags(now), 1);
                self.context.progress.gap();
            }
            control::CLOSE => {
                let counter = if session.is_confirmed { Counter::Closes } else { Counter::SoftRejects };
                self.samples.count(counter, self.tags(now), 1);
            }
            control::HEARTBEAT => self.heartbeat(session, now, Instant::now()),
            control::CURSOR | control::SYNC => {}
            _ => {
                // A server without a CONNECTION event confirms with its first event.
                self.confirm(session, now);
                let in_envelope = session.format == Format::Envelope || incoming.event == control::ENVELOPE;
                let stamp = recent::decode(incoming.data, in_envelope);
                if self.adhoc.is_some() {
                    return self.receive_adhoc(now, stamp, incoming.data);
                }
                let (id, event) = self.in_one_spelling(session, incoming);
                let fields = Fields { id: id.as_deref(), event };
                let arrival = match stamp {
                    Ok(stamp) => self.ledger.arrive(now, fields, stamp),
                    Err(why) => self.unreadable(now, fields, why, incoming.data),
                };
                observe_event(session, now, incoming, arrival);
                self.note_arrival(now, arrival);
            }
        }
    }

    /// The id and the type of an event as the judge compares them. The same event has other ids and another type in another
    /// format; no type is expected where the node says another format than the plan, or of an event that comes in its
    /// envelope although others do not.
    fn in_one_spelling<'a>(
        &self,
        session: &Session,
        incoming: &Incoming<'a>,
    ) -> (Option<Cow<'a, str>>, Option<&'a str>) {
        if session.format == Format::Envelope {
            let is_expected = self.reading().format == Format::Envelope;
            return (incoming.id.map(Cow::Borrowed), is_expected.then_some(incoming.event));
        }
        let long = |id: &'a str| id.parse::<Cursor>().map_or(Cow::Borrowed(id), |id| id.to_string().into());
        let is_expected = self.reading().format == Format::Data && incoming.event != control::ENVELOPE;
        (incoming.id.map(long), is_expected.then_some(incoming.event))
    }

    /// Enters an event that cannot be read, and notes how its payload was altered.
    fn unreadable(&mut self, now: RunTime, fields: Fields<'_>, why: Unreadable, data: &str) -> Arrival {
        if matches!(why, Unreadable::Altered(_)) {
            self.context.sightings().note(self.plan().group, Seen::Altered, &difference(data));
        }
        self.ledger.unreadable(now, fields, why)
    }

    /// Notes what of a stream could not be read, or was misread.
    pub(super) fn note_misread(&self, intake: &Intake, stopped: &Stopped) {
        let group = self.plan().group;
        for fault in intake.crate_faults() {
            self.context.sightings().note(group, Seen::Crate(*fault), "");
        }
        if let Stopped::Ended(Ending::LimitExceeded(limit)) = stopped {
            let bytes = self.reading().max_event;
            self.context.sightings().note(group, Seen::TooLong(bytes), &limit.to_string());
        }
    }

    /// Handles an event of an unknown publisher.
    fn receive_adhoc(&mut self, now: RunTime, stamp: Result<Stamp, Unreadable>, data: &str) {
        let has_last_event_id = !self.reconnect.last_event_id().is_empty();
        self.context.progress.delivered();
        let since_boot = self.context.clock.since_machine_boot(now);
        let latency =
            self.adhoc.as_mut().and_then(|adhoc| adhoc.receive(since_boot, stamp, data, has_last_event_id));
        if let Some(latency) = latency {
            self.samples.record_at(Trend::DeliveryLatency, self.tags(now), now.minus(latency), latency);
        }
    }

    /// Handles an event in the wire format of another server.
    fn receive_in(
        &mut self,
        dialect: &Dialect,
        session: &mut Session,
        now: RunTime,
        incoming: &Incoming<'_>,
    ) {
        self.confirm(session, now);
        let arrival = match dialect.read(incoming.event, incoming.data) {
            Message::Own if dialect.is_own(incoming.event) => {
                session.notes.events.joined += u64::from(is_joined(dialect, incoming));
                return self.heartbeat(session, now, Instant::now());
            }
            unread @ (Message::Own | Message::Foreign) => {
                let joined = is_joined(dialect, incoming);
                session.notes.events.joined += u64::from(joined);
                // Several events in one are no greeting.
                session.had_message |= joined;
                return self.receive_unread(session, now, incoming, unread);
            }
            Message::Event(stamp) => {
                session.had_message = true;
                let id = dialect.id_of(incoming.id, &stamp);
                let fields = Fields { id: id.as_deref(), event: Some(incoming.event) };
                self.ledger.arrive(now, fields, stamp)
            }
            Message::Altered(stamp) => {
                session.had_message = true;
                let id = stamp.and_then(|stamp| dialect.id_of(incoming.id, &stamp));
                let fields = Fields { id: id.as_deref(), event: Some(incoming.event) };
                self.unreadable(now, fields, Unreadable::Altered(stamp), incoming.data)
            }
        };
        observe_event(session, now, incoming, arrival);
        self.note_arrival(now, arrival);
    }

    /// Handles a message without an event where the dialect looks for one.
    fn receive_unread(
        &mut self,
        session: &mut Session,
        now: RunTime,
        incoming: &Incoming<'_>,
        message: Message,
    ) {
        let is_first = !std::mem::replace(&mut session.had_message, true);
        let kind = || incoming.event.to_owned();
        let seen = match (self.locator.find(incoming.data), message) {
            (Some(place), _) => Some(Seen::StampAt(place.to_string())),
            (None, Message::Foreign) if is_first => Some(Seen::Greeting(kind())),
            (None, Message::Foreign) => {
                self.context.sightings().note(self.plan().group, Seen::Unknown(kind()), incoming.data);
                let arrival = self.ledger.unreadable(now, Fields::default(), Unreadable::Foreign);
                return self.note_arrival(now, arrival);
            }
            (None, Message::Own | Message::Event(_) | Message::Altered(_)) => None,
        };
        if let Some(seen) = seen {
            self.context.sightings().note(self.plan().group, seen, incoming.data);
        }
        self.heartbeat(session, now, Instant::now());
    }

    /// Behind a load balancer, only the `CONNECTION` event names the node. It also says the format of the stream, which an
    /// earlier version does not.
    fn learn_node(&self, session: &mut Session, data: &str) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Hello {
            instance_id: String,
            format: Option<Format>,
        }
        let Ok(hello) = serde_json::from_str::<Hello>(data) else { return };
        session.format = hello.format.unwrap_or(session.format);
        if session.node.is_some() {
            return;
        }
        session.node = self.context.node_named(&hello.instance_id);
        session.assignment = session.node.and_then(|node| self.context.balancer.assign(node));
    }

    pub(super) fn confirm(&mut self, session: &mut Session, now: RunTime) {
        if session.is_confirmed {
            return;
        }
        session.is_confirmed = true;
        self.ledger.confirmed(now, session.sent_cursor, now.minus(session.began.elapsed()));
        if let Some(node) = session.node {
            self.ledger.served_by(node);
        }
        let tags = self.tags(now);
        self.samples.record(Trend::FirstEventTime, tags, session.began.elapsed());
        self.context.progress.connected();
        if let Some(downtime) = self.downtime.is_over(Instant::now()) {
            self.samples.record(Trend::ReconnectTime, tags, downtime);
            self.samples.count(Counter::Reconnects, tags, 1);
            self.context.progress.reconnected();
        }
    }

    fn heartbeat(&mut self, session: &Session, now: RunTime, received_at: Instant) {
        let tags = self.tags(now);
        self.samples.count(Counter::Heartbeats, tags, 1);
        self.samples.record(
            Trend::HeartbeatGap,
            tags,
            received_at.saturating_duration_since(session.last_data),
        );
    }

    fn note_arrival(&mut self, now: RunTime, arrival: Arrival) {
        match arrival {
            Arrival::New { stamp, path, recovered_after } => {
                // With the phase in which it was due, so that a lost event can be counted there, too.
                let tags = Tags { path: Some(path), ..self.tags(stamp.due) };
                let latency = now.after(stamp.due);
                // A delivery counts in the second in which it was due, too.
                self.samples.record_at(Trend::DeliveryLatency, tags, stamp.due, latency);
                self.samples.record_at(Trend::DeliveryLatencySent, tags, stamp.due, now.after(stamp.sent));
                if let Some(time) = recovered_after {
                    self.samples.record(Trend::RecoveryTime, self.tags(now), time);
                }
                self.context.progress.delivered_after(latency);
            }
            Arrival::Sentinel(_) => self.look_for_sentinels(),
            Arrival::Repeated { .. }
            | Arrival::Leaked
            | Arrival::OtherRun
            | Arrival::Foreign
            | Arrival::Altered => {
                self.context.progress.delivered();
            }
        }
    }
}
