//! Facts of the embedded log that the contract suite cannot ask of every broker: the passing of time, a restart, a
//! kill, directories that are refused.

mod damage;
mod fixture;
mod kill;
mod restart;
mod time;
