//! Probes: besides the clients of a run, the judge itself resumes from ids that it has heard, and compares what follows with
//! what it has heard behind them. A cursor confirms a mailbox and a name takes a stream over, so probes have names of
//! their own and listen to broadcasts and topics only. Read [`Prober`] first, then [`heard`].

mod heard;
mod prober;
mod voice;

pub use prober::Prober;
