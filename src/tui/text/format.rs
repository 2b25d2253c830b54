//! Numbers for the screen: short, with a unit, never cut. Pure, and total: any `f64` gives a short text. Read
//! [`count`] first.

use std::time::Duration;

use crate::runtime::thousands;

const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];

/// A count, exact below a million: `0`, `812`, `45,120`, `120,412`, `1.20M`.
pub(crate) fn count(value: u64) -> String {
    if value >= 1_000_000 { significant(value as f64, 1000.0, &DECIMAL) } else { grouped(value) }
}

/// All digits, in groups of three.
pub(crate) fn grouped(value: u64) -> String {
    thousands::grouped(value, ',')
}

/// Events per second: `0`, `0.4`, `812`, `2.41k`, `109k`.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        significant(per_second, 1000.0, &DECIMAL)
    }
}

/// A time in milliseconds, without its unit: `0.41`, `1.9`, `31.0`, `412`, `12.5k`.
pub(crate) fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 0.995 {
        format!("{ms:.2}")
    } else if ms < 99.95 {
        format!("{ms:.1}")
    } else {
        significant(ms, 1000.0, &DECIMAL)
    }
}

/// A time with its unit: `0.41ms`, `412ms`, `6.4s`.
pub(crate) fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.9995 {
        format!("{}ms", millis(time))
    } else if seconds < 99.95 {
        format!("{seconds:.1}s")
    } else {
        age(time)
    }
}

/// Bytes in powers of 1024: `0B`, `512B`, `1.23G`.
pub(crate) fn bytes(value: u64) -> String {
    significant(value as f64, 1024.0, &BINARY)
}

/// A share of one core: `0%`, `64%`, `210%`.
pub(crate) fn percent(share: f64) -> String {
    format!("{}%", significant(share * 100.0, 1000.0, &DECIMAL))
}

/// An age or a duration: `0s`, `41s`, `3m12s`, `3h12m`, `2d04h`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (1..1000, _, _) => format!("{days}d{:02}h", hours % 24),
        (_, _, _) => format!("{}d", count(days)),
    }
}

/// The time of day in UTC: `14:02:31`.
pub(crate) fn clock(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs() % 86400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The time of day in UTC with milliseconds: `14:02:31.402`.
pub(crate) fn clock_ms(since_1970: Duration) -> String {
    format!("{}.{:03}", clock(since_1970), since_1970.subsec_millis())
}

/// Three significant digits, with the unit that makes the number smaller than 1000.
fn significant(value: f64, step: f64, units: &[&str; 7]) -> String {
    if !value.is_finite() || value >= step.powi(7) {
        return format!(">999{}", units[6]);
    }
    let mut value = value.max(0.0);
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(shown: &str, expected: &str) {
        assert_eq!(shown, expected);
    }

    #[test]
    fn numbers_are_short_and_have_units() {
        check(&count(0), "0");
        check(&count(45_120), "45,120");
        check(&count(999_999), "999,999");
        check(&count(1_204_000), "1.20M");
        check(&rate(0.0), "0");
        check(&rate(0.44), "0.4");
        check(&rate(9.96), "10");
        check(&rate(812.0), "812");
        check(&rate(999.6), "1.00k");
        check(&rate(2410.0), "2.41k");
        check(&rate(108_900.0), "109k");
        check(&rate(999_600.0), "1.00M");
        check(&millis(Duration::from_micros(410)), "0.41");
        check(&millis(Duration::from_micros(1900)), "1.9");
        check(&millis(Duration::from_millis(31)), "31.0");
        check(&millis(Duration::from_millis(412)), "412");
        check(&millis(Duration::from_millis(12_500)), "12.5k");
        check(&short(Duration::from_millis(412)), "412ms");
        check(&short(Duration::from_millis(6_380)), "6.4s");
        check(&short(Duration::from_secs(192)), "3m12s");
        check(&bytes(512), "512B");
        check(&bytes(1_320_702_443), "1.23G");
        check(&percent(0.64), "64%");
        check(&percent(2.1), "210%");
        check(&age(Duration::from_secs(41)), "41s");
        check(&age(Duration::from_secs(192)), "3m12s");
        check(&age(Duration::from_secs(11_520)), "3h12m");
        check(&age(Duration::from_secs(187_200)), "2d04h");
        check(&clock(Duration::from_secs(86_400 * 3 + 50_551)), "14:02:31");
        check(&clock_ms(Duration::from_millis(50_551_402)), "14:02:31.402");
    }

    proptest! {
        #[test]
        fn any_value_is_short(value: f64, whole: u64) {
            for text in [rate(value), percent(value), bytes(whole), count(whole), age(Duration::from_secs(whole)),
                millis(Duration::from_millis(whole))] {
                prop_assert!(text.len() <= 9, "{text}");
            }
        }
    }
}
