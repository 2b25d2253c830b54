//! The progress line on a terminal. Pure.

use super::line::{Begin, Second};

/// The progress as one line of at most `width` characters.
#[must_use]
pub fn line(begin: &Begin, now: &Second, width: usize) -> String {
    let mut parts = vec![begin.scenario.clone(), phase(begin, now)];
    let clients = begin.clients;
    parts.push(if now.connected == clients {
        format!("{clients} connected")
    } else {
        format!("{}/{clients} connected", now.connected)
    });
    if now.phase != "set-up" {
        parts.push(format!("{:.0} in/s", now.delivered_per_s));
        parts.push(format!("{:.0} published/s", now.published_per_s));
        parts.push(now.p99_ms.map_or_else(|| "p99 –".to_owned(), |p99| format!("p99 {}", millis(p99))));
    }
    if !now.faults.is_empty() {
        parts.push(format!("broken: {}", now.faults.join(", ")));
    }
    for (count, what) in [
        (now.gaps, "gaps"),
        (now.not_acknowledged, "not acknowledged"),
        (now.dropped, "dropped"),
        (now.reconnects, "reconnects"),
        (now.connect_errors, "failed connects"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let line = parts.join("  ");
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn phase(begin: &Begin, now: &Second) -> String {
    if now.phase == "set-up" {
        return now.phase.clone();
    }
    let (elapsed, planned) = (now.elapsed_ms / 1_000, begin.duration_ms.div_ceil(1_000));
    format!("{elapsed:>3}s/{planned}s {}", now.phase)
}

fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.0}s", ms / 1e3),
        ms if ms >= 1_000.0 => format!("{:.1}s", ms / 1e3),
        ms if ms >= 10.0 => format!("{ms:.0}ms"),
        ms => format!("{ms:.1}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> Begin {
        Begin { scenario: "failover".to_owned(), duration_ms: 25_000, clients: 200, ..Begin::default() }
    }

    #[test]
    fn the_line_holds_trouble_only_where_there_is_some() {
        let mut now = Second { phase: "set-up".to_owned(), connected: 12, ..Second::default() };
        assert_eq!(line(&begin(), &now, 200), "failover  set-up  12/200 connected");
        now = Second {
            elapsed_ms: 7_400,
            phase: "steady".to_owned(),
            connected: 200,
            delivered_per_s: 1_012.4,
            published_per_s: 100.0,
            p99_ms: Some(4.25),
            ..now
        };
        let steady = "failover    7s/25s steady  200 connected  1012 in/s  100 published/s  p99 4.2ms";
        assert_eq!(line(&begin(), &now, 200), steady);
        now =
            Second { connected: 100, p99_ms: None, faults: vec!["term-1".to_owned()], reconnects: 3, ..now };
        let broken = line(&begin(), &now, 200);
        assert!(broken.ends_with("p99 –  broken: term-1  3 reconnects"), "{broken}");
    }

    #[test]
    fn the_line_does_not_wrap() {
        let now = Second { phase: "steady".to_owned(), ..Second::default() };
        let short = line(&begin(), &now, 20);
        assert_eq!((short.chars().count(), short.chars().last()), (20, Some('…')));
    }
}
