//! The timeline of faults: a row each, as planned and as applied. Read [`render`] first.

use std::fmt::Write as _;

use super::svg::{self, Frame, Scale, width_of};
use super::time::{clock, seconds, time_ticks, x_scale};
use crate::bench::report::model::{FaultReport, Report};
use crate::bench::report::time_series::TimeSeries;
use crate::bench::report::wording::escaped;

const ROW: f64 = 26.0;

/// The chart; empty without faults.
pub(super) fn render(report: &Report, series: &TimeSeries) -> String {
    let faults = &report.faults;
    if faults.is_empty() {
        return String::new();
    }
    let names = faults.iter().map(|fault| width_of(&fault.title)).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "faults are few")]
    let height = 30.0 + faults.len() as f64 * ROW + 26.0;
    let left = (names + 20.0).clamp(64.0, 420.0);
    let frame = Frame { width: 1120.0, height, left, right: 16.0, top: 30.0, bottom: 26.0 };
    let all = seconds(series);
    let x = x_scale(frame, all);
    let mut out = format!("<svg viewBox=\"0 0 {:.0} {height:.0}\" role=\"img\">", frame.width);
    let ticks = time_ticks(&x, all);
    for tick in &ticks {
        let at = x.at(*tick);
        let _ok = write!(out, "<path class=\"grid\" d=\"M{at:.1} {:.1}V{:.1}\"/>", frame.top, frame.y_end());
    }
    out.push_str(&svg::x_axis(frame, &ticks, &x, clock));
    for (number, fault) in (0u32..).zip(faults) {
        out.push_str(&row(
            frame,
            &x,
            frame.top + f64::from(number) * ROW,
            fault,
            (report.run.duration_ms, all),
        ));
    }
    out.push_str(&key(frame));
    out.push_str("</svg>");
    out
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
fn row(frame: Frame, x: &Scale, top: f64, fault: &FaultReport, (load_ms, all): (u64, f64)) -> String {
    let middle = top + ROW / 2.0;
    let mut out = svg::text(frame.left - 10.0, middle + 4.0, "end", "row", &fault.title);
    let planned = (fault.planned_ms / 1e3, fault.planned_heal_ms.unwrap_or(load_ms as f64) / 1e3);
    let bar = |class: &str, (from, to): (f64, f64), (y, height): (f64, f64), title: &str| {
        let (start, end) = (x.at(from), x.at(to));
        format!(
            "<rect class=\"{class}\" x=\"{start:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"2\"><title>{}</title></rect>",
            (end - start).max(3.0),
            escaped(title)
        )
    };
    let title = format!("planned {} to {}", clock(planned.0), clock(planned.1));
    out.push_str(&bar("planned", planned, (top + 3.0, 7.0), &title));
    let Some(applied) = fault.applied_ms.map(|ms| ms / 1e3) else {
        out.push_str(&svg::text(x.at(planned.0), top + 21.0, "start", "lost", "never applied"));
        return out;
    };
    let healed = fault.healed_ms.map_or(all, |ms| ms / 1e3);
    let title = match fault.healed_ms {
        Some(_) => format!("applied {applied:.2} s, healed {healed:.2} s"),
        None => format!("applied {applied:.2} s, never healed"),
    };
    let class = if fault.error.is_some() { "actual bad" } else { "actual" };
    out.push_str(&bar(class, (applied, healed), (top + 11.0, 10.0), &title));
    if let Some(recovery) = fault.recovery_p95_ms {
        let from = applied + fault.detect_ms.unwrap_or(0.0) / 1e3;
        let to = (from + recovery / 1e3).min(all);
        let _ok = write!(
            out,
            "<path class=\"recovery\" d=\"M{:.1} {y:.1}H{:.1}m0 -4v8\"><title>back after {recovery:.0} ms (p95)</title></path>",
            x.at(from),
            x.at(to),
            y = top + 16.0
        );
    }
    out
}

fn key(frame: Frame) -> String {
    let mut out = String::new();
    let mut x = frame.left;
    let entries = [
        ("planned", "planned"),
        ("actual", "as applied"),
        ("recovery", "until 95 % of the clients that were cut received new events"),
    ];
    for (class, name) in entries {
        let _ok = match class {
            "recovery" => write!(out, "<path class=\"recovery\" d=\"M{x:.1} 12h18m0 -4v8\"/>"),
            _ => write!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"8\" width=\"18\" height=\"8\" rx=\"2\"/>"
            ),
        };
        out.push_str(&svg::text(x + 24.0, 16.0, "start", "legend", name));
        x += 46.0 + width_of(name);
    }
    out
}
