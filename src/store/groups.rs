//! The newsgroups of the site: status, water marks, and the youngest overview rows of each.
//!
//! A newsgroup that is removed is only marked: created again it goes on with its numbers, since an
//! article number is never used twice (RFC 3977 s.6).

use super::block::{Block, NUMBERS};
use super::held;
use super::segment::Packed;
use super::types::{GroupStatus, Marks, Seq};
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

/// A newsgroup of this site.
pub struct Group {
    pub(super) id: u32,
    name: Box<str>,
    /// The number the next article gets. The writer's own.
    pub(super) next: AtomicU64,
    /// As in the facts: asked for each article.
    removed: AtomicBool,
    state: Mutex<State>,
}

pub(super) struct State {
    pub facts: Facts,
    pub rows: Rows,
}

/// What the log says of a newsgroup: the text of a [`super::record::Kind::Newsgroup`] record, and
/// with its marks the index's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub id: u32,
    pub name: String,
    /// As in LIST ACTIVE.
    pub status: String,
    pub description: String,
    pub created_ms: i64,
    pub creator: String,
    #[serde(default)]
    pub removed: bool,
    /// Numbers below are gone. In a record it means nothing.
    #[serde(default)]
    pub low: u64,
    /// The highest number given; in a record the highest that is not given any more.
    #[serde(default)]
    pub high: u64,
    #[serde(default)]
    pub count: u64,
    /// The seq of the last act that is in here: acts up to it are not applied again.
    #[serde(default)]
    pub acted: u64,
}

/// The rows that are in memory because the index does not have them (yet).
#[derive(Default)]
pub(super) struct Rows {
    /// The block that grows.
    pub open: Option<Block>,
    /// Full blocks on their way to the index, oldest first.
    pub full: Vec<Arc<Block>>,
    /// There is something here that the last checkpoint did not write.
    pub dirty: bool,
    /// Checkpoints since the last row came.
    pub quiet: u32,
    /// Times that the open block was dropped: who reads the index meanwhile must not bring an older
    /// one back.
    pub drops: u64,
}

/// What a row did to its newsgroup.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filed {
    /// The first change since the last checkpoint.
    pub turned_dirty: bool,
    /// A block became full while none was waiting.
    pub turned_ready: bool,
    /// Octets of the block that became full.
    pub filled: usize,
}

impl Rows {
    /// The block `no`, as far as it is in memory.
    pub fn block(&self, no: u64) -> Option<Arc<Block>> {
        let mut parts = self.full.iter().filter(|full| full.no == no);
        let Some(open) = self.open.as_ref().filter(|open| open.no == no) else {
            let first = parts.next()?.clone();
            return Some(parts.fold(first, |all, part| merged(Block::clone(part), &all)));
        };
        Some(parts.fold(Arc::new(open.clone()), |all, part| merged(Block::clone(&all), part)))
    }

    /// The article of a number, if its row is in memory.
    pub fn location(&self, number: u64) -> Option<Packed> {
        let full = || self.full.iter().find_map(|full| full.location(number));
        self.open.as_ref().and_then(|open| open.location(number)).or_else(full)
    }
}

/// A block with the rows of another, which are not younger.
fn merged(mut block: Block, other: &Block) -> Arc<Block> {
    block.merge(other);
    block.whole |= other.whole;
    Arc::new(block)
}

impl State {
    /// Files an article: its row, and the marks when the number is new. Filing again changes
    /// nothing.
    pub fn file(&mut self, number: u64, location: Packed, row: &[u8]) -> Filed {
        let no = number / NUMBERS;
        let mut filed = Filed { turned_dirty: !self.rows.dirty, ..Filed::default() };
        if self.rows.open.as_ref().is_some_and(|open| open.no != no)
            && let Some(full) = self.rows.open.take()
        {
            filed.turned_ready = self.rows.full.is_empty();
            filed.filled = full.octets();
            self.rows.full.push(Arc::new(full));
        }
        // A block that begins here is whole; one that does not may have its beginning in the index.
        let whole = self.facts.high == 0 || (number > self.facts.high && self.facts.high / NUMBERS < no);
        self.rows.open.get_or_insert_with(|| Block::new(no, whole)).put(number, location, row);
        self.rows.dirty = true;
        self.rows.quiet = 0;
        if number > self.facts.high {
            self.facts.high = number;
            self.facts.count += 1;
        }
        filed
    }

    /// A number was given to an article that is lost: it is not given again.
    pub fn skip(&mut self, number: u64) {
        self.facts.high = self.facts.high.max(number);
    }
}

impl Facts {
    /// Of a newsgroup of which no more is known.
    pub fn unknown(id: u32, name: String, created: Timestamp) -> Self {
        Self {
            id,
            name,
            status: GroupStatus::Posting.to_string(),
            description: String::new(),
            created_ms: created.unix_ms(),
            creator: String::new(),
            removed: false,
            low: 0,
            high: 0,
            count: 0,
            acted: 0,
        }
    }

    /// RFC 3977 s.6.1.1.2: an empty newsgroup is shown with low = high + 1.
    fn marks(&self) -> Marks {
        let low = if self.count == 0 { self.high + 1 } else { self.low.max(1) };
        Marks { low, high: self.high, count: self.count }
    }
}

