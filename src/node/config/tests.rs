//! Facts about the configuration as a whole: what goes before what, that all problems come at once, and that no row of
//! the table is forgotten anywhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args as _;

use super::group::Group;
use super::resolve::Sources;
use super::settings::{Fallback, SETTINGS, Setting};
use super::*;
use crate::broker::{BrokerUrl, Durability, LogLimits};

#[derive(Default)]
struct Given(Sources);

impl Given {
    fn flag(mut self, key: &'static str, value: &str) -> Self {
        self.0.flags.insert(key, value.to_owned());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.0.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.0.file = Some((PathBuf::from("node.toml"), text.to_owned()));
        self
    }

    fn load(&self) -> Result<Loaded, InvalidConfig> {
        Loaded::from_sources(&self.0)
    }

    #[track_caller]
    fn problems(&self) -> Vec<String> {
        self.load().unwrap_err().problems().iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn check_limit(&self, expected: usize, origin: &ValueSource) {
        let loaded = self.load().unwrap();
        assert_eq!(loaded.config.max_connections, expected);
        assert_eq!(loaded.source("max-connections"), Some(origin));
    }
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file_before_the_default() {
    let file = || Given::default().file("max-connections = 3");
    Given::default().check_limit(10_000, &ValueSource::Default);
    file().check_limit(3, &ValueSource::File("node.toml".into()));
    file().variable("SSE_NODE_MAX_CONNECTIONS", "2").check_limit(2, &ValueSource::Environment);
    let all = file().variable("SSE_NODE_MAX_CONNECTIONS", "2").flag("max-connections", "1");
    all.check_limit(1, &ValueSource::Flag);
    // An empty variable says nothing.
    file().variable("SSE_NODE_MAX_CONNECTIONS", "").check_limit(3, &ValueSource::File("node.toml".into()));
    // What does not count is not looked at.
    file()
        .variable("SSE_NODE_MAX_CONNECTIONS", "many")
        .flag("max-connections", "1")
        .check_limit(1, &ValueSource::Flag);
}

#[test]
fn check_config_shows_each_value_and_where_it_came_from() {
    let given = Given::default()
        .file("retry = \"3s\"")
        .variable("SSE_NODE_HEARTBEAT", "5s")
        .flag("id", "backend-1")
        .variable("SSE_NODE_LISTN", "127.0.0.1:1");
    let table = given.load().unwrap().table();
    let line = |key: &str| table.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
    let words = |key| line(key).split_whitespace().collect::<Vec<_>>();
    assert_eq!(words("retry"), ["retry", "3s", "file", "node.toml"]);
    assert_eq!(words("heartbeat"), ["heartbeat", "5s", "environment", "SSE_NODE_HEARTBEAT"]);
    assert_eq!(words("id"), ["id", "backend-1", "flag", "--id"]);
    assert_eq!(words("name"), ["name", "backend-1", "default"]);
    assert_eq!(words("cors-origins"), ["cors-origins", "none", "default"]);
    assert_eq!(words("window-bytes"), ["window-bytes", "64MiB", "default"]);
    for setting in SETTINGS {
        line(setting.key);
    }
    assert!(table.contains("did you mean SSE_NODE_LISTEN?"), "{table}");
}

#[test]
fn a_secret_is_shown_to_nobody() {
    const SECRET: &str = "nobody-may-ever-see-this";
    let loaded = Given::default().flag("cluster-secret", SECRET).load().unwrap();
    assert!(loaded.config.cluster_secret.as_ref().unwrap().matches(SECRET.as_bytes()));
    assert!(loaded.table().contains("(not shown)"), "{}", loaded.table());
    assert!(!loaded.table().contains(SECRET) && !format!("{loaded:?}").contains(SECRET));
    assert!(loaded.warnings[0].contains("SSE_NODE_CLUSTER_SECRET"), "{:?}", loaded.warnings);
    let quiet = Given::default().variable("SSE_NODE_CLUSTER_SECRET", SECRET).load().unwrap();
    assert_eq!(quiet.warnings, Vec::<String>::new());
    let problems = Given::default().flag("cluster-secret", "too-short").problems();
    assert!(problems[0].contains("16 to 256") && !problems[0].contains("too-short"), "{problems:?}");
    let problems = Given::default().flag("cluster-secret", "@/nowhere/secret").problems();
    assert!(problems[0].contains("@/nowhere/secret"), "{problems:?}");
}

#[test]
fn a_password_in_a_url_is_shown_to_nobody() {
    let urls = |host: &str| format!("redis://me:geheim@{host}/0");
    let table = Given::default().flag("broker", &urls("h:1")).load().unwrap().table();
    assert!(table.contains("redis://***@h:1/0") && !table.contains("geheim"), "{table}");
    let problems = Given::default()
        .flag("broker", &urls("h:port"))
        .flag("advertise", "http://me:geheim@h:80")
        .flag("cors-origins", "https://me:geheim@h/app")
        .problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems.iter().all(|problem| !problem.contains("geheim") && problem.contains("***")),
        "{problems:?}"
    );
    let file = Given::default().flag("broker", "file:///data/a@b").load().unwrap().table();
    assert!(file.contains("file:///data/a@b"), "{file}");
}

#[test]
fn sentinels_get_their_password_from_the_url_or_from_a_setting_and_nobody_sees_it() {
    let (plain, full) = ("redis+sentinel://h/m", "redis+sentinel://h/m?sentinel-password=geheim");
    for given in [
        Given::default().flag("broker", plain).variable("SSE_NODE_SENTINEL_SECRET", "geheim"),
        Given::default().variable("SSE_NODE_BROKER", full),
    ] {
        let loaded = given.load().unwrap();
        let BrokerUrl::Redis(url) = &loaded.config.broker else { unreachable!() };
        assert_eq!((url.sentinel_password.as_deref(), url.password.as_deref()), (Some("geheim"), None));
        assert!(!loaded.table().contains("geheim") && loaded.warnings.is_empty(), "{}", loaded.table());
    }
    let problems = Given::default().flag("broker", full).flag("sentinel-secret", "geheim2").problems();
    assert!(problems[0].contains("?sentinel-password=") && !problems[0].contains("geheim"), "{problems:?}");
    let exposed = Given::default().flag("broker", "redis://:geheim@h").load().unwrap();
    assert!(exposed.warnings[0].contains("SSE_NODE_BROKER"), "{:?}", exposed.warnings);
}

#[test]
fn variables_of_others_are_no_concern() {
    // Kubernetes makes these for a service named sse-node.
    let given = Given::default()
        .variable("SSE_NODE_SERVICE_HOST", "10.0.0.1")
        .variable("SSE_NODE_PORT", "tcp://10.0.0.1:80")
        .variable("SSE_NODE_PORT_80_TCP_ADDR", "10.0.0.1");
    assert_eq!(given.load().unwrap().warnings, Vec::<String>::new());
}

#[track_caller]
fn check_unknown(line: &str, expected: &str) {
    let problems = Given::default().file(line).problems();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.contains("node.toml") && problem.contains(expected), "{problem}");
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    check_unknown("max-conections = 5", "did you mean max-connections?");
    check_unknown("max_connections = 5", "did you mean max-connections?");
    check_unknown("Listen = \"x\"", "did you mean listen?");
    check_unknown("colour = \"red\"", "default-config shows all keys");
    check_unknown("config = \"other.toml\"", "default-config shows all keys");
    check_unknown("[log]\nmax-events = 5", "not a setting");
    check_unknown("retry = 1.5", "the type float");
    check_unknown("listen", "not valid TOML");
}

