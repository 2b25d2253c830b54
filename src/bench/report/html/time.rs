//! Charts over the time of a run, with bands where faults were active. Read [`TimeChart`] first.

use std::fmt::Write as _;

use super::svg::{self, Frame, Scale, width_of};
use crate::bench::report::model::{FaultReport, Report};
use crate::bench::report::time_series::TimeSeries;
use crate::bench::report::wording::escaped;

/// Rows for the names of faults above a plot. A name without room stands in the table of faults only.
const LANES: usize = 3;
const LANE_HEIGHT: f64 = 14.0;

/// A curve: a value for each slot, or `None`.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) values: Vec<Option<f64>>,
    /// The place of a value within its slot: 0.5 for what is counted over the slot, 1 for what holds at its end.
    pub(super) place: f64,
}

/// The unit of the values of a chart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds, on a logarithmic axis.
    Millis,
    /// Counts, on an axis from 0.
    Count,
}

/// A chart over time.
pub(super) struct TimeChart<'a> {
    pub(super) id: &'a str,
    /// Width and height of the plot with its axes.
    pub(super) size: (f64, f64),
    pub(super) unit: Unit,
    pub(super) curves: Vec<Curve>,
}

/// A fault and the time in which it was active, in seconds.
struct Band<'a> {
    name: &'a str,
    title: &'a str,
    from: f64,
    to: f64,
}

impl TimeChart<'_> {
    /// The chart as SVG, followed by its values for the script that shows them at the pointer.
    pub(super) fn render(&self, report: &Report, series: &TimeSeries) -> String {
        let seconds = seconds(series);
        let bands = bands(&report.faults, seconds);
        let lanes = place(&bands, (self.size.0 - 80.0) / seconds);
        let rows = lanes.iter().flatten().map(|lane| lane + 1).max().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "three rows at most")]
        let above = rows as f64 * LANE_HEIGHT;
        // One more row for the ends of warm-up and load: within the plot, grid and curves would strike them through.
        let top = 34.0 + above + LANE_HEIGHT;
        let frame = Frame {
            width: self.size.0,
            height: self.size.1 + top,
            left: 64.0,
            right: 16.0,
            top,
            bottom: 26.0,
        };
        let x = x_scale(frame, seconds);
        let y = self.y_scale(frame);
        let mut out = format!(
            "<svg viewBox=\"0 0 {:.0} {:.0}\" data-chart=\"{}\" role=\"img\">",
            frame.width, frame.height, self.id
        );
        out.push_str(&draw_bands(frame, &x, &bands, &lanes));
        out.push_str(&draw_load((frame, frame.top - 6.0 - above), &x, report, series));
        out.push_str(&svg::y_axis(frame, &y.ticks(6), &y, |value| self.label(value)));
        out.push_str(&svg::x_axis(frame, &time_ticks(&x, seconds), &x, clock));
        for curve in &self.curves {
            let points: Vec<(f64, Option<f64>)> = (0..)
                .zip(&curve.values)
                .map(|(slot, value)| {
                    (x.at(time_of(slot, curve.place, series)), value.map(|value| y.at(value)))
                })
                .collect();
            out.push_str(&svg::line(&points, curve.class));
        }
        let legend: Vec<_> = self.curves.iter().map(|curve| (curve.class, curve.name.clone())).collect();
        out.push_str(&svg::legend(frame, &legend));
        out.push_str("<path class=\"cross\" d=\"\"/></svg>");
        out.push_str(&self.data(frame, seconds, series));
        out
    }

    fn y_scale(&self, frame: Frame) -> Scale {
        let values = || self.curves.iter().flat_map(|curve| curve.values.iter().flatten().copied());
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        let pixels = (frame.y_end(), frame.top);
        match self.unit {
            Unit::Millis if low.is_finite() => Scale::log((low.max(0.001) / 1.25, high * 1.25), pixels),
            Unit::Millis => Scale::log((1.0, 1_000.0), pixels),
            Unit::Count => Scale::linear((0.0, (high * 1.05).max(1.0)), pixels),
        }
    }

    fn label(&self, value: f64) -> String {
        match self.unit {
            Unit::Millis => millis(value),
            Unit::Count => count(value),
        }
    }

    /// The data for the script: the edges of the plot, and every value as text.
    fn data(&self, frame: Frame, seconds: f64, series: &TimeSeries) -> String {
        let curves: Vec<_> = self
            .curves
            .iter()
            .map(|curve| {
                let values = curve.values.iter().map(|value| value.map(|value| self.label(value)));
                serde_json::json!({ "name": curve.name, "class": curve.class, "values": values.collect::<Vec<_>>() })
            })
            .collect();
        let data = serde_json::json!({
            "left": frame.left, "right": frame.x_end(), "top": frame.top, "bottom": frame.y_end(),
            "seconds": seconds, "slot": series.slot_seconds, "curves": curves,
        });
        // Escaped so that no text can end the element.
        let data = data.to_string().replace('<', "\\u003c");
        format!("<script type=\"application/json\" data-of=\"{}\">{data}</script>", self.id)
    }
}

/// The length of the time axis, in seconds.
#[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
pub(super) fn seconds(series: &TimeSeries) -> f64 {
    (series.seconds() as f64).max(series.duration_ms as f64 / 1e3).max(1.0)
}

/// A place within a slot, in seconds.
fn time_of(slot: u32, place: f64, series: &TimeSeries) -> f64 {
    (f64::from(slot) + place) * f64::from(series.slot_seconds)
}

pub(super) fn x_scale(frame: Frame, seconds: f64) -> Scale {
    Scale::linear((0.0, seconds), (frame.left, frame.x_end()))
}

