//! Writes histories: what was published, what each client saw, what the log still has. Times are milliseconds.

use crate::bench::ids::{AddressId, PublisherId, RunId, SubscriberId};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::time::RunTime;
use crate::bench::scenario;
use crate::bench::scenario::plan::Plan;
use crate::bench::stamp::Stamp;
use crate::bench::verdict::ledger::account::Account;
use crate::bench::verdict::ledger::arrival::{Arrival, Ending};
use crate::bench::verdict::ledger::audit::AuditLedger;
use crate::bench::verdict::ledger::evidence::{Evidence, FaultRecord};
use crate::bench::verdict::ledger::publish::{PublishLedger, PublishOutcome};
use crate::bench::verdict::ledger::{ProbeLedger, RULES, SubscriberLedger, judge};
use crate::bench::verdict::{Sightings, Status, Verdict, VerdictInput};
use crate::protocol::Address;

/// Everybody listens to `all`; `c-0` and `c-1` are users `u0` and `u1` in one room.
const SCENARIO: &str = r#"
schema = 1
name = "history"
duration = "60s"
[clients.c]
clients = 2
subscribe = { topics = ["room"], user = "u{i}" }
[publishers.main]
rate = 1
mix = { broadcast = 1, topic = 1, user = 1, client = 1 }
[[faults]]
at = "10s"
for = "5s"
type = "kill"
"#;

/// Acknowledged this much later.
pub(super) const ACK: u64 = 5;

pub(super) fn at(ms: u64) -> RunTime {
    RunTime::from_nanos(ms * 1_000_000)
}

pub(super) struct History {
    pub(super) plan: Plan,
    pub(super) publishes: PublishLedger,
    pub(super) clients: Vec<SubscriberLedger>,
    pub(super) audit: Option<AuditLedger>,
    pub(super) faults: Vec<FaultRecord>,
    pub(super) probes: ProbeLedger,
    pub(super) quiescent: bool,
    pub(super) was_interrupted: bool,
    sentinels: Option<PublishLedger>,
}

impl History {
    /// Both clients are connected from the beginning on.
    pub(super) fn new(verify: &str) -> Self {
        let text = format!("{SCENARIO}\n[verify]\n{verify}\n");
        let scenario = scenario::parse("history.toml", &text, &[]).unwrap();
        let plan = Plan::new(&scenario, RunId::from_random(1));
        let mut clients: Vec<_> =
            plan.subscribers.iter().map(|client| SubscriberLedger::new(&plan, client.id)).collect();
        // Ids are made up, as `all-7`.
        clients.iter_mut().for_each(SubscriberLedger::forget_order_of_ids);
        clients.iter_mut().for_each(|client| client.confirmed(at(0), false));
        let publishes = PublishLedger::new(PublisherId(0));
        let audit = Some(AuditLedger::new(plan.run));
        Self {
            plan,
            publishes,
            clients,
            audit,
            faults: Vec::new(),
            probes: ProbeLedger::default(),
            quiescent: true,
            was_interrupted: false,
            sentinels: None,
        }
    }

    pub(super) fn id(&self, address: &str) -> AddressId {
        let address: Address = address.parse().unwrap();
        self.plan.address_ids()[&address]
    }

    pub(super) fn stamp(&self, address: &str, seq: u64) -> Stamp {
        let due = RunTime::ZERO;
        Stamp {
            run: self.plan.run,
            publisher: PublisherId(0),
            address: self.id(address),
            seq,
            due,
            sent: due,
        }
    }

    /// Acknowledged after [`ACK`].
    pub(super) fn publish(&mut self, address: &str, ms: u64) -> u64 {
        self.publish_as(address, ms, PublishOutcome::Acknowledged)
    }

    pub(super) fn publish_as(&mut self, address: &str, ms: u64, outcome: PublishOutcome) -> u64 {
        let id = self.id(address);
        let seq = self.publishes.begin(id, at(ms));
        self.publishes.end(id, seq, at(ms + ACK), outcome);
        seq
    }

    pub(super) fn arrive(&mut self, client: usize, address: &str, seq: u64, ms: u64) -> Arrival {
        let id = format!("{address}-{seq}");
        self.arrive_with_id(client, (address, seq), ms, &id)
    }

    pub(super) fn arrive_with_id(
        &mut self,
        client: usize,
        (address, seq): (&str, u64),
        ms: u64,
        id: &str,
    ) -> Arrival {
        let stamp = self.stamp(address, seq);
        self.clients[client].arrive(at(ms), Some(id), stamp)
    }

