//! Clients that mean harm: they misuse connections, so that a run shows what the server's other clients feel of it. What
//! becomes of their connections is counted; nothing that they get is judged. Read [`HostileClients`] first.

mod attack;
mod clients;
#[cfg(test)]
mod tests;

pub use clients::HostileClients;
