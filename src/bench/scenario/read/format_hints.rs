//! Words that somebody brings along who knows k6, and what stands for them here; and how a table is written. Only ever part
//! of a message: nothing is accepted under another name.

/// What somebody means who writes a key of k6 in a table of this kind.
pub(in crate::bench::scenario) fn of_k6(place: &str, key: &str) -> Option<String> {
    let meant = match (place, key) {
        ("clients.*", "vus" | "startVUs" | "preAllocatedVUs" | "maxVUs") => "did you mean clients?",
        ("clients.*", "startTime" | "start") => "did you mean joins?",
        ("clients.*" | "publishers.*", "startRate") => "did you mean start_rate?",
        ("publishers.*", "vus" | "preAllocatedVUs" | "maxVUs") => "did you mean max_in_flight?",
        ("clients.*" | "publishers.*", "timeUnit") => "rates are per second",
        ("clients.*" | "publishers.*", "duration") => "that of the run is meant; stages say it of a part",
        ("clients.*" | "publishers.*", "gracefulStop" | "gracefulRampDown") => {
            "verify.quiesce says how the end is awaited"
        }
        ("", "scenarios") => "[clients.NAME] says who listens, [publishers.NAME] who makes what they hear",
        ("", "options") => "what k6 has in there stands in the file itself: [thresholds], [clients.NAME]",
        ("", "vus") => "did you mean clients, in a group as in [clients.steady]?",
        ("", "stages") => "they belong to a group of clients or to a publisher",
        _ => return None,
    };
    Some(format!(", {meant}"))
}

/// How a table is written that is mostly written in a line.
pub(in crate::bench::scenario) fn example(key: &str) -> String {
    let example = match key {
        "session" => "{ mean = \"3s\" }",
        "reconnect" => "{ policy = \"browser\" }",
        "subscribe" => "{ topics = [\"room-{i%5}\"] }",
        "read" => "{ bytes_per_sec = 2048 }",
        "pause" => "{ every = \"10s\", for = \"4s\" }",
        "mix" => "{ broadcast = 1, topic = 3 }",
        "quiesce" => "{ idle = \"3s\" }",
        "flags" => "{ keep-events = 50 }",
        "headers" => "{ \"x-name\" = \"value\" }",
        "steady" | "clients" | "publishers" | "thresholds" | "verify" | "cluster" => {
            return "; it begins with a line in brackets, as in [clients.steady] or [verify]".to_owned();
        }
        _ => return String::new(),
    };
    format!("; it is written as {key} = {example}")
}
