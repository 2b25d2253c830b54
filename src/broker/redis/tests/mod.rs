//! Facts of the log in Redis that the contract suite cannot ask of every broker: which events survive when servers die,
//! and which would without each protection. Every fault has its control: the same story with a protection switched off
//! must lose events, or the story proves nothing. Read [`load::Load`] first, then [`ablation::Ablation`].

pub(super) mod ablation;
mod cluster;
mod commands;
mod damage;
mod empty;
mod failover;
mod full;
mod load;
mod login;
mod proxy;
mod retries;
mod time;
