//! How nodes are started and stopped by others: the image, compose, systemd, Kubernetes. None of them can run here, so
//! their files are read, and what they promise is computed from the defaults of a node: time to leave, open files,
//! room for the clients of a node that died.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use sse_lab::node::limits::Limits;
use yaml_rust2::{Yaml, YamlLoader};

use super::balancer::{program, repository};
use super::files::{Shipped, check_config, setting};
use crate::support::{Node, directory, run, skip, within};

/// What the process may need behind the drain and its grace: the tasks 1 s, the log 5 s.
const END: Duration = Duration::from_secs(6);
/// Sockets and files of a node beyond those of its streams and the spare ones.
const FILES: u64 = 64;

fn yaml(path: &str) -> Vec<Yaml> {
    let text = Shipped::read(path).text;
    YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Kubernetes object of this kind and name.
fn object(path: &str, kind: &str, name: &str) -> Yaml {
    let found = yaml(path).into_iter().find(|object| {
        object["kind"].as_str() == Some(kind) && object["metadata"]["name"].as_str() == Some(name)
    });
    found.unwrap_or_else(|| panic!("{path} has no {kind} {name}"))
}

#[track_caller]
fn text(value: &Yaml) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text is due, not {value:?}"))
}

#[track_caller]
fn number(value: &Yaml) -> u64 {
    value.as_i64().and_then(|number| number.try_into().ok()).unwrap_or_else(|| panic!("{value:?}"))
}

#[track_caller]
fn list(value: &Yaml) -> &[Yaml] {
    value.as_vec().unwrap_or_else(|| panic!("a list is due, not {value:?}"))
}

fn duration(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap()
}

/// A key of a map, or of the map that is merged into it (`<<`).
fn merged<'a>(map: &'a Yaml, key: &str) -> &'a Yaml {
    if map[key].is_badvalue() { &map["<<"][key] } else { &map[key] }
}

/// How long a node with these settings may take to leave.
fn leaving(config: &Output) -> Duration {
    duration(&setting(config, "drain-over")) + duration(&setting(config, "drain-grace")) + END
}

fn open_files(config: &Output) -> u64 {
    let connections: u64 = setting(config, "max-connections").parse().unwrap();
    connections + Limits::default().spare_sockets as u64 + FILES
}

/// A node of compose.
#[derive(Debug)]
struct Service {
    name: String,
    all: Yaml,
    variables: Vec<(String, String)>,
}

fn compose_nodes() -> Vec<Service> {
    let services = yaml("docker/compose.yaml").remove(0)["services"].clone();
    let mut nodes = Vec::new();
    for (name, service) in services.as_hash().unwrap() {
        if merged(service, "image").as_str() != Some("sse-node") {
            continue;
        }
        let environment = &service["environment"];
        let pairs = environment["<<"].as_hash().unwrap().iter().chain(environment.as_hash().unwrap());
        let pairs = pairs.filter(|(key, _)| key.as_str() != Some("<<"));
        let variables = pairs.map(|(key, value)| (text(key).to_owned(), text(value).to_owned())).collect();
        nodes.push(Service { name: text(name).to_owned(), all: service.clone(), variables });
    }
    nodes
}

fn pod() -> Yaml {
    object("kubernetes/node.yaml", "Deployment", "sse-node")["spec"]["template"]["spec"].clone()
}

/// The variables of the container that are written out.
fn pod_variables(pod: &Yaml) -> Vec<(String, String)> {
    let variables = list(&pod["containers"][0]["env"]).iter();
    let written =
        variables.filter_map(|variable| Some((text(&variable["name"]), variable["value"].as_str()?)));
    let replaced =
        |value: &str| value.replace("$(POD_IP)", "10.0.0.7").replace("$(REDIS_PASSWORD)", "secret");
    written.map(|(name, value)| (name.to_owned(), replaced(value))).collect()
}

