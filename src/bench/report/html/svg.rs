//! Scales, ticks, axes and lines of a chart. Knows nothing of a run. Read [`Scale`] first.

use std::fmt::Write as _;

use crate::bench::report::wording::escaped;

/// The area of a chart and the margins of its plot, in units of the SVG.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// Right edge of the plot.
    pub(super) fn x_end(self) -> f64 {
        self.width - self.right
    }

    /// Lower edge of the plot.
    pub(super) fn y_end(self) -> f64 {
        self.height - self.bottom
    }
}

/// Maps values to positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
    is_log: bool,
}

impl Scale {
    /// Equal distances for equal differences.
    pub(super) fn linear(from: (f64, f64), to: (f64, f64)) -> Self {
        let from = if from.1 > from.0 { from } else { (from.0, from.0 + 1.0) };
        Self { from, to, is_log: false }
    }

    /// Equal distances for equal ratios, for values above 0.
    pub(super) fn log(from: (f64, f64), to: (f64, f64)) -> Self {
        let low = from.0.max(1e-9);
        let from = if from.1 > low { (low, from.1) } else { (low, low * 10.0) };
        Self { from, to, is_log: true }
    }

    /// Distance of both ends.
    pub(super) fn length(&self) -> f64 {
        (self.to.1 - self.to.0).abs()
    }

    /// The position of a value; a value outside the scale is at its edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.from.0, self.from.1);
        let share = if self.is_log {
            (value / self.from.0).ln() / (self.from.1 / self.from.0).ln()
        } else {
            (value - self.from.0) / (self.from.1 - self.from.0)
        };
        self.to.0 + share * (self.to.1 - self.to.0)
    }

    /// Round values for grid lines, about this many.
    pub(super) fn ticks(&self, about: u32) -> Vec<f64> {
        if self.is_log { self.log_ticks(about) } else { self.linear_ticks(about) }
    }

    fn linear_ticks(&self, about: u32) -> Vec<f64> {
        let raw = (self.from.1 - self.from.0) / f64::from(about.max(1));
        let magnitude = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
        let step = step.into_iter().find(|step| *step >= raw).unwrap_or(raw);
        self.multiples(step)
    }

    /// Multiples of a step within the scale.
    pub(super) fn multiples(&self, step: f64) -> Vec<f64> {
        let first = (self.from.0 / step - 1e-9).ceil();
        (0..100)
            .map(|n| (first + f64::from(n)) * step)
            .take_while(|at| *at <= self.from.1 * (1.0 + 1e-9))
            .collect()
    }

    /// Powers of ten, and if there is room 2 and 5, or 3, between them.
    fn log_ticks(&self, about: u32) -> Vec<f64> {
        let decades = (self.from.1 / self.from.0).log10();
        let per_decade = f64::from(about) / decades.max(0.1);
        let factors: &[f64] = match per_decade {
            room if room >= 3.0 => &[1.0, 2.0, 5.0],
            room if room >= 1.8 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let (mut power, mut ticks) = (10f64.powf(self.from.0.log10().floor()), Vec::new());
        while power <= self.from.1 && ticks.len() < 100 {
            let inside = factors.iter().map(|factor| factor * power);
            ticks.extend(inside.filter(|at| *at >= self.from.0 && *at <= self.from.1));
            power *= 10.0;
        }
        ticks
    }
}

/// A line through points. It has a hole where a value is missing; a single value between holes is a dot.
pub(super) fn line(points: &[(f64, Option<f64>)], class: &str) -> String {
    let (mut path, mut dots) = (String::new(), String::new());
    let is_there = |index: Option<usize>| index.and_then(|i| points.get(i)).is_some_and(|(_, y)| y.is_some());
    for (index, (x, y)) in points.iter().enumerate() {
        let Some(y) = y else { continue };
        let (before, after) = (is_there(index.checked_sub(1)), is_there(Some(index + 1)));
        let _ok = match (before, after) {
            (false, false) => write!(dots, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.8\"/>"),
            (false, true) => write!(path, "M{x:.1} {y:.1}"),
            (true, _) => write!(path, "L{x:.1} {y:.1}"),
        };
    }
    format!("<g class=\"line {class}\"><path d=\"{path}\"/>{dots}</g>")
}

