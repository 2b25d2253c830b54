//! The contract suite: every broker passes it.
