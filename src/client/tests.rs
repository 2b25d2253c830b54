//! The client against servers that write chosen bytes.
