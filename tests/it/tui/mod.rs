//! The built `sse-tui`: in a real terminal (tmux) with keys, resizes and signals, and as a command in a pipe.
//! `console` uses small servers as nodes, `live` real ones and a real run of the bench.

mod console;
mod live;
mod node;
mod terminal;
