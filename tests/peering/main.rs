//! Who a peer is when it comes to us, and peers that cannot be dialled: real processes on loopback.

#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

mod nat;
mod proof;
mod reload;
mod sites;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "each test binary uses its own part of this")]
#[path = "../security/wire.rs"]
mod wire;
