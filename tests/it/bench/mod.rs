//! `sse-bench` as a user runs it: real nodes that it starts and breaks, and small servers with one fault each, which
//! it must catch and call by name. Read [`harness::Lab`] first.

mod addresses;
mod adhoc;
mod broken;
mod command_line;
mod content;
mod desk;
mod diagnosis;
mod encodings;
mod evidence;
mod faults;
mod foreign;
mod format;
mod harness;
mod healing;
mod host;
mod ids;
mod links;
mod nchan;
mod nginx;
mod odd_server;
mod plain_server;
mod publishing;
mod recipe;
mod redis;
mod refused;
mod replays;
mod reports;
mod silence;
mod site;
mod small_node;
mod street;
mod tls;
mod toxics;
mod unread;
mod workers;
