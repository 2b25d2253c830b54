//! A report as one page for a browser: verdict first, then what happened when, then all figures. It holds everything that
//! it needs and asks no network for anything. Pure. Read [`render`] first.

mod curve;
mod gantt;
mod page;
mod svg;
mod tables;
mod time;

pub(super) use page::render;
