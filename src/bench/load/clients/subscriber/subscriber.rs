//! The life of a virtual client: when it connects, and when the next connection begins. Never judges what
//! it receives. Read [`Subscriber::run`] first.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use tokio::time::Instant;

use crate::bench::ids::{AddressId, GroupId, NodeIndex};
use crate::bench::load::adhoc::AdhocClient;
use crate::bench::load::balancer::{Assignment, ClientKey, Endpoint};
use crate::bench::load::clients::context::{ClientSlot, SwarmContext};
use crate::bench::load::clients::control::{Command, CommandReceiver};
use crate::bench::load::clients::downtime::Downtime;
use crate::bench::load::clients::recording_ledger::RecordingLedger;
use crate::bench::load::clients::sample_buffer::SampleBuffer;
use crate::bench::load::clients::throttle::Throttle;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario;
use crate::bench::scenario::dialect::{Confirm, Locator};
use crate::bench::scenario::plan::{GroupPlan, Joins, ReadingPlan, SubscriberPlan};
use crate::bench::verdict::diagnosis::StreamNotes;
use crate::bench::verdict::ledger::{Ending as LifeEnding, IdTable, SubscriberLedger};
use crate::client::{ConnectError, Ending, Intake, Policy, Reconnect, ReconnectOptions, Request, Stream};
use crate::protocol::Format;
use crate::runtime::sleep_until_opt;

/// One virtual client.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) context: Arc<SwarmContext>,
    me: usize,
    /// As in its plan: there it would be in no cache, and each event needs it.
    group: GroupId,
    pub(in crate::bench::load::clients) receiver: CommandReceiver,
    pub(super) samples: SampleBuffer,
    slot: ClientSlot,
    pub(in crate::bench::load::clients) ledger: RecordingLedger,
    /// `None`: a client of a run.
    pub(super) adhoc: Option<AdhocClient>,
    pub(super) reconnect: Reconnect,
    /// Attempts to connect so far. Part of the random seed of each.
    pub(super) connects: u64,
    /// Whether a stream was ever open.
    was_open: bool,
    pub(super) downtime: Downtime,
    /// Addresses that get a sentinel; `None` until they are announced.
    pub(super) sentinels: Option<Arc<[AddressId]>>,
    /// Searches messages that were not understood.
    pub(super) locator: Locator,
    /// `None`: the client reads as fast as it can.
    pub(in crate::bench::load::clients) throttle: Option<Box<Throttle>>,
    /// Cookies for the next request, as `name=value`.
    pub(super) cookies: Vec<String>,
    /// The endpoint of the last connect.
    sent_to: Option<Endpoint>,
}

/// The next step of a client without a connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench::load::clients) enum Next {
    /// Connect after this time.
    After(Duration),
    /// Do not connect again.
    Stop(LifeEnding),
}

/// An attempt to connect.
pub(in crate::bench::load::clients) struct Attempt {
    pub(super) endpoint: Endpoint,
    node: Option<NodeIndex>,
    pub(super) assignment: Option<Assignment>,
    pub(super) began: Instant,
    pub(super) rng: ChaCha8Rng,
}

/// An open stream.
pub(in crate::bench::load::clients) struct Session {
    /// `None` while a load balancer hides it.
    pub(super) node: Option<NodeIndex>,
    pub(super) assignment: Option<Assignment>,
    pub(super) began: Instant,
    pub(super) sent_cursor: bool,
    pub(super) is_confirmed: bool,
    /// What events come as, as the node says.
    pub(super) format: Format,
    /// Whether a message came that is not the server's own by its type.
    pub(super) had_message: bool,
    /// When data were received last.
    pub(super) last_data: Instant,
    /// What the diagnosis needs to know of it.
    pub(super) notes: StreamNotes,
    pub(super) rng: ChaCha8Rng,
}