    /// It had been due at a time.
    pub(super) fn arrive_due(
        &mut self,
        client: usize,
        (address, seq): (&str, u64),
        due: u64,
        ms: u64,
    ) -> Arrival {
        let stamp = Stamp { due: at(due), sent: at(due), ..self.stamp(address, seq) };
        self.clients[client].arrive(at(ms), Some(format!("{address}-{seq}").as_str()), stamp)
    }

    /// The log has it.
    pub(super) fn keep(&mut self, address: &str, seq: u64) {
        let stamp = self.stamp(address, seq);
        self.audit.as_mut().unwrap().arrive(stamp);
    }

    /// Published, kept, and delivered to these.
    pub(super) fn deliver(&mut self, address: &str, ms: u64, to: &[usize]) -> u64 {
        let seq = self.publish(address, ms);
        self.keep(address, seq);
        for client in to {
            self.arrive(*client, address, seq, ms + 10);
        }
        seq
    }

    /// Published and delivered to these, where there is no audit read.
    pub(super) fn deliver_unkept(&mut self, address: &str, ms: u64, to: &[usize]) -> u64 {
        let seq = self.publish(address, ms);
        to.iter().for_each(|client| _ = self.arrive(*client, address, seq, ms + 10));
        seq
    }

    /// The stream of a client breaks and comes back.
    pub(super) fn reconnect(&mut self, client: usize, from: u64, to: u64, resumed: bool) {
        self.clients[client].disconnected(at(from));
        self.clients[client].confirmed(at(to), resumed);
    }

    /// `kill-1`, from 10 s to 15 s, as planned.
    pub(super) fn kill(&mut self) {
        let (planned, applied, healed) = (at(10_000), Some(at(10_000)), Some(at(15_000)));
        self.faults.push(FaultRecord { name: "kill-1".into(), planned, applied, healed, error: None });
    }

    /// Everybody gets the sentinels of all published addresses, and the audit reader too.
    pub(super) fn end(&mut self) {
        self.sentinels(&[0, 1]);
        for client in &mut self.clients {
            client.finish(at(60_000), Ending::RunOver);
        }
    }

    pub(super) fn sentinels(&mut self, clients: &[usize]) {
        for address in self.publishes.addresses() {
            let run = self.plan.run;
            let ledger = self.sentinels.get_or_insert_with(|| PublishLedger::new(PublisherId::SENTINEL));
            let seq = ledger.begin(address, at(58_000));
            ledger.end(address, seq, at(58_000 + ACK), PublishOutcome::Acknowledged);
            let stamp = Stamp {
                run,
                publisher: PublisherId::SENTINEL,
                address,
                seq: 1,
                due: RunTime::ZERO,
                sent: RunTime::ZERO,
            };
            for client in clients {
                if self.plan.subscribers[*client].addresses.contains(&address) {
                    self.clients[*client].arrive(at(59_000), None, stamp);
                }
            }
            if let Some(audit) = &mut self.audit {
                audit.arrive(stamp);
            }
        }
    }

    pub(super) fn evidence(&self) -> Evidence<'_> {
        Evidence {
            plan: &self.plan,
            publishes: std::slice::from_ref(&self.publishes),
            sentinels: self.sentinels.as_ref(),
            subscribers: &self.clients,
            audit: self.audit.as_ref(),
            faults: &self.faults,
            probes: Some(&self.probes),
            rules: RULES,
            was_interrupted: self.was_interrupted,
        }
    }

    pub(super) fn account(&self) -> Account {
        judge(&self.evidence())
    }

    pub(super) fn verdict(&self) -> Verdict {
        Verdict::new(&VerdictInput {
            plan: &self.plan,
            account: &self.account(),
            recorder: &Recorder::default(),
            faults: &self.faults,
            rules: RULES,
            problems: &[],
            sightings: &Sightings::default(),
            ran: self.plan.duration,
            quiescent: self.quiescent,
        })
    }

    /// Names of all checks that did not pass, with how.
    pub(super) fn complaints(&self) -> Vec<(String, Status)> {
        let checks = self.verdict().checks.into_iter();
        checks.filter(|check| check.status != Status::Pass).map(|check| (check.name, check.status)).collect()
    }

    #[track_caller]
    pub(super) fn check(&self, expected: &[(&str, Status)]) {
        let expected: Vec<_> = expected.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect();
        assert_eq!(self.complaints(), expected, "{:#?}", self.account());
    }

    pub(super) fn client_id(&self, client: usize) -> SubscriberId {
        self.plan.subscribers[client].id
    }
}
