//! A report as text for a terminal. In brief it fits on a screen: verdict, diagnosis, delivery, failed thresholds, faults,
//! and the verdict again. In full it also has every metric, counter and process. Read [`render`] first.

mod brief;
mod page;
mod sections;

pub use brief::{render, render_full};
pub use page::Colour;
