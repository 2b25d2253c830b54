//! The JSON Schema of `report.json`, derived from its types. A test compares it with the committed
//! `docs/report.schema.json`. Read [`schema`] first.

use super::model::Report;

/// The schema as text, with a newline at its end.
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".to_owned(), "Report of sse-bench".into());
    let json = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    // Descriptions are doc comments, in which names in brackets are links.
    let text = json.replace("[`", "`").replace("`]", "`");
    format!("{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = include_str!("../../../docs/report.schema.json");

    #[test]
    fn the_committed_schema_is_current() {
        let hint = "update it: sse-bench schema --report > docs/report.schema.json";
        assert!(COMMITTED == schema(), "docs/report.schema.json is out of date; {hint}");
    }
}
