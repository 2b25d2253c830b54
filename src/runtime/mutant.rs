//! Lines of the node that are broken on purpose, one at a time, so that scenarios can be tested: each must convict the
//! mutants that are its own. They exist in builds with the feature `mutants` only; everywhere else [`is_on`] is `false`
//! and the compiler leaves the line out. This list is the one place of this room that has words of the product; what
//! convicts a mutant stands in `tests/mutants.rs`. Read [`Mutant`] first.

/// The variable that chooses a mutant, read once.
pub const VARIABLE: &str = "SSE_NODE_MUTANT";

macro_rules! mutants {
    ($($(#[doc = $sentence:literal])+ $mutant:ident = $name:literal,)+) => {
        /// One broken line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $sentence])+ $mutant,)+
        }

        /// Every mutant: its name, and what it does wrong.
        pub const ALL: &[(Mutant, &str, &str)] =
            &[$((Mutant::$mutant, $name, concat!($($sentence),+)),)+];
    };
}

mutants! {
    /// A replay starts one event late.
    ReplayLate = "replay-late",
    /// A replay starts one event early.
    ReplayEarly = "replay-early",
    /// The events of one write go out in reverse order.
    BatchReversed = "batch-reversed",
    /// A reader that fell out of the window goes on where the window begins, and nobody is told.
    SlowSkips = "slow-skips",
    /// A reader of a topic gets all topics whose names begin like it.
    TopicPrefix = "topic-prefix",
    /// A message to one client goes to all.
    DirectToAll = "direct-to-all",
    /// A cursor that the log has trimmed away goes on at the oldest event without a GAP.
    GapSilent = "gap-silent",
    /// One publish of twenty is acknowledged and never appended.
    AckForgets = "ack-forgets",
    /// Ids follow a clock that jumps back by a minute, every other second.
    IdsGoBack = "ids-go-back",
    /// The tail passes over one event after it has lost its connection to Redis.
    TailSkips = "tail-skips",
    /// What was appended again after a rollback also goes to those who had it before.
    RollbackRepeats = "rollback-repeats",
    /// What a rollback took is not appended again.
    RollbackForgets = "rollback-forgets",
    /// A mailbox is delivered twice.
    MailTwice = "mail-twice",
    /// A mailbox is emptied before it is delivered.
    MailEarly = "mail-early",
    /// What a client has confirmed stays in its mailbox.
    MailStays = "mail-stays",
    /// A quiet stream gets no heartbeat.
    HeartbeatMissing = "heartbeat-missing",
    /// CLOSE does not say when to come back.
    CloseBare = "close-bare",
    /// A drain ends a stream in the middle of its CLOSE.
    DrainCuts = "drain-cuts",
    /// Of two streams of one client the newer one is closed.
    TakeoverOldest = "takeover-oldest",
}

/// Whether this line is the broken one.
#[cfg(feature = "mutants")]
#[must_use]
pub fn is_on(mutant: Mutant) -> bool {
    chosen().is_ok_and(|chosen| chosen == Some(mutant))
}

/// Whether this line is the broken one: never.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn is_on(_mutant: Mutant) -> bool {
    false
}

/// Says loudly which line is broken.
///
/// # Errors
/// There is no mutant of the name that [`VARIABLE`] has.
#[cfg(feature = "mutants")]
pub fn announce() -> Result<(), String> {
    if let Some(mutant) = chosen()? {
        let found = ALL.iter().find(|(known, _, _)| *known == mutant);
        let (name, what) = found.map_or(("", ""), |(_, name, what)| (*name, what.trim()));
        tracing::error!(mutant = name, what, "THIS NODE IS BROKEN ON PURPOSE");
    }
    Ok(())
}

/// There is nothing to say.
///
/// # Errors
/// Never.
#[cfg(not(feature = "mutants"))]
pub const fn announce() -> Result<(), String> {
    Ok(())
}

#[cfg(feature = "mutants")]
fn chosen() -> Result<Option<Mutant>, String> {
    static CHOSEN: std::sync::OnceLock<Result<Option<Mutant>, String>> = std::sync::OnceLock::new();
    let read = || {
        let Some(name) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let found = ALL.iter().find(|(_, known, _)| name == *known);
        let names = || ALL.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ");
        found
            .map(|(mutant, _, _)| Some(*mutant))
            .ok_or_else(|| format!("{VARIABLE}={name:?} is no mutant; there are {}", names()))
    };
    CHOSEN.get_or_init(read).clone()
}
