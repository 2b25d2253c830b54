//! Tests of the decoder as a whole: the shared vectors, and the properties of every stream.

mod properties;
mod vectors;
