//! Does a peer that catches up from a cold disk make another one wait? The hop of single articles from
//! POST at A until a reader at B has them: while a third peer is away, and while it is brought level
//! with all that it missed; at full speed, and over slower links (each of its four
//! connections has a quarter). How long A takes to answer POST stands beside it: that part is no feed's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::month::drop_cached;
use crate::shape::{Articles, newsgroups};
use crate::support::articles::{message_id, posted};
use crate::support::client::Client;
use crate::support::process::{temp_dir, wait_until};
use crate::support::relay::{Link, Relay};
use crate::support::site::Site;

const LIVE: &str = "live.test";
const ARTICLES: u64 = 300_000;
const QUICK: u64 = 5_000;
const WITHIN: Duration = Duration::from_secs(20);
/// Between two articles.
const EVERY: Duration = Duration::from_millis(5);
/// Between two questions whether it is there.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// # Errors
/// What did not go as it must.
pub fn measure(quick: bool) -> Result<(), String> {
    let (count, hops) = if quick { (QUICK, 20) } else { (ARTICLES, 400) };
    println!(
        "{count} articles of 2 to 5 KB for the peer that catches up; milliseconds from POST to the reader:\n"
    );
    println!("the other peer           hops   median     99 %      max     POST     99 %   it got meanwhile");
    for (label, octets_per_s) in
        [("catches up", None), ("... at 100 MB/s", Some(25_000_000)), ("... at 20 MB/s", Some(5_000_000))]
    {
        one(label, octets_per_s, count, hops)?;
    }
    Ok(())
}

fn one(label: &str, octets_per_s: Option<u64>, count: u64, hops: u64) -> Result<(), String> {
    let names = newsgroups();
    let names: Vec<&str> = names.iter().map(String::as_str).chain([LIVE]).collect();
    let mut a = Site::init("a.example", &names);
    let mut b = Site::init("b.example", &names);
    b.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "127.0.0.1"]);
    let sink = Sink::start();
    let relay = Relay::start(sink.port, Link { round_trip: Duration::from_millis(50), octets_per_s });
    relay.hold();
    for (name, port, send) in [("b", b.port, "live.*"), ("c", relay.port, "bench.*")] {
        let (address, identity) = (format!("127.0.0.1:{port}"), format!("{name}.example"));
        a.feedd(&["peer", "add"], &[name, "--address", &address, "--identity", &identity, "--send", send]);
    }
    let folder = temp_dir();
    let batch = folder.path().join("batch");
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs() as i64;
    let out = File::create(&batch).map_err(|e| e.to_string())?;
    let written = Articles::new(2, count, now_s).write_batch(&mut BufWriter::new(out));
    written.map_err(|e| e.to_string())?;
    b.start();
    a.start();
    a.feedd(&["import"], &["--no-cutoff", batch.to_str().unwrap_or_default()]);
    // Cold: what A knows of the log in memory and what the machine has of its files goes.
    a.stop();
    drop_cached(&a.dir()).map_err(|e| e.to_string())?;
    a.start();
    let (mut poster, mut reader) = (a.client(), b.client());
    between(&mut poster, &mut reader, "warm", 20, || true)?;
    let mut alone = between(&mut poster, &mut reader, "alone", hops, || true)?;
    say("is away", &mut alone, 0, Duration::from_secs(1));

    relay.release();
    if !wait_until(WITHIN, || sink.taken() > 0) {
        return Err("the other peer is not fed".to_owned());
    }
    let (before, began) = (sink.taken(), Instant::now());
    let mut during = between(&mut poster, &mut reader, "during", hops, || sink.taken() < count)?;
    say(label, &mut during, sink.taken() - before, began.elapsed());
    Ok(())
}

/// A peer that takes whatever it is sent and keeps nothing, as if it were on another machine: its disk
/// and what it makes of the articles are not to be measured here.
struct Sink {
    port: u16,
    taken: Arc<AtomicU64>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(AtomicU64::new(0));
        let counter = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = counter.clone();
                thread::spawn(move || serve(&stream, &counter));
            }
        });
        Self { port, taken }
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Answers until the peer closes.
fn serve(stream: &TcpStream, taken: &AtomicU64) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    let mut writer = stream;
    writer.write_all(b"200 takes everything\r\n")?;
    let (mut line, mut replies) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let id = line.split(|octet| *octet == b' ').nth(1).unwrap_or(b"\r\n").to_vec();
        if line.starts_with(b"TAKETHIS ") {
            while line != b".\r\n" {
                line.clear();
                if reader.read_until(b'\n', &mut line)? == 0 {
                    return Ok(());
                }
            }
            taken.fetch_add(1, Ordering::Relaxed);
            replies.extend_from_slice(b"239 ");
            replies.extend_from_slice(&id);
        } else if line.starts_with(b"CHECK ") {
            replies.extend_from_slice(b"238 ");
            replies.extend_from_slice(&id);
        } else if line.starts_with(b"CAPABILITIES") {
            replies.extend_from_slice(b"101 list\r\nVERSION 2\r\nIHAVE\r\nSTREAMING\r\n.\r\n");
        } else {
            replies.extend_from_slice(b"205 closing\r\n");
        }
        if reader.buffer().is_empty() || replies.len() > 64 * 1024 {
            writer.write_all(&replies)?;
            replies.clear();
        }
    }
}

/// Milliseconds of each hop, as long as `go_on`, which is asked now and then.
fn between(
    poster: &mut Client,
    reader: &mut Client,
    run: &str,
    hops: u64,
    mut go_on: impl FnMut() -> bool,
) -> Result<[Vec<f64>; 2], String> {
    let (mut hop, mut post) = (Vec::new(), Vec::new());
    for number in 0..hops {
        if number % 20 == 0 && !go_on() {
            break;
        }
        let id = message_id(run, number);
        let article = posted(Some(&id), LIVE, 2_000);
        let asked = Instant::now();
        let answer = poster.post(&article).map_err(|e| format!("POST at A: {e}"))?;
        if !answer.starts_with("240") {
            return Err(format!("POST at A: {answer}"));
        }
        post.push(asked.elapsed().as_secs_f64() * 1e3);
        while !reader.has(&id) {
            if asked.elapsed() > WITHIN {
                return Err(format!("{id} did not arrive at B within {WITHIN:?}"));
            }
            thread::sleep(LOOK_EVERY);
        }
        hop.push(asked.elapsed().as_secs_f64() * 1e3);
        thread::sleep(EVERY);
    }
    Ok([hop, post])
}

fn say(label: &str, [hop, post]: &mut [Vec<f64>; 2], taken: u64, time: Duration) {
    let at = |millis: &mut Vec<f64>, percent: usize| {
        millis.sort_by(f64::total_cmp);
        millis.get((millis.len() * percent / 100).min(millis.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    println!(
        "{label:<22} {:>6} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2}   {taken} articles, {:.0}/s",
        hop.len(),
        at(hop, 50),
        at(hop, 99),
        at(hop, 100),
        at(post, 50),
        at(post, 99),
        taken as f64 / time.as_secs_f64()
    );
}
