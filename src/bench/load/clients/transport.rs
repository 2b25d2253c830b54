//! The HTTP clients that streams are opened with: one for each source address and socket buffer size. Read
//! [`Transports::of`] first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::bench::ids::GroupId;
use crate::bench::scenario::TransportKind;
use crate::bench::scenario::plan::{Plan, ReadingPlan, SubscriberPlan};
use crate::client::{
    self, ConnectError, HttpOptions, HttpOptionsError, PlainHttp, Request, SmallBufferHttp,
    SmallBufferOptions, Stream,
};

/// An HTTP client.
#[derive(Debug, Clone)]
pub enum Transport {
    /// With system sockets; TLS as in the HTTP options.
    Usual(reqwest::Client),
    /// With a small receive buffer, without TLS.
    Small(Box<SmallBufferHttp>),
}

/// The HTTP clients of a plan.
#[derive(Debug)]
pub struct Transports {
    usual: Transport,
    others: HashMap<(GroupId, Option<Ipv4Addr>), Transport>,
    /// Groups whose sockets are read by loops, by their ids; `false`: by `reqwest`.
    by_loops: Vec<bool>,
    follows_redirects: bool,
}

impl Transport {
    /// Opens a stream.
    ///
    /// # Errors
    /// As [`client::connect`].
    pub async fn connect(&self, request: &Request) -> Result<Stream, ConnectError> {
        match self {
            Self::Usual(http) => client::connect(http, request).await,
            Self::Small(http) => http.connect(request).await,
        }
    }
}

impl Transports {
    /// Builds a client of its own for each group that reads slowly and each source address.
    ///
    /// # Errors
    /// [`HttpOptionsError`] when TLS cannot be set up.
    pub fn new(plan: &Plan, options: &HttpOptions) -> Result<Self, HttpOptionsError> {
        let mut others = HashMap::new();
        for subscriber in &plan.subscribers {
            let key = (subscriber.group, subscriber.source);
            let reads_slowly = plan.groups[usize::from(subscriber.group.0)].read;
            if (reads_slowly.is_none() && subscriber.source.is_none()) || others.contains_key(&key) {
                continue;
            }
            let local_address = subscriber.source.map(IpAddr::V4);
            let transport = match reads_slowly {
                Some(read) => Transport::Small(Box::new(SmallBufferHttp::new(SmallBufferOptions {
                    receive_buffer: read.receive_buffer,
                    local_address,
                    connect_timeout: options.connect_timeout,
                }))),
                None => Transport::Usual(HttpOptions { local_address, ..options.clone() }.build()?),
            };
            others.insert(key, transport);
        }
        let is_plain = !options.proxy_from_environment && options.headers.is_empty();
        let is_by_loops = |reading: &ReadingPlan| is_plain && reading.transport == TransportKind::Loops;
        Ok(Self {
            usual: Transport::Usual(options.build()?),
            others,
            by_loops: plan.readings.iter().map(is_by_loops).collect(),
            follows_redirects: options.follows_redirects,
        })
    }

    /// How a loop connects this subscriber; `None`: its group is to be read by `reqwest`.
    #[must_use]
    pub fn plain(&self, plan: &Plan, subscriber: &SubscriberPlan) -> Option<PlainHttp> {
        let group = usize::from(subscriber.group.0);
        self.by_loops[group].then(|| PlainHttp {
            local_address: subscriber.source.map(IpAddr::V4),
            receive_buffer: plan.groups[group].read.and_then(|read| read.receive_buffer),
            // As its counterpart of `reqwest` has it, one that reads slowly follows none.
            tells_redirects: self.follows_redirects && plan.groups[group].read.is_none(),
        })
    }

    /// The HTTP client of a subscriber.
    #[must_use]
    pub fn of(&self, subscriber: &SubscriberPlan) -> &Transport {
        self.others.get(&(subscriber.group, subscriber.source)).unwrap_or(&self.usual)
    }
}
