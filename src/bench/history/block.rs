//! The pieces that evidence is stored and sent in, each sealed for itself: a slice of clients, a publisher, the
//! measurements of a worker. Read [`Block`] first.

use std::io::{self, Read, Write};

use super::seal::{self, Damage, Sealed};
use crate::bench::ledger::{AuditLedger, InvalidBook, PublishLedger, StoredClients, SubscriberLedger};
use crate::bench::plan::Plan;
use crate::bench::recorder::Recorder;

/// Clients whose books are sealed together: enough that what they have in common is stored once.
pub const CLIENTS_A_BLOCK: usize = 1_000;

/// One piece of evidence.
#[derive(Debug)]
pub enum Block {
    /// Books of clients.
    Clients(Vec<SubscriberLedger>),
    /// The book of a publisher.
    Publishes(PublishLedger),
    /// The book of the sentinels.
    Sentinels(PublishLedger),
    /// The book of the audit read.
    Audit(AuditLedger),
    /// Measurements.
    Measurements(Recorder),
    /// Nothing follows. Without it, what was read is not everything.
    End,
}

const CLIENTS: u8 = 1;
const PUBLISHES: u8 = 2;
const SENTINELS: u8 = 3;
const AUDIT: u8 = 4;
const MEASUREMENTS: u8 = 5;
const END: u8 = 6;

/// Why a piece of evidence cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// It is damaged.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// It is whole, and of another plan.
    #[error(transparent)]
    Book(#[from] InvalidBook),
    /// It is whole, and of a kind that this version does not know.
    #[error("it has a piece of the unknown kind {0}")]
    Kind(u8),
}

impl Block {
    /// Writes a [`Block::Clients`], without owning the books. The others below do the same.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_clients(out: &mut impl Write, books: &[SubscriberLedger]) -> io::Result<()> {
        seal::close(out, CLIENTS, &StoredClients::of(books))
    }

    /// Writes a [`Block::Publishes`].
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_publishes(out: &mut impl Write, book: &PublishLedger) -> io::Result<()> {
        seal::close(out, PUBLISHES, book)
    }

    /// Writes a [`Block::Sentinels`].
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_sentinels(out: &mut impl Write, book: &PublishLedger) -> io::Result<()> {
        seal::close(out, SENTINELS, book)
    }

    /// Writes a [`Block::Audit`].
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_audit(out: &mut impl Write, book: &AuditLedger) -> io::Result<()> {
        seal::close(out, AUDIT, book)
    }

    /// Writes a [`Block::Measurements`].
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_measurements(out: &mut impl Write, recorder: &Recorder) -> io::Result<()> {
        seal::close(out, MEASUREMENTS, recorder)
    }

    /// Writes the piece.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Clients(books) => Self::write_clients(out, books),
            Self::Publishes(book) => Self::write_publishes(out, book),
            Self::Sentinels(book) => Self::write_sentinels(out, book),
            Self::Audit(book) => Self::write_audit(out, book),
            Self::Measurements(recorder) => Self::write_measurements(out, recorder),
            Self::End => seal::close(out, END, &()),
        }
    }

    /// The piece as bytes, for a pipe.
    ///
    /// # Errors
    /// When it is too long to be sealed.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the next piece; `None` where nothing comes any more. Books of clients are closed: they can be judged, and
    /// nothing more can be told to them.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn read(plan: &Plan, from: &mut impl Read) -> Result<Option<Self>, BlockError> {
        seal::read(from)?.map(|sealed| Self::open(plan, &sealed)).transpose()
    }

    /// The piece that these bytes are, and nothing else.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn from_bytes(plan: &Plan, mut bytes: &[u8]) -> Result<Self, BlockError> {
        let block = Self::read(plan, &mut bytes)?.ok_or(Damage::Cut)?;
        if bytes.is_empty() { Ok(block) } else { Err(Damage::Foreign.into()) }
    }

    fn open(plan: &Plan, sealed: &Sealed) -> Result<Self, BlockError> {
        Ok(match sealed.kind {
            CLIENTS => Self::Clients(sealed.open::<StoredClients>()?.books(plan)?),
            PUBLISHES => Self::Publishes(sealed.open()?),
            SENTINELS => Self::Sentinels(sealed.open()?),
            AUDIT => Self::Audit(sealed.open()?),
            MEASUREMENTS => Self::Measurements(sealed.open()?),
            END => {
                sealed.open::<()>()?;
                Self::End
            }
            unknown => return Err(BlockError::Kind(unknown)),
        })
    }
}