impl Group {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            id: facts.id,
            name: facts.name.as_str().into(),
            next: AtomicU64::new(facts.high + 1),
            removed: AtomicBool::new(facts.removed),
            state: Mutex::new(State { facts, rows: Rows::default() }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        held(self.state.lock())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its status now.
    pub fn status(&self) -> GroupStatus {
        // What no version of ours wrote is safest without posting.
        GroupStatus::parse(&self.state().facts.status).unwrap_or(GroupStatus::NoPosting)
    }

    /// Its description (LIST NEWSGROUPS); may be empty.
    pub fn description(&self) -> String {
        self.state().facts.description.clone()
    }

    /// When it was created, and by whom.
    pub fn created(&self) -> (Timestamp, String) {
        let state = self.state();
        (Timestamp::from_unix_ms(state.facts.created_ms), state.facts.creator.clone())
    }

    /// Its marks.
    pub fn marks(&self) -> Marks {
        self.state().facts.marks()
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// Gives back numbers that a failed batch took: nobody has seen them.
    pub(super) fn take_back_numbers(&self) {
        self.next.store(self.state().facts.high + 1, Ordering::Relaxed);
    }
}

/// All newsgroups, those removed included.
#[derive(Default)]
pub(super) struct Groups {
    names: RwLock<HashMap<Box<str>, Arc<Group>>>,
    ids: RwLock<HashMap<u32, Arc<Group>>>,
    highest_id: AtomicU32,
    /// The list by name, made when somebody asks.
    list: Mutex<Option<Arc<Vec<Arc<Group>>>>>,
}

impl Groups {
    /// The newsgroup of this name, unless it is removed.
    pub fn named(&self, name: &str) -> Option<Arc<Group>> {
        self.any(name).filter(|group| !group.is_removed())
    }

    /// The newsgroup of this name, also a removed one.
    pub fn any(&self, name: &str) -> Option<Arc<Group>> {
        held(self.names.read()).get(name).cloned()
    }

    pub fn by_id(&self, id: u32) -> Option<Arc<Group>> {
        held(self.ids.read()).get(&id).cloned()
    }

    /// Those not removed, by name.
    pub fn list(&self) -> Arc<Vec<Arc<Group>>> {
        let mut list = held(self.list.lock());
        let list = list.get_or_insert_with(|| {
            let mut all = self.all();
            all.retain(|group| !group.is_removed());
            all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Arc::new(all)
        });
        list.clone()
    }

    /// All, in no order.
    pub fn all(&self) -> Vec<Arc<Group>> {
        held(self.ids.read()).values().cloned().collect()
    }

    /// An id no newsgroup has had.
    pub fn free_id(&self) -> u32 {
        self.highest_id.load(Ordering::Relaxed) + 1
    }

    /// Adds a newsgroup as the index has it.
    pub fn load(&self, facts: Facts) -> Arc<Group> {
        let group = Arc::new(Group::new(facts));
        self.highest_id.fetch_max(group.id, Ordering::Relaxed);
        held(self.ids.write()).insert(group.id, group.clone());
        held(self.names.write()).insert(group.name.clone(), group.clone());
        *held(self.list.lock()) = None;
        group
    }

    /// Applies what the record `seq` says of a newsgroup. Its numbers go on: created again after a
    /// removal it begins empty behind them.
    pub fn set(&self, facts: Facts, seq: Seq) -> Arc<Group> {
        let Some(group) = self.by_id(facts.id) else {
            return self.load(Facts { acted: seq.0, low: facts.high + 1, count: 0, ..facts });
        };
        self.act(&group, seq, |old| {
            // What the record says of numbers is how high they begin at least.
            let high = old.high.max(facts.high);
            let empty = old.removed || old.count == 0;
            let (low, count) = if empty { (high + 1, 0) } else { (old.low, old.count) };
            *old = Facts { low, count, high, ..facts };
        });
        group.next.fetch_max(group.state().facts.high + 1, Ordering::Relaxed);
        group
    }

    /// Applies the removal of a newsgroup.
    pub fn remove(&self, id: u32, seq: Seq) -> Option<Arc<Group>> {
        let group = self.by_id(id)?;
        self.act(&group, seq, |old| old.removed = true);
        Some(group)
    }

    fn act(&self, group: &Group, seq: Seq, change: impl FnOnce(&mut Facts)) {
        let mut state = group.state();
        if state.facts.acted < seq.0 {
            change(&mut state.facts);
            state.facts.acted = seq.0;
            group.removed.store(state.facts.removed, Ordering::Relaxed);
            drop(state);
            *held(self.list.lock()) = None;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn statuses_read_as_they_were_written() {
        for text in ["y", "n", "m", "x", "j", "=other.group"] {
            assert_eq!(GroupStatus::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "Y", "yy", "=", "=a..b"] {
            assert_eq!(GroupStatus::parse(text), None, "{text}");
        }
    }

    #[test]
    fn records_of_the_first_version_are_read() {
        let text = r#"{"id":7,"name":"a.b","status":"m","description":"","created_ms":1,"creator":"x"}"#;
        let group = Group::new(serde_json::from_str(text).unwrap());
        assert_eq!((group.id, group.name(), group.status()), (7, "a.b", GroupStatus::Moderated));
        // What a later version may write.
        let later = serde_json::from_str(&text.replace("\"m\"", "\"?\"")).unwrap();
        assert_eq!(Group::new(later).status(), GroupStatus::NoPosting);
    }
}
