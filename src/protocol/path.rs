//! Paths of the HTTP interface that have names in them. Read [`publish_path`] first.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Address;

/// Every byte except the unreserved characters (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path to which events for an address are posted.
#[must_use]
pub fn publish_path(address: &Address) -> String {
    match address {
        Address::All => "/api/sse/broadcast".to_owned(),
        Address::Topic(topic) => format!("/api/sse/topics/{}", segment(topic.as_str())),
        Address::User(user) => format!("/api/sse/users/{}", segment(user.as_str())),
        Address::Client(client) => format!("/api/sse/broadcast/{}", segment(client.as_str())),
        Address::Node(node) => format!("/api/sse/broadcast/server/{}", segment(node.as_str())),
        Address::NodeClient(node, client) => {
            format!(
                "/api/sse/broadcast/server/{}/client/{}",
                segment(node.as_str()),
                segment(client.as_str())
            )
        }
    }
}

/// Percent-encodes a name, so that it is one segment of a path, or one value of a form.
#[must_use]
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_path(address: &str, path: &str) {
        assert_eq!(publish_path(&address.parse().unwrap()), path);
    }

    #[test]
    fn every_address_has_its_path_and_names_cannot_break_it() {
        check_path("all", "/api/sse/broadcast");
        check_path("topic:room-1", "/api/sse/topics/room-1");
        check_path("topic:a b?c#d%", "/api/sse/topics/a%20b%3Fc%23d%25");
        check_path("user:grün", "/api/sse/users/gr%C3%BCn");
        check_path("client:c", "/api/sse/broadcast/c");
        check_path("node:n1", "/api/sse/broadcast/server/n1");
        check_path("node:n1/client:c", "/api/sse/broadcast/server/n1/client/c");
    }
}
