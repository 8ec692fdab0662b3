//! The store through its public face: its contract, against a model, and on files and disks that fail.
#![allow(clippy::unwrap_used)]

mod by_hand;
mod contract;
mod faults;
mod peers;
mod support;
