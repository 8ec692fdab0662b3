//! A file goes up at one end of a line of sites with nyuu (yEnc, an article for each piece) and comes
//! down at the other end with nzbget: the same octets.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::ARRIVES_WITHIN;
use super::host::{Door, Entrance, NEWSGROUP, PASSWORD, USER, is_there, node_modules};
use crate::support::process::{free_port, terminate, wait_until};
use crate::support::random::Random;
use crate::support::site::Site;

const OCTETS: usize = 20_000_000;

fn up_and_down(door: Door) {
    let nyuu = node_modules().join("nyuu/bin/nyuu.js");
    if !is_there(&format!("node {} --version", nyuu.display()), "nyuu (npm)")
        || !is_there("nzbget -v", "nzbget")
    {
        return;
    }
    let mut first = Entrance::init("a.example", door);
    let mut middle = Site::init("b.example", &[NEWSGROUP]);
    let mut last = Entrance::init("c.example", door);
    for (one, two) in [(&first.site, &middle), (&middle, &last.site)] {
        one.peer_with(two);
        two.peer_with(one);
    }
    for site in [&mut first.site, &mut middle, &mut last.site] {
        site.start();
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let sent = Random::seeded().octets(OCTETS);
    fs::write(dir.join("sent.bin"), &sent).unwrap();

    let mut up = Command::new("node");
    up.arg(nyuu).args(["-h", "127.0.0.1", "-P", &first.port().to_string(), "-n", "4", "-g", NEWSGROUP]);
    if door == Door::Tls {
        up.args(["-S", "--ignore-cert", "-u", USER, "-p", PASSWORD]);
    }
    // A reply that is there before nyuu hears that all is written leaves a timer behind, and the next
    // article ends it with "Timer already set": so none.
    up.args(["--timeout", "0"]);
    up.args(["-f", "A Poster <poster@binary.example>", "-o", "sent.nzb", "sent.bin"]);
    first.hears(up.current_dir(dir));

    let nzb = fs::read_to_string(dir.join("sent.nzb")).unwrap();
    let ids: Vec<String> = nzb
        .lines()
        .filter_map(|line| line.split_once("<segment ")?.1.split_once('>')?.1.split_once('<'))
        .map(|(id, _)| format!("<{id}>"))
        .collect();
    assert!(ids.len() >= OCTETS / 1_000_000, "{nzb}");
    let mut peer = last.site.client();
    let mut has = |id: &String| peer.ask(&format!("CHECK {id}")).unwrap().starts_with("438");
    assert!(wait_until(ARRIVES_WITHIN, || ids.iter().all(&mut has)), "not all articles arrive");

    let nzb_folder = dir.join("nzb");
    fs::create_dir(&nzb_folder).unwrap();
    fs::copy(dir.join("sent.nzb"), nzb_folder.join("sent.nzb")).unwrap();
    let mut options = vec![
        format!("MainDir={}", dir.display()),
        format!("NzbDir={}", nzb_folder.display()),
        format!("QueueDir={}", dir.join("queue").display()),
        format!("TempDir={}", dir.join("temporary").display()),
        format!("DestDir={}", dir.join("got").display()),
        "OutputMode=log".to_owned(),
        format!("ControlPort={}", free_port()),
        "NzbDirInterval=1".to_owned(),
        "NzbDirFileAge=0".to_owned(),
        "Server1.Active=yes".to_owned(),
        "Server1.Host=127.0.0.1".to_owned(),
        format!("Server1.Port={}", last.port()),
        "Server1.Connections=4".to_owned(),
    ];
    if door == Door::Tls {
        options.push("Server1.Encryption=yes".to_owned());
        options.push("CertCheck=no".to_owned());
        options.push(format!("Server1.Username={USER}"));
        options.push(format!("Server1.Password={PASSWORD}"));
    }
    let log = fs::File::create(dir.join("nzbget.log")).unwrap();
    let mut down = Command::new("nzbget")
        .args(["-n", "-s"])
        .args(options.iter().flat_map(|option| ["-o", option]))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let got = dir.join("got/sent/sent.bin");
    let whole = || fs::metadata(&got).is_ok_and(|file| file.len() == OCTETS as u64);
    let came = wait_until(ARRIVES_WITHIN, whole);
    terminate(&mut down, Duration::from_secs(10));
    let story = fs::read_to_string(dir.join("nzbget.log")).unwrap();
    assert!(came, "{story}");
    assert!(fs::read(&got).unwrap() == sent, "other octets came down\n{story}");
    println!("{} articles, {OCTETS} octets", ids.len());
}

#[test]
#[ignore = "needs nyuu (npm) and the Debian package nzbget"]
fn a_file_goes_up_and_comes_down() {
    up_and_down(Door::Plain);
}

#[test]
#[ignore = "needs nyuu (npm) and the Debian package nzbget"]
fn a_file_goes_up_and_comes_down_over_tls() {
    up_and_down(Door::Tls);
}