/// Why a client stopped reading.
pub(in crate::bench::load::clients) enum Stopped {
    Ended(Ending),
    Cut,
    /// By the client itself: the stream is open and lacks what it was sent.
    Recheck,
    Over,
    Leaves,
}

impl From<scenario::Reconnect> for Reconnect {
    fn from(plan: scenario::Reconnect) -> Self {
        let policy = match plan.policy {
            scenario::ReconnectPolicy::Browser => Policy::Browser,
            scenario::ReconnectPolicy::Fetch => Policy::Fetch,
            scenario::ReconnectPolicy::Tolerant => Policy::Tolerant,
            scenario::ReconnectPolicy::None => Policy::None,
        };
        let (max_delay, jitter, send_last_event_id) = (plan.max_delay, plan.jitter, plan.last_event_id);
        let options =
            ReconnectOptions { max_delay, jitter, send_last_event_id, ..ReconnectOptions::default() };
        Self::new(policy, options)
    }
}

impl Subscriber {
    /// A client that has not connected yet. `ids`: those that it remembers, together with others.
    pub(in crate::bench::load::clients) fn new(
        context: &Arc<SwarmContext>,
        plan: &SubscriberPlan,
        samples: SampleBuffer,
        receiver: CommandReceiver,
        ids: &IdTable,
    ) -> Self {
        let group = &context.plan.groups[usize::from(plan.group.0)];
        Self {
            context: Arc::clone(context),
            me: usize::try_from(plan.id.0).unwrap_or(usize::MAX),
            group: plan.group,
            receiver,
            samples,
            slot: ClientSlot::take(context),
            ledger: RecordingLedger::new(
                SubscriberLedger::sharing(&context.plan, plan.id, ids),
                context.writer.as_ref(),
            ),
            adhoc: context.adhoc.clone().map(AdhocClient::new),
            reconnect: group.reconnect.into(),
            connects: 0,
            was_open: false,
            downtime: Downtime::default(),
            sentinels: None,
            locator: Locator::default(),
            throttle: Throttle::of(&context.plan, plan),
            cookies: Vec::new(),
            sent_to: None,
        }
    }

    /// The whole life of the client, as a task. Ends when the plan says so, when the reconnect policy gives up, or at
    /// [`Command::Over`].
    pub async fn run(mut self) -> SubscriberLedger {
        let next = match self.plan().joins {
            Joins::BeforeStart => Next::After(Duration::ZERO),
            Joins::At(time) => self.wait_to_join(time).await,
        };
        self.live(next, None).await
    }

    /// The rest of the life of a client that has begun to connect.
    pub(in crate::bench::load::clients) async fn go_on(
        self,
        begun: Box<(Attempt, Request)>,
    ) -> SubscriberLedger {
        self.live(Next::After(Duration::ZERO), Some(begun)).await
    }

    async fn live(mut self, mut next: Next, mut begun: Option<Box<(Attempt, Request)>>) -> SubscriberLedger {
        let ending = loop {
            let (attempt, request) = match begun.take() {
                Some(begun) => *begun,
                None => {
                    let wait = match next {
                        Next::After(wait) => wait,
                        Next::Stop(ending) => break ending,
                    };
                    if let Some(ending) = self.pause(wait).await {
                        break ending;
                    }
                    match self.begin() {
                        Ok(begun) => begun,
                        Err(ending) => break ending,
                    }
                }
            };
            next = self.connect_and_read(attempt, request).await;
        };
        self.finish(ending).await
    }

    /// Ends the ledger of a client that does not connect again.
    pub(in crate::bench::load::clients) async fn finish(self, ending: LifeEnding) -> SubscriberLedger {
        if !self.was_open && matches!(ending, LifeEnding::GaveUp | LifeEnding::NoReconnect) {
            self.context.progress.gave_up();
        }
        self.ledger.finish(self.context.clock.now(), ending).await
    }

    pub(in crate::bench::load::clients) fn plan(&self) -> &SubscriberPlan {
        &self.context.plan.subscribers[self.me]
    }