/// A text. `anchor` is `start`, `middle` or `end`.
pub(super) fn text(x: f64, y: f64, anchor: &str, class: &str, text: &str) -> String {
    let text = escaped(text);
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>")
}

/// Horizontal grid lines with their values on the left.
pub(super) fn y_axis(frame: Frame, ticks: &[f64], scale: &Scale, label: impl Fn(f64) -> String) -> String {
    let mut out = String::new();
    for tick in ticks {
        let y = scale.at(*tick);
        let (from, to) = (frame.left, frame.x_end());
        let _ok = write!(out, "<path class=\"grid\" d=\"M{from:.1} {y:.1}H{to:.1}\"/>");
        out.push_str(&text(frame.left - 8.0, y + 4.0, "end", "tick", &label(*tick)));
    }
    out
}

/// The horizontal axis with its values.
pub(super) fn x_axis(frame: Frame, ticks: &[f64], scale: &Scale, label: impl Fn(f64) -> String) -> String {
    let y = frame.y_end();
    let mut out = format!("<path class=\"axis\" d=\"M{:.1} {y:.1}H{:.1}\"/>", frame.left, frame.x_end());
    for tick in ticks {
        let x = scale.at(*tick);
        let _ok = write!(out, "<path class=\"axis\" d=\"M{x:.1} {y:.1}v4\"/>");
        out.push_str(&text(x, y + 18.0, "middle", "tick", &label(*tick)));
    }
    out
}

/// A legend in one row: a stroke and a name each.
pub(super) fn legend(frame: Frame, entries: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut x = frame.left;
    for (class, name) in entries {
        let _ok = write!(out, "<g class=\"line {class}\"><path d=\"M{x:.1} 12h18\"/></g>");
        out.push_str(&text(x + 24.0, 16.0, "start", "legend", name));
        x += 42.0 + width_of(name);
    }
    out
}

/// The approximate width of a small text, without font metrics.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars()
        .map(|c| if matches!(c, 'i' | 'l' | 'j' | '.' | ':' | ' ' | 'f' | 't') { 4.0 } else { 7.0 })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(Scale::linear((0.0, 47.0), (0.0, 1.0)).ticks(5), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Scale::linear((0.0, 0.0), (0.0, 1.0)).ticks(2), [0.0, 0.5, 1.0]);
        let close = |found: Vec<f64>, wanted: &[f64]| {
            assert_eq!(found.len(), wanted.len(), "{found:?}");
            assert!(found.iter().zip(wanted).all(|(a, b)| (a / b - 1.0).abs() < 1e-9), "{found:?}");
        };
        close(Scale::log((0.8, 12.0), (0.0, 1.0)).ticks(6), &[1.0, 2.0, 5.0, 10.0]);
        close(Scale::log((0.8, 90_000.0), (0.0, 1.0)).ticks(6), &[1.0, 10.0, 100.0, 1e3, 1e4]);
    }

    #[test]
    fn a_value_outside_stays_at_the_edge() {
        let scale = Scale::log((1.0, 100.0), (0.0, 10.0));
        assert!((scale.at(10.0) - 5.0).abs() < 1e-9);
        assert!(scale.at(0.0).abs() < 1e-9 && (scale.at(1e9) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_hole_is_a_hole_and_a_lonely_value_a_dot() {
        let drawn = line(&[(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(4.0))], "a");
        let expected =
            "<g class=\"line a\"><path d=\"M0.0 1.0L1.0 2.0\"/><circle cx=\"3.0\" cy=\"4.0\" r=\"1.8\"/></g>";
        assert_eq!(drawn, expected);
    }
}