/// The values of a key in a unit file.
fn unit(key: &str) -> Vec<String> {
    let file = Shipped::read("systemd/sse-node@.service").text;
    let values = file.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

#[test]
fn every_yaml_file_can_be_read() {
    let mut read = 0;
    for file in Shipped::all().iter().filter(|file| file.path.ends_with(".yaml")) {
        assert!(!yaml(&file.path).is_empty(), "{}", file.path);
        read += 1;
    }
    assert!(read >= 7, "{read}");
    assert!(YamlLoader::load_from_str("a: 1\na: 2\n").is_err(), "a key that stands there twice is not seen");
}

#[tokio::test]
async fn compose_gives_every_node_time_to_leave_and_files_enough() {
    let nodes = compose_nodes();
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    for Service { name, all: service, variables } in &nodes {
        let config = check_config(variables).await;
        assert!(duration(text(merged(service, "stop_grace_period"))) >= leaving(&config), "{name}");
        let files = number(&merged(service, "ulimits")["nofile"]["hard"]);
        assert!(files >= open_files(&config), "{name}: {files}");
        assert_eq!(setting(&config, "id"), *name);
        assert_eq!(setting(&config, "advertise"), format!("http://{name}:8080"));
        assert_eq!(setting(&config, "reject"), "status", "behind the guard of nginx");
    }
}

#[test]
fn compose_names_what_is_there() {
    let compose = yaml("docker/compose.yaml").remove(0);
    let names: Vec<_> =
        compose["services"].as_hash().unwrap().keys().map(|name| text(name).to_owned()).collect();
    // The nodes that nginx asks, and the Redis that the nodes ask.
    for line in Shipped::read("nginx/nodes.conf").text.lines().filter(|line| line.starts_with("server ")) {
        let host = line.split([' ', ':']).nth(1).unwrap().to_owned();
        assert!(names.contains(&host), "{line}: {names:?}");
    }
    for node in compose_nodes() {
        let variables: BTreeMap<_, _> = node.variables.into_iter().collect();
        let host = variables["SSE_NODE_BROKER"].strip_prefix("redis://").unwrap();
        assert!(names.contains(&host.split(':').next().unwrap().to_owned()), "{host}: {names:?}");
    }
    // Files of this repository that are mounted.
    for (_, service) in compose["services"].as_hash().unwrap() {
        for volume in service["volumes"].as_vec().into_iter().flatten() {
            let source = text(volume).split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(repository("deploy/docker").join(source).exists(), "{source}");
            }
        }
    }
    assert!(repository("deploy/docker").join(text(&compose["x-node"]["build"]["context"])).is_dir());
    assert!(repository(text(&compose["x-node"]["build"]["dockerfile"])).is_file());
}

#[tokio::test]
async fn kubernetes_gives_a_pod_time_to_leave() {
    let pod = pod();
    let config = check_config(&pod_variables(&pod)).await;
    let container = &pod["containers"][0];
    let pause = Duration::from_secs(number(&container["lifecycle"]["preStop"]["sleep"]["seconds"]));
    let given = Duration::from_secs(number(&pod["terminationGracePeriodSeconds"]));
    assert!(given >= pause + leaving(&config), "{given:?} < {pause:?} + {:?}", leaving(&config));
    // Long enough that a probe which has just succeeded fails before the drain begins, or the endpoints hear of it.
    assert!(pause >= Duration::from_secs(3));
    assert_eq!(setting(&config, "listen"), "0.0.0.0:8080");
    assert_eq!(
        setting(&config, "reject"),
        "soft",
        "nothing in front of the pods keeps a 503 away from browsers"
    );
}

#[tokio::test]
async fn kubernetes_probes_wait_longer_than_a_node_may_take_to_answer() {
    let pod = pod();
    let container = &pod["containers"][0];
    let port = number(&container["ports"][0]["containerPort"]);
    assert_eq!(text(&container["ports"][0]["name"]), "http");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let probe = &container[probe];
        assert_eq!(text(&probe["httpGet"]["port"]), "http");
        let patience = Duration::from_secs(number(&probe["timeoutSeconds"]));
        assert!(patience > Limits::default().health_deadline, "{probe:?}");
    }
    // Restarting does not bring the log back.
    assert_eq!(text(&container["livenessProbe"]["httpGet"]["path"]), "/health/live");
    assert_eq!(port, 8080);
}

