//! What holds for every stream: splits change nothing, nothing panics, limits hold, what was encoded comes back.
