//! One virtual client: connects, reads, is cut off, comes back as its policy says, and writes down what it sees.
//! Holds no lock and owns no queue. Read [`Subscriber::run`] first, then [`reading`].

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use reqwest::Url;
use reqwest::header::{COOKIE, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::bench::ids::{AddressId, NodeIndex};
use crate::bench::load::balancer::{Assignment, ClientKey, Endpoint};
use crate::bench::load::clients::context::{ClientSlot, SwarmContext};
use crate::bench::load::clients::control::{Command, CommandReceiver};
use crate::bench::load::clients::downtime::Downtime;
use crate::bench::load::clients::reconnect::reconnect_of;
use crate::bench::load::clients::recording_ledger::RecordingLedger;
use crate::bench::load::clients::sample_buffer::SampleBuffer;
use crate::bench::load::clients::throttle::Throttle;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::tags::{Source, Tags};
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario;
use crate::bench::scenario::dialect::{Confirm, Dialect, Resume};
use crate::bench::scenario::plan::{GroupPlan, Joins, SubscriberPlan};
use crate::bench::verdict::ledger::{Ending as BookEnding, PATIENCE, SubscriberLedger};
use crate::client::{ConnectError, Decision, DecoderKind, End, Ending, GiveUp, Reconnect, Request, Stream};
use crate::protocol::UserId;
use crate::runtime::error_chain;
use crate::runtime::sleep_until_opt;

/// One virtual client.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) context: Arc<SwarmContext>,
    me: usize,
    pub(super) receiver: CommandReceiver,
    pub(super) samples: SampleBuffer,
    place: ClientSlot,
    pub(super) ledger: RecordingLedger,
    pub(super) reconnect: Reconnect,
    /// Connects so far: a seed for each, and the first one is no reconnect.
    connects: u64,
    pub(super) downtime: Downtime,
    /// Addresses with a sentinel, once it is known.
    sentinels: Option<Arc<[AddressId]>>,
    /// `None`: it reads as fast as it can.
    pub(super) throttle: Option<Box<Throttle>>,
    /// What it was told to say again, as `name=value`.
    cookies: Vec<String>,
    /// Where it was sent the last time.
    sent_to: Option<Endpoint>,
}

/// What a client does after a connection, or instead of it.
enum Next {
    /// Connect again after this.
    After(Duration),
    /// Never again.
    Stop(BookEnding),
}

/// What is known of an open stream.
pub(super) struct Session {
    /// Known before the first event only where no balancer stands between.
    pub(super) node: Option<NodeIndex>,
    pub(super) seated: Option<Assignment>,
    pub(super) began: Instant,
    pub(super) sent_cursor: bool,
    pub(super) is_confirmed: bool,
    /// When something came last.
    pub(super) heard: Instant,
}

/// Why a client stopped reading.
pub(super) enum Stopped {
    Ended(Ending),
    Cut,
    Over,
    Leaves,
}

impl Subscriber {
    /// A client that has not connected.
    pub(in crate::bench::load::clients) fn new(
        context: &Arc<SwarmContext>,
        plan: &SubscriberPlan,
        samples: SampleBuffer,
        receiver: CommandReceiver,
    ) -> Self {
        let group = &context.plan.groups[usize::from(plan.group.0)];
        Self {
            context: Arc::clone(context),
            me: usize::try_from(plan.id.0).unwrap_or(usize::MAX),
            receiver,
            samples,
            place: ClientSlot::take(context),
            ledger: RecordingLedger::new(
                SubscriberLedger::new(&context.plan, plan.id),
                context.writer.as_ref(),
            ),
            reconnect: reconnect_of(group.reconnect),
            connects: 0,
            downtime: Downtime::default(),
            sentinels: None,
            throttle: Throttle::of(&context.plan, plan),
            cookies: Vec::new(),
            sent_to: None,
        }
    }

    /// The whole life of the client. Ends when the plan says so, when its policy gives up, or when it is told that
    /// it is over.
    pub async fn run(mut self) -> SubscriberLedger {
        let mut next = match self.plan().joins {
            Joins::BeforeStart => Next::After(Duration::ZERO),
            Joins::At(time) => self.wait_to_join(time).await,
        };
        let ending = loop {
            let wait = match next {
                Next::After(wait) => wait,
                Next::Stop(ending) => break ending,
            };
            next = match self.rest(wait).await {
                Some(ending) => Next::Stop(ending),
                None => self.connect_and_read().await,
            };
        };
        self.ledger.finish(self.context.clock.now(), ending).await
    }

