//! What every binary needs, and no word of the product: tasks with an owner, an orderly end, retries, the
//! clock, the limits of the process, logs, exit codes, texts without secrets. Read [`Tasks`] first.

pub mod backoff;
pub mod causes;
pub mod clock;
pub mod cores;
pub mod exit;
pub mod hash;
pub mod manual;
pub mod panic;
pub mod plural;
pub mod rlimit;
pub mod secrets;
pub mod shutdown;
pub mod side_thread;
pub mod sleep;
pub mod suggest;
pub mod telemetry;
pub mod thousands;

pub use backoff::Backoff;
pub use causes::{causes, error_chain, root_cause};
pub use cores::cores;
pub use hash::{QuickMap, fnv1a, fnv1a_seeded, splitmix64_finalize};
pub use panic::panic_message;
pub use plural::plural;
pub use shutdown::{Signals, Tasks};
pub use side_thread::SideThread;
pub use sleep::sleep_until_opt;
pub use suggest::did_you_mean;
pub use thousands::grouped;
