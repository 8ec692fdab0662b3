//! What happened, as one number: two runs of a seed must give the same. With `FEEDD_TRACE=1` every
//! event is printed, too.

use crate::dice::now_ms;
use std::fmt::Display;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    hash: u64,
    events: u64,
    printed: bool,
}

impl Trace {
    pub fn new() -> Self {
        let printed = std::env::var_os("FEEDD_TRACE").is_some();
        Self(Arc::new(Mutex::new(Inner { hash: 0xcbf2_9ce4_8422_2325, events: 0, printed })))
    }

    /// Something happened at this moment.
    pub fn note(&self, what: impl Display) {
        let text = format!("{:>8} {what}", now_ms());
        let mut inner = self.0.lock().unwrap();
        for octet in text.bytes() {
            inner.hash = (inner.hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
        inner.events += 1;
        if inner.printed {
            println!("{text}");
        }
    }

    /// The number, and how many events are in it.
    pub fn sum(&self) -> (u64, u64) {
        let inner = self.0.lock().unwrap();
        (inner.hash, inner.events)
    }
}
