//! Whether the messages of a server hold anything where its dialect says that the payload stands. Read [`check`] first.

use super::outcome::{Check, Judged, Status};
use crate::bench::metrics::metric::Counter;

/// Messages came, something was owed, and not one event was found: most likely `dialect.payload` points elsewhere.
pub fn check(judged: &Judged<'_>) -> Option<Check> {
    let dialect = judged.plan.dialect.as_ref().filter(|dialect| !dialect.payload.is_all())?;
    let came = judged.recorder.total(Counter::Heartbeats, |_| true);
    if judged.account.ok > 0 || judged.account.expected == 0 || came == 0 {
        return None;
    }
    let payload = &dialect.payload;
    let detail = format!(
        "{came} messages and comments came, and none had an event of this run at dialect.payload {payload}: is it there?"
    );
    Some(Check { name: "nothing found".to_owned(), status: Status::Note, detail })
}
