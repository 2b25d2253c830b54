//! Tests of several parts of a node together, without a process and without HTTP.

mod simulation;
