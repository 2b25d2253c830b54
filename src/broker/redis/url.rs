//! Where a Redis is, as a broker URL names it: one server, a master that sentinels know, or the owner of a slot in a
//! Redis Cluster. Secrets never appear in the text of a URL. Read [`RedisUrl`] first.

use std::fmt;

use percent_encoding::percent_decode_str;

/// Prefix of all keys unless the URL names another.
const DEFAULT_PREFIX: &str = "sse";
const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// A Redis, as a URL names it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// How to find the server that holds the log.
    pub topology: Topology,
    /// Whether connections are encrypted (`rediss`).
    pub tls: bool,
    /// User of Redis' access control; `None` is its default user.
    pub user: Option<String>,
    /// Password; `None` sends no AUTH.
    pub password: Option<String>,
    /// Database number; a Redis Cluster has only 0.
    pub database: u16,
    /// Prefix of all keys, so that several clusters of nodes can share a Redis.
    pub prefix: String,
    /// User of the sentinels themselves. Theirs are not those of the servers that they watch.
    pub sentinel_user: Option<String>,
    /// Password of the sentinels; `None` sends them no AUTH, never the other password.
    pub sentinel_password: Option<String>,
}

/// How to find the server that holds the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// The server itself.
    Standalone(Server),
    /// The sentinels report the present master.
    Sentinel {
        /// Where to ask.
        sentinels: Vec<Server>,
        /// The name of the master in the configuration of the sentinels.
        master: String,
    },
    /// The member of a Redis Cluster that owns the slot of the log.
    Cluster {
        /// Where to ask.
        seeds: Vec<Server>,
    },
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port, 1 to 65,535.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl RedisUrl {
    /// Whether this scheme is one of ours.
    pub(in crate::broker) fn is_scheme(scheme: &str) -> bool {
        matches!(
            scheme,
            "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "redis+cluster" | "rediss+cluster"
        )
    }

    /// Parses the part of the URL behind the scheme.
    pub(in crate::broker) fn parse(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        let rest = rest.strip_prefix("//").ok_or("// is missing after the scheme")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, hosts) = match authority.rsplit_once('@') {
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, authority),
        };
        let (user, password) = credentials(userinfo)?;
        let (tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (false, scheme.strip_prefix("redis").unwrap_or_default()),
        };
        let (topology, database) = match kind {
            "+sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err("sentinels need the name of the master: redis+sentinel://host,host/MASTER");
                }
                let sentinels = servers(hosts, DEFAULT_SENTINEL_PORT)?;
                (Topology::Sentinel { sentinels, master: decoded(master)? }, database)
            }
            "+cluster" => (Topology::Cluster { seeds: servers(hosts, DEFAULT_PORT)? }, path),
            _ if hosts.contains(',') => {
                return Err("redis:// names one server; several need +sentinel or +cluster");
            }
            _ => (Topology::Standalone(server(hosts, DEFAULT_PORT)?), path),
        };
        let database = database_number(database)?;
        if database != 0 && matches!(topology, Topology::Cluster { .. }) {
            return Err("a Redis Cluster has only database 0");
        }
        let Parameters { prefix, sentinel_user, sentinel_password } = parameters(query)?;
        let url = Self { topology, tls, user, password, database, prefix, sentinel_user, sentinel_password };
        match (&url.sentinel_user, &url.sentinel_password) {
            (Some(_), None) => Err("sentinel-user needs sentinel-password"),
            (_, Some(_)) if !url.has_sentinels() => {
                Err("sentinel-user and sentinel-password need redis+sentinel://")
            }
            _ => Ok(url),
        }
    }

    /// Whether sentinels know where the master is.
    #[must_use]
    pub fn has_sentinels(&self) -> bool {
        matches!(self.topology, Topology::Sentinel { .. })
    }

    fn scheme(&self) -> &'static str {
        match (&self.topology, self.tls) {
            (Topology::Standalone(_), false) => "redis",
            (Topology::Standalone(_), true) => "rediss",
            (Topology::Sentinel { .. }, false) => "redis+sentinel",
            (Topology::Sentinel { .. }, true) => "rediss+sentinel",
            (Topology::Cluster { .. }, false) => "redis+cluster",
            (Topology::Cluster { .. }, true) => "rediss+cluster",
        }
    }
}

fn credentials(userinfo: Option<&str>) -> Result<(Option<String>, Option<String>), &'static str> {
    let Some(userinfo) = userinfo else { return Ok((None, None)) };
    let (user, password) =
        userinfo.split_once(':').ok_or("a password must follow a colon, as in user:password@")?;
    let given = |text: &str| -> Result<Option<String>, &'static str> {
        if text.is_empty() { Ok(None) } else { decoded(text).map(Some) }
    };
    Ok((given(user)?, given(password)?))
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| "the user, password or master name is not UTF-8")?;
    Ok(decoded.into_owned())
}

fn servers(text: &str, default_port: u16) -> Result<Vec<Server>, &'static str> {
    text.split(',').map(|host| server(host, default_port)).collect()
}

fn server(text: &str, default_port: u16) -> Result<Server, &'static str> {
    const NO_HOST: &str = "a host is missing";
    const NO_PORT: &str = "the port must be a number from 1 to 65535";
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0).ok_or(NO_PORT);
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (host, behind) =
            bracketed.split_once(']').ok_or("the bracket ] after the IPv6 address is missing")?;
        match behind.strip_prefix(':') {
            Some(text) => (host, port(text)?),
            None if behind.is_empty() => (host, default_port),
            None => return Err(NO_PORT),
        }
    } else {
        match text.split_once(':') {
            Some((host, text)) => (host, port(text)?),
            None => (text, default_port),
        }
    };
    if host.is_empty() { Err(NO_HOST) } else { Ok(Server { host: host.to_owned(), port }) }
}

