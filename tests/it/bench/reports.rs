//! What a run tells while it goes on and when it is over, and that a stored one tells the same.

use std::path::Path;

use serde_json::Value;

use super::harness::{Lab, bench, in_time};
use crate::support::{self, openmetrics};

const SCENARIO: &str = r#"
schema = 1
name = "told"
duration = "3s"
[cluster]
broker = "file"
[clients.everybody]
clients = 4
subscribe = { topics = ["room"] }
reconnect = { policy = "tolerant", max_delay = "200ms" }
[publishers.main]
rate = 50
mix = { broadcast = 1, topic = 1 }
[[faults]]
at = "1s"
for = "300ms"
type = "pause"
[verify]
quiesce = { idle = "1s", timeout = "30s" }
[thresholds]
events_lost = ["count==0"]
generator_lag = ["p(99)<10s"]
"#;

const FILES: [(&str, &str); 8] = [
    ("text", "report.txt"),
    ("json", "report.json"),
    ("junit", "junit.xml"),
    ("html", "report.html"),
    ("md", "report.md"),
    ("csv", "series.csv"),
    ("hlog", "series.hlog"),
    ("hgrm", "delivery_latency.hgrm"),
];

fn file(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test]
async fn a_run_writes_every_format_and_a_stored_one_tells_the_same() {
    let lab = Lab::new(SCENARIO);
    let all = FILES.map(|(format, _)| format).join(",");
    let ran = lab.run(&["--format", &all]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.report["harness"]["p99_ms"].as_f64() > Some(0.0), "{}", ran.report["harness"]);
    assert!(ran.stdout.contains("harness floor"), "{}", ran.stdout);
    for (format, name) in FILES {
        let output = in_time(bench(&["report", "--format", format]).arg(lab.out()).output()).await;
        assert_eq!(output.status.code(), Some(0), "{format}: {}", String::from_utf8_lossy(&output.stderr));
        let written = file(&lab.out(), name);
        assert!(!written.is_empty() && String::from_utf8_lossy(&output.stdout) == written, "{format}");
    }
    follows(&file(&lab.out(), "live.jsonl"));
}

/// Whoever read along knows what was planned, saw the fault come and go, and knows the verdict.
fn follows(live: &str) {
    let lines: Vec<Value> = live.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (begin, end) = (&lines[0], lines.last().unwrap());
    assert_eq!(
        (&begin["kind"], &begin["scenario"], &begin["clients"]),
        (&"begin".into(), &"told".into(), &4.into())
    );
    assert_eq!(begin["faults"][0]["planned_heal_ms"], 1_300.0);
    assert_eq!(
        (&end["kind"], &end["verdict"], &end["exit_code"]),
        (&"end".into(), &"PASS".into(), &0.into())
    );
    let node = &lines[1]["nodes"][0];
    assert_eq!((&lines[1]["kind"], &node["name"]), (&"cluster".into(), &begin["nodes"][0]), "{live}");
    assert!(node["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{live}");
    let seconds = &lines[2..lines.len() - 1];
    assert!(seconds.iter().all(|line| line["kind"] == "second"), "{live}");
    let last = seconds.last().unwrap();
    assert!(last["delivered"].as_u64() > Some(100) && last["published"].as_u64() > Some(50), "{last}");
    assert_eq!(last["healed"], serde_json::json!(["pause-1"]), "{live}");
}

#[tokio::test]
async fn several_runs_are_one_document_of_junit() {
    let lab = Lab::new(&SCENARIO.replace("3s", "1500ms").replace("300ms", "100ms"));
    let ran = lab.run(&["--format", "junit", "--repeat", "2"]).await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout.matches("<?xml").count(), 1, "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("<testsuite ").count(), 2, "{}", ran.stdout);
}

#[tokio::test]
async fn prometheus_can_ask_while_it_runs_and_a_taken_address_is_106() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let lab = Lab::new(SCENARIO);
    let ran = lab.run(&["--prometheus", &address, "-s", "output.prometheus=127.0.0.1:0"]).await;
    assert_eq!(ran.code, Some(106), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(&address), "{}", ran.stdout);
    drop(taken);
    let flags = ["-s", "output.prometheus=127.0.0.1:nowhere"];
    let ran = lab.run(&flags).await;
    assert!(ran.code == Some(104) && ran.stderr.contains("output.prometheus"), "{}", ran.stderr);
    let key = format!("output.prometheus={address}");
    let flags = ["-s", key.as_str()];
    let run = lab.run(&flags);
    let text = tokio::select! {
        ran = run => panic!("nobody answered until the end: {}", ran.stderr),
        text = scrape(&address) => text,
    };
    let metrics = openmetrics::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for name in ["sse_bench_clients_connected", "sse_bench_deliveries", "sse_bench_delivery_latency_seconds"]
    {
        assert!(metrics.iter().any(|metric| metric.name == name), "{name}\n{text}");
    }
    assert!(text.contains("sse_bench_fault_active{fault=\"pause-1\"}"), "{text}");
}

/// What is answered once something was delivered.
async fn scrape(address: &str) -> String {
    let http = support::http();
    loop {
        let answer = http.get(format!("http://{address}/metrics")).send().await;
        if let Ok(answer) = answer
            && let Ok(text) = answer.text().await
            && !text.contains("sse_bench_deliveries_total 0\n")
        {
            return text;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_directory_of_no_run_is_refused_by_name() {
    let empty = tempfile::tempdir().unwrap();
    let output = in_time(bench(&["report", "--format", "html"]).arg(empty.path()).output()).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(104), "{stderr}");
    assert!(stderr.contains("report.json"), "{stderr}");
}