    pub(super) fn group(&self) -> &GroupPlan {
        &self.context.plan.groups[usize::from(self.group.0)]
    }

    pub(super) fn reading(&self) -> &ReadingPlan {
        &self.context.plan.readings[usize::from(self.group.0)]
    }

    pub(super) fn tags(&self, at: RunTime) -> Tags {
        let phase = self.context.plan.phases.at(at);
        Tags { phase, source: Source::Group(self.group), path: None }
    }

    pub(super) fn tags_now(&self) -> Tags {
        self.tags(self.context.clock.now())
    }

    /// Waits for the start, then until `time`. The clock stands still until all clients of the set-up are connected.
    async fn wait_to_join(&mut self, time: Duration) -> Next {
        let context = Arc::clone(&self.context);
        loop {
            let command = tokio::select! {
                () = context.started.cancelled() => break,
                command = self.receiver.recv() => command,
            };
            match command {
                Command::Over => return Next::Stop(self.ending_without_stream()),
                Command::Sentinels(addresses) => self.expect_sentinels(addresses),
                Command::Cut | Command::Recheck => {}
            }
        }
        let wait = time.saturating_sub(self.context.clock.now().since_start());
        match self.pause(wait).await {
            Some(ending) => Next::Stop(ending),
            None => Next::After(Duration::ZERO),
        }
    }

    /// Waits without a connection. Returns an ending when the client has to stop meanwhile.
    async fn pause(&mut self, wait: Duration) -> Option<LifeEnding> {
        let until = Instant::now() + wait;
        let mut leaves = self.leaves().filter(|time| *time < until);
        loop {
            let command = tokio::select! {
                () = tokio::time::sleep_until(until) => return None,
                () = sleep_until_opt(leaves), if leaves.is_some() => {
                    if self.is_time_to_leave() {
                        return Some(LifeEnding::Left);
                    }
                    leaves = None;
                    continue;
                }
                command = self.receiver.recv() => command,
            };
            match command {
                // There is no connection to cut.
                Command::Cut | Command::Recheck => {}
                Command::Sentinels(addresses) => self.expect_sentinels(addresses),
                Command::Over => return Some(self.ending_without_stream()),
            }
        }
    }

    /// The ending of a client that has no stream when the run ends.
    pub(in crate::bench::load::clients) fn ending_without_stream(&self) -> LifeEnding {
        // A client that never had to connect, or should have left by now, counts as left.
        let is_gone = self.connects == 0 || self.is_time_to_leave();
        if is_gone { LifeEnding::Left } else { LifeEnding::Unreachable }
    }

    /// When to check [`Self::is_time_to_leave`]. Before the start the clock stands still, so a client that connects then
    /// checks too early.
    pub(in crate::bench::load::clients) fn leaves(&self) -> Option<Instant> {
        self.plan().leaves.map(|time| self.context.clock.instant_of(time))
    }

    pub(in crate::bench::load::clients) fn is_time_to_leave(&self) -> bool {
        self.plan().leaves.is_some_and(|time| self.context.clock.now().since_start() >= time)
    }

    pub(in crate::bench::load::clients) fn expect_sentinels(&mut self, addresses: Arc<[AddressId]>) {
        // The load is over: the rest is read as fast as possible.
        self.throttle = None;
        self.sentinels = Some(addresses);
        self.look_for_sentinels();
    }

    pub(super) fn look_for_sentinels(&mut self) {
        if let Some(addresses) = &self.sentinels
            && self.ledger.sentinels_missing(addresses) == 0
        {
            self.slot.satisfy();
        }
    }