    fn plan(&self) -> &SubscriberPlan {
        &self.context.plan.subscribers[self.me]
    }

    fn group(&self) -> &GroupPlan {
        &self.context.plan.groups[usize::from(self.plan().group.0)]
    }

    pub(super) fn tags(&self, at: RunTime) -> Tags {
        let phase = self.context.plan.phases.at(at);
        Tags { phase, source: Source::Group(self.plan().group), path: None }
    }

    fn tags_now(&self) -> Tags {
        self.tags(self.context.clock.now())
    }

    /// The clock stands until every client that joins before the start is there.
    async fn wait_to_join(&mut self, time: Duration) -> Next {
        let context = Arc::clone(&self.context);
        loop {
            let told = tokio::select! {
                () = context.started.cancelled() => break,
                told = self.receiver.listen() => told,
            };
            match told {
                Command::Over => return Next::Stop(self.unreached()),
                Command::Sentinels(addresses) => self.expect_sentinels(addresses),
                Command::Cut => {}
            }
        }
        let wait = time.saturating_sub(self.context.clock.now().since_start());
        match self.rest(wait).await {
            Some(ending) => Next::Stop(ending),
            None => Next::After(Duration::ZERO),
        }
    }

    /// Waits without a connection. Says how it ends where it is told to meanwhile.
    async fn rest(&mut self, wait: Duration) -> Option<BookEnding> {
        let until = Instant::now() + wait;
        let mut leaves = self.leaves().filter(|time| *time < until);
        loop {
            let told = tokio::select! {
                () = tokio::time::sleep_until(until) => return None,
                () = sleep_until_opt(leaves), if leaves.is_some() => {
                    if self.is_time_to_leave() {
                        return Some(BookEnding::Left);
                    }
                    leaves = None;
                    continue;
                }
                told = self.receiver.listen() => told,
            };
            match told {
                // There is no connection to cut.
                Command::Cut => {}
                Command::Sentinels(addresses) => self.expect_sentinels(addresses),
                Command::Over => return Some(self.unreached()),
            }
        }
    }

    /// How a client ends that has no stream when it is over.
    fn unreached(&self) -> BookEnding {
        // Not one that never had to connect, and not one that would be gone by now.
        let is_gone = self.connects == 0 || self.is_time_to_leave();
        if is_gone { BookEnding::Left } else { BookEnding::Unreachable }
    }

    /// When to look whether it is time to leave. Not before; but before the start the clock stands still, and a client
    /// that connects then looks too early.
    pub(super) fn leaves(&self) -> Option<Instant> {
        self.plan().leaves.map(|time| self.context.clock.instant_of(time))
    }

    pub(super) fn is_time_to_leave(&self) -> bool {
        self.plan().leaves.is_some_and(|time| self.context.clock.now().since_start() >= time)
    }

    pub(super) fn expect_sentinels(&mut self, addresses: Arc<[AddressId]>) {
        // The load is over: what is left is read as fast as it can be.
        self.throttle = None;
        self.sentinels = Some(addresses);
        self.look_for_sentinels();
    }

    pub(super) fn look_for_sentinels(&mut self) {
        if let Some(addresses) = &self.sentinels
            && self.ledger.sentinels_missing(addresses) == 0
        {
            self.place.satisfy();
        }
    }

