//! Who connects when, as whom, and by which addresses it can be reached.

use std::collections::HashMap;
use std::time::Duration;

use crate::bench::pacer;
use crate::bench::scenario::{ClientGroup, Executor};
use crate::protocol::{Address, ClientId, InvalidName, Topic, UserId};

use super::{AddressId, GroupId, Joins, Seeds, SubscriberId, SubscriberPlan};

/// All clients, and every address that one of them listens to.
#[derive(Debug, Default)]
pub(super) struct Audience {
    pub(super) subscribers: Vec<SubscriberPlan>,
    pub(super) addresses: Vec<Address>,
    numbers: HashMap<Address, AddressId>,
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
    /// Fills in the templates of a group.
    ///
    /// # Errors
    /// [`InvalidName`] when what comes out is not a name. A scenario has been checked for that.
    pub fn of(group: &ClientGroup, i: u32) -> Result<Self, InvalidName> {
        let subscribe = &group.subscribe;
        let client =
            subscribe.client.as_ref().map_or_else(|| format!("{}-{i}", group.name), |name| name.fill(i));
        let user = subscribe.user.as_ref().map(|name| UserId::parse(&name.fill(i))).transpose()?;
        let mut topics = Vec::with_capacity(subscribe.topics.len());
        for template in &subscribe.topics {
            let topic = Topic::parse(&template.fill(i))?;
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        Ok(Self { client: ClientId::parse(&client)?, user, topics })
    }
}

impl Audience {
    pub(super) fn new(groups: &[ClientGroup], seeds: Seeds) -> Self {
        let mut audience = Self::default();
        audience.number(Address::All);
        for (group, spec) in (0..).map(GroupId).zip(groups) {
            let group_seeds = Seeds::new(seeds.of("group", &spec.name));
            for (i, (joins, leaves)) in (0..).zip(lives(&spec.executor, spec.joins)) {
                let identity = Identity::of(spec, i).expect("the scenario was checked with these names");
                audience.add(group, identity, (joins, leaves), group_seeds.of("client", &i.to_string()));
            }
        }
        audience
    }

    fn add(
        &mut self,
        group: GroupId,
        identity: Identity,
        (joins, leaves): (Joins, Option<Duration>),
        seed: u64,
    ) {
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
        });
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

/// When the clients of a group come and go.
fn lives(executor: &Executor, later: Duration) -> Vec<(Joins, Option<Duration>)> {
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
    }
}
