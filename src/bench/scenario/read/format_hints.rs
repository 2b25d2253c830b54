//! Hints in messages: the equivalent of a key of k6, and an example of each inline table. Never accepts a key under
//! another name. Read [`of_k6`] first.

/// The equivalent of a key of k6 in a table of this kind, as the rest of a message; `None`: not a key of k6.
pub(super) fn of_k6(place: &str, key: &str) -> Option<String> {
    let hint = match (place, key) {
        ("clients.*", "vus" | "startVUs" | "preAllocatedVUs" | "maxVUs") => "did you mean clients?",
        ("clients.*", "startTime" | "start") => "did you mean joins?",
        ("clients.*" | "publishers.*", "startRate") => "did you mean start_rate?",
        ("publishers.*", "vus" | "preAllocatedVUs" | "maxVUs") => "did you mean max_in_flight?",
        ("clients.*" | "publishers.*", "timeUnit") => "rates are per second",
        ("clients.*" | "publishers.*", "duration") => {
            "duration is a key of the whole run; for a shorter or changing load use stages here"
        }
        ("clients.*" | "publishers.*", "gracefulStop" | "gracefulRampDown") => {
            "verify.quiesce sets the wait for the last deliveries"
        }
        ("", "scenarios") => "groups of clients are [clients.NAME], publishers are [publishers.NAME]",
        ("", "options") => {
            "the options of k6 are tables at the top of this file, such as [thresholds] and [clients.NAME]"
        }
        ("", "vus") => "did you mean the key clients of a group, as in [clients.steady]?",
        ("", "stages") => "stages belong to a group of clients or to a publisher, as in [clients.NAME]",
        _ => return None,
    };
    Some(format!("; {hint}"))
}

/// An example of a table, as the rest of a message; empty for unusual ones.
pub(super) fn example(key: &str) -> String {
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
            return "; a table begins with a line in brackets, as in [clients.steady] or [verify]".to_owned();
        }
        _ => return String::new(),
    };
    format!("; allowed is a table, as in {key} = {example}")
}
