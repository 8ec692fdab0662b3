//! The parts that are still to be fetched, and which server may be asked for each: every part is asked
//! of one server at a time, and of each server once.

use crate::transfer::waiting::locked;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};

/// Servers that one fetch can use: each is a bit.
pub(super) const SERVERS_MAX: usize = 32;

/// A part to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// The file in the NZB.
    pub(super) file: usize,
    /// The segment in the file.
    pub(super) segment: usize,
    /// The servers that could not help: one bit each.
    pub(super) asked: u32,
    /// What was wrong with the article, if a server had one.
    pub(super) damage: Option<String>,
}

/// Shared by all connections.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// By the servers that have been asked for them.
    waiting: BTreeMap<u32, VecDeque<Job>>,
    /// In the hands of connections.
    in_flight: usize,
    /// For each server, how many connections work.
    working: Vec<usize>,
    lost: Vec<Job>,
    stopped: bool,
}

impl Queue {
    /// All jobs, for servers with so many connections each.
    pub(super) fn new(jobs: impl Iterator<Item = Job>, working: Vec<usize>) -> Self {
        let waiting = BTreeMap::from([(0, jobs.collect())]);
        let state = State { waiting, in_flight: 0, working, lost: Vec::new(), stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A job for a server, if there is one now.
    pub(super) fn take(&self, server: usize) -> Option<Job> {
        let mut state = locked(&self.state);
        let job = state.jobs_for(server)?.pop_front()?;
        state.in_flight += 1;
        Some(job)
    }

    /// Waits until there is a job for a server; false when there will be none. What others have in hand
    /// may become its job.
    pub(super) fn wait(&self, server: usize) -> bool {
        let mut state = locked(&self.state);
        loop {
            if state.jobs_for(server).is_some() {
                return true;
            }
            if state.stopped || state.in_flight == 0 {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Is there nothing left for anybody?
    pub(super) fn is_finished(&self) -> bool {
        let state = locked(&self.state);
        state.stopped || (state.in_flight == 0 && state.waiting.values().all(VecDeque::is_empty))
    }

    /// A job is done.
    pub(super) fn done(&self) {
        locked(&self.state).in_flight -= 1;
        self.changed.notify_all();
    }

    /// A job comes back as it was taken: the connection is lost.
    pub(super) fn give_back(&self, job: Job) {
        let mut state = locked(&self.state);
        state.in_flight -= 1;
        state.waiting.entry(job.asked).or_default().push_front(job);
        self.changed.notify_all();
    }

    /// A server does not have the part, or a damaged one.
    pub(super) fn not_from(&self, server: usize, mut job: Job, damage: Option<String>) {
        let mut state = locked(&self.state);
        state.in_flight -= 1;
        job.asked |= bit(server);
        job.damage = damage.or(job.damage);
        let working = state.working.iter().enumerate().filter(|(_, connections)| **connections > 0);
        if working.fold(0, |all, (server, _)| all | bit(server)) & !job.asked == 0 {
            state.lost.push(job);
        } else {
            state.waiting.entry(job.asked).or_default().push_back(job);
        }
        self.changed.notify_all();
    }

    /// A connection to a server ends.
    pub(super) fn leave(&self, server: usize) {
        let mut state = locked(&self.state);
        if let Some(connections) = state.working.get_mut(server) {
            *connections = connections.saturating_sub(1);
        }
        self.changed.notify_all();
    }

    /// Nobody takes anything any more.
    pub(super) fn stop(&self) {
        locked(&self.state).stopped = true;
        self.changed.notify_all();
    }

    /// The jobs that could not be done.
    pub(super) fn into_lost(self) -> Vec<Job> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.lost.into_iter().chain(state.waiting.into_values().flatten()).collect()
    }
}

impl State {
    /// The first jobs that a server may be asked for. What others lack comes first, so that a gap does
    /// not wait for the end.
    fn jobs_for(&mut self, server: usize) -> Option<&mut VecDeque<Job>> {
        let mut waiting = self.waiting.iter_mut().rev().filter(|_| !self.stopped);
        waiting.find(|(asked, jobs)| **asked & bit(server) == 0 && !jobs.is_empty()).map(|(_, jobs)| jobs)
    }
}

/// A server's bit.
pub(super) fn bit(server: usize) -> u32 {
    1 << (server % SERVERS_MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    fn queue(jobs: usize, working: &[usize]) -> Queue {
        let job = |segment| Job { file: 0, segment, asked: 0, damage: None };
        Queue::new((0..jobs).map(job), working.to_vec())
    }

    #[test]
    fn what_one_lacks_the_other_is_asked_for() {
        let queue = queue(2, &[1, 1]);
        let job = queue.take(0).unwrap();
        queue.not_from(0, job, None);
        // The gap is the other's first job, and never the first server's again.
        let gap = queue.take(1).unwrap();
        assert_eq!((gap.segment, gap.asked), (0, 1));
        assert_eq!(queue.take(0).unwrap().segment, 1);
        queue.done();
        queue.not_from(1, gap, Some("damaged".to_owned()));
        assert!(!queue.wait(0) && !queue.wait(1) && queue.is_finished());
        let lost = queue.into_lost();
        assert_eq!(lost, [Job { file: 0, segment: 0, asked: 3, damage: Some("damaged".to_owned()) }]);
    }

    #[test]
    fn a_server_that_is_gone_is_waited_for_no_more() {
        let queue = queue(2, &[2, 1]);
        let [first, second] = [queue.take(0).unwrap(), queue.take(1).unwrap()];
        queue.leave(1);
        queue.give_back(second);
        queue.not_from(0, first, None);
        let second = queue.take(0).unwrap();
        assert_eq!((second.segment, second.asked), (1, 0));
        queue.done();
        assert!(!queue.wait(0));
        assert_eq!(queue.into_lost().len(), 1);
    }

    #[test]
    fn what_only_another_can_have_is_not_waited_for() {
        let queue = queue(1, &[1, 1]);
        let job = queue.take(0).unwrap();
        queue.not_from(0, job, None);
        let job = queue.take(1).unwrap();
        queue.give_back(job);
        assert!(!queue.wait(0) && !queue.is_finished());
        assert!(queue.wait(1));
    }

    #[test]
    fn an_idle_server_waits_for_what_may_come() {
        let queue = queue(1, &[1, 1]);
        let job = queue.take(0).unwrap();
        let (say, heard) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| say.send(queue.wait(1)));
            assert!(heard.recv_timeout(Duration::from_millis(20)).is_err(), "it waits");
            queue.not_from(0, job, None);
            assert!(heard.recv_timeout(Duration::from_secs(60)).unwrap());
            let job = queue.take(1).unwrap();
            scope.spawn(|| queue.wait(0));
            queue.stop();
            assert_eq!((job.asked, queue.take(1)), (1, None));
        });
    }
}