    async fn connect_and_read(&mut self) -> Next {
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan().seed.wrapping_add(self.connects));
        let endpoint = self.choose(&mut rng);
        self.connects += 1;
        let request = match self.request(endpoint) {
            Ok(request) => request,
            Err(why) => {
                tracing::warn!(client = %self.plan().client, %why, "cannot make a request");
                return Next::Stop(BookEnding::GaveUp);
            }
        };
        // Counted from here on: of many that choose at once, each must see the choices of the others.
        let node = self.context.balancer.node_behind(endpoint);
        let seated = node.and_then(|node| self.context.balancer.seat(node));
        let began = Instant::now();
        let opened = match self.open(&request).await {
            Ok(opened) => opened,
            Err(ending) => return Next::Stop(ending),
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return self.not_opened(endpoint, &error, began, &mut rng),
        };
        self.note_opened(began);
        self.keep(stream.cookies());
        let sent_cursor = self.sends_cursor();
        drop(request);
        let mut session = Session { node, seated, began, sent_cursor, is_confirmed: false, heard: began };
        if self.context.plan.dialect.as_ref().is_some_and(|dialect| dialect.confirm == Confirm::Open) {
            self.confirm(&mut session, self.context.clock.now());
        }
        let stopped = self.read(&mut stream, &mut session).await;
        self.note_end(&stream, &session, &stopped);
        self.after(stopped, &mut rng)
    }

    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Endpoint {
        let plan = self.plan();
        let key = plan.user.as_ref().map_or(plan.client.as_str(), |user| user.as_str());
        let caller = ClientKey { source: plan.source, key, sent_to: self.sent_to };
        let endpoint = self.context.balancer.choose_for(&caller, &self.group().nodes, rng);
        self.sent_to = Some(endpoint);
        endpoint
    }

    fn request(&self, endpoint: Endpoint) -> Result<Request, String> {
        let base = self.context.balancer.base(endpoint);
        let dialect = self.context.plan.dialect.as_ref();
        let mut request = Request::new(match dialect {
            Some(dialect) => self.url_in(dialect, base)?,
            None => self.url(base)?,
        });
        self.reconnect.last_event_id().clone_into(&mut request.last_event_id);
        request.sends_last_event_id = dialect.is_none_or(|dialect| dialect.resume == Resume::Header);
        request.idle_timeout = Some(self.group().idle_timeout);
        request.decoder = match self.group().decoder {
            scenario::DecoderKind::Strict => DecoderKind::Strict,
            scenario::DecoderKind::EventsourceStream => DecoderKind::EventsourceStream,
        };
        for (name, value) in &self.group().headers {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            request.headers.append(name, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
        }
        if !self.cookies.is_empty() {
            let cookies =
                HeaderValue::try_from(self.cookies.join("; ")).map_err(|error| error.to_string())?;
            request.headers.append(COOKIE, cookies);
        }
        Ok(request)
    }

    /// Whether it says what it had last.
    fn sends_cursor(&self) -> bool {
        let dialect = self.context.plan.dialect.as_ref();
        !self.reconnect.last_event_id().is_empty()
            && dialect.is_none_or(|dialect| dialect.resume != Resume::No)
    }

    fn url(&self, base: &str) -> Result<Url, String> {
        let plan = self.plan();
        let mut url = Url::parse(&format!("{base}/api/sse/stream")).map_err(|error| error.to_string())?;
        let mut query = url.query_pairs_mut();
        query.append_pair("clientId", plan.client.as_str());
        if let Some(user) = &plan.user {
            query.append_pair("userId", user.as_str());
        }
        if !plan.topics.is_empty() {
            let topics: Vec<&str> = plan.topics.iter().map(|topic| topic.as_str()).collect();
            query.append_pair("topics", &topics.join(","));
        }
        drop(query);
        Ok(url)
    }

    /// The same for a server that is none of ours.
    fn url_in(&self, dialect: &Dialect, base: &str) -> Result<Url, String> {
        let plan = self.plan();
        let all = &self.context.plan.addresses;
        let addresses = plan.addresses.iter().filter_map(|id| all.get(usize::try_from(id.0).ok()?));
        let who = (plan.client.as_str(), plan.user.as_ref().map(UserId::as_str));
        let path = dialect.stream_path(who, addresses);
        let mut url = Url::parse(&format!("{base}{path}")).map_err(|error| error.to_string())?;
        let cursor = self.reconnect.last_event_id();
        if let Resume::Query(name) = &dialect.resume
            && !cursor.is_empty()
        {
            url.query_pairs_mut().append_pair(name, cursor);
        }
        Ok(url)
    }

    /// Keeps the newest value of each cookie.
    fn keep(&mut self, cookies: &[String]) {
        let name = |cookie: &str| cookie.split('=').next().map(str::to_owned);
        for cookie in cookies {
            self.cookies.retain(|kept| name(kept) != name(cookie));
            self.cookies.push(cookie.clone());
        }
    }

    /// Connects. The outer error says how the client ends where it is told to meanwhile.
    async fn open(&mut self, request: &Request) -> Result<Result<Stream, ConnectError>, BookEnding> {
        let context = Arc::clone(&self.context);
        let in_setup = context.clock.now() == RunTime::ZERO;
        let transport = context.transports.of(self.plan());
        let connecting = async {
            // The gate is never closed; a permit is held while connecting in set-up, and not at all later.
            let _permit = if in_setup { context.gate.acquire().await.ok() } else { None };
            transport.connect(request).await
        };
        let mut connecting = std::pin::pin!(connecting);
        loop {
            let told = tokio::select! {
                opened = &mut connecting => return Ok(opened),
                told = self.receiver.listen() => told,
            };
            match told {
                Command::Cut => {}
                Command::Sentinels(addresses) => self.expect_sentinels(addresses),
                Command::Over => return Err(self.unreached()),
            }
        }
    }

    fn not_opened(
        &mut self,
        endpoint: Endpoint,
        error: &ConnectError,
        began: Instant,
        rng: &mut ChaCha8Rng,
    ) -> Next {
        self.turned_away(began);
        let tags = self.tags_now();
        self.samples.count(Counter::ConnectErrors, tags, 1);
        self.context.progress.connect_error();
        self.context.progress.note_connect_error(|| error_chain(error));
        if matches!(error, ConnectError::Refused { .. }) {
            self.context.balancer.mark(endpoint, false);
        }
        self.decide(error, rng)
    }

    /// An attempt that began then came to nothing.
    fn turned_away(&mut self, began: Instant) {
        let now = self.context.clock.now();
        self.ledger.turned_away(now.minus(began.elapsed()), now);
    }

    fn decide<'a>(&mut self, end: impl Into<End<'a>>, rng: &mut ChaCha8Rng) -> Next {
        match self.reconnect.after(end, rng) {
            Decision::RetryIn(wait) => Next::After(wait),
            Decision::GiveUp(why) => {
                tracing::debug!(client = %self.plan().client, %why, "gives up");
                Next::Stop(match why {
                    GiveUp::Once | GiveUp::Finished => BookEnding::NoReconnect,
                    GiveUp::Status(_) | GiveUp::ContentType | GiveUp::Request | GiveUp::Decoder => {
                        BookEnding::GaveUp
                    }
                })
            }
        }
    }

    fn note_opened(&mut self, began: Instant) {
        let tags = self.tags_now();
        self.samples.record(Trend::ConnectTime, tags, began.elapsed());
    }

    fn note_end(&mut self, stream: &Stream, session: &Session, stopped: &Stopped) {
        let now = self.context.clock.now();
        let tags = self.tags(now);
        self.downtime.stream_ended(Instant::now(), session.is_confirmed);
        self.samples.count(Counter::BytesIn, tags, stream.bytes_received());
        if session.is_confirmed {
            self.context.progress.disconnected();
        } else if self.failed_to_confirm(session, stopped) {
            self.turned_away(session.began);
        }
        match stopped {
            // The end of the client itself: its book is finished instead.
            Stopped::Over | Stopped::Leaves => return,
            Stopped::Ended(
                Ending::Malformed { .. } | Ending::DecoderPanicked { .. } | Ending::LimitExceeded(_),
            ) => {
                self.samples.count(Counter::DecodeErrors, tags, 1);
            }
            Stopped::Ended(Ending::Idle { after }) => {
                self.samples.count(Counter::SilentEnds, tags, 1);
                self.samples.record(Trend::HeartbeatGap, tags, *after);
            }
            Stopped::Ended(Ending::Clean) => self.samples.count(Counter::CleanEnds, tags, 1),
            Stopped::Ended(Ending::Aborted { .. }) => self.samples.count(Counter::BrokenEnds, tags, 1),
            Stopped::Cut => self.samples.count(Counter::Cuts, tags, 1),
        }
        if session.is_confirmed {
            self.ledger.disconnected(now);
        }
    }

    /// Whether a stream that was never confirmed counts as a failed attempt: the server ended it, or said nothing for long.
    /// Servers of another make may have nothing to say.
    fn failed_to_confirm(&self, session: &Session, stopped: &Stopped) -> bool {
        self.context.plan.dialect.is_none()
            && match stopped {
                Stopped::Ended(_) => true,
                Stopped::Leaves => session.began.elapsed() >= PATIENCE,
                Stopped::Cut | Stopped::Over => false,
            }
    }

    fn after(&mut self, stopped: Stopped, rng: &mut ChaCha8Rng) -> Next {
        match stopped {
            Stopped::Ended(ending) => self.decide(&ending, rng),
            Stopped::Cut => {
                let ending = Ending::Aborted { reason: "cut by the bench".to_owned() };
                self.decide(&ending, rng)
            }
            Stopped::Over => Next::Stop(BookEnding::RunOver),
            Stopped::Leaves => Next::Stop(BookEnding::Left),
        }
    }
}
