//! The percentile curve of delivery latency. The axis is logarithmic in the share of later deliveries, so that 99 to 99.9 %
//! has as much room as 90 to 99 %. Read [`render`] first.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::svg::{self, Frame, Scale};
use super::time::millis;
use crate::bench::metrics::metric::Trend;
use crate::bench::metrics::tags::Path;
use crate::bench::report::hdr::ms;
use crate::bench::report::model::Report;
use crate::bench::report::time_series::{TimeSeries, is_judged};
use crate::bench::verdict::history::facts::HarnessBaseline;

/// Percentiles with a label on the axis.
const NAMED: [(f64, &str); 8] = [
    (0.0, "0"),
    (0.5, "50"),
    (0.9, "90"),
    (0.99, "99"),
    (0.999, "99.9"),
    (0.9999, "99.99"),
    (0.99999, "99.999"),
    (0.999_999, "99.9999"),
];

/// The chart; a sentence where nothing was delivered.
pub(super) fn render(report: &Report, series: &TimeSeries) -> String {
    let all = series.whole(Trend::DeliveryLatency, is_judged);
    if all.is_empty() {
        return "<p class=\"none\">Nothing was delivered after the warm-up.</p>".to_owned();
    }
    let missing = report.metrics.iter().find(|metric| metric.key == "delivery_latency");
    let missing = missing.map_or(0, |metric| metric.missing);
    let of_path = |path| {
        series.whole(Trend::DeliveryLatency, move |label| is_judged(label) && label.path == Some(path))
    };
    let replayed = of_path(Path::Replay);
    let mut curves = vec![("c1", "all deliveries".to_owned(), all)];
    if !replayed.is_empty() {
        curves.push(("c2", "live".to_owned(), of_path(Path::Live)));
        curves.push(("c4", "replayed".to_owned(), replayed));
    }
    draw(&curves, missing, report.harness.as_ref())
}

fn draw(
    curves: &[(&'static str, String, Histogram<u64>)],
    missing: u64,
    baseline: Option<&HarnessBaseline>,
) -> String {
    let frame = Frame { width: 550.0, height: 320.0, left: 64.0, right: 20.0, top: 30.0, bottom: 44.0 };
    let all = &curves[0].2;
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let beyond = 1.0 / (all.len() + missing) as f64;
    // One divided by the share of later deliveries: from all of them down to one.
    let x = Scale::log((1.0, (1.0 / beyond).max(100.0)), (frame.left, frame.x_end()));
    let low = curves.iter().map(|(_, _, curve)| ms(curve.min())).fold(f64::INFINITY, f64::min).max(0.01);
    let low = baseline.map_or(low, |baseline| low.min(baseline.p50_ms.max(0.01)));
    let y = Scale::log((low / 1.25, ms(all.max()).max(low * 10.0) * 1.25), (frame.y_end(), frame.top));
    let mut out = format!("<svg viewBox=\"0 0 {:.0} {:.0}\" role=\"img\">", frame.width, frame.height);
    out.push_str(&svg::y_axis(frame, &y.ticks(6), &y, millis));
    let named: Vec<f64> = NAMED
        .iter()
        .map(|(share, _)| 1.0 / (1.0 - share))
        .filter(|at| *at <= (1.0 / beyond).max(100.0))
        .collect();
    out.push_str(&svg::x_axis(frame, &named, &x, name_of));
    out.push_str(&svg::text(frame.x_end(), frame.height - 6.0, "end", "tick", "percentile"));
    for (class, _, curve) in curves {
        out.push_str(&svg::line(&points(curve, if *class == "c1" { missing } else { 0 }, &x, &y), class));
    }
    if let Some(baseline) = baseline {
        let at = y.at(baseline.p99_ms);
        let _ok =
            write!(out, "<path class=\"floor\" d=\"M{:.1} {at:.1}H{:.1}\"/>", frame.left, frame.x_end());
        let text = format!("harness floor p99 {}", millis(baseline.p99_ms));
        out.push_str(&svg::text(frame.x_end() - 4.0, at - 5.0, "end", "edge", &text));
    }
    if missing > 0 {
        // Missing deliveries lie to the right of the latest one.
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let from = x.at((all.len() + missing) as f64 / missing as f64);
        let _ok = write!(
            out,
            "<rect class=\"lost\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>never arrived</title></rect>",
            frame.top,
            (frame.x_end() - from).max(2.0),
            frame.y_end() - frame.top
        );
        out.push_str(&svg::text(frame.x_end() - 4.0, frame.top - 4.0, "end", "lost", "never arrived"));
    }
    let legend: Vec<_> = curves.iter().map(|(class, name, _)| (*class, name.clone())).collect();
    out.push_str(&svg::legend(frame, &legend));
    out.push_str("</svg>");
    out
}

/// The steps of the curve, as shares of all owed deliveries.
fn points(curve: &Histogram<u64>, missing: u64, x: &Scale, y: &Scale) -> Vec<(f64, Option<f64>)> {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let all = (curve.len() + missing) as f64;
    let (mut seen, mut points) = (0u64, Vec::new());
    let mut last = f64::NEG_INFINITY;
    for value in curve.iter_recorded() {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let before = all / (all - seen as f64);
        seen += value.count_since_last_iteration();
        let at = x.at(before);
        // Two points in one pixel are drawn as one.
        if at - last >= 0.7 || points.is_empty() {
            points.push((at, Some(y.at(ms(value.value_iterated_to())))));
            last = at;
        }
    }
    points.push((x.at(all / (missing.max(1)) as f64), Some(y.at(ms(curve.max())))));
    points
}

fn name_of(ratio: f64) -> String {
    let share = 1.0 - 1.0 / ratio;
    let near = NAMED.iter().min_by(|a, b| (a.0 - share).abs().total_cmp(&(b.0 - share).abs()));
    near.map_or(String::new(), |(_, name)| (*name).to_owned())
}
