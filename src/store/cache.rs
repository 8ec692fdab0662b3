//! Decoded overview blocks of the index, the recently used ones, within a bound of octets: two
//! generations a shard; what is not asked for while the young one fills up is forgotten.

use super::block::Block;
use super::held;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Octets in all.
const OCTETS_MAX: usize = 32 << 20;
const SHARDS: usize = 16;

type Key = (u32, u64);

#[derive(Default)]
struct Shard {
    young: HashMap<Key, Arc<Block>>,
    old: HashMap<Key, Arc<Block>>,
    octets: usize,
}

impl Shard {
    fn put(&mut self, key: Key, block: Arc<Block>) {
        let octets = block.octets();
        if self.octets + octets > OCTETS_MAX / SHARDS / 2 {
            self.old = std::mem::take(&mut self.young);
            self.octets = 0;
        }
        self.octets += octets;
        if let Some(before) = self.young.insert(key, block) {
            self.octets -= before.octets();
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
}

impl Cache {
    fn shard(&self, key: Key) -> &Mutex<Shard> {
        &self.shards[(u64::from(key.0).wrapping_mul(31).wrapping_add(key.1)) as usize % SHARDS]
    }

    /// Block `no` of the newsgroup with this id.
    pub fn find(&self, group: u32, no: u64) -> Option<Arc<Block>> {
        let key = (group, no);
        let mut shard = held(self.shard(key).lock());
        if let Some(block) = shard.young.get(&key) {
            return Some(block.clone());
        }
        let block = shard.old.remove(&key)?;
        shard.put(key, block.clone());
        Some(block)
    }

    /// Keeps a block that will not change any more.
    pub fn put(&self, group: u32, block: Arc<Block>) {
        let key = (group, block.no);
        held(self.shard(key).lock()).put(key, block);
    }
}
