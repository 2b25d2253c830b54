//! Draws a model into a frame, without a clock and without changing the model. Read `draw` first, then `layout`,
//! which decides what fits.

pub(crate) mod alerts;
pub(crate) mod bench;
pub(crate) mod border;
pub(crate) mod broker;
pub(crate) mod changes;
pub(crate) mod charts;
pub(crate) mod connections;
pub(crate) mod detail;
pub(crate) mod dialog;
pub(crate) mod draw;
pub(crate) mod events;
pub(crate) mod facts;
pub(crate) mod header;
pub(crate) mod help;
pub(crate) mod input_line;
pub(crate) mod layout;
pub(crate) mod nodes;
pub(crate) mod plot;
pub(crate) mod table;
