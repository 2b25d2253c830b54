//! The description of the HTTP interface: made here from a table and the types, compared with the router. To describe a
//! new route, add it to [`operations`] and run the tests once with `SSE_LAB_BLESS=1`.

mod description;
mod operations;
