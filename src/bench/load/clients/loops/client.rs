//! One client on a loop: what it waits for, and how it reads. Never waits. Read [`State`] first.

use tokio::time::Instant;

use crate::bench::load::clients::subscriber::{Attempt, Session, Stopped, Subscriber};
use crate::client::{Connection, Ending};
use crate::net::{Read, pull};
use crate::runtime::error_chain;

/// Reads of one client a turn.
const READS: usize = 4;
/// Bytes that a client with a limited speed reads at once: it must not read ahead.
const SLOW_READ: usize = 4_096;

/// A client, and what it waits for.
pub(super) struct LoopClient {
    pub(super) subscriber: Subscriber,
    pub(super) state: State,
    /// The deadline that counts; others of this client are over.
    pub(super) wakes: Option<Instant>,
    /// Whether it stands in the queue of those that read on.
    pub(super) is_queued: bool,
}

/// What a client waits for.
pub(super) enum State {
    /// The start of the run, to join some time after it.
    Joining,
    /// The moment to connect.
    Waiting,
    /// Until fewer others connect.
    Queued,
    /// That its connect succeeds or fails.
    Opening(Box<Attempt>),
    /// Bytes of its stream.
    Reading(Box<Open>),
}

/// An open stream.
pub(super) struct Open {
    pub(super) connection: Connection,
    pub(super) session: Session,
    /// When the client began to wait for bytes.
    pub(super) silent_since: Instant,
    /// The client does not read until its deadline.
    pub(super) is_paused: bool,
    /// The peer sends nothing more, or the socket has failed.
    pub(super) ends: bool,
}

/// How far a client has read.
pub(super) enum Progress {
    /// All that is there.
    All,
    /// There may be more.
    More,
    /// It must not read before.
    Until(Instant),
    Stopped(Stopped),
}

impl Open {
    pub(super) fn new(connection: Connection, session: Session) -> Self {
        Self { connection, session, silent_since: Instant::now(), is_paused: false, ends: false }
    }
}

/// Reads what is there, within the budget of a turn and the speed of the client.
pub(super) fn read(subscriber: &mut Subscriber, open: &mut Open, buffer: &mut [u8]) -> Progress {
    for _ in 0..READS {
        let (reads, until) = subscriber.pace();
        if let (false, Some(until)) = (reads, until) {
            return Progress::Until(until);
        }
        if let Some(until) = subscriber.history_is_behind() {
            return Progress::Until(until);
        }
        let room = if subscriber.throttle.is_some() { SLOW_READ } else { buffer.len() };
        let ended = match pull(&open.connection.socket, &mut buffer[..room]) {
            Ok(Read::Nothing) => return Progress::All,
            Ok(Read::End) => Err(open.connection.close()),
            Ok(Read::Bytes(count)) => {
                let read = take(subscriber, open, &buffer[..count]);
                // What was not asked for is not there: readiness tells of what comes later.
                if read.is_ok() && count < room && !open.ends {
                    return Progress::All;
                }
                read
            }
            Err(error) => Err(open.connection.fail(error_chain(&error))),
        };
        if let Err(ending) = ended {
            return Progress::Stopped(Stopped::Ended(ending));
        }
    }
    Progress::More
}

/// Handles bytes of the connection, with one arrival time. Bytes beside the body are no news of the server.
pub(super) fn take(subscriber: &mut Subscriber, open: &mut Open, mut bytes: &[u8]) -> Result<(), Ending> {
    let Open { connection, session, silent_since, .. } = open;
    let mut arrived = None;
    while let Some(piece) = connection.next(&mut bytes)? {
        let arrived = *arrived.get_or_insert_with(|| subscriber.bytes_arrived(session));
        *silent_since = arrived.1;
        connection.intake.feed(piece, |item| subscriber.receive(session, arrived, &item))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_thousand_clients_are_small() {
        let bytes = size_of::<LoopClient>() + size_of::<Open>();
        assert!(bytes <= 2_304, "{bytes} bytes for one client, without its texts");
    }
}
