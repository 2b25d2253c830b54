//! When events are due: data, not loops. Never sleeps and never reads a clock.
