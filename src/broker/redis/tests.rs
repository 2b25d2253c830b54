//! Facts of the log in Redis that the contract suite cannot ask of every broker.
