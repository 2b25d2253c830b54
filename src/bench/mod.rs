//! The swarm and the judge.