#[test]
fn kubernetes_objects_find_each_other() {
    let pod = pod();
    let node = |kind| object("kubernetes/node.yaml", kind, "sse-node");
    let deployment = node("Deployment");
    let label = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], label);
    assert_eq!(&node("Service")["spec"]["selector"], label);
    assert_eq!(&node("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], label);
    assert_eq!(&node("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], label);
    let target =
        object("kubernetes/hpa.yaml", "HorizontalPodAutoscaler", "sse-node")["spec"]["scaleTargetRef"]
            .clone();
    assert_eq!((text(&target["kind"]), text(&target["name"])), ("Deployment", "sse-node"));

    let secret = object("kubernetes/secret.yaml", "Secret", "sse-node");
    let redis = object("kubernetes/redis.yaml", "StatefulSet", "redis")["spec"]["template"]["spec"].clone();
    let mut used = 0;
    for pod in [&pod, &redis] {
        let mut known = Vec::new();
        for variable in list(&pod["containers"][0]["env"]) {
            let from = &variable["valueFrom"]["secretKeyRef"];
            if let Some(key) = from["key"].as_str() {
                assert_eq!(text(&from["name"]), "sse-node");
                assert!(!secret["stringData"][key].is_badvalue(), "the secret has no {key}");
                used += 1;
            }
            // `$(NAME)` is replaced only by what was named before.
            for part in variable["value"].as_str().unwrap_or_default().split("$(").skip(1) {
                let name = part.split(')').next().unwrap();
                assert!(known.contains(&name.to_owned()), "{name} is named before {variable:?}");
            }
            known.push(text(&variable["name"]).to_owned());
        }
    }
    assert!(used >= 3);
    object("kubernetes/redis.yaml", "Service", "redis");
    for file in list(&yaml("kubernetes/kustomization.yaml")[0]["resources"]) {
        assert!(!yaml(&format!("kubernetes/{}", text(file))).is_empty());
    }
}

#[tokio::test]
async fn kubernetes_scales_before_the_death_of_a_node_fills_the_others() {
    let config = check_config(&pod_variables(&pod())).await;
    let limit: u64 = setting(&config, "max-connections").parse().unwrap();
    let spec = object("kubernetes/hpa.yaml", "HorizontalPodAutoscaler", "sse-node")["spec"].clone();
    let target = &spec["metrics"][0]["pods"];
    let average: u64 = text(&target["target"]["averageValue"]).parse().unwrap();
    let nodes = number(&spec["minReplicas"]);
    assert!(average * nodes <= limit * (nodes - 1), "{average} on {nodes} nodes, {limit} fit on one");
    let deployment = object("kubernetes/node.yaml", "Deployment", "sse-node");
    assert_eq!(number(&deployment["spec"]["replicas"]), nodes);
    let node = Node::start(&[]).await;
    let metric = text(&target["metric"]["name"]);
    assert!(node.get("/metrics").await.body.contains(&format!("\n{metric} 0\n")), "{metric}");
}

#[test]
fn kubernetes_has_the_shipped_redis_conf_word_for_word() {
    let map = object("kubernetes/redis.yaml", "ConfigMap", "redis");
    assert_eq!(text(&map["data"]["redis.conf"]), Shipped::read("redis/redis.conf").text);
}

#[tokio::test]
async fn systemd_gives_a_node_time_to_leave_and_files_enough() {
    let environment = unit("Environment").into_iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.replace("%H", "host").replace("%i", "1").replace("%S", "/var/lib"))
    });
    let config = check_config(&environment.collect::<Vec<_>>()).await;
    assert_eq!(setting(&config, "broker"), "file:/var/lib/sse-node-1");
    assert_eq!(setting(&config, "id"), "host-1");
    let seconds: u64 = unit("TimeoutStopSec")[0].parse().unwrap();
    assert!(Duration::from_secs(seconds) >= leaving(&config), "{seconds}");
    let files: u64 = unit("LimitNOFILE")[0].parse().unwrap();
    assert!(files >= open_files(&config), "{files}");
    assert_eq!(unit("StateDirectory"), ["sse-node-%i"]);
    let command = unit("ExecStart");
    let command: Vec<_> = command[0].split(' ').skip(1).chain(["--help"]).collect();
    assert_eq!(run(&command).await.code, Some(0), "{command:?}");
}

#[tokio::test]
async fn systemd_itself_has_nothing_to_say_against_the_unit() {
    if program("systemd-analyze").arg("--version").output().await.is_err() {
        return skip("systemd-analyze is not installed");
    }
    let binary = env!("CARGO_BIN_EXE_sse-node");
    let shipped = Shipped::read("systemd/sse-node@.service").text.replace("/usr/local/bin/sse-node", binary);
    let wrong = shipped.replace("LimitNOFILE=", "LimitFiles=");
    for (unit, is_good) in [(shipped, true), (wrong, false)] {
        let directory = directory();
        let path = directory.path().join("sse-node@.service");
        std::fs::write(&path, unit).unwrap();
        let mut command = program("systemd-analyze");
        let verified = within("systemd-analyze", command.arg("verify").arg(&path).output()).await.unwrap();
        let complaints = String::from_utf8(verified.stderr).unwrap();
        assert_eq!(verified.status.success() && complaints.is_empty(), is_good, "{complaints}");
    }
}

/// The words of a list as the Dockerfile has them: `CMD ["a", "b"]`.
fn words(dockerfile: &str, instruction: &str) -> Vec<String> {
    let (_, rest) = dockerfile.split_once(&format!("{instruction} [")).unwrap();
    let (items, _) = rest.split_once(']').unwrap();
    serde_json::from_str(&format!("[{items}]")).unwrap()
}

