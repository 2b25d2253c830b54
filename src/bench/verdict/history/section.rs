//! The sections of `books.bin` and of what workers send, each in a frame of its own: ledgers of some clients, the ledger of
//! a publisher, measurements. Read [`Section`] first.

use std::io::{self, Read, Write};

use super::frame::{self, CorruptFrame, Frame};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::diagnosis::Observations;
use crate::bench::verdict::ledger::{
    AuditLedger, InvalidLedger, ProbeLedger, PublishLedger, StoredClients, StoredClientsBefore,
    SubscriberLedger,
};

/// Clients in a section: enough that what they have in common is stored once.
pub const CLIENTS_PER_SECTION: usize = 1_000;

/// A part of the evidence of a run.
#[derive(Debug)]
pub enum Section {
    /// The ledgers of some clients.
    Clients(Vec<SubscriberLedger>),
    /// The ledger of one publisher.
    Publishes(PublishLedger),
    /// The ledger of the sentinels' publisher.
    Sentinels(PublishLedger),
    /// The ledger of the audit read.
    Audit(AuditLedger),
    /// What the judge found when it resumed streams itself.
    Probes(ProbeLedger),
    /// Measurements of one process.
    Measurements(Recorder),
    /// What the clients of one process saw beside the events.
    Observations(Box<Observations>),
    /// The last section. Without it the evidence is incomplete.
    End,
}

/// The format since which the ledgers of clients have observations.
const OBSERVATIONS_SINCE: u16 = 5;
const CLIENTS: u8 = 1;
const PUBLISHES: u8 = 2;
const SENTINELS: u8 = 3;
const AUDIT: u8 = 4;
const MEASUREMENTS: u8 = 5;
const END: u8 = 6;
const OBSERVATIONS: u8 = 7;
const PROBES: u8 = 8;

/// Why a section cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SectionError {
    /// The frame is damaged.
    #[error(transparent)]
    CorruptFrame(#[from] CorruptFrame),
    /// The section is intact but of another plan.
    #[error(transparent)]
    Ledger(#[from] InvalidLedger),
    /// The section is intact but its JSON is not that of observations.
    #[error("its observations are not valid: {0}")]
    Observations(#[from] serde_json::Error),
    /// The section is intact but of a kind that this version does not know.
    #[error("it has a section of the unknown kind {0}")]
    Kind(u8),
}

impl Section {
    /// Writes a [`Section::Clients`] without owning the ledgers.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_clients(out: &mut impl Write, ledgers: &[SubscriberLedger]) -> io::Result<()> {
        frame::write(out, CLIENTS, &StoredClients::of(ledgers))
    }

    /// Writes a [`Section::Publishes`].
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_publishes(out: &mut impl Write, ledger: &PublishLedger) -> io::Result<()> {
        frame::write(out, PUBLISHES, ledger)
    }

    /// Writes a [`Section::Sentinels`].
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_sentinels(out: &mut impl Write, ledger: &PublishLedger) -> io::Result<()> {
        frame::write(out, SENTINELS, ledger)
    }

    /// Writes a [`Section::Audit`].
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_audit(out: &mut impl Write, ledger: &AuditLedger) -> io::Result<()> {
        frame::write(out, AUDIT, ledger)
    }

    /// Writes a [`Section::Measurements`].
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_measurements(out: &mut impl Write, recorder: &Recorder) -> io::Result<()> {
        frame::write(out, MEASUREMENTS, recorder)
    }

    /// Writes a [`Section::Observations`], as JSON: a later version may add to it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_observations(out: &mut impl Write, observations: &Observations) -> io::Result<()> {
        frame::write(out, OBSERVATIONS, &serde_json::to_string(observations)?)
    }

    /// Writes the section as a frame.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Clients(ledgers) => Self::write_clients(out, ledgers),
            Self::Publishes(ledger) => Self::write_publishes(out, ledger),
            Self::Sentinels(ledger) => Self::write_sentinels(out, ledger),
            Self::Audit(ledger) => Self::write_audit(out, ledger),
            Self::Probes(ledger) => frame::write(out, PROBES, ledger),
            Self::Measurements(recorder) => Self::write_measurements(out, recorder),
            Self::Observations(observations) => Self::write_observations(out, observations),
            Self::End => frame::write(out, END, &()),
        }
    }

    /// The section as bytes, for a pipe.
    ///
    /// # Errors
    /// A section that is too long for a frame.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the next section; `None` at the end of the input. Ledgers of clients are closed: they can be judged, but not
    /// continued.
    ///
    /// # Errors
    /// [`SectionError`].
    pub fn read(plan: &Plan, from: &mut impl Read) -> Result<Option<Self>, SectionError> {
        frame::read(from)?.map(|frame| Self::decode(plan, &frame)).transpose()
    }

    /// Reads bytes that hold one section and nothing else.
    ///
    /// # Errors
    /// [`SectionError`].
    pub fn from_bytes(plan: &Plan, mut bytes: &[u8]) -> Result<Self, SectionError> {
        let section = Self::read(plan, &mut bytes)?.ok_or(CorruptFrame::Truncated)?;
        if bytes.is_empty() { Ok(section) } else { Err(CorruptFrame::NotAFrame.into()) }
    }

    fn decode(plan: &Plan, frame: &Frame) -> Result<Self, SectionError> {
        Ok(match frame.kind {
            CLIENTS if frame.format < OBSERVATIONS_SINCE => {
                Self::Clients(StoredClients::from(frame.decode::<StoredClientsBefore>()?).ledgers(plan)?)
            }
            CLIENTS => Self::Clients(frame.decode::<StoredClients>()?.ledgers(plan)?),
            PUBLISHES => Self::Publishes(frame.decode()?),
            SENTINELS => Self::Sentinels(frame.decode()?),
            AUDIT => Self::Audit(frame.decode()?),
            PROBES => Self::Probes(frame.decode()?),
            MEASUREMENTS => Self::Measurements(frame.decode()?),
            OBSERVATIONS => Self::Observations(serde_json::from_str(&frame.decode::<String>()?)?),
            END => {
                frame.decode::<()>()?;
                Self::End
            }
            unknown => return Err(SectionError::Kind(unknown)),
        })
    }
}
