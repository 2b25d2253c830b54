//! How the judge opens streams of its own: names that nobody else uses, and broadcasts and topics that a client of the plan
//! subscribes to. Read [`Voice`] first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use crate::bench::load::balancer::ClientKey;
use crate::bench::load::clients::context::SwarmContext;
use crate::bench::scenario::dialect::{Dialect, Message, Resume};
use crate::bench::scenario::plan::{GroupPlan, PublisherPlan, ReadingPlan, SubscriberPlan};
use crate::bench::stamp::{Stamp, Unreadable};
use crate::client::{Ending, Request, Stream};
use crate::protocol::event::control;
use crate::protocol::{Address, Format, Item};

/// Topics that a stream of the judge subscribes to.
const TOPICS_MAX: usize = 8;
/// A server that does not answer a probe by then is not judged by it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whom the judge speaks as.
#[derive(Debug)]
pub(super) struct Voice {
    context: Arc<SwarmContext>,
    /// Number in the plan of the client whose group, topics and address it shares.
    model: usize,
    addresses: Vec<Address>,
    streams: AtomicU32,
}

/// What a stream brought.
pub(super) enum Heard<'a> {
    Event(Option<&'a str>, Stamp),
    /// The log no longer has what follows the cursor, or an event is damaged, so that nobody knows which one it is.
    Unclear,
}

impl Voice {
    /// `None`: nothing of the plan is for everybody or a topic, or there are no cursors.
    pub(super) fn new(context: &Arc<SwarmContext>) -> Option<Self> {
        let plan = &context.plan;
        if plan.dialect.as_ref().is_some_and(|dialect| dialect.resume == Resume::No) {
            return None;
        }
        let suits = |client: &&SubscriberPlan| plan.groups[usize::from(client.group.0)].read.is_none();
        let model = plan.subscribers.iter().find(suits)?;
        let published = |publisher: &PublisherPlan| {
            let mix = &publisher.mix;
            let broadcast = publisher.targets.broadcast.iter().filter(|_| mix.broadcast > 0.0);
            broadcast
                .chain(publisher.targets.topics.iter().filter(|_| mix.topic > 0.0))
                .copied()
                .collect::<Vec<_>>()
        };
        let published: Vec<_> = plan.publishers.iter().flat_map(published).collect();
        let own = model.addresses.iter().filter(|address| published.contains(address));
        let mut addresses: Vec<Address> = own.filter_map(|id| plan.address(*id).cloned()).collect();
        // The cursor of another server may be good for one channel only.
        addresses.truncate(if plan.dialect.is_some() { 1 } else { TOPICS_MAX });
        let model = usize::try_from(model.id.0).ok()?;
        let streams = AtomicU32::new(0);
        (!addresses.is_empty()).then(|| Self { context: Arc::clone(context), model, addresses, streams })
    }

    pub(super) fn context(&self) -> &SwarmContext {
        &self.context
    }

    fn model(&self) -> &SubscriberPlan {
        &self.context.plan.subscribers[self.model]
    }

    fn group(&self) -> &GroupPlan {
        &self.context.plan.groups[usize::from(self.model().group.0)]
    }

    fn reading(&self) -> &ReadingPlan {
        &self.context.plan.readings[usize::from(self.model().group.0)]
    }

    /// Opens a stream behind this id, under a new name. `None`: it was not opened.
    pub(super) async fn open(&self, cursor: &str) -> Option<Stream> {
        let number = self.streams.fetch_add(1, Ordering::Relaxed);
        let name = format!("judge-{}-{number}", self.context.plan.run);
        let mut rng = ChaCha8Rng::seed_from_u64(self.context.plan.seed.wrapping_add(u64::from(number)));
        let key = ClientKey { source: self.model().source, key: &name, sent_to: None };
        let endpoint = self.context.balancer.choose_for(&key, &self.group().nodes, &mut rng);
        let request = self.request(self.context.balancer.base(endpoint), &name, cursor)?;
        let transport = self.context.transports.of(self.model());
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, transport.connect(&request)).await;
        opened.ok()?.ok()
    }

    fn request(&self, base: &str, name: &str, cursor: &str) -> Option<Request> {
        let dialect = self.context.plan.dialect.as_deref();
        let url = match dialect {
            Some(dialect) => self.url_in(dialect, base, name, cursor)?,
            None => self.url(base, name)?,
        };
        let mut request = Request::new(url);
        cursor.clone_into(&mut request.last_event_id);
        request.sends_last_event_id = dialect.is_none_or(|dialect| dialect.resume == Resume::Header);
        request.idle_timeout = Some(self.group().idle_timeout);
        for (name, value) in self.group().headers_of(self.model()) {
            request.headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        Some(request)
    }

    fn url(&self, base: &str, name: &str) -> Option<Url> {
        let mut url = Url::parse(&format!("{base}/api/sse/stream")).ok()?;
        let topics = self.addresses.iter().filter_map(|address| match address {
            Address::Topic(topic) => Some(topic.as_str()),
            _ => None,
        });
        let topics: Vec<&str> = topics.collect();
        url.query_pairs_mut().append_pair("clientId", name);
        if !topics.is_empty() {
            url.query_pairs_mut().append_pair("topics", &topics.join(","));
        }
        if let Some(format) = self.reading().asked_format {
            url.query_pairs_mut().append_pair("format", format.as_str());
        }
        Some(url)
    }

    fn url_in(&self, dialect: &Dialect, base: &str, name: &str, cursor: &str) -> Option<Url> {
        let path = dialect.stream_path((name, None), self.addresses.iter());
        let mut url = Url::parse(&format!("{base}{path}")).ok()?;
        if let Resume::Query(key) = &dialect.resume
            && !cursor.is_empty()
        {
            url.query_pairs_mut().append_pair(key, cursor);
        }
        Some(url)
    }

    /// Passes on what a stream has received: events of this run, and gaps.
    pub(super) fn take(&self, stream: &mut Stream, mut sink: impl FnMut(Heard<'_>)) -> Result<(), Ending> {
        let (dialect, run) = (self.context.plan.dialect.as_deref(), self.context.plan.run);
        stream.take(|item| {
            let Item::Event { event, data, last_event_id, id_in_block } = item else { return };
            if dialect.is_none() && event == control::GAP {
                return sink(Heard::Unclear);
            }
            match stamp_of(dialect, event, data, self.reading().format) {
                Ok(stamp) | Err(Unreadable::Altered(Some(stamp))) if stamp.run == run => {
                    sink(Heard::Event(id_in_block.then_some(last_event_id), stamp));
                }
                Err(Unreadable::Altered(None)) => sink(Heard::Unclear),
                Ok(_) | Err(Unreadable::Altered(Some(_)) | Unreadable::Foreign) => {}
            }
        })
    }
}

/// The stamp of an event. A message of the server has none.
fn stamp_of(dialect: Option<&Dialect>, event: &str, data: &str, format: Format) -> Result<Stamp, Unreadable> {
    match dialect.map(|dialect| dialect.read(event, data)) {
        Some(Message::Event(stamp)) => Ok(stamp),
        Some(Message::Altered(stamp)) => Err(Unreadable::Altered(stamp)),
        Some(Message::Own | Message::Foreign) => Err(Unreadable::Foreign),
        None if format == Format::Data && event != control::ENVELOPE => Stamp::decode_bare(data),
        None => Stamp::decode(data),
    }
}
