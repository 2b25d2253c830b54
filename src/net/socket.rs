//! Reads and writes that do not block, whatever mode the socket is in. Read [`push`] first.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

/// Bytes of one read of what nobody wants.
const DISCARDED: usize = 16 * 1024;

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

/// Reads and discards what the peer has sent: all of it, or more than `most` bytes, which is then a bit less than there
/// may be. Returns the number of bytes; `None` once the peer has closed its side or failed.
pub(crate) fn discard(socket: &OwnedFd, most: usize) -> Option<usize> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); DISCARDED];
    let mut discarded = 0;
    while discarded <= most {
        match recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return None,
            Ok((_, count)) => discarded += count,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(discarded)
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
        assert_eq!(discard(&server, 100), Some(2));
        client.write_all(&[7; 3 * DISCARDED]).unwrap();
        assert_eq!(
            discard(&server, DISCARDED),
            Some(2 * DISCARDED),
            "no more than one read beyond the limit"
        );
        assert_eq!(discard(&server, 2 * DISCARDED), Some(DISCARDED));
        assert_eq!(pull(&server, &mut [0; 3]).unwrap(), Read::Nothing);
        // A peer that leaves bytes unread is a reset.
        client.read_exact(&mut [0]).unwrap();
        drop(client);
        assert_eq!(pull(&server, &mut [0; 3]).unwrap(), Read::End);
        assert_eq!(discard(&server, 100), None);
        assert!(push(&server, b"x").is_err());
    }
}