fn database_number(text: &str) -> Result<u16, &'static str> {
    if text.is_empty() {
        Ok(0)
    } else {
        text.parse().map_err(|_| "the database must be a number from 0 to 65535")
    }
}

/// What a URL says behind its `?`.
struct Parameters {
    prefix: String,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
}

fn parameters(query: &str) -> Result<Parameters, &'static str> {
    const ALLOWED: &str = "after ? only prefix=NAME, sentinel-user=NAME and sentinel-password=PASSWORD are allowed, separated by &; an & in a value is written %26";
    let (mut prefix, mut sentinel_user, mut sentinel_password) = (DEFAULT_PREFIX, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("prefix", value)) => prefix = value,
            Some(("sentinel-user", value)) if !value.is_empty() => sentinel_user = Some(decoded(value)?),
            Some(("sentinel-password", value)) if !value.is_empty() => {
                sentinel_password = Some(decoded(value)?);
            }
            _ => return Err(ALLOWED),
        }
    }
    // A prefix becomes a hash tag, `{prefix}:log`, so that all keys of a log are in one slot.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(allowed) {
        return Err("the prefix must be 1 to 64 letters, digits, hyphens, underscores or dots");
    }
    Ok(Parameters { prefix: prefix.to_owned(), sentinel_user, sentinel_password })
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        match (&self.user, &self.password) {
            (None, None) => {}
            // What stands alone may be a password at the wrong side of the colon.
            (Some(_), None) => f.write_str("***@")?,
            (user, Some(_)) => write!(f, "{}:***@", user.as_deref().unwrap_or_default())?,
        }
        let list = |servers: &[Server]| servers.iter().map(Server::to_string).collect::<Vec<_>>().join(",");
        match &self.topology {
            Topology::Standalone(server) => write!(f, "{server}")?,
            Topology::Sentinel { sentinels, master } => write!(f, "{}/{master}", list(sentinels))?,
            Topology::Cluster { seeds } => write!(f, "{}", list(seeds))?,
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        if self.prefix != DEFAULT_PREFIX {
            write!(f, "?prefix={}", self.prefix)?;
        }
        Ok(())
    }
}

// Derived, it would show the password.
impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) -> RedisUrl {
        let (scheme, rest) = text.split_once(':').unwrap();
        assert!(RedisUrl::is_scheme(scheme));
        RedisUrl::parse(scheme, rest).unwrap()
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let (scheme, rest) = text.split_once(':').unwrap();
        let error = RedisUrl::parse(scheme, rest).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }

    fn at(host: &str, port: u16) -> Server {
        Server { host: host.to_owned(), port }
    }

    #[test]
    fn one_server_sentinels_and_a_cluster_are_told_apart() {
        assert_eq!(check("redis://localhost").topology, Topology::Standalone(at("localhost", 6379)));
        assert_eq!(check("rediss://[::1]:7000/3").topology, Topology::Standalone(at("::1", 7000)));
        assert_eq!(check("rediss://[::1]:7000/3").database, 3);
        assert!(check("rediss://h").tls && !check("redis://h").tls);
        let sentinel = check("redis+sentinel://a:1,b/mymaster/2?prefix=x");
        let sentinels = vec![at("a", 1), at("b", 26379)];
        assert_eq!(sentinel.topology, Topology::Sentinel { sentinels, master: "mymaster".to_owned() });
        assert_eq!((sentinel.database, sentinel.prefix.as_str()), (2, "x"));
        let cluster = check("redis+cluster://a,b:7001").topology;
        assert_eq!(cluster, Topology::Cluster { seeds: vec![at("a", 6379), at("b", 7001)] });
    }

    #[test]
    fn a_password_is_understood_and_never_shown() {
        let url = check("redis://app:s%40crt@h:1/2?prefix=p");
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("app"), Some("s@crt")));
        for shown in [url.to_string(), format!("{url:?}")] {
            assert_eq!(shown, "redis://app:***@h:1/2?prefix=p");
        }
        assert_eq!(check("redis://:secret@h").user, None);
        assert_eq!(check("redis://secret:@h").to_string(), "redis://***@h:6379");
        let sentinels = "redis+sentinel://:s1@h/m?sentinel-user=a%26&sentinel-password=s%3d2&prefix=p";
        let url = check(sentinels);
        assert_eq!(
            (url.sentinel_user.as_deref(), url.sentinel_password.as_deref(), url.password.as_deref()),
            (Some("a&"), Some("s=2"), Some("s1"))
        );
        assert_eq!(format!("{url:?}"), "redis+sentinel://:***@h:26379/m?prefix=p");
    }

    #[test]
    fn what_is_not_a_redis_url_is_refused_with_its_reason() {
        refused("redis:h", "//");
        refused("redis://", "host is missing");
        refused("redis://h:0", "port");
        refused("redis://h:port", "port");
        refused("redis://a,b", "one server");
        refused("redis://secret@h", "colon");
        refused("redis://h/x", "database");
        refused("redis+cluster://h/1", "only database 0");
        refused("redis+sentinel://h", "MASTER");
        refused("redis://h?db=1", "prefix=NAME");
        refused("redis://h?sentinel-password=s", "redis+sentinel://");
        refused("redis+sentinel://h/m?sentinel-user=s", "needs sentinel-password");
        refused("redis+sentinel://h/m?sentinel-password=", "sentinel-password=PASSWORD");
        refused("redis://h?prefix=a{b}", "the prefix must be");
    }
}
