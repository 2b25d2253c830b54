//! Reads and writes that do not block, whatever mode the socket is in. Read [`push`] first.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

/// Reads of one look; a peer that sends more than fits into them is one that floods.
const READS: usize = 64;

/// Writes until everything is written or the socket takes no more, as readiness by edges requires. Returns the bytes
/// written.
///
/// # Errors
/// The connection is gone.
pub(crate) fn push(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match send(socket, &bytes[written..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => written += count,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(written)
}

/// What one read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// No byte, for now.
    Nothing,
    /// The peer sends nothing more.
    End,
}

/// Reads once.
///
/// # Errors
/// The connection is gone.
pub(crate) fn pull(socket: &OwnedFd, into: &mut [u8]) -> io::Result<Read> {
    loop {
        match recv(socket, &mut *into, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Ok(Read::End),
            Ok((_, count)) => return Ok(Read::Bytes(count)),
            Err(Errno::AGAIN) => return Ok(Read::Nothing),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads and discards what the peer has sent. Returns whether the peer goes on: it has neither closed its side nor
/// failed, and does not flood.
pub(crate) fn drain_input(socket: &OwnedFd) -> bool {
    let mut discarded = [0_u8; 1024];
    for _ in 0..READS {
        match recv(socket, &mut discarded[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return false,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return error == Errno::AGAIN,
        }
    }
    false
}

/// Tells the peer that nothing follows. The peer may have closed already.
pub(crate) fn close_write(socket: impl AsFd) {
    if let Err(error) = shutdown(socket, Shutdown::Write) {
        tracing::debug!(%error, "a socket was closed by the other side first");
    }
}

/// What was not sent yet is discarded on close. Without it the kernel keeps those bytes long after us.
pub(crate) fn reset_on_close(socket: impl AsFd) {
    if let Err(error) = sockopt::set_socket_linger(socket, Some(Duration::ZERO)) {
        tracing::debug!(%error, "a socket was closed by the other side first");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_full_socket_takes_a_part_and_the_end_of_the_peer_is_seen() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let server = OwnedFd::from(server);
        let much = vec![7; 8 << 20];
        let written = push(&server, &much).unwrap();
        assert!(written > 0 && written < much.len(), "{written}");
        assert_eq!(push(&server, b"x").unwrap(), 0);
        client.read_exact(&mut vec![0; written]).unwrap();
        assert_eq!(push(&server, b"x").unwrap(), 1);
        client.write_all(b"hello").unwrap();
        assert_eq!(pull(&server, &mut [0; 3]).unwrap(), Read::Bytes(3));
        assert!(drain_input(&server));
        assert_eq!(pull(&server, &mut [0; 3]).unwrap(), Read::Nothing);
        // A peer that leaves bytes unread is a reset.
        client.read_exact(&mut [0]).unwrap();
        drop(client);
        assert_eq!(pull(&server, &mut [0; 3]).unwrap(), Read::End);
        assert!(!drain_input(&server));
        assert!(push(&server, b"x").is_err());
    }
}
