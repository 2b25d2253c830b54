//! The way to the peer of a loop's stream: the socket itself, or TLS on it. Neither blocks. Read [`Transport`] first.

use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustls::ServerConnection;

use super::socket::{self, Read, pull};

/// Most bytes that TLS keeps which the socket has not taken: one record (RFC 8446, section 5.1).
const UNSENT_BYTES: usize = 16 * 1024;

/// The way to a peer.
#[derive(Debug)]
pub(crate) enum Transport {
    /// What is pushed goes over the wire as it is.
    Plain(OwnedFd),
    /// A box: most transports are plain, and a session takes kilobytes.
    Tls(Box<TlsSocket>),
}

/// A socket, and the session of TLS on it.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    socket: OwnedFd,
    session: ServerConnection,
}

impl Transport {
    /// TLS on a socket, once the handshake is done.
    pub(crate) fn tls(socket: OwnedFd, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(UNSENT_BYTES));
        Self::Tls(Box::new(TlsSocket { socket, session }))
    }

    /// Writes until everything is taken or no more is, as readiness by edges requires. Returns the bytes taken. TLS may
    /// have taken bytes that the socket has not: see [`Self::flush`].
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket::push(socket, bytes),
            Self::Tls(tls) => tls.push(bytes),
        }
    }

    /// Writes what was taken before. To be called whenever the socket takes bytes again. Returns whether the socket has
    /// everything.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// Reads and discards what the peer has sent: all of it, or more than `most` bytes, which is then a bit less than there
    /// may be. Returns the number of bytes, those of TLS included; `None` once the peer has closed its side or failed.
    pub(crate) fn discard(&mut self, most: usize) -> Option<usize> {
        match self {
            Self::Plain(socket) => socket::discard(socket, most),
            Self::Tls(tls) => tls.discard(most),
        }
    }

    /// Tells the peer that nothing follows. The peer may have closed already.
    pub(crate) fn close_write(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
            if let Err(error) = tls.flush() {
                tracing::debug!(%error, "a socket was closed by the other side first");
            }
        }
        socket::close_write(&*self);
    }

    /// What was not sent yet is discarded on close.
    pub(crate) fn reset_on_close(&self) {
        socket::reset_on_close(self);
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(tls) => tls.socket.as_fd(),
        }
    }
}

impl TlsSocket {
    fn push(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.flush()? && taken < bytes.len() {
            taken += self.session.writer().write(&bytes[taken..])?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Raw(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn discard(&mut self, most: usize) -> Option<usize> {
        let mut discarded = 0;
        while discarded <= most {
            match self.session.read_tls(&mut Raw(&self.socket)) {
                Ok(0) => return None,
                Ok(count) => discarded += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
            self.session.process_new_packets().ok()?;
            self.discard_plain_text()?;
        }
        // What has come may ask for an answer, such as new keys.
        self.flush().ok()?;
        Some(discarded)
    }

    /// `None` when nothing more comes.
    fn discard_plain_text(&mut self) -> Option<()> {
        let mut discarded = [0; 1024];
        loop {
            match self.session.reader().read(&mut discarded) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return (error.kind() == io::ErrorKind::WouldBlock).then_some(()),
            }
        }
    }
}

/// A socket for rustls: it reads and writes without waiting.
struct Raw<'a>(&'a OwnedFd);

impl io::Read for Raw<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match pull(self.0, into)? {
            Read::Bytes(count) => Ok(count),
            Read::End => Ok(0),
            Read::Nothing => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match socket::push(self.0, bytes)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

    use super::*;

    const CERTIFICATE: &[u8] = include_bytes!("../../tests/tls/cert.pem");
    const KEY: &[u8] = include_bytes!("../../tests/tls/key.pem");

    /// A client and a transport after their handshake, the client in a thread of its own until then.
    fn pair() -> (StreamOwned<ClientConnection, UnixStream>, Transport) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_slice(KEY).unwrap())
            .unwrap();
        let (theirs, mut ours) = UnixStream::pair().unwrap();
        let mut session = ServerConnection::new(Arc::new(server)).unwrap();
        let client = std::thread::spawn(move || {
            let name = ServerName::try_from("localhost").unwrap();
            let mut client = StreamOwned::new(ClientConnection::new(Arc::new(client), name).unwrap(), theirs);
            client.conn.complete_io(&mut client.sock).unwrap();
            client
        });
        session.complete_io(&mut ours).unwrap();
        (client.join().unwrap(), Transport::tls(ours.into(), session))
    }

    #[test]
    fn what_tls_has_taken_arrives_whole_and_in_order_however_often_the_socket_is_full() {
        let (mut client, mut transport) = pair();
        let all: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut taken, mut read) = (0, Vec::new());
        let mut was_full = 0;
        while read.len() < all.len() {
            taken += transport.push(&all[taken..]).unwrap();
            was_full += u32::from(!transport.flush().unwrap());
            let mut some = [0; 100_000];
            let count = client.read(&mut some).unwrap();
            read.extend_from_slice(&some[..count]);
        }
        assert!(read == all && was_full > 1, "{was_full}");
        assert!(transport.flush().unwrap());
    }

    #[test]
    fn what_the_peer_sends_is_discarded_up_to_a_limit_and_its_end_is_seen() {
        let (mut client, mut transport) = pair();
        assert_eq!(transport.discard(100), Some(0));
        client.write_all(b"hello").unwrap();
        // A record has a header, a type and a tag (RFC 8446, section 5.2).
        assert_eq!(transport.discard(100), Some(5 + 22));
        client.write_all(&[7; 100_000]).unwrap();
        let most = transport.discard(10_000).unwrap();
        assert!(most > 10_000 && most < 100_000, "{most}");
        while transport.discard(100_000).unwrap() > 0 {}
        transport.close_write();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "a proper end, with close_notify");
        client.conn.send_close_notify();
        client.conn.complete_io(&mut client.sock).unwrap();
        assert_eq!(transport.discard(100), None);
    }

    #[test]
    fn bytes_that_are_no_tls_end_the_connection() {
        let (client, mut transport) = pair();
        let mut socket = client.sock;
        socket.write_all(&[0xff; 64]).unwrap();
        assert_eq!(transport.discard(100), None);
    }
}
