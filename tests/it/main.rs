//! Stories told with real processes: the built binaries, started as their users start them, the node spoken to over
//! HTTP. A module is a story; `support` starts the nodes and speaks for the users. Nothing here knows the inside of
//! a binary, but `tidy` and `docs`, which read the source and the pages and hold them to their rules. Read [`support::Node`] first.

// `cfg(test)` tells clippy that these are tests, where `unwrap` is how a test fails.
#[cfg(test)]
mod access;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod description;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod format;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod mailbox;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod ops;
#[cfg(test)]
mod patches;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod stress;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tui;
#[cfg(test)]
mod web;
