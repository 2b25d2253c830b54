//! The JSON Schema of `report.json`, made from the types that are written. It is committed as
//! `docs/report.schema.json`, and a test compares.

use super::model::Report;

/// The schema as text, with a newline at its end.
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".to_owned(), "Report of sse-bench".into());
    let json = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    // Descriptions are those of the code, where a name in brackets is a link.
    let text = json.replace("[`", "`").replace("`]", "`");
    format!("{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = include_str!("../../../docs/report.schema.json");

    #[test]
    fn the_committed_schema_is_current() {
        let hint = "write it anew: sse-bench schema --report > docs/report.schema.json";
        assert!(COMMITTED == schema(), "docs/report.schema.json is not what a report is; {hint}");
    }
}
