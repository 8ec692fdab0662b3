//! Whether a peer is sent to at this moment: the times of its schedule, and peers that are only a
//! backup of another one.
//!
//! # Backups
//!
//! A peer that is `backup_of` another one stands by as long as the other can be reached, and for
//! [`BACKUP_AFTER`] longer: a restart is no outage. While it stands by, its cursor follows what the
//! other one has settled, and nothing else, and of what it had put off itself only the rest is kept: so
//! when it takes over it begins with the first article that the other one has not answered for good, and
//! nothing is left out. When the other one is back both go on from where they are: it may be offered what the backup has brought it by another way, and
//! refuses that; the backup ends what it has begun and stands by again. What the other one deferred (431,
//! 436) stays its own: it is in its durable set. What the other one is not owed the backup is not sent
//! either: it takes another's place, it is no peer beside it.

use super::exchange::{Exchange, State};
use super::schedule::delay_left;
use crate::clock::{self, Timestamp};
use crate::config::{Peer, Window};
use crate::store::{LogEntry, Seq};
use chrono::{DateTime, Datelike, Local, TimeDelta, Timelike};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How long a peer must have been out of reach before its backup takes over.
pub(super) const BACKUP_AFTER: Duration = Duration::from_secs(10);
/// How often the other peer is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The schedule is looked at at least so often: clocks are set, and zones change their offset.
const SCHEDULE_EVERY: Duration = Duration::from_secs(60);
const MINUTES_OF_DAY: u16 = 24 * 60;

/// What the feeds of a site know of each other, for backups: several [`Feeds`](super::Feeds) may share it.
#[derive(Clone, Default)]
pub struct Neighbours(Arc<Mutex<HashMap<String, Weak<Exchange>>>>);

impl Neighbours {
    pub(super) fn add(&self, peer: &str, exchange: &Arc<Exchange>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, exchange| exchange.strong_count() > 0);
        all.insert(peer.to_owned(), Arc::downgrade(exchange));
    }

    fn find(&self, peer: &str) -> Option<Arc<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(peer)?.upgrade()
    }
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Open,
    /// Nothing is sent.
    Closed {
        state: State,
        /// The other peer has settled everything up to here.
        settled: Option<Seq>,
    },
}

/// The gate of one peer.
pub(super) struct Gate {
    pub(super) peer: Arc<Peer>,
    neighbours: Neighbours,
    /// The other peer has been out of reach since then.
    down_since: Option<Instant>,
}

impl Gate {
    pub(super) fn new(peer: Arc<Peer>, neighbours: Neighbours) -> Self {
        Self { peer, neighbours, down_since: None }
    }

    /// Is it open? And how long that holds at most; for ever where nothing closes it.
    pub(super) fn look(&mut self, at: Timestamp, now: Instant) -> (Opening, Option<Duration>) {
        let mut again = None;
        if !self.peer.schedule.is_empty() {
            let local =
                DateTime::from_timestamp_millis(at.unix_ms()).unwrap_or_default().with_timezone(&Local);
            let minute = (local.weekday().num_days_from_monday(), minute_of_day(&local));
            let (open, left_min) = schedule(&self.peer.schedule, minute);
            let left = Duration::from_secs(u64::from(left_min) * 60)
                .saturating_sub(Duration::from_secs(u64::from(local.second())));
            again = Some(left.clamp(Duration::from_millis(100), SCHEDULE_EVERY));
            if !open {
                let until = local + TimeDelta::minutes(i64::from(left_min));
                let state = State::Closed { until: until.format("%a %H:%M").to_string() };
                return (Opening::Closed { state, settled: None }, again);
            }
        }
        let Some(other) = &self.peer.backup_of else { return (Opening::Open, again) };
        let again = Some(again.unwrap_or(LOOK_EVERY).min(LOOK_EVERY));
        // A feed that does not run settles nothing: its peer is as good as down.
        let exchange = self.neighbours.find(other);
        let standing = exchange.as_ref().map(|exchange| exchange.standing());
        let down = standing.as_ref().is_none_or(|standing| standing.is_down);
        let since = if down { Some(*self.down_since.get_or_insert(now)) } else { None };
        self.down_since = since;
        if since.is_some_and(|since| now.duration_since(since) >= BACKUP_AFTER) {
            return (Opening::Open, again);
        }
        let state = State::Standby { of: other.clone() };
        (Opening::Closed { state, settled: standing.map(|standing| standing.cursor) }, again)
    }
}

/// How long the article is to stay here yet, so that a cancel may overtake it.
pub(super) fn is_young(peer: &Peer, entry: &LogEntry) -> Option<Duration> {
    delay_left(entry.arrived, peer.delay_s, clock::now())
}

/// Is the place of a backup that stands by worth a record, `saved` being the last one? Records of places
/// are records, too, and following them one by one would never end; what is offered twice after a crash is
/// refused.
pub(super) fn is_worth_saving(saved: Seq, now: Seq) -> bool {
    const RECORDS: u64 = 1000;
    now.0.saturating_sub(saved.0) >= RECORDS
}

