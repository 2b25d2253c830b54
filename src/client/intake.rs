//! An open stream beside its connection: content coding, decoder, what the head said, and how it ended. No I/O: somebody
//! else reads the socket. Read [`Intake::feed`] first.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::coding::{Coding, Unpacker};
use super::connect::Request;
use super::head::Head;
use super::reader::{CrateFault, Reader};
use super::stream::{Ending, Received};
use crate::protocol::{Item, Pending};

/// What has been read of one stream.
#[derive(Debug)]
pub struct Intake {
    reader: Reader,
    /// `None`: the body is not encoded.
    unpacker: Option<Box<Unpacker>>,
    bytes_received: u64,
    peer: Option<SocketAddr>,
    cookies: Box<[String]>,
    /// `None` once it was taken.
    head: Option<Box<Head>>,
    /// What was unfinished when the body ended.
    unfinished: Pending,
    ending: Option<Ending>,
}

impl Intake {
    pub(super) fn new(
        coding: Option<Coding>,
        peer: Option<SocketAddr>,
        (cookies, head): (Box<[String]>, Box<Head>),
        request: &Request,
    ) -> Self {
        Self {
            reader: Reader::new(request.decoder, request.limits, &request.last_event_id),
            unpacker: coding.map(|coding| Box::new(Unpacker::new(coding))),
            bytes_received: 0,
            peer,
            cookies,
            head: Some(head),
            unfinished: Pending::Nothing,
            ending: None,
        }
    }

    /// Decodes bytes of the body as they come over the wire, and passes every item to `sink`.
    ///
    /// # Errors
    /// [`Ending`]: the stream cannot be read on, on this call and every one after it.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Item<'_>)) -> Result<(), Ending> {
        if let Some(ending) = &self.ending {
            return Err(ending.clone());
        }
        self.count(bytes);
        let fed = if self.unpacker.is_none() {
            self.reader.read_all_of(bytes, sink)
        } else {
            self.unpack(Bytes::copy_from_slice(bytes));
            loop {
                match self.unpacked() {
                    Ok(Some(chunk)) => {
                        if let Err(ending) = self.read_all(chunk, &mut sink) {
                            break Err(ending);
                        }
                    }
                    Ok(None) => break Ok(()),
                    Err(ending) => break Err(ending),
                }
            }
        };
        fed.inspect_err(|ending| self.end(ending.clone()))
    }

    /// The body has ended cleanly.
    pub fn finish(&mut self) -> Ending {
        let ending = self.finish_reader();
        self.end(ending.clone());
        ending
    }

    /// Notes how the stream ended otherwise.
    pub fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    pub(super) fn finish_reader(&mut self) -> Ending {
        self.unfinished = self.reader.pending();
        self.reader.finish()
    }

    pub(super) fn count(&mut self, bytes: &[u8]) {
        self.bytes_received += bytes.len() as u64;
    }

    pub(super) fn is_packed(&self) -> bool {
        self.unpacker.is_some()
    }

    /// Takes a chunk of an encoded body. All before it must have been unpacked.
    pub(super) fn unpack(&mut self, chunk: Bytes) {
        if let Some(unpacker) = &mut self.unpacker {
            unpacker.feed(chunk);
        }
    }

    /// The next bytes of an encoded body, decoded.
    pub(super) fn unpacked(&mut self) -> Result<Option<Bytes>, Ending> {
        let Some(unpacker) = &mut self.unpacker else { return Ok(None) };
        // As a browser takes it: the connection is broken.
        unpacker.next().map_err(|reason| Ending::Aborted { reason })
    }

    /// The next thing in the chunk, which is consumed up to it. `None`: all of it was consumed.
    pub(super) fn read(&mut self, chunk: &mut Bytes) -> Result<Option<Received>, Ending> {
        self.reader.read(chunk)
    }

    pub(super) fn read_all(&mut self, chunk: Bytes, sink: impl FnMut(Item<'_>)) -> Result<(), Ending> {
        self.reader.read_all(chunk, sink)
    }

    /// How the stream ended; `None`: it has not.
    pub(super) fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// What the decoder [`super::DecoderKind::EventsourceStream`] got wrong so far.
    #[must_use]
    pub fn crate_faults(&self) -> &[CrateFault] {
        self.reader.crate_faults()
    }

    /// Value of `Last-Event-ID` for a reconnect. Empty: do not send the header.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }

    /// The reconnection time of the last `retry:` on this connection; `None` before the first one.
    #[must_use]
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.reader.reconnection_time()
    }

    /// The content coding of the body; `None`: it is not encoded.
    #[must_use]
    pub fn coding(&self) -> Option<Coding> {
        self.unpacker.as_ref().map(|unpacker| unpacker.coding())
    }

    /// Bytes of the body so far, as they came over the wire.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Cookies that came with the head of the response, as `name=value`.
    #[must_use]
    pub fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// What the head of the response said; `None` once it was taken. Ten thousand streams need not keep it.
    pub fn take_head(&mut self) -> Option<Head> {
        self.head.take().map(|head| *head)
    }

    /// What has arrived of an event that is not complete: now, or when the body ended.
    #[must_use]
    pub fn pending(&self) -> Pending {
        if self.ending.is_some() { self.unfinished } else { self.reader.pending() }
    }

    /// Address of the other end: of a load balancer, or of the server itself.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}
