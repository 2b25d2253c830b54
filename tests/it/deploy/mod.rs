//! What users copy from `deploy/`: the balancers run with the shipped files in front of real nodes, Redis with its
//! own; the rest is checked against what a node really has: its flags, variables, paths, metrics and defaults.

mod balancer;
mod behind;
mod counting;
mod files;
mod picture;
mod publishing;
mod redis;
mod sticky;
mod units;
