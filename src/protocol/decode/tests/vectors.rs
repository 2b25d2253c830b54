//! Every vector of `tests/vectors` through the decoder, in every split that tells decoders apart.
//! `cargo test --lib vectors -- --nocapture` prints the count.

use std::time::Duration;

use base64::Engine as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;

use crate::protocol::decode::{Decoder, Item, Limits};

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/sse-vectors.json"));
const RANDOM_SPLITS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    source: String,
    note: Option<String>,
    #[serde(default)]
    initial_last_event_id: String,
    input: Text,
    chunks: Option<Vec<Text>>,
    chunk_size: Option<usize>,
    events: Vec<ExpectedEvent>,
    events_after_chunk: Option<Vec<usize>>,
    comments: Option<Vec<Text>>,
    retry_ms: Option<u64>,
    #[serde(default)]
    retry_is_implementation_defined: bool,
    last_event_id: Text,
}

#[derive(Deserialize)]
struct ExpectedEvent {
    event: String,
    data: Text,
    id: Text,
}

/// A string, or parts with how often each is repeated.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Runs(Vec<(String, usize)>),
}

impl Text {
    fn text(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Runs(runs) => runs.iter().map(|(part, times)| part.repeat(*times)).collect(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        match self {
            Self::Plain(text) => decode(text),
            Self::Runs(runs) => runs.iter().flat_map(|(part, times)| decode(part).repeat(*times)).collect(),
        }
    }
}

/// The items of a decoder, in the terms of a vector.
#[derive(Debug, Default, PartialEq, Clone)]
struct Outcome {
    events: Vec<(String, String, String)>,
    events_after_chunk: Vec<usize>,
    comments: Vec<String>,
    retry: Option<Duration>,
    last_event_id: String,
}

fn outcome<'a>(initial: &str, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::resume(Limits::default(), initial);
    let mut outcome = Outcome::default();
    let mut announced = None;
    let mut committed = initial.to_owned();
    for chunk in chunks {
        decoder
            .feed(chunk, |item| match item {
                Item::Event { event, data, last_event_id, id_in_block } => {
                    assert!(id_in_block || committed == last_event_id, "an id came from nowhere");
                    committed = last_event_id.to_owned();
                    outcome.events.push((event.to_owned(), data.to_owned(), last_event_id.to_owned()));
                }
                Item::Comment(text) => outcome.comments.push(text.to_owned()),
                Item::Retry(time) => announced = Some(time),
                Item::IdCommitted(id) => committed = id.to_owned(),
            })
            .unwrap();
        outcome.events_after_chunk.push(outcome.events.len());
    }
    decoder.finish();
    assert_eq!(announced, decoder.reconnection_time(), "every retry that counts is an item");
    assert_eq!(committed, decoder.last_event_id(), "every id that counts is seen in an item");
    outcome.retry = decoder.reconnection_time();
    outcome.last_event_id = decoder.last_event_id().to_owned();
    outcome
}

/// The first difference between what the vector expects and what came out.
fn difference(vector: &Vector, actual: &Outcome, is_given_split: bool) -> Option<String> {
    let events: Vec<_> =
        vector.events.iter().map(|e| (e.event.clone(), e.data.text(), e.id.text())).collect();
    if events != actual.events {
        return Some(format!("events {:?}, expected {events:?}", actual.events));
    }
    if vector.last_event_id.text() != actual.last_event_id {
        return Some(format!("last event id {:?}", actual.last_event_id));
    }
    let retry = vector.retry_ms.map(Duration::from_millis);
    if !vector.retry_is_implementation_defined && retry != actual.retry {
        return Some(format!("retry {:?}, expected {retry:?}", actual.retry));
    }
    let comments = vector.comments.as_ref().map(|all| all.iter().map(Text::text).collect::<Vec<_>>());
    if comments.is_some_and(|expected| expected != actual.comments) {
        return Some(format!("comments {:?}", actual.comments));
    }
    let timing = vector.events_after_chunk.as_ref().filter(|_| is_given_split);
    if timing.is_some_and(|expected| *expected != actual.events_after_chunk) {
        return Some(format!("events after each chunk {:?}", actual.events_after_chunk));
    }
    None
}

fn random_split<'a>(bytes: &'a [u8], rng: &mut impl rand::Rng) -> Vec<&'a [u8]> {
    // Small streams are cut anywhere; large ones into at most some hundred parts, so that the test stays quick.
    let longest = 2 + bytes.len() / 100;
    let mut rest = bytes;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(rng.random_range(0..=longest.min(rest.len())));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

fn failures_of(vector: &Vector, rng: &mut impl rand::Rng) -> Vec<String> {
    let bytes = vector.input.bytes();
    let mut failures = Vec::new();
    let mut run = |how: &str, chunks: &[&[u8]], is_given_split: bool| {
        assert_eq!(chunks.concat(), bytes, "{}: the split is of another input", vector.name);
        let actual = outcome(&vector.initial_last_event_id, chunks.iter().copied());
        if let Some(difference) = difference(vector, &actual, is_given_split) {
            let note = vector.note.as_deref().unwrap_or("");
            failures.push(format!("{} ({}; {note}) {how}: {difference}", vector.name, vector.source));
        }
    };
    run("whole", &[&bytes], false);
    for size in 1..=3 {
        run(&format!("in chunks of {size}"), &bytes.chunks(size).collect::<Vec<_>>(), false);
    }
    if let Some(chunks) = &vector.chunks {
        let chunks: Vec<_> = chunks.iter().map(Text::bytes).collect();
        run("in its own chunks", &chunks.iter().map(Vec::as_slice).collect::<Vec<_>>(), true);
    }
    if let Some(size) = vector.chunk_size {
        run("in chunks of its own size", &bytes.chunks(size).collect::<Vec<_>>(), true);
    }
    for _ in 0..RANDOM_SPLITS {
        let chunks = random_split(&bytes, rng);
        run(
            &format!("cut at random into {:?}", chunks.iter().map(|c| c.len()).collect::<Vec<_>>()),
            &chunks,
            false,
        );
    }
    failures
}

#[test]
fn every_vector_passes_in_every_split() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 280, "vectors were lost");
    let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(0x55e);
    let failures: Vec<_> = vectors.iter().map(|vector| failures_of(vector, &mut rng)).collect();
    let passed = failures.iter().filter(|failures| failures.is_empty()).count();
    println!(
        "vectors: {passed} of {} pass (whole, 1, 2, 3 bytes, given split, {RANDOM_SPLITS} random splits each)",
        vectors.len()
    );
    let failures: Vec<_> = failures.into_iter().flatten().take(10).collect();
    assert!(failures.is_empty(), "the first of them:\n{}", failures.join("\n"));
}

#[test]
fn timing_is_checked_where_a_vector_prescribes_it() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    let with_timing = vectors.iter().filter(|vector| vector.events_after_chunk.is_some());
    assert!(with_timing.clone().all(|vector| vector.chunks.is_some() || vector.chunk_size.is_some()));
    assert_eq!(with_timing.count(), 16);
}