#[tokio::test]
async fn the_image_starts_checks_and_stops_a_node_as_a_node_can() {
    let dockerfile = Shipped::read("docker/Dockerfile").text;
    let [program] = &words(&dockerfile, "ENTRYPOINT")[..] else { panic!("one program") };
    let mut command = words(&dockerfile, "\nCMD");
    command.push("--help".to_owned());
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    assert_eq!(run(&command).await.code, Some(0), "{command:?}");

    let mut node = Node::start(&[]).await;
    let mut check = words(&dockerfile, "CMD");
    let patience = check.iter().find_map(|word| word.strip_prefix("--timeout=")).unwrap();
    assert!(duration(patience) > Limits::default().health_deadline, "{patience}");
    assert_eq!(check.remove(0), *program);
    let shipped_url = check.pop().unwrap();
    assert_eq!(shipped_url, "http://127.0.0.1:8080");
    check.push(format!("http://{}", node.address()));
    let check: Vec<_> = check.iter().map(String::as_str).collect();
    assert_eq!(run(&check).await.code, Some(0), "{check:?}");
    node.kill().await;
    assert_eq!(run(&check).await.code, Some(1), "{check:?}");
}

#[tokio::test]
async fn the_image_has_its_own_user_and_settings_that_hold() {
    let dockerfile = Shipped::read("docker/Dockerfile").text;
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();
    assert!(last.starts_with("scratch\n"), "{last}");
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    let context = pod()["securityContext"].clone();
    assert_eq!(user, format!("{}:{}", number(&context["runAsUser"]), number(&context["runAsGroup"])));
    assert!(dockerfile.contains(&format!("--chown={user} ")), "{user}");

    let (_, settings) = last.split_once("\nENV ").unwrap();
    let settings: Vec<_> = settings
        .lines()
        .take_while(|line| line.contains('='))
        .filter_map(|line| line.trim().trim_end_matches(" \\").split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let config = check_config(&settings).await;
    assert_eq!(setting(&config, "listen"), "0.0.0.0:8080");
    assert_eq!(setting(&config, "broker"), "file:/data");
    assert!(last.contains("\nVOLUME /data\n") && dockerfile.contains("/image/data"));

    let (_, stop) = last.split_once("docker stop --time ").unwrap();
    let seconds: u64 = stop.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    assert!(Duration::from_secs(seconds) >= leaving(&config), "{seconds}");
}

#[test]
fn the_image_is_built_from_what_is_there() {
    let dockerfile = Shipped::read("docker/Dockerfile").text;
    let ignored = std::fs::read_to_string(repository(".dockerignore")).unwrap();
    let mut copied = 0;
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        let words: Vec<_> = line.split(' ').collect();
        for source in &words[1..words.len() - 1] {
            assert!(repository(source).exists(), "{line}");
            assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is ignored");
            copied += 1;
        }
    }
    assert!(copied >= 6, "{dockerfile}");
    // The version of Rust that the manifest asks for.
    let manifest: toml::Table = std::fs::read_to_string(repository("Cargo.toml")).unwrap().parse().unwrap();
    let version = manifest["package"]["rust-version"].as_str().unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "{version}");
}

#[tokio::test]
async fn balancers_have_more_patience_than_a_node_needs() {
    let config = check_config(&[]).await;
    let heartbeat = duration(&setting(&config, "heartbeat"));
    let limits = Limits::default();
    let nginx = Shipped::read("nginx/nginx.conf").text;
    let value = |text: &str, key: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(' '));
        lines.map(|value| value.trim_end_matches(';').to_owned()).collect()
    };
    let read: Vec<_> = value(&nginx, "proxy_read_timeout").iter().map(|text| duration(text)).collect();
    let [publishes, streams] = read[..] else { panic!("{read:?}") };
    assert!(streams >= 4 * heartbeat, "{streams:?}");
    assert!(publishes > limits.publish_deadline && publishes > limits.log_read_deadline, "{publishes:?}");
    // A node that closes an idle connection must find it closed already.
    let idle = duration(&value(&nginx, "keepalive_timeout")[0]);
    assert!(idle < limits.head_timeout, "{idle:?}");
    let sockets: u64 = value(&nginx, "worker_connections")[0].parse().unwrap();
    let streams_of_all: u64 = 3 * setting(&config, "max-connections").parse::<u64>().unwrap();
    assert!(sockets >= 2 * streams_of_all, "{sockets}");

    // What a node would refuse is refused before.
    assert_eq!(setting(&config, "max-body"), "256KiB");
    assert_eq!(value(&nginx, "client_max_body_size"), ["256k"]);

    let haproxy = Shipped::read("haproxy/haproxy.cfg").text;
    assert!(haproxy.contains(&format!("req.hdr_val(content-length) gt {}", 256 * 1024)));
    for key in ["timeout client", "timeout server"] {
        assert!(duration(&value(&haproxy, key)[0]) >= 4 * heartbeat, "{key}");
    }
    assert!(duration(&value(&haproxy, "timeout check")[0]) > limits.health_deadline);
}
