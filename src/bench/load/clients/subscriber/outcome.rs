//! What follows when an attempt has failed or a stream is over: what is noted, and what the client does next. Never reads or
//! connects. Read [`Subscriber::closed`] first.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use tokio::time::Instant;

use super::subscriber::{Attempt, Next, Session, Stopped, Subscriber};
use crate::bench::load::refusal;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::verdict::ledger::{Ending as LifeEnding, PATIENCE};
use crate::client::{ConnectError, Decision, End, Ending, GiveUp, Intake};

impl Subscriber {
    /// A stream is over.
    pub(in crate::bench::load::clients) fn closed(
        &mut self,
        intake: &Intake,
        mut session: Session,
        stopped: Stopped,
    ) -> Next {
        self.note_end(intake, &session, &stopped);
        self.after(stopped, &mut session.rng)
    }

    /// An attempt has failed.
    pub(in crate::bench::load::clients) fn not_opened(
        &mut self,
        attempt: Attempt,
        error: &ConnectError,
    ) -> Next {
        let Attempt { endpoint, began, mut rng, assignment: _until_here, .. } = attempt;
        self.record_failed_attempt(began);
        let tags = self.tags_now();
        self.samples.count(Counter::ConnectErrors, tags, 1);
        self.context.progress.connect_error();
        self.context.progress.note_connect_error(|| refusal::reason(error));
        if self.connects == 1 && error.is_final() {
            self.context.progress.refused_for_good(|| refusal::reason(error));
        }
        if matches!(error, ConnectError::Refused { .. }) {
            self.context.balancer.mark(endpoint, false);
        }
        let next = self.decide(error, &mut rng);
        self.observe_refusal(error, matches!(next, Next::Stop(LifeEnding::GaveUp)));
        next
    }

    /// Records an attempt that did not lead to a confirmed stream.
    fn record_failed_attempt(&mut self, began: Instant) {
        let now = self.context.clock.now();
        self.ledger.failed_attempt(now.minus(began.elapsed()), now);
    }

    fn decide<'a>(&mut self, end: impl Into<End<'a>>, rng: &mut ChaCha8Rng) -> Next {
        match self.reconnect.after(end, rng) {
            Decision::RetryIn(wait) => Next::After(wait),
            Decision::GiveUp(why) => {
                tracing::debug!(client = %self.plan().client, %why, "gives up");
                if why == GiveUp::Decoder {
                    self.context.progress.unreadable();
                }
                Next::Stop(match why {
                    GiveUp::Once | GiveUp::Finished => LifeEnding::NoReconnect,
                    GiveUp::Status(_) | GiveUp::ContentType | GiveUp::Request | GiveUp::Decoder => {
                        LifeEnding::GaveUp
                    }
                })
            }
        }
    }

    fn note_end(&mut self, intake: &Intake, session: &Session, stopped: &Stopped) {
        self.note_misread(intake, stopped);
        let now = self.context.clock.now();
        let tags = self.tags(now);
        self.observe_end(intake, session, stopped);
        self.downtime.stream_ended(Instant::now(), session.is_confirmed);
        self.samples.count(Counter::BytesIn, tags, intake.bytes_received());
        if session.is_confirmed {
            self.context.progress.disconnected();
        } else if self.failed_to_confirm(session, stopped) {
            self.record_failed_attempt(session.began);
        }
        match stopped {
            // The client itself ends, so its ledger gets an ending instead.
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
            Stopped::Recheck => {}
        }
        if session.is_confirmed {
            self.ledger.disconnected(now);
        }
        if matches!(stopped, Stopped::Recheck) {
            self.ledger.rechecks(now);
        }
    }

    /// Whether an unconfirmed stream counts as a failed attempt: the server ended it, or sent nothing for long. Other servers
    /// than sse-node may have nothing to send.
    fn failed_to_confirm(&self, session: &Session, stopped: &Stopped) -> bool {
        self.context.plan.dialect.is_none()
            && match stopped {
                Stopped::Ended(_) => true,
                Stopped::Leaves => session.began.elapsed() >= PATIENCE,
                Stopped::Cut | Stopped::Recheck | Stopped::Over => false,
            }
    }

    fn after(&mut self, stopped: Stopped, rng: &mut ChaCha8Rng) -> Next {
        match stopped {
            Stopped::Ended(ending) => self.decide(&ending, rng),
            Stopped::Cut => {
                let ending = Ending::Aborted { reason: "cut by the bench".to_owned() };
                self.decide(&ending, rng)
            }
            // At once, and even where its policy is not to reconnect.
            Stopped::Recheck => Next::After(Duration::ZERO),
            Stopped::Over => Next::Stop(LifeEnding::RunOver),
            Stopped::Leaves => Next::Stop(LifeEnding::Left),
        }
    }
}
