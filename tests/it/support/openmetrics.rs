//! A strict reader of OpenMetrics text (version 1.0.0): what Prometheus would refuse or misread, it refuses. Knows
//! the kinds that a node uses. Read [`parse`] first.

use std::collections::HashSet;

/// All samples of one name.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: String,
    kind: String,
    unit: Option<String>,
    has_help: bool,
    pub(crate) samples: Vec<Sample>,
}

/// One line of the exposition, parsed.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

/// The metrics, or the first thing that is wrong with them.
pub(crate) fn parse(text: &str) -> Result<Vec<Metric>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("the end is not said with # EOF")?;
    let mut metrics: Vec<Metric> = Vec::new();
    let mut seen = HashSet::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            describe(&mut metrics, comment).map_err(|problem| format!("{problem}: {line}"))?;
            continue;
        }
        let sample = sample(line).ok_or_else(|| format!("not a sample: {line}"))?;
        if !seen.insert((sample.name.clone(), sample.labels.clone())) {
            return Err(format!("twice: {line}"));
        }
        let metric = metrics.last_mut().ok_or_else(|| format!("no TYPE before {line}"))?;
        belongs(metric, &sample).map_err(|problem| format!("{problem}: {line}"))?;
        metric.samples.push(sample);
    }
    let mut names = HashSet::new();
    for metric in &metrics {
        if !names.insert(&metric.name) {
            return Err(format!("{} is described twice", metric.name));
        }
        complete(metric).map_err(|problem| format!("{}: {problem}", metric.name))?;
    }
    Ok(metrics)
}

fn describe(metrics: &mut Vec<Metric>, comment: &str) -> Result<(), String> {
    let mut words = comment.splitn(3, ' ');
    let (Some(what), Some(name), Some(text)) = (words.next(), words.next(), words.next()) else {
        return Err("not a description".to_owned());
    };
    if !is_name(name) {
        return Err("not a name".to_owned());
    }
    if metrics.last().is_none_or(|metric| metric.name != name) {
        let (kind, unit, samples) = (String::new(), None, Vec::new());
        metrics.push(Metric { name: name.to_owned(), kind, unit, has_help: false, samples });
    }
    let metric = metrics.last_mut().ok_or("no metric")?;
    if !metric.samples.is_empty() {
        return Err("described after its samples".to_owned());
    }
    match what {
        "HELP" if !metric.has_help && !text.is_empty() => metric.has_help = true,
        "TYPE" if metric.kind.is_empty() && matches!(text, "counter" | "gauge" | "histogram") => {
            metric.kind = text.to_owned();
        }
        "UNIT" if metric.unit.is_none() && name.ends_with(&format!("_{text}")) => {
            metric.unit = Some(text.to_owned());
        }
        _ => return Err("not a description, or a second one".to_owned()),
    }
    Ok(())
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let mut pairs = Vec::new();
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (key, text) = pair.split_once('=')?;
        let text = text.strip_prefix('"')?.strip_suffix('"')?;
        if !is_name(key) || text.contains(['"', '\\', '\n']) || pairs.iter().any(|(known, _)| known == key) {
            return None;
        }
        pairs.push((key.to_owned(), text.to_owned()));
    }
    let value = value.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
    is_name(name).then(|| Sample { name: name.to_owned(), labels: pairs, value })
}

fn belongs(metric: &Metric, sample: &Sample) -> Result<(), String> {
    let suffix = sample.name.strip_prefix(&metric.name).ok_or("of another metric")?;
    let allowed: &[&str] = match metric.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => return Err(format!("no TYPE, or the unknown one {other:?}")),
    };
    if allowed.contains(&suffix) { Ok(()) } else { Err(format!("a {} has no {suffix:?}", metric.kind)) }
}

fn complete(metric: &Metric) -> Result<(), String> {
    if !metric.has_help || metric.samples.is_empty() {
        return Err("without HELP or without a sample".to_owned());
    }
    if metric.kind == "counter" && metric.name.ends_with("_total") {
        return Err("_total belongs to the samples".to_owned());
    }
    if metric.kind != "histogram" {
        return Ok(());
    }
    let buckets: Vec<_> = metric.samples.iter().filter(|sample| sample.name.ends_with("_bucket")).collect();
    let bound = |sample: &Sample| sample.labels.iter().find(|(key, _)| key == "le").map(|(_, le)| le.clone());
    let bounds: Option<Vec<f64>> = buckets
        .iter()
        .map(|sample| {
            bound(sample).and_then(|le| if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() })
        })
        .collect();
    let bounds = bounds.ok_or("a bucket without a bound")?;
    if !bounds.is_sorted() || bounds.last() != Some(&f64::INFINITY) {
        return Err("the buckets are not in order up to +Inf".to_owned());
    }
    if !buckets.is_sorted_by_key(|sample| sample.value) {
        return Err("the buckets are not cumulative".to_owned());
    }
    let count =
        metric.samples.iter().find(|sample| sample.name.ends_with("_count")).map(|sample| sample.value);
    if count.is_none() || count != buckets.last().map(|sample| sample.value) {
        return Err("the count is not that of the last bucket".to_owned());
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_seconds Time.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
        a_seconds_sum 1.5\na_seconds_count 3\na_seconds_bucket{le=\"0.1\"} 1\na_seconds_bucket{le=\"+Inf\"} 3\n\
        # HELP b B.\n# TYPE b counter\nb_total{reason=\"x\"} 1\nb_total{reason=\"y\"} 0\n\
        # HELP c C.\n# TYPE c gauge\nc 7\n# EOF\n";

    #[track_caller]
    fn refuses(from: &str, to: &str) {
        assert!(GOOD.contains(from), "{from:?}");
        assert!(parse(&GOOD.replacen(from, to, 1)).is_err(), "{from:?} -> {to:?}");
    }

    #[test]
    fn what_prometheus_would_misread_is_refused() {
        assert_eq!(parse(GOOD).unwrap().len(), 3);
        refuses("# EOF\n", "");
        refuses("# HELP b B.\n", "");
        refuses("# TYPE b counter\n", "");
        refuses("# TYPE b counter\n", "# TYPE b count\n");
        refuses("b_total{reason=\"y\"} 0\n", "b_total{reason=\"x\"} 0\n");
        refuses("b_total{reason=\"y\"} 0\n", "b{reason=\"y\"} 0\n");
        refuses("b_total{reason=\"y\"} 0\n", "b_total{reason=y} 0\n");
        refuses("b_total{reason=\"y\"} 0\n", "b_total{reason=\"y\"} NaN\n");
        refuses("c 7\n", "");
        refuses("c 7\n", "c 7\nc 7\n");
        refuses("# HELP c C.\n# TYPE c gauge\n", "# HELP b C.\n# TYPE b gauge\n");
        refuses("le=\"+Inf\"} 3", "le=\"+Inf\"} 0");
        refuses("le=\"+Inf\"} 3", "le=\"9\"} 3");
        refuses("a_seconds_count 3", "a_seconds_count 4");
        refuses("# UNIT a_seconds seconds", "# UNIT a_seconds bytes");
    }
}