#[test]
fn all_problems_are_told_at_once_with_place_value_and_what_is_allowed() {
    let given = Given::default()
        .file("retry = \"soon\"\nmax-conections = 5\ndrain-close = \"softly\"")
        .variable("SSE_NODE_BROKER", "kafka://h")
        .variable("SSE_NODE_WINDOW_BYTES", "huge")
        .flag("listen", "localhost")
        .flag("id", "a/b");
    let problems = given.problems();
    let expected = [
        ("max-conections", "did you mean max-connections?"),
        ("--id \"a/b\"", "allowed are 1 to 128 bytes"),
        ("--listen \"localhost\"", "127.0.0.1:8080"),
        ("SSE_NODE_BROKER \"kafka://h\"", "allowed are memory:, file:DIR, redis://"),
        ("retry in node.toml \"soon\"", "with a unit"),
        ("SSE_NODE_WINDOW_BYTES \"huge\"", "64MiB"),
        ("drain-close in node.toml \"softly\"", "allowed are abort, clean"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, (place, allowed)) in problems.iter().zip(expected) {
        assert!(problem.contains(place) && problem.contains(allowed), "{problem}");
    }
    let message = given.load().unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1 + expected.len(), "{message}");
}

/// The encoder sends nothing outside, so a setting outside would not be what clients get.
#[test]
fn retry_is_what_clients_can_be_told() {
    for text in ["1s", "10m"] {
        Given::default().flag("retry", text).load().unwrap();
    }
    for text in ["999ms", "601s"] {
        let problems = Given::default().flag("retry", text).problems();
        assert!(problems[0].contains("--retry") && problems[0].contains("1s to 10m"), "{problems:?}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let problems = Given::default()
        .flag("listen", "0.0.0.0:8080")
        .flag("durability", "fsync")
        .flag("max-body", "2KiB")
        .problems();
    let expected = [("--listen", "--insecure"), ("--durability", "file:DIR"), ("max-payload", "max-body")];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, (setting, why)) in problems.iter().zip(expected) {
        assert!(problem.starts_with(setting) && problem.contains(why), "{problem}");
    }
    let open = Given::default().flag("listen", "0.0.0.0:8080").file("insecure = true").load().unwrap();
    assert!(!open.config.listen.ip().is_loopback());
    let durable = Given::default().flag("durability", "fsync").flag("broker", "file:data").load().unwrap();
    assert_eq!(durable.config.durability, Durability::Fsync);
    assert_eq!(durable.config.broker, BrokerUrl::File("data".into()));
    Given::default().flag("listen", "[::1]:0").load().unwrap();
}

#[test]
fn lists_are_written_either_way() {
    let config = |given: Given| given.load().unwrap().config;
    let list = config(Given::default().file("cors-origins = [\"https://a\", \"https://b\"]"));
    let text = config(Given::default().flag("cors-origins", "https://a,https://b"));
    assert_eq!(list.cors_origins, ["https://a", "https://b"]);
    assert_eq!(text.cors_origins, list.cors_origins);
}

#[test]
fn the_default_file_says_what_holds_without_it() {
    let without = Given::default().load().unwrap();
    let file = default_file();
    let with = Given::default().file(&file).load().unwrap();
    assert_eq!(format!("{:?}", with.config), format!("{:?}", without.config));
    for setting in SETTINGS {
        let expected = match setting.default {
            Fallback::Text(_) => ValueSource::File("node.toml".into()),
            Fallback::Made { .. } => ValueSource::Default,
        };
        assert_eq!(with.source(setting.key), Some(&expected), "{}", setting.key);
    }
    // What is only shown as an example is valid too, and complete with it.
    let examples: String = file
        .lines()
        .map(|line| match line.strip_prefix("# ").filter(|rest| is_made_line(rest)) {
            Some(rest) => format!("{rest}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    // A file of this name need not be on this machine.
    let examples = examples.replace("/etc/sse-node/api-keys", "/dev/null");
    // Files of settings are read, and so are those of the examples.
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/");
    let examples = examples.replace("/etc/sse-node/client-ca.pem", "/etc/sse-node/cert.pem");
    let examples =
        examples.replace("/etc/sse-node/ca.pem", "/etc/sse-node/cert.pem").replace("/etc/sse-node/", tls);
    let all = Given::default().file(&examples).load().unwrap();
    assert!(
        SETTINGS.iter().all(|setting| all.source(setting.key) != Some(&ValueSource::Default)),
        "{examples}"
    );
}

fn is_made_line(line: &str) -> bool {
    let is_made = |setting: &&Setting| matches!(setting.default, Fallback::Made { .. });
    SETTINGS.iter().filter(is_made).any(|setting| line.starts_with(&format!("{} = ", setting.key)))
}

#[test]
fn no_row_of_the_table_is_forgotten_by_the_reader() {
    for setting in SETTINGS {
        // No setting takes this; `insecure` is looked at only where it matters.
        let given = Given::default().flag(setting.key, "\u{1}");
        let given = if setting.key == "insecure" { given.flag("listen", "0.0.0.0:1") } else { given };
        let problems = given.problems();
        assert!(
            problems.iter().any(|problem| problem.starts_with(&format!("--{} ", setting.key))),
            "{problems:?}"
        );
    }
}

#[test]
fn keys_are_unique_and_every_group_has_some() {
    let keys: BTreeMap<_, _> = SETTINGS.iter().map(|setting| (setting.key, setting)).collect();
    assert_eq!(keys.len(), SETTINGS.len());
    for group in Group::ALL {
        assert!(SETTINGS.iter().any(|setting| setting.group == group), "{group:?}");
    }
}

#[test]
fn help_shows_every_default_and_every_variable() {
    let help =
        ServeFlags::augment_args(clap::Command::new("serve")).term_width(0).render_long_help().to_string();
    for setting in SETTINGS {
        let shown = format!("[default: {}] [env: {}]", setting.shown_default(), setting.variable());
        assert!(
            help.contains(&format!("--{}", setting.key)) && help.contains(&shown),
            "{} {help}",
            setting.key
        );
    }
}

#[test]
fn defaults_of_the_log_are_those_of_the_broker() {
    let config = Given::default().load().unwrap().config;
    assert_eq!(format!("{:?}", config.log), format!("{:?}", LogLimits::default()));
}

#[test]
fn a_switch_needs_no_value() {
    let parse = |arguments: &[&str]| {
        let command = ServeFlags::augment_args(clap::Command::new("serve").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).unwrap();
        <ServeFlags as clap::FromArgMatches>::from_arg_matches(&matches).unwrap()
    };
    let flags = parse(&["--insecure", "--listen", "0.0.0.0:1"]);
    assert_eq!(flags, parse(&["--insecure=true", "--listen=0.0.0.0:1"]));
    assert_ne!(flags, parse(&["--insecure=false", "--listen=0.0.0.0:1"]));
}