    /// Begins to connect. The error is the ending of a client whose request cannot be made.
    pub(in crate::bench::load::clients) fn begin(&mut self) -> Result<(Attempt, Request), LifeEnding> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan().seed.wrapping_add(self.connects));
        let endpoint = self.choose(&mut rng);
        self.connects += 1;
        let request = self.request(endpoint).map_err(|why| {
            tracing::warn!(client = %self.plan().client, %why, "cannot make a request");
            LifeEnding::GaveUp
        })?;
        // Counted from here on: of many clients that choose at once, each must see the choices of the others.
        let node = self.context.balancer.node_behind(endpoint);
        let assignment = node.and_then(|node| self.context.balancer.assign(node));
        Ok((Attempt { endpoint, node, assignment, began: Instant::now(), rng }, request))
    }

    async fn connect_and_read(&mut self, attempt: Attempt, request: Request) -> Next {
        let opened = match self.open(&request).await {
            Ok(opened) => opened,
            Err(ending) => return Next::Stop(ending),
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return self.not_opened(attempt, &error),
        };
        drop(request);
        let mut session = self.opened(attempt, stream.intake_mut());
        let stopped = self.read(&mut stream, &mut session).await;
        self.closed(stream.intake(), session, stopped)
    }

    /// A stream is open.
    pub(in crate::bench::load::clients) fn opened(
        &mut self,
        attempt: Attempt,
        intake: &mut Intake,
    ) -> Session {
        let Attempt { node, assignment, began, rng, .. } = attempt;
        self.was_open = true;
        self.note_opened(intake, began);
        self.observe_head(intake);
        self.ledger.opened();
        match &mut self.adhoc {
            Some(adhoc) => adhoc.connected(),
            None => self.keep_cookies(intake.cookies()),
        }
        let mut session = Session {
            node,
            assignment,
            began,
            sent_cursor: self.sends_cursor(),
            is_confirmed: false,
            format: self.reading().format,
            had_message: false,
            last_data: began,
            notes: StreamNotes::default(),
            rng,
        };
        session.notes.last_bytes = self.context.clock.now();
        let dialect = self.context.plan.dialect.as_ref();
        if self.adhoc.is_some() || dialect.is_some_and(|dialect| dialect.confirm == Confirm::Open) {
            self.confirm(&mut session, self.context.clock.now());
        }
        session
    }

    /// Whether the next connect is one of those that must not all come at once: of the set-up, and the first ones of an ad
    /// hoc swarm.
    pub(in crate::bench::load::clients) fn is_limited(&self) -> bool {
        match &self.adhoc {
            Some(adhoc) => !adhoc.has_connected(),
            None => self.context.clock.now() == RunTime::ZERO,
        }
    }

    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Endpoint {
        let plan = self.plan();
        let key = plan.user.as_ref().map_or(plan.client.as_str(), |user| user.as_str());
        let client = ClientKey { source: plan.source, key, sent_to: self.sent_to };
        let endpoint = self.context.balancer.choose_for(&client, &self.group().nodes, rng);
        self.sent_to = Some(endpoint);
        endpoint
    }

    /// Connects. The outer error is the ending when the client has to stop meanwhile.
    async fn open(&mut self, request: &Request) -> Result<Result<Stream, ConnectError>, LifeEnding> {
        let context = Arc::clone(&self.context);
        let is_limited = self.is_limited();
        let transport = context.transports.of(self.plan());
        let connecting = async {
            // The gate is never closed.
            let _permit = if is_limited { context.gate.acquire().await.ok() } else { None };
            transport.connect(request).await
        };
        let mut connecting = std::pin::pin!(connecting);
        loop {
            let command = tokio::select! {
                opened = &mut connecting => return Ok(opened),
                command = self.receiver.recv() => command,
            };
            match command {
                Command::Cut | Command::Recheck => {}
                Command::Sentinels(addresses) => self.expect_sentinels(addresses),
                Command::Over => return Err(self.ending_without_stream()),
            }
        }
    }

    fn note_opened(&mut self, intake: &Intake, began: Instant) {
        let tags = self.tags_now();
        if let Some(coding) = intake.coding() {
            self.samples.count(Counter::streams_of(coding), tags, 1);
        }
        self.samples.record(Trend::ConnectTime, tags, began.elapsed());
    }
}
