//! A federation in one process: the real code of 3 to 12 sites on a simulated network, clock and disk,
//! all of it drawn from a seed. While users post, links fail, sites crash and disks fill up; then the
//! faults end, and everything that was accepted must be where it is subscribed to, exactly once.
//!
//! A failure names its seed. `FEEDD_SEED=N` runs that one, `FEEDD_TRACE=1` prints its events,
//! `FEEDD_SEEDS=N` runs the first N, `FEEDD_FROM=N` begins there.
#![allow(clippy::unwrap_used)]

mod checks;
mod contracts;
mod dice;
mod disk;
mod epilogue;
mod ledger;
mod network;
mod offerer;
mod pipe;
mod plan;
mod run;
mod site;
mod trace;
mod users;

use plan::Planted;
use run::run;

/// Seeds of a plain `cargo test`.
const SEEDS: u64 = 6;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn every_article_arrives_exactly_once_whatever_fails() {
    let from = number("FEEDD_SEED").or(number("FEEDD_FROM")).unwrap_or(1);
    let count = number("FEEDD_SEED").map_or_else(|| number("FEEDD_SEEDS").unwrap_or(SEEDS), |_| 1);
    let mut failed = Vec::new();
    for seed in from..from + count {
        let outcome = run(seed, Planted::default());
        println!("{} ({:016x}, {} events)", outcome.told, outcome.trace.0, outcome.trace.1);
        if !outcome.wrong.is_empty() {
            let wrong = outcome.wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n  ");
            println!("FEEDD_SEED={seed}: {} things are wrong:\n  {wrong}", outcome.wrong.len());
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "FEEDD_SEED=N repeats a seed that failed: {failed:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [2, 5] {
        let (once, again) = (run(seed, Planted::default()), run(seed, Planted::default()));
        assert_eq!(once.trace, again.trace, "seed {seed}");
    }
}

/// The first seed whose run finds the planted fault, and what it says.
fn found(planted: Planted) -> (u64, String) {
    let find = |seed| run(seed, planted).wrong.into_iter().next().map(|wrong| (seed, wrong));
    (1..=40).find_map(find).unwrap_or_else(|| panic!("{planted:?} is not found"))
}

#[test]
fn a_disk_that_lies_about_its_sync_is_found() {
    let (seed, wrong) = found(Planted { disk_lies: true, ..Planted::default() });
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("was there before a crash"), "{wrong}");
}

#[test]
fn a_cursor_saved_too_early_is_found() {
    let (seed, wrong) = found(Planted { cursor_too_early: true, ..Planted::default() });
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("does not reach"), "{wrong}");
}

#[test]
fn deferred_articles_that_are_forgotten_are_found() {
    let (seed, wrong) = found(Planted { deferred_lost: true, ..Planted::default() });
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("does not reach"), "{wrong}");
}

#[test]
fn a_schedule_that_is_not_kept_is_found() {
    let (seed, wrong) = found(Planted { times_ignored: true, ..Planted::default() });
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("outside its schedule"), "{wrong}");
}

#[test]
fn an_article_that_comes_before_its_delay_is_found() {
    let (seed, wrong) = found(Planted { delay_ignored: true, ..Planted::default() });
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("comes from") && wrong.contains(" ms of "), "{wrong}");
}

#[test]
fn a_backup_beside_the_other_peer_is_found() {
    let (seed, wrong) = found(Planted { backup_beside: true, ..Planted::default() });
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("to its backup"), "{wrong}");
}

#[test]
fn a_reload_that_changes_nothing_is_found() {
    let (seed, wrong) = found(Planted { reload_ignored: true, ..Planted::default() });
    println!("seed {seed}: {wrong}");
}
