//! Virtual clients: identities, times of joins and leaves, and addresses. Read [`SubscriberPlan`] first.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::pacer::{self, Pacer};
use super::seeds::Seeds;
use crate::bench::ids::{AddressId, GroupId, SubscriberId};
use crate::bench::scenario::{ClientGroup, Distribution, Executor, Session};
use crate::protocol::{Address, ClientId, InvalidName, Topic, UserId};

/// One virtual client.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriberPlan {
    /// Position in [`Plan::subscribers`](super::Plan::subscribers).
    pub id: SubscriberId,
    pub group: GroupId,
    pub client: ClientId,
    pub user: Option<UserId>,
    pub topics: Vec<Topic>,
    /// Addresses that reach the client, sorted. An event for any other address is a leak.
    pub addresses: Box<[AddressId]>,
    pub joins: Joins,
    /// Time of the leave since the start of the run; `None`: stays until the run is judged.
    pub leaves: Option<Duration>,
    /// Seed of the client's identity and jitter.
    pub seed: u64,
    /// Local address of its connections; `None`: chosen by the system.
    pub source: Option<Ipv4Addr>,
    /// Number within its group, from 0: the `i` of templates.
    pub number: u32,
}

/// Time of the first connect of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins {
    /// During set-up: the run's clock starts once the client is connected.
    BeforeStart,
    /// Since the start of the run.
    At(Duration),
}

/// All clients, and every address that reaches one of them.
#[derive(Debug, Default)]
pub(super) struct Audience {
    pub(super) subscribers: Vec<SubscriberPlan>,
    pub(super) addresses: Vec<Address>,
    ids: HashMap<Address, AddressId>,
    /// Number of clients so far, by group.
    counts: Vec<u32>,
    /// Seeds of the clients are derived from these, by group.
    seeds: Vec<Seeds>,
}

/// Names and topics of one client of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub client: ClientId,
    pub user: Option<UserId>,
    /// Topics without repetitions, in the order of the scenario.
    pub topics: Vec<Topic>,
}

impl Identity {
    /// Fills in the templates of a group for client number `i`; random numbers are drawn from the client's seed.
    ///
    /// # Errors
    /// [`InvalidName`]: a filled template is not a name. The reader rules this out.
    pub fn of(group: &ClientGroup, i: u32, seed: u64) -> Result<Self, InvalidName> {
        let subscribe = &group.subscribe;
        let seeds = Seeds::new(seed);
        let client = subscribe
            .client
            .as_ref()
            .map_or_else(|| format!("{}-{i}", group.name), |name| name.fill(i, seeds.of("name", "client")));
        let user = subscribe
            .user
            .as_ref()
            .map(|name| UserId::parse(&name.fill(i, seeds.of("name", "user"))))
            .transpose()?;
        let mut topics = Vec::with_capacity(subscribe.topics.len());
        for (position, template) in subscribe.topics.iter().enumerate() {
            let topic = Topic::parse(&template.fill(i, seeds.of("topic", &position.to_string())))?;
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        Ok(Self { client: ClientId::parse(&client)?, user, topics })
    }
}

impl Audience {
    pub(super) fn new(groups: &[ClientGroup], run: Duration, seeds: Seeds) -> Self {
        let mut audience = Self::default();
        audience.id_of(Address::All);
        for (group, spec) in (0..).map(GroupId).zip(groups) {
            audience.counts.push(0);
            audience.seeds.push(Seeds::new(seeds.of("group", &spec.name)));
            for lifetime in lifetimes(spec, run, audience.seeds[usize::from(group.0)]) {
                audience.add(group, spec, lifetime);
            }
        }
        audience
    }

    /// Adds a client to a group.
    fn add(&mut self, group: GroupId, spec: &ClientGroup, (joins, leaves): Lifetime) -> SubscriberId {
        let index = usize::from(group.0);
        let i = self.counts[index];
        self.counts[index] += 1;
        let seed = self.seeds[index].of("client", &i.to_string());
        let identity = Identity::of(spec, i, seed).expect("the scenario was checked with these names");
        let mut addresses =
            vec![self.id_of(Address::All), self.id_of(Address::Client(identity.client.clone()))];
        addresses.extend(identity.user.iter().map(|user| self.id_of(Address::User(user.clone()))));
        addresses.extend(identity.topics.iter().map(|topic| self.id_of(Address::Topic(topic.clone()))));
        addresses.sort_unstable();
        let id = u32::try_from(self.subscribers.len()).expect("a scenario has fewer clients than that");
        self.subscribers.push(SubscriberPlan {
            id: SubscriberId(id),
            group,
            client: identity.client,
            user: identity.user,
            topics: identity.topics,
            addresses: addresses.into_boxed_slice(),
            joins,
            leaves,
            seed,
            source: usize::try_from(i)
                .ok()
                .and_then(|i| spec.sources.get(i.checked_rem(spec.sources.len())?).copied()),
            number: i,
        });
        SubscriberId(id)
    }

