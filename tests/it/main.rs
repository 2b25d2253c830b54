//! Stories told with real processes.

mod tui;
