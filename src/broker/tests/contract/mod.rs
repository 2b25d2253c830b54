//! The contract suite: every broker passes it. Each fact is a function of a [`bed::Bed`], which knows how to make a log of
//! its kind; `every_broker` makes a test of each fact for every kind. Facts about time and about one kind alone stand
//! beside that kind.

mod bed;
mod every_broker;
mod following;
mod mailbox;
mod model;
mod reading;
mod roster;
mod writing;