    /// Clients that have joined before a time and not left by then, of one group or of all.
    pub(super) fn present_at(
        &self,
        time: Duration,
        group: Option<&str>,
        groups: &[ClientGroup],
    ) -> Vec<SubscriberId> {
        let is_present = |subscriber: &&SubscriberPlan| {
            let has_joined = match subscriber.joins {
                Joins::BeforeStart => true,
                Joins::At(at) => at < time,
            };
            let is_of = |name| groups.get(usize::from(subscriber.group.0)).is_some_and(|of| of.name == name);
            has_joined && subscriber.leaves.is_none_or(|leaves| leaves > time) && group.is_none_or(is_of)
        };
        self.subscribers.iter().filter(is_present).map(|subscriber| subscriber.id).collect()
    }

    /// Whether a client never leaves.
    pub(super) fn stays(&self, id: SubscriberId) -> bool {
        self.subscribers
            .get(usize::try_from(id.0).unwrap_or(usize::MAX))
            .is_some_and(|it| it.leaves.is_none())
    }

    /// Lets clients leave at a time. A new client joins for each, and leaves when the old one would have left.
    pub(super) fn replace(
        &mut self,
        leaving: &[SubscriberId],
        at: Duration,
        groups: &[ClientGroup],
    ) -> Vec<SubscriberId> {
        let mut joining = Vec::with_capacity(leaving.len());
        for id in leaving {
            let Some(old) = self.subscribers.get_mut(usize::try_from(id.0).unwrap_or(usize::MAX)) else {
                continue;
            };
            let (group, leaves) = (old.group, old.leaves.replace(at));
            joining.push(self.add(group, &groups[usize::from(group.0)], (Joins::At(at), leaves)));
        }
        joining
    }

    fn id_of(&mut self, address: Address) -> AddressId {
        if let Some(known) = self.ids.get(&address) {
            return *known;
        }
        let id =
            AddressId(u32::try_from(self.addresses.len()).expect("fewer addresses than four per client"));
        self.addresses.push(address.clone());
        self.ids.insert(address, id);
        id
    }
}

/// Times of join and leave.
type Lifetime = (Joins, Option<Duration>);

/// All clients of a group.
fn lifetimes(group: &ClientGroup, run: Duration, seeds: Seeds) -> Vec<Lifetime> {
    let slots = slots(&group.executor, group.joins, seeds);
    let Some(session) = group.session else { return slots };
    let mut rng = ChaCha8Rng::seed_from_u64(seeds.of("sessions", ""));
    slots.into_iter().flat_map(|slot| sessions(slot, session, run, &mut rng)).collect()
}

/// Times that the executor fills with a client; sessions divide them among several.
fn slots(executor: &Executor, later: Duration, seeds: Seeds) -> Vec<Lifetime> {
    match executor {
        Executor::Constant { clients, ramp } if ramp.is_zero() && later.is_zero() => {
            (0..*clients).map(|_| (Joins::BeforeStart, None)).collect()
        }
        Executor::Constant { clients, ramp } => {
            let at = |i: u32| ramp.mul_f64(f64::from(i) / f64::from(*clients));
            (0..*clients).map(|i| (Joins::At(later + at(i)), None)).collect()
        }
        Executor::Ramping { stages } => {
            pacer::lifetimes(stages).into_iter().map(|(from, to)| (Joins::At(from), to)).collect()
        }
        Executor::ArrivalRate { pace } => {
            Pacer::new(pace, seeds.of("arrivals", "")).map(|at| (Joins::At(at), None)).collect()
        }
    }
}

/// Clients that fill a slot one after the other. A session that would outlast the run has no end.
fn sessions(
    (joins, until): Lifetime,
    session: Session,
    run: Duration,
    rng: &mut ChaCha8Rng,
) -> Vec<Lifetime> {
    let mut lifetimes = Vec::new();
    let mut joins = joins;
    loop {
        let (from, is_first) = match joins {
            Joins::BeforeStart => (Duration::ZERO, true),
            Joins::At(at) => (at, false),
        };
        let length = match session.distribution {
            // Clients of the start joined at a random time before it: else all would leave at once.
            Distribution::Constant if is_first => session.mean.mul_f64(1.0 - rng.random::<f64>()),
            Distribution::Constant => session.mean,
            Distribution::Exponential => session.mean.mul_f64(-(1.0 - rng.random::<f64>()).ln()),
        };
        let leaves = from + length;
        if leaves >= until.unwrap_or(run) {
            lifetimes.push((joins, until));
            return lifetimes;
        }
        lifetimes.push((joins, Some(leaves)));
        if !session.churn {
            return lifetimes;
        }
        joins = Joins::At(leaves);
    }
}
