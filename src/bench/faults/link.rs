//! Link faults: what happens to the proxies in the links. A toxic is healed by removing it, `down` by listening
//! again.

use std::collections::BTreeMap;

use super::proxy::http::Finding;
use super::proxy::{Changed, ProxyHandle};
use crate::bench::ids::NodeIndex;
use crate::bench::scenario::{LinkEffect, LinkKind, Toxic};
use crate::runtime::error_chain;

/// The proxies of a run by kind of link, one for each node, in their order. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Links(BTreeMap<LinkKind, Vec<ProxyHandle>>);

impl Links {
    /// Adds the proxy of the next node.
    pub fn add(&mut self, link: LinkKind, proxy: ProxyHandle) {
        self.0.entry(link).or_default().push(proxy);
    }

    /// All proxies, those of one kind together.
    pub fn all(&self) -> impl Iterator<Item = &ProxyHandle> {
        self.0.values().flatten()
    }

    /// Applies a link fault. `name` is the fault's.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn apply(
        &self,
        name: &str,
        link: LinkKind,
        effect: &LinkEffect,
        nodes: &[NodeIndex],
    ) -> Result<(), String> {
        for proxy in self.of(link, nodes)? {
            match effect {
                LinkEffect::Toxic { kind, stream, toxicity } => {
                    let (name, kind) = (name.to_owned(), kind.clone());
                    let toxic = Toxic { name, kind, stream: *stream, toxicity: *toxicity };
                    proxy.set_toxics(|toxics| toxics.push(toxic));
                }
                LinkEffect::Down => match proxy.disable().await {
                    Ok(Changed::Yes) => {}
                    Ok(Changed::Already) => {
                        return Err(format!(
                            "{} was down already, so there was nothing to break",
                            proxy.name()
                        ));
                    }
                    Err(error) => return Err(error_chain(&error)),
                },
            }
        }
        Ok(())
    }

    /// What an event toxic came to on its links. Ask before it is healed.
    #[must_use]
    pub fn finding(&self, name: &str, link: LinkKind, nodes: &[NodeIndex]) -> Finding {
        let mut sum = Finding::default();
        for proxy in nodes.iter().filter_map(|node| self.one(link, *node).ok()) {
            let Finding { met, unreadable } = proxy.findings().of(name);
            sum.met += met;
            let told = unreadable.map(|why| format!("it could do nothing on {}: {why}", proxy.name()));
            sum.unreadable = sum.unreadable.or(told);
        }
        sum
    }

    /// Heals a link fault, on all its links even if one fails.
    ///
    /// # Errors
    /// Why it failed, for the report.
    pub async fn heal(
        &self,
        name: &str,
        link: LinkKind,
        effect: &LinkEffect,
        nodes: &[NodeIndex],
    ) -> Result<(), String> {
        let mut failures = Vec::new();
        for node in nodes {
            let proxy = match self.one(link, *node) {
                Ok(proxy) => proxy,
                Err(reason) => {
                    failures.push(reason);
                    continue;
                }
            };
            match effect {
                LinkEffect::Toxic { .. } => {
                    proxy.set_toxics(|toxics| toxics.retain(|toxic| toxic.name != name));
                }
                LinkEffect::Down => {
                    failures.extend(proxy.enable().await.err().map(|error| error_chain(&error)));
                }
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }

    /// The proxies of some nodes; an error where one has ended.
    fn of(&self, link: LinkKind, nodes: &[NodeIndex]) -> Result<Vec<&ProxyHandle>, String> {
        nodes.iter().map(|node| self.one(link, *node)).collect()
    }

    fn one(&self, link: LinkKind, node: NodeIndex) -> Result<&ProxyHandle, String> {
        let all = self.0.get(&link).ok_or_else(|| format!("{link} does not pass a proxy"))?;
        match all.get(usize::from(node.0)) {
            Some(proxy) if proxy.is_alive() => Ok(proxy),
            Some(proxy) => Err(format!("the proxy {} has ended", proxy.name())),
            None => Err(format!("node {} has no link {link}", node.0 + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::bench::faults::proxy::{ProxySpec, ProxyTask};
    use crate::bench::scenario::{Stream, ToxicKind};

    const STALL: LinkEffect =
        LinkEffect::Toxic { kind: ToxicKind::Stall, stream: Stream::Both, toxicity: 1.0 };

    /// Links of two nodes to a server that is not there.
    async fn links() -> (Links, Vec<ProxyHandle>, JoinSet<()>) {
        let (mut links, mut proxies, mut tasks) = (Links::default(), Vec::new(), JoinSet::new());
        for number in 1..=2 {
            let (proxy, task) = ProxyTask::new(ProxySpec {
                name: format!("n{number}->redis"),
                // A port that is given up for a moment must not be taken by the tests beside this one.
                listen: "127.71.0.1:0".into(),
                upstream: "127.0.0.1:1".into(),
                seed: 1,
            });
            tasks.spawn(task.run());
            proxy.enable().await.unwrap();
            links.add(LinkKind::NodeRedis, proxy.clone());
            proxies.push(proxy);
        }
        (links, proxies, tasks)
    }

    fn names(proxy: &ProxyHandle) -> Vec<String> {
        proxy.toxics().iter().map(|toxic| toxic.name.clone()).collect()
    }

    #[tokio::test]
    async fn a_toxic_meets_the_links_of_its_nodes_and_goes_without_the_others() {
        let (links, proxies, _tasks) = links().await;
        let (link, second) = (LinkKind::NodeRedis, [NodeIndex(1)]);
        links.apply("a", link, &STALL, &second).await.unwrap();
        links.apply("b", link, &STALL, &[NodeIndex(0), NodeIndex(1)]).await.unwrap();
        assert_eq!(
            (names(&proxies[0]), names(&proxies[1])),
            (vec!["b".into()], vec!["a".into(), "b".into()])
        );
        links.heal("a", link, &STALL, &second).await.unwrap();
        assert_eq!(names(&proxies[1]), ["b"]);
    }

    #[tokio::test]
    async fn a_link_that_is_down_cannot_be_taken_down_and_comes_back_once() {
        let (links, proxies, _tasks) = links().await;
        let (link, first) = (LinkKind::NodeRedis, [NodeIndex(0)]);
        links.apply("a", link, &LinkEffect::Down, &first).await.unwrap();
        assert!(!proxies[0].is_enabled() && proxies[1].is_enabled());
        let error = links.apply("b", link, &LinkEffect::Down, &first).await.unwrap_err();
        assert!(error.contains("n1->redis was down already"), "{error}");
        links.heal("a", link, &LinkEffect::Down, &first).await.unwrap();
        assert!(proxies[0].is_enabled());
    }

    #[tokio::test]
    async fn a_link_that_is_not_there_cannot_be_broken() {
        let (links, _proxies, mut tasks) = links().await;
        let error = links.apply("a", LinkKind::ClientNode, &STALL, &[NodeIndex(0)]).await.unwrap_err();
        assert!(error.contains("client->node does not pass a proxy"), "{error}");
        assert!(links.apply("a", LinkKind::NodeRedis, &STALL, &[NodeIndex(7)]).await.is_err());
        tasks.shutdown().await;
        let error = links.apply("a", LinkKind::NodeRedis, &STALL, &[NodeIndex(0)]).await.unwrap_err();
        assert!(error.contains("has ended"), "{error}");
    }

    #[tokio::test]
    async fn a_toxic_that_could_not_read_what_passed_says_why_until_it_is_healed() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = server.local_addr().unwrap().to_string();
        let listen = "127.0.0.1:0".into();
        let (proxy, task) =
            ProxyTask::new(ProxySpec { name: "client->n1".into(), listen, upstream, seed: 1 });
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        proxy.enable().await.unwrap();
        let (mut links, link, first) = (Links::default(), LinkKind::ClientNode, [NodeIndex(0)]);
        links.add(link, proxy.clone());
        let (kind, stream) = (ToxicKind::named("drop_event").unwrap(), Stream::Both);
        let effect = LinkEffect::Toxic { kind, stream, toxicity: 1.0 };
        links.apply("a", link, &effect, &first).await.unwrap();
        assert_eq!(links.finding("a", link, &first), Finding::default());
        let mut client = tokio::net::TcpStream::connect(proxy.listen()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut client, b"\x16\x03\x01").await.unwrap();
        let (mut peer, _) = server.accept().await.unwrap();
        tokio::io::AsyncReadExt::read_u8(&mut peer).await.unwrap();
        let why = links.finding("a", link, &first).unreadable.unwrap();
        assert!(why.starts_with("it could do nothing on client->n1: it is TLS"), "{why}");
        links.heal("a", link, &effect, &first).await.unwrap();
        assert_eq!(links.finding("a", link, &first), Finding::default());
    }
}
