//! The history: which Message-IDs are known, and where their articles are. All of it is in memory,
//! 16 octets an entry, so that an offer is answered without a disk.
//!
//! A Message-ID is known by its SipHash-128 under a secret of this store (a peer cannot craft
//! collisions): 8 bits choose the shard, 64 are kept. Ids being received or waiting for their
//! commit are entries too, with [`HELD`] for a location, so that one look-up under one lock tells
//! new, pending and known apart. The entries come back at start from the index's history blocks.

use super::held;
use super::segment::Packed;
use super::types::{Known, Location};
use crate::article::MessageId;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use siphasher::sip128::SipHasher13;
use std::sync::{Arc, Mutex};

const SHARDS: usize = 256;
/// The location of an id that somebody holds a reservation of. No segment has number 0.
const HELD: u64 = 1;

/// The keyed hash of a Message-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(pub u128);

impl Fingerprint {
    fn kept(self) -> u64 {
        self.0 as u64
    }

    fn shard(self) -> usize {
        (self.0 >> 64) as usize % SHARDS
    }
}

struct Slot {
    kept: u64,
    packed: u64,
}

/// See the module.
pub(super) struct History {
    hasher: SipHasher13,
    shards: Vec<Mutex<HashTable<Slot>>>,
}

impl History {
    pub fn new(secret: &[u8; 16]) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashTable::new())).collect();
        Self { hasher: SipHasher13::new_with_key(secret), shards }
    }

    pub fn fingerprint(&self, id: &MessageId) -> Fingerprint {
        self.fingerprint_of(id.as_str().as_bytes())
    }

    pub fn fingerprint_of(&self, id: &[u8]) -> Fingerprint {
        let hash = self.hasher.hash(id);
        Fingerprint(u128::from(hash.h2) << 64 | u128::from(hash.h1))
    }

    fn shard(&self, of: Fingerprint) -> &Mutex<HashTable<Slot>> {
        &self.shards[of.shard()]
    }

    fn packed(&self, of: Fingerprint) -> Option<u64> {
        let shard = held(self.shard(of).lock());
        shard.find(of.kept(), |slot| slot.kept == of.kept()).map(|slot| slot.packed)
    }

    pub fn known(&self, id: &MessageId) -> Known {
        match self.packed(self.fingerprint(id)) {
            None => Known::No,
            Some(HELD) => Known::Pending,
            Some(_) => Known::Yes,
        }
    }

    pub fn locate(&self, of: Fingerprint) -> Option<Location> {
        match self.packed(of) {
            None | Some(HELD) => None,
            Some(packed) => Some(Packed(packed).location()),
        }
    }

    /// The entries, those only held included.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| held(shard.lock()).len()).sum()
    }

    /// Notes where an article is, whatever was noted before.
    pub fn put(&self, of: Fingerprint, location: Packed) {
        let mut shard = held(self.shard(of).lock());
        match shard.entry(of.kept(), |slot| slot.kept == of.kept(), |slot| slot.kept) {
            Entry::Occupied(mut slot) => slot.get_mut().packed = location.0,
            Entry::Vacant(slot) => {
                slot.insert(Slot { kept: of.kept(), packed: location.0 });
            }
        }
    }

    fn hold(&self, of: Fingerprint) -> Result<(), Known> {
        let mut shard = held(self.shard(of).lock());
        match shard.entry(of.kept(), |slot| slot.kept == of.kept(), |slot| slot.kept) {
            Entry::Occupied(slot) if slot.get().packed == HELD => Err(Known::Pending),
            Entry::Occupied(_) => Err(Known::Yes),
            Entry::Vacant(slot) => {
                slot.insert(Slot { kept: of.kept(), packed: HELD });
                Ok(())
            }
        }
    }

    fn free(&self, of: Fingerprint) {
        let mut shard = held(self.shard(of).lock());
        if let Ok(slot) = shard.find_entry(of.kept(), |slot| slot.kept == of.kept())
            && slot.get().packed == HELD
        {
            slot.remove();
        }
    }
}

/// A held Message-ID: nobody else may bring the article while it lives. Dropping it frees the id
/// again, unless the article was submitted and kept.
pub struct Reservation {
    history: Arc<History>,
    fingerprint: Fingerprint,
    kept: bool,
}

impl Reservation {
    pub(super) fn take(history: &Arc<History>, id: &MessageId) -> Result<Self, Known> {
        let fingerprint = history.fingerprint(id);
        history.hold(fingerprint)?;
        Ok(Self { history: history.clone(), fingerprint, kept: false })
    }

    /// The article is on disk, at `location`.
    pub(super) fn keep(&mut self, location: Packed) {
        self.history.put(self.fingerprint, location);
        self.kept = true;
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.kept {
            self.history.free(self.fingerprint);
        }
    }
}