fn minute_of_day(at: &DateTime<Local>) -> u16 {
    u16::try_from(at.hour() * 60 + at.minute()).unwrap_or(0)
}

/// Is one of the windows open at a minute of a day of the week (Monday is 0)? And how many minutes
/// until that changes; a week where it never does.
fn schedule(windows: &[Window], (day, minute): (u32, u16)) -> (bool, u16) {
    const WEEK: u16 = 7 * MINUTES_OF_DAY;
    let now = u16::try_from(day).unwrap_or(0) * MINUTES_OF_DAY + minute;
    let is_open = |at: u16| {
        windows.iter().any(|window| {
            let length = match window.to_min.checked_sub(window.from_min) {
                Some(0) | None => window.to_min + MINUTES_OF_DAY - window.from_min,
                Some(length) => length,
            };
            (0..7).filter(|day| window.days & (1 << day) != 0).any(|day: u16| {
                let begin = day * MINUTES_OF_DAY + window.from_min;
                // Round the end of the week.
                (at + WEEK - begin) % WEEK < length
            })
        })
    };
    let open = is_open(now);
    // Minutes at which a window begins or ends are the only ones at which it can change.
    let edges = windows.iter().flat_map(|window| [window.from_min, window.to_min % MINUTES_OF_DAY]);
    let changes = edges.flat_map(|edge| (0..7).map(move |day: u16| day * MINUTES_OF_DAY + edge));
    let left =
        changes.filter(|at| is_open(*at) != open).map(|at| (at + WEEK - now) % WEEK).min().unwrap_or(WEEK);
    (open, left)
}

#[cfg(test)]
mod tests {
    use super::super::exchange::ConnectionNo;
    use super::*;

    fn window(days: u8, from_min: u16, to_min: u16) -> Window {
        Window { days, from_min, to_min }
    }

    #[test]
    fn windows_open_and_close_in_the_week() {
        const NIGHTS: u8 = 0b001_1111;
        let nights = [window(NIGHTS, 22 * 60, 6 * 60)];
        for (day, minute, expected) in [
            (0, 21 * 60, (false, 60)),
            (0, 22 * 60, (true, 8 * 60)),
            (1, 5 * 60 + 59, (true, 1)),
            (1, 6 * 60, (false, 16 * 60)),
            // Friday's window ends on Saturday; the next one begins on Monday.
            (5, 5 * 60, (true, 60)),
            (5, 6 * 60, (false, 64 * 60)),
            (0, 0, (false, 22 * 60)),
        ] {
            assert_eq!(schedule(&nights, (day, minute)), expected, "day {day}, minute {minute}");
        }
        // Sunday's window reaches into Monday.
        let sunday = [window(0b100_0000, 23 * 60, 60)];
        assert_eq!(schedule(&sunday, (0, 0)), (true, 60));
        assert_eq!(schedule(&sunday, (6, 22 * 60)), (false, 60));
        let always = [window(0b111_1111, 0, 24 * 60)];
        assert_eq!(schedule(&always, (3, 700)), (true, 7 * 1440));
        let weekend = [window(0b110_0000, 0, 24 * 60)];
        assert_eq!(schedule(&weekend, (4, 1439)), (false, 1));
        assert_eq!(schedule(&weekend, (5, 0)), (true, 2 * 1440));
        // Together they leave no gap.
        let both = [window(1, 60, 120), window(1, 120, 180)];
        assert_eq!(schedule(&both, (0, 60)), (true, 120));
    }

    #[test]
    fn a_backup_waits_for_an_outage_and_follows_meanwhile() {
        let identity = |name: &str| crate::article::PathIdentity::try_from(name);
        let Ok(own) = identity("backup.example") else { return };
        let peer = Peer { backup_of: Some("first".to_owned()), ..Peer::new("backup", own) };
        let neighbours = Neighbours::default();
        let exchange = Arc::new(Exchange::default());
        neighbours.add("first", &exchange);
        let mut gate = Gate::new(Arc::new(peer), neighbours);
        let at = Timestamp::from_unix_s(0);
        let mut now = Instant::now();
        let (one, other) = (ConnectionNo(1), ConnectionNo(2));
        exchange.open(one, true);
        exchange.report(|reported| reported.cursor = Seq(7));
        let standby = |cursor| Opening::Closed {
            state: State::Standby { of: "first".to_owned() },
            settled: Some(Seq(cursor)),
        };
        assert_eq!(gate.look(at, now).0, standby(7));
        exchange.close(one, Vec::new());
        assert_eq!(gate.look(at, now).0, standby(7), "not at once");
        now += BACKUP_AFTER;
        assert_eq!(gate.look(at, now).0, Opening::Open);
        exchange.open(other, true);
        exchange.report(|reported| reported.cursor = Seq(9));
        assert_eq!(gate.look(at, now).0, standby(9));
        drop(exchange);
        gate.look(at, now);
        assert_eq!(gate.look(at, now + BACKUP_AFTER).0, Opening::Open, "its feed has gone");
    }
}
