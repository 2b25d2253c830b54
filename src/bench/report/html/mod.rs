//! A report as one HTML page: verdict first, then charts over time, then all figures. The page contains everything that it
//! needs and loads nothing. Pure. Read [`render`] first.

mod curve;
mod gantt;
mod page;
mod svg;
mod tables;
mod time;

pub(super) use page::render;
