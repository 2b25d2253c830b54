//! Expectations of metrics, in k6's grammar: `"delivery_latency{phase:steady}" = ["p(99)<50ms"]`.

/// One expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As written: the metric with its tags.
    pub key: String,
    /// As written: the expression.
    pub expression: String,
}
