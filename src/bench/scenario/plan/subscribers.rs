//! Who connects when, as whom, and by which addresses it can be reached.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::model::{Joins, SubscriberPlan};
use super::pacer::{self, Pacer};
use super::seeds::Seeds;
use crate::bench::ids::{AddressId, GroupId, SubscriberId};
use crate::bench::scenario::{ClientGroup, Executor, Session, Spread};
use crate::protocol::{Address, ClientId, InvalidName, Topic, UserId};

/// All clients, and every address that one of them listens to.
#[derive(Debug, Default)]
pub(super) struct Audience {
    pub(super) subscribers: Vec<SubscriberPlan>,
    pub(super) addresses: Vec<Address>,
    numbers: HashMap<Address, AddressId>,
    /// Clients so far, by group: the next one's number.
    counts: Vec<u32>,
    /// For the clients' own seeds, by group.
    seeds: Vec<Seeds>,
}

/// What client number `i` of a group is named, and listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `clientId`.
    pub client: ClientId,
    /// `userId`.
    pub user: Option<UserId>,
    /// `topics`, without repetitions.
    pub topics: Vec<Topic>,
}

impl Identity {
    /// Fills in the templates of a group, with what is drawn from the client's seed.
    ///
    /// # Errors
    /// [`InvalidName`] when what comes out is not a name. A scenario has been checked for that.
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
        for (place, template) in subscribe.topics.iter().enumerate() {
            let topic = Topic::parse(&template.fill(i, seeds.of("topic", &place.to_string())))?;
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
        audience.number(Address::All);
        for (group, spec) in (0..).map(GroupId).zip(groups) {
            audience.counts.push(0);
            audience.seeds.push(Seeds::new(seeds.of("group", &spec.name)));
            for life in lives(spec, run, audience.seeds[usize::from(group.0)]) {
                audience.add(group, spec, life);
            }
        }
        audience
    }

    /// One more client of a group.
    fn add(&mut self, group: GroupId, spec: &ClientGroup, (joins, leaves): Life) -> SubscriberId {
        let index = usize::from(group.0);
        let i = self.counts[index];
        self.counts[index] += 1;
        let seed = self.seeds[index].of("client", &i.to_string());
        let identity = Identity::of(spec, i, seed).expect("the scenario was checked with these names");
        let mut addresses =
            vec![self.number(Address::All), self.number(Address::Client(identity.client.clone()))];
        addresses.extend(identity.user.iter().map(|user| self.number(Address::User(user.clone()))));
        addresses.extend(identity.topics.iter().map(|topic| self.number(Address::Topic(topic.clone()))));
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
        });
        SubscriberId(id)
    }

    /// Who has come before this time and not gone by then, of one group or of all.
    pub(super) fn there_at(
        &self,
        time: Duration,
        group: Option<&str>,
        groups: &[ClientGroup],
    ) -> Vec<SubscriberId> {
        let is_there = |subscriber: &&SubscriberPlan| {
            let has_come = match subscriber.joins {
                Joins::BeforeStart => true,
                Joins::At(at) => at < time,
            };
            let is_of = |name| groups.get(usize::from(subscriber.group.0)).is_some_and(|of| of.name == name);
            has_come && subscriber.leaves.is_none_or(|leaves| leaves > time) && group.is_none_or(is_of)
        };
        self.subscribers.iter().filter(is_there).map(|subscriber| subscriber.id).collect()
    }

    /// Whether a client is there to the end.
    pub(super) fn stays(&self, id: SubscriberId) -> bool {
        self.subscribers
            .get(usize::try_from(id.0).unwrap_or(usize::MAX))
            .is_some_and(|it| it.leaves.is_none())
    }

    /// These leave then, and for each a new one comes, which leaves when the other one would have.
    pub(super) fn replace(
        &mut self,
        leave: &[SubscriberId],
        at: Duration,
        groups: &[ClientGroup],
    ) -> Vec<SubscriberId> {
        let mut come = Vec::with_capacity(leave.len());
        for id in leave {
            let Some(old) = self.subscribers.get_mut(usize::try_from(id.0).unwrap_or(usize::MAX)) else {
                continue;
            };
            let (group, leaves) = (old.group, old.leaves.replace(at));
            come.push(self.add(group, &groups[usize::from(group.0)], (Joins::At(at), leaves)));
        }
        come
    }

    fn number(&mut self, address: Address) -> AddressId {
        if let Some(known) = self.numbers.get(&address) {
            return *known;
        }
        let id =
            AddressId(u32::try_from(self.addresses.len()).expect("fewer addresses than four per client"));
        self.addresses.push(address.clone());
        self.numbers.insert(address, id);
        id
    }
}

/// When a client comes and goes.
type Life = (Joins, Option<Duration>);

/// When the clients of a group come and go.
fn lives(group: &ClientGroup, run: Duration, seeds: Seeds) -> Vec<Life> {
    let seats = seats(&group.executor, group.joins, seeds);
    let Some(session) = group.session else { return seats };
    let mut rng = ChaCha8Rng::seed_from_u64(seeds.of("sessions", ""));
    seats.into_iter().flat_map(|seat| sessions(seat, session, run, &mut rng)).collect()
}

/// How long there is a client, whoever it is.
fn seats(executor: &Executor, later: Duration, seeds: Seeds) -> Vec<Life> {
    match executor {
        Executor::Constant { clients, ramp } if ramp.is_zero() && later.is_zero() => {
            (0..*clients).map(|_| (Joins::BeforeStart, None)).collect()
        }
        Executor::Constant { clients, ramp } => {
            let at = |i: u32| ramp.mul_f64(f64::from(i) / f64::from(*clients));
            (0..*clients).map(|i| (Joins::At(later + at(i)), None)).collect()
        }
        Executor::Ramping { stages } => {
            pacer::lives(stages).into_iter().map(|(from, to)| (Joins::At(from), to)).collect()
        }
        Executor::ArrivalRate { pace } => {
            Pacer::new(pace, seeds.of("arrivals", "")).map(|at| (Joins::At(at), None)).collect()
        }
    }
}

/// Who sits on a seat one after the other; a session that would outlast the run has no end.
fn sessions((joins, until): Life, session: Session, run: Duration, rng: &mut ChaCha8Rng) -> Vec<Life> {
    let mut lives = Vec::new();
    let mut joins = joins;
    loop {
        let (from, is_first) = match joins {
            Joins::BeforeStart => (Duration::ZERO, true),
            Joins::At(at) => (at, false),
        };
        let length = match session.spread {
            // Who is there from the beginning on came at any time before it: else all would leave at once.
            Spread::Constant if is_first => session.mean.mul_f64(1.0 - rng.random::<f64>()),
            Spread::Constant => session.mean,
            Spread::Exponential => session.mean.mul_f64(-(1.0 - rng.random::<f64>()).ln()),
        };
        let leaves = from + length;
        if leaves >= until.unwrap_or(run) {
            lives.push((joins, until));
            return lives;
        }
        lives.push((joins, Some(leaves)));
        if !session.churn {
            return lives;
        }
        joins = Joins::At(leaves);
    }
}