/// Round times for the axis, as many as there is room for.
pub(super) fn time_ticks(scale: &Scale, seconds: f64) -> Vec<f64> {
    const STEPS: [f64; 15] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
        14_400.0,
    ];
    let step = STEPS.into_iter().find(|step| seconds / step <= scale.length() / 80.0).unwrap_or(14_400.0);
    scale.multiples(step)
}

/// `45 s`, `2:30`, `1:02:30`.
pub(super) fn clock(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of a run, above zero"
    )]
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3_600, whole / 60 % 60, whole % 60) {
        (0, minutes, _) if minutes < 2 => format!("{whole} s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A time with a suitable unit and three significant digits.
pub(super) fn millis(ms: f64) -> String {
    let (value, unit) = match ms {
        ms if ms < 1.0 => (ms * 1e3, "µs"),
        ms if ms < 1_000.0 => (ms, "ms"),
        ms if ms < 120_000.0 => (ms / 1e3, "s"),
        ms => (ms / 6e4, "min"),
    };
    // Histograms have three significant digits.
    let digits = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

/// A count; `12k` from ten thousand, `1.2M` from a million.
pub(super) fn count(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

fn bands(faults: &[FaultReport], end: f64) -> Vec<Band<'_>> {
    let band = |fault: &'_ FaultReport| {
        let from = fault.applied_ms? / 1e3;
        let to = fault.healed_ms.map_or(end, |healed| healed / 1e3).max(from);
        Some((from, to))
    };
    let all = faults.iter().filter_map(|fault| {
        let (from, to) = band(fault)?;
        Some(Band { name: &fault.name, title: &fault.title, from, to })
    });
    all.collect()
}

/// The row for the name of each fault; `None`: there is no room.
fn place(bands: &[Band<'_>], per_second: f64) -> Vec<Option<usize>> {
    let mut free = [0.0; LANES];
    let find = |band: &Band<'_>| {
        let start = band.from * per_second;
        let lane = free.iter().position(|end| *end <= start)?;
        free[lane] = start + width_of(band.name) + 12.0;
        Some(lane)
    };
    bands.iter().map(find).collect()
}

fn draw_bands(frame: Frame, x: &Scale, bands: &[Band<'_>], lanes: &[Option<usize>]) -> String {
    let mut out = String::new();
    for (band, lane) in bands.iter().zip(lanes) {
        let (from, to) = (x.at(band.from), x.at(band.to));
        let (y, height) = (frame.top, frame.y_end() - frame.top);
        let title = escaped(&format!("{}, {} to {}", band.title, clock(band.from), clock(band.to)));
        let _ok = write!(
            out,
            "<rect class=\"band\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{title}</title></rect>",
            (to - from).max(2.0)
        );
        #[expect(clippy::cast_precision_loss, reason = "three rows at most")]
        let Some(lane) = lane.map(|lane| lane as f64) else { continue };
        let row = frame.top - 6.0 - lane * LANE_HEIGHT;
        let _ok = write!(out, "<path class=\"flag\" d=\"M{from:.1} {y:.1}V{:.1}\"/>", row - 8.0);
        let room = frame.x_end() - from;
        let (at, anchor) =
            if width_of(band.name) + 6.0 > room { (from - 4.0, "end") } else { (from + 4.0, "start") };
        out.push_str(&svg::text(at, row, anchor, "fault", band.name));
    }
    out
}

/// Marks at the ends of the warm-up and of the load, with their names in a row of their own.
fn draw_load((frame, row): (Frame, f64), x: &Scale, report: &Report, series: &TimeSeries) -> String {
    let mut out = String::new();
    // Not up to its name: the names of faults lie between.
    let (top, bottom) = (frame.top, frame.y_end());
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
    let warm =
        series.phases.get(1).filter(|_| series.phases[0].name == "warmup").map(|edge| edge.from_ms as f64);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
    let load = report.run.duration_ms as f64;
    for (at, what) in warm.map(|at| (at, "warm-up ends")).into_iter().chain([(load, "load ends")]) {
        let at = x.at(at / 1e3);
        let _ok = write!(
            out,
            "<path class=\"edge\" d=\"M{at:.1} {top:.1}V{bottom:.1}\"><title>{what}</title></path>"
        );
        let room = frame.x_end() - at;
        let (place, anchor) = if room < 70.0 { (at - 4.0, "end") } else { (at + 4.0, "start") };
        out.push_str(&svg::text(place, row, anchor, "edge", what));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_unit_that_suits_them() {
        let texts = [0.05, 0.999, 1.0, 12.34, 250.0, 1_500.0, 60_000.0, 180_000.0].map(millis);
        assert_eq!(texts, ["50 µs", "999 µs", "1 ms", "12.3 ms", "250 ms", "1.5 s", "60 s", "3 min"]);
        assert_eq!(
            [0.0, 45.0, 119.0, 150.0, 3_750.0].map(clock),
            ["0 s", "45 s", "119 s", "2:30", "1:02:30"]
        );
        assert_eq!([0.0, 2.5, 900.0, 12_345.0, 2.5e6].map(count), ["0", "2.5", "900", "12k", "2.5M"]);
    }

    #[test]
    fn names_of_faults_never_lie_over_each_other() {
        let band = |name: &'static str, from| Band { name, title: name, from, to: from + 1.0 };
        let bands = [band("redis-failover-1", 10.0), band("kill-1", 10.5), band("a", 11.0), band("b", 11.5)];
        assert_eq!(place(&bands, 10.0), [Some(0), Some(1), Some(2), None]);
        let later = [band("kill-1", 10.0), band("kill-2", 40.0)];
        assert_eq!(place(&later, 10.0), [Some(0), Some(0)]);
    }
}
