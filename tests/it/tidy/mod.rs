//! The rules of the house that a compiler does not check: who may know whom, what is pure, how a file begins, how
//! long it may be. Every rule is a function over sources, and is shown a violation that it must catch. Read
//! [`house::RULES`] first; `numbers` counts what they look at.

mod code;
mod docs;
mod files;
mod graph;
mod house;
mod imports;
mod numbers;
mod rooms;
mod source;
mod tokens;
mod wings;
