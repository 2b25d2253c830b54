//! A client for thousands of streams that costs little, publishers, and a look at what the servers cost: one measurement
//! of `scripts/perf`. It does the steps that it is told, one after the other, and prints a line of JSON for each.
//!
//!   load key=value… step…        `steps` says what each step does
//!
//! | key | meaning |
//! |---|---|
//! | `to` | addresses of the servers; streams take them in turn |
//! | `publish-to` | addresses of the servers that are published to, if others |
//! | `pids` | processes whose CPU and memory are counted |
//! | `sub` | path of a stream; `{c}` is its number, `{t}` its topic |
//! | `pub:NAME` | a kind of publish: path, then lines of headers, a blank line, and the body, with `{payload}` in it |
//! | `topics` | streams and events with `{t}` take that many topics in turn |
//! | `size` | bytes of a payload |
//! | `connections` | of each kind of publish |
//! | `apart` | that many streams are read by a thread of their own under load, and events to one client go to these alone |

mod plan;
mod publish;
mod server;
mod steps;
mod streams;

fn main() {
    let plan = plan::Plan::parse(std::env::args().skip(1));
    let mut bench = steps::Bench::new(&plan);
    for step in &plan.steps {
        println!("{}", bench.step(step));
    }
}
