//! TEMPORARY typed configuration.
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;

use super::StreamEnd;
use super::limits::Limits;
use crate::broker::{BrokerUrl, Durability, LogLimits};
use crate::protocol::NodeId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum RejectMode {
    #[default]
    Soft,
    Status,
}

#[derive(Debug, Clone, Parser)]
pub struct Config {
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    #[arg(long, default_value = "memory:")]
    pub broker: BrokerUrl,
    #[arg(long, default_value = "accepted")]
    pub durability: Durability,
    #[arg(long, default_value = "node-1")]
    pub id: NodeId,
    #[arg(long, default_value = "node")]
    pub name: String,
    #[arg(long)]
    pub advertise: Option<String>,
    #[arg(long, default_value = "10000")]
    pub max_connections: usize,
    #[arg(long, default_value = "0")]
    pub max_connections_per_user: usize,
    #[arg(long, default_value = "0")]
    pub max_connections_per_address: usize,
    #[arg(long, default_value = "0")]
    pub accept_rate: u32,
    #[arg(long, default_value = "soft")]
    pub reject: RejectMode,
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    pub retry: Duration,
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    pub retry_jitter: Duration,
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    pub heartbeat: Duration,
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub cursor_every: Duration,
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub write_stall: Duration,
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain_over: Duration,
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub drain_grace: Duration,
    #[arg(long, default_value = "abort")]
    pub drain_close: StreamEnd,
    #[arg(long, default_value = "200000")]
    pub window_frames: usize,
    #[arg(long, default_value = "67108864")]
    pub window_bytes: usize,
    #[arg(long, default_value = "32")]
    pub replay_permits: usize,
    #[arg(long, default_value = "500")]
    pub replay_page: usize,
    #[arg(long, default_value = "100000")]
    pub lag_limit: u64,
    #[arg(long, default_value = "262144")]
    pub max_body: usize,
    #[arg(long, default_value = "65536")]
    pub max_payload: usize,
    #[arg(skip)]
    pub cors_origins: Vec<http::HeaderValue>,
    #[arg(skip)]
    pub log: LogLimits,
    #[arg(skip)]
    pub limits: Limits,
    #[arg(long)]
    pub die_with_parent: bool,
}
