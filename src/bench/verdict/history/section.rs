//! The pieces that evidence is stored and sent in, each sealed for itself: a slice of clients, a publisher, the
//! measurements of a worker. Read [`Section`] first.

use std::io::{self, Read, Write};

use super::frame::{self, CorruptFrame, Frame};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::ledger::{
    AuditLedger, InvalidLedger, PublishLedger, StoredClients, SubscriberLedger,
};

/// Clients whose books are sealed together: enough that what they have in common is stored once.
pub const CLIENTS_A_BLOCK: usize = 1_000;

/// One piece of evidence.
#[derive(Debug)]
pub enum Section {
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
pub enum SectionError {
    /// It is damaged.
    #[error(transparent)]
    CorruptFrame(#[from] CorruptFrame),
    /// It is whole, and of another plan.
    #[error(transparent)]
    Book(#[from] InvalidLedger),
    /// It is whole, and of a kind that this version does not know.
    #[error("it has a piece of the unknown kind {0}")]
    Kind(u8),
}

impl Section {
    /// Writes a [`Section::Clients`], without owning the books. The others below do the same.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_clients(out: &mut impl Write, books: &[SubscriberLedger]) -> io::Result<()> {
        frame::close(out, CLIENTS, &StoredClients::of(books))
    }

    /// Writes a [`Section::Publishes`].
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_publishes(out: &mut impl Write, book: &PublishLedger) -> io::Result<()> {
        frame::close(out, PUBLISHES, book)
    }

    /// Writes a [`Section::Sentinels`].
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_sentinels(out: &mut impl Write, book: &PublishLedger) -> io::Result<()> {
        frame::close(out, SENTINELS, book)
    }

    /// Writes a [`Section::Audit`].
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_audit(out: &mut impl Write, book: &AuditLedger) -> io::Result<()> {
        frame::close(out, AUDIT, book)
    }

    /// Writes a [`Section::Measurements`].
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_measurements(out: &mut impl Write, recorder: &Recorder) -> io::Result<()> {
        frame::close(out, MEASUREMENTS, recorder)
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
            Self::End => frame::close(out, END, &()),
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
    /// [`SectionError`].
    pub fn read(plan: &Plan, from: &mut impl Read) -> Result<Option<Self>, SectionError> {
        frame::read(from)?.map(|sealed| Self::open(plan, &sealed)).transpose()
    }

    /// The piece that these bytes are, and nothing else.
    ///
    /// # Errors
    /// [`SectionError`].
    pub fn from_bytes(plan: &Plan, mut bytes: &[u8]) -> Result<Self, SectionError> {
        let block = Self::read(plan, &mut bytes)?.ok_or(CorruptFrame::Cut)?;
        if bytes.is_empty() { Ok(block) } else { Err(CorruptFrame::Foreign.into()) }
    }

    fn open(plan: &Plan, sealed: &Frame) -> Result<Self, SectionError> {
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
            unknown => return Err(SectionError::Kind(unknown)),
        })
    }
}
