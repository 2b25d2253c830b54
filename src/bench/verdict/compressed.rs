//! Which streams came compressed, and how late their events were: a compressor that is not flushed holds events back.
//! Pure. Read [`check`] first.

use super::outcome::{Check, Status, VerdictInput};
use crate::bench::ids::GroupId;
use crate::bench::metrics::format::readable;
use crate::bench::metrics::metric::{Counter, Trend};
use crate::bench::metrics::recorder::Recorder;
use crate::bench::metrics::tags::{Path, Source, Tags};
use crate::client::Coding;

/// Codings of all streams, in their order.
pub(super) fn codings(recorder: &Recorder) -> Vec<&'static str> {
    let was_used = |coding: &Coding| recorder.total(Counter::streams_of(*coding), |_| true) > 0;
    Coding::ALL.into_iter().filter(was_used).map(Coding::name).collect()
}

/// Names the codings, and how long after their sending the live events arrived; `None`: no stream was compressed.
pub(super) fn check(input: &VerdictInput<'_>) -> Option<Check> {
    let groups = (0..).map(GroupId).zip(&input.plan.groups);
    let told: Vec<String> =
        groups.filter_map(|(id, group)| of_group(input.recorder, id, &group.name)).collect();
    let detail = format!(
        "{}; with accept_encoding = \"identity\" clients ask for no compression, as a browser cannot",
        told.join("; ")
    );
    (!told.is_empty()).then(|| Check { name: "compressed".to_owned(), status: Status::Note, detail })
}

fn of_group(recorder: &Recorder, id: GroupId, name: &str) -> Option<String> {
    let is_of_group = |tags: &Tags| tags.source == Source::Group(id);
    let used = Coding::ALL.into_iter().filter_map(|coding| {
        let streams = recorder.total(Counter::streams_of(coding), is_of_group);
        (streams > 0).then(|| format!("{} ({streams} streams)", coding.name()))
    });
    let used: Vec<String> = used.collect();
    if used.is_empty() {
        return None;
    }
    let is_live = |tags: &Tags| is_of_group(tags) && tags.path == Some(Path::Live);
    let late = recorder.samples(Trend::DeliveryLatencySent, is_live);
    let late = match (late.of_delivered(50.0), late.of_delivered(100.0)) {
        (Some(median), Some(most)) => format!(
            "events arrived {} (median), at most {}, after they were sent",
            readable(median),
            readable(most)
        ),
        _ => "no live event arrived".to_owned(),
    };
    Some(format!("streams of {name} came as {}: {late}", used.join(", ")))
}
