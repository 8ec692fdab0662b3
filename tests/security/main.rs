//! What somebody who means harm can try: each test is an attack, against a real site over TCP, TLS and
//! compression (RFC 4642, RFC 4643, RFC 8054, RFC 8143).
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod channels;
mod house;
mod logins;
mod newsgroups;
mod readers;
mod starttls;
mod wire;
