//! Facts of the log in Redis that the contract suite cannot ask of every broker: what is left when servers die, and what
//! would be left without each protection. Every fault has its control: the same story with a protection switched off
//! must lose events, or the story proves nothing. Read [`load::Load`] first.

mod cluster;
mod empty;
mod failover;
mod load;
mod proxy;
mod retries;
mod time;

use super::limits::Protections;

/// Nothing that keeps acknowledged events from being lost.
fn plain() -> Protections {
    Protections { terms: false, repair: false, read_back: false, ..Protections::default() }
}
